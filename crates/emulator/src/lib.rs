//! The software TEE: emulated hardware for machines that have none.
//!
//! It stands in for a device (fuses, counter, measured launch, evidence) and for the vendor of
//! the device (root, certificates, revocation lists, TCB lists). The bytes are those of the real
//! hardware, so a Verifier needs no emulator branch: only the trust anchor differs, and that is
//! made anew for every installation.
//!
//! It protects nothing. Whoever controls the machine reads the fuses and the memory of the
//! program inside. It deliberately does not know TEEP, SUIT, EAT, or what the program inside does.

pub mod counter;
mod der;
mod disk;
mod error;
pub mod family;
pub mod fuses;
mod key;
pub mod launch;
mod misbehaviour;
mod pem;
pub mod serve;
pub mod vendor;
pub mod vm;
mod x509;

pub use error::Error;
pub use misbehaviour::Misbehaviour;
