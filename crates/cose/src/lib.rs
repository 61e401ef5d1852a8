//! CBOR (RFC 8949) read strictly, and COSE (RFC 9052, RFC 9053) over it.
//!
//! Bytes in, bytes out. Signatures are checked over the bytes as received; payloads are borrowed,
//! never copied, as far as the algorithm allows it.
//!
//! What this crate deliberately does not know: files, clocks, random numbers (the caller brings
//! [`Entropy`]), where private keys live (the caller brings [`Signer`] and [`Agreement`]), whom to
//! trust (the caller brings the [`Key`]), and what a payload means.

mod algorithm;
pub mod cbor;
mod crypto;
pub mod encrypt;
mod handle;
mod header;
pub mod hss;
mod key;
pub mod mac;
mod sign;
mod sign1;
mod spki;
mod structure;
mod thumbprint;
mod verified;

pub use algorithm::{Accept, Algorithm};
pub use cbor::Malformed;
pub use crypto::{SEGMENT_OVERHEAD, SegmentKey, Sha256, Sha384, Sha512};
pub use crypto::{equal, hmac_sha256, sha256, sha384, sha512};
pub use handle::{Agreement, Entropy, KeyUnusable, Secret, Signer};
pub use header::{ContentType, Header, Label};
pub use key::{Curve, Key};
pub use sign::{Sign, Signature, sign, sign_with};
pub use sign1::{Sign1, sign1, sign1_untagged};
pub use structure::{Payload, Tagging};
pub use thumbprint::Thumbprint;
pub use verified::{Untrusted, Verified};
