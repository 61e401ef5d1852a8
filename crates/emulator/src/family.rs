//! The hardware families: what differs between them, behind one small trait.

pub mod sgx;

use device::Failure;
use device::FailureCode;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::Error;

/// A device of one hardware family, with one program running in it.
pub trait Family: Send {
    /// Makes evidence over these bytes of the program.
    fn quote(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error>;

    /// Derives the key of this program on this device for a label.
    fn sealing_key(&self, label: &str) -> SealingKey;

    /// Says what the device is.
    fn describe(&self) -> Description;

    /// Extends a measurement register.
    fn extend(&mut self, _index: u64, _digest: &[u8]) -> Result<(), Failure> {
        Err(no_registers())
    }

    /// Reads a measurement register.
    fn read(&self, _index: u64) -> Result<Vec<u8>, Failure> {
        Err(no_registers())
    }
}

/// The families that are emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FamilyName {
    /// Intel SGX, quote version 3.
    Sgx,
}

/// EAT claim 258 of every emulated device: 16 bytes, type RAND.
pub(crate) const OEM_ID: [u8; 16] = *b"Tamarack Emulati";

fn no_registers() -> Failure {
    Failure::new(FailureCode::Unsupported, "this hardware has no measurement registers")
}
