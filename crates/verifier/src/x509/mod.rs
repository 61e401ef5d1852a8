//! Certificates, revocation lists and PEM of the hardware vendors, read in place.
//!
//! This reads what vendors issue (RFC 5280, DER) and decides nothing: who signs what, at which
//! time, and which anchor counts is the business of the evidence modules. It tolerates what AMD
//! leaves out (serial 0, no key usage, no key identifiers) and nothing more.

mod certificate;
mod crl;
pub(crate) mod der;
mod path;
mod pem;

pub use certificate::{Certificate, Extension};
pub use crl::RevocationList;
pub use path::{NotAPath, Path};
pub use pem::{MAX_CHAIN, decode_list_file, decode_pem, decode_public_key_pem};

/// Bytes are not what their format says; names what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Malformed(pub &'static str);
