//! Our Verifier, and an independent one where there is one, judge emulated devices of each family:
//! accepted when the emulator is listed and allowed, and each misbehaviour refused by its check.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

mod arm;
mod bench;
mod containers;
mod launches;
mod sev;
mod snp;
mod tdx;
mod trustzone;
