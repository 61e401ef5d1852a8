//! The TEE below the agent: evidence, keys that never leave the device, a counter.
//!
//! One trait, and one implementation for each way to reach a TEE. The agent does not know which
//! hardware it is on: the family is a name that goes into evidence, never a branch in the code.
//!
//! | implementation | reaches |
//! |---|---|
//! | [`Channel`] | the software TEE, over an inherited socket |
//! | [`Tsm`] | SEV-SNP, TDX and CCA through Linux' configfs-tsm |
//! | [`SevGuest`] | SEV-SNP through the ioctls of `/dev/sev-guest` |
//! | [`SevSecret`] | SEV and SEV-ES by the secret that the owner injected at launch |
//! | [`Gramine`] | SGX through the pseudo-files of Gramine's `/dev/attestation` |
//!
//! [`detect`] chooses among them.

mod channel;
mod detect;
mod economy;
mod fault;
mod gramine;
mod itrustee;
mod op_tee;
mod platform;
mod registers;
mod runtime;
mod sealing;
mod sev_guest;
mod sev_secret;
mod tdx_guest;
mod tsm;

pub use channel::Channel;
pub use detect::{Interface, NoTee, NotReached, detect, reach};
pub use economy::{Economy, Quoted};
pub use fault::{Fault, Problem};
pub use gramine::Gramine;
pub use itrustee::Itrustee;
pub use op_tee::OpTee;
pub use platform::Family;
pub use runtime::{NotMeasured, RuntimeRegister};
pub use sev_guest::SevGuest;
pub use sev_secret::SevSecret;
pub use tdx_guest::TdxGuest;
pub use tsm::Tsm;

use registers::Registers;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use device::frame::Broken;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use device::{Failure, FailureCode};

//= EV-IF-1 (M): one trait for every interface
/// What the agent needs of a TEE.
pub trait Attester: Send + Sync {
    /// What the TEE says it is.
    fn description(&self) -> &Description;

    /// Evidence of the hardware that covers these bytes.
    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable>;

    /// The key that only this program on this device gets, one for each label.
    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable>;

    /// The counter; `None` when this TEE has none.
    fn counter(&self) -> Result<Option<Counter>, Unavailable> {
        Ok(None)
    }

    /// Adds one to the counter; `None` when this TEE has none.
    fn count(&self) -> Result<Option<Counter>, Unavailable> {
        Ok(None)
    }

    /// Whether the hardware measured a virtual machine with these settings, where its family's
    /// evidence has no field for them.
    fn covers_settings(&self, _evidence: &[u8], _settings: &[u8]) -> bool {
        false
    }

    /// Why nothing can be attested, where that is known from the start.
    fn trouble(&self) -> Option<Unavailable> {
        None
    }

    /// Extends a measurement register.
    fn extend(&self, _index: u64, _digest: &[u8]) -> Result<(), Unavailable> {
        Err(Unavailable::lacks("this interface extends no measurement registers"))
    }

    /// Reads a measurement register.
    fn read(&self, _index: u64) -> Result<Vec<u8>, Unavailable> {
        Err(Unavailable::lacks("this interface reads no measurement registers"))
    }
}

/// A sealing key for where the hardware derives none: of this start alone.
pub(crate) fn key_of_this_start() -> SealingKey {
    SealingKey::new(sealing::chance())
}

/// A counter that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its value.
    pub value: u64,
    /// Who controls the device's disk can set it back.
    pub rollable: bool,
}

/// The TEE did not do what was asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The channel to the TEE does not work.
    #[error("the channel to the TEE is broken: start the device again")]
    Broken(#[from] Broken),
    /// The TEE said no.
    #[error("the TEE refused")]
    Refused(#[source] Failure),
    /// The TEE answered another question.
    #[error("the TEE gave an answer of another kind")]
    Unexpected,
    /// An interface of the operating system did not do it.
    #[error("the TEE's interface did not do it")]
    Interface(#[from] Fault),
    /// More quotes were asked for than may wait.
    #[error("{0} requests wait for a quote already: ask again later")]
    TooMany(usize),
}

impl Unavailable {
    /// The hardware or its interface does not have what was asked for.
    pub(crate) fn lacks(what: &str) -> Self {
        Self::Refused(Failure::new(FailureCode::Unsupported, what))
    }

    /// Whether the hardware or its interface does not have what was asked for, and never will.
    pub fn is_lack(&self) -> bool {
        matches!(self, Self::Refused(failure) if failure.code == FailureCode::Unsupported)
    }
}

/// An attribute takes its bytes in one write, and neither a new file nor a shorter one.
fn write_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    let written = file.write(bytes)?;
    if written != bytes.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}
