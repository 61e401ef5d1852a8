//! The TEE below the agent: evidence, keys that never leave the device, a counter.
//!
//! One trait, and one implementation for each way to reach a TEE. The agent does not know which
//! hardware it is on: the family is a name that goes into evidence, never a branch in the code.

mod channel;

pub use channel::Channel;

use device::Failure;
use device::frame::Broken;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

/// What the agent needs of a TEE.
pub trait Attester: Send + Sync {
    /// What the TEE says it is.
    fn description(&self) -> &Description;

    /// Evidence of the hardware that covers these bytes.
    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable>;

    /// The key that only this program on this device gets, one for each label.
    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable>;

    /// The counter; `None` when this TEE has none.
    fn counter(&self) -> Result<Option<Counter>, Unavailable>;

    /// Adds one to the counter; `None` when this TEE has none.
    fn count(&self) -> Result<Option<Counter>, Unavailable>;
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
    #[error("the channel to the TEE is broken")]
    Broken(#[from] Broken),
    /// The TEE said no.
    #[error("the TEE refused")]
    Refused(#[source] Failure),
    /// The TEE answered another question.
    #[error("the TEE gave an answer of another kind")]
    Unexpected,
}
