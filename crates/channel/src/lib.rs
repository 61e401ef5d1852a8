//! The secure channel between a Network User, callers, and a TEE: one HPKE container.
//!
//! HPKE (RFC 9180) with a KEM on P-256, on X25519 or X-Wing (the [`Suite`]), HKDF-SHA256 and
//! AES-256-GCM. Its uses:
//!
//! * [`release`]: Personalization Data from its owner to the attested receiver key of one exchange,
//!   signed by the owner, in chunks that flow through in constant memory; and the [`receipt`] that
//!   comes back.
//! * [`bundle`]: what a release holds that brings an Untrusted Application along.
//! * [`call`]: requests to a Trusted Application from callers whom the owner named, and answers.
//!
//! What it deliberately does not know: attestation. The receiver takes owner and manifest digest
//! from the manifest that it verified, and the EAT's digest from what it issued; nothing that a
//! message says about them is believed. Entropy and time come from the caller.

// Not called: its feature wipes the round keys that `hpke` leaves in memory.
use aes_gcm as _;

pub mod bundle;
pub mod call;
mod codec;
mod kem;
pub mod receipt;
mod refused;
pub mod release;
mod suite;

pub use kem::PrivateKey;
pub use refused::Refused;
pub use suite::{Suite, Suites, UnusableSuites};

#[cfg(test)]
mod tests;
