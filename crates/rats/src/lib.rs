//! Remote attestation formats: EAT (RFC 9711), EAR and AR4SI results, CMW wrappers, a subset of
//! CoRIM, and the conventions that bind keys and nonces together.
//!
//! Everything here is a value: bytes and time come in, bytes and typed refusals go out. The crate
//! deliberately does not know how evidence is *appraised* (that is `verifier`), what a hardware
//! quote looks like inside, how a key is stored, or what time it is.

pub mod binding;
pub mod cmw;
pub mod corim;
pub mod ear;
pub mod eat;
pub mod evidence;
pub mod nonce;
pub mod result;
pub mod runtime;

mod label;
mod map;
mod refusal;
mod time;

pub use label::{Label, claim};
pub use refusal::{Malformed, Refused, Unsupported, Untrusted};
pub use time::{Lifetime, Timestamp};

#[cfg(test)]
mod testing;
