//! X.509 certificates, revocation lists, certification paths and PEM, read in place.
//!
//! This reads what authorities issue (RFC 5280, DER). It deliberately does not know whom anybody
//! trusts: anchors and time come in, and of hardware vendors' chains the evidence modules of the
//! Verifier decide who may sign what. It tolerates what AMD leaves out (serial 0, no key usage, no
//! key identifiers) and nothing more.

pub mod crypto;
pub mod der;
pub mod time;

mod certificate;
mod crl;
mod path;
mod pem;

pub use certificate::{Certificate, Extension};
pub use crl::RevocationList;
pub use path::{NotAPath, Path};
pub use pem::{MAX_CHAIN, decode_list_file, decode_pem, decode_public_key_pem};
pub use rats::Timestamp;

/// Bytes are not what their format says; names what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Malformed(pub &'static str);
