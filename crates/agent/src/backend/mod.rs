//! Where Trusted Applications run: one module for each instance type.
//!
//! The agent holds an [`Instance`] and knows nothing of how it is isolated; the claim that goes
//! into evidence comes from the instance itself, which reports what was really enforced.

pub mod container;
pub mod process;

use channel::Suites;
use channel::receipt::Receipt;
use cose::{Key, Secret, Thumbprint};
use device::broker::Piece;
use rats::eat::{Instance as InstanceClaim, InstanceType};

pub use process::wire::{FaultCode, Refusal};

use crate::attester::NotMeasured;

/// Starts instances of one type.
pub trait Backend: Send + Sync {
    /// Starts a Trusted Application; it comes up without any Personalization Data.
    fn start(&self, program: Program<'_>) -> Result<Box<dyn Instance>, Failed>;
}

/// What is started.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// SHA-256 of the manifest.
    pub manifest_digest: [u8; 32],
    /// The content of its component.
    pub module: &'a [u8],
}

/// A running Trusted Application. Dropping it ends it and wipes what it knew.
pub trait Instance: Send {
    /// How it runs, for evidence.
    fn claim(&self) -> InstanceClaim;

    /// The key that callers seal their requests to.
    fn service_key(&self) -> &Key;

    /// Makes a receiver for one exchange, with a key for each suite.
    fn new_receiver(&mut self, suites: &Suites) -> Result<Vec<Key>, Failed>;

    /// Tells which evidence names the receiver, by its first key.
    fn bind(&mut self, receiver: Thumbprint, eat_digest: [u8; 32]) -> Result<(), Failed>;

    /// Takes a piece of a release of this owner.
    fn take(&mut self, owner: Thumbprint, piece: Piece, holds: Holds) -> Result<Progress, Failed>;

    /// Takes data that the agent opened (cases 1 and 4), under the name of its release: more of it
    /// while `callers` is absent, then the last of it, and whom its owner lets call.
    fn personalize(
        &mut self,
        owner: Thumbprint,
        stream: [u8; 32],
        data: Secret,
        callers: Option<Vec<Key>>,
    ) -> Result<(), Failed>;

    /// Passes on a sealed request; the answer is sealed too.
    fn call(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Failed>;

    /// Whether it still runs.
    fn alive(&mut self) -> bool;
}

/// What a release holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Personalization Data.
    Data,
    /// A UA and Personalization Data (case 5).
    Bundle,
}

/// How far a release in pieces has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The bytes before this offset are there.
    Until(u64),
    /// It was opened; this is what to confirm to the owner.
    Opened(Receipt),
    /// The same, with the envelope of the UA that was in it.
    OpenedBundle(Receipt, Vec<u8>),
}

/// Why an instance did not do what was asked.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It said no, and goes on.
    #[error("the Trusted Application's instance refused")]
    Refused(#[source] Refusal),
    /// It ended.
    #[error("the Trusted Application's instance ended")]
    Crashed(#[from] Crash),
    /// The image is refused.
    #[error("the image is refused")]
    Image(#[from] image::Refused),
    /// The OCI runtime of the settings failed.
    #[error(transparent)]
    Runtime(#[from] container::RuntimeFailed),
    /// What would have run could not be measured into the runtime register before.
    #[error("the container is not measured, so it does not start")]
    NotMeasured(#[from] NotMeasured),
    /// It would not fit beside those that run.
    #[error("the application needs {needed} bytes of memory, and {free} are free")]
    NoRoom {
        /// Bytes that it may use, with its content.
        needed: u64,
        /// Bytes that nobody has yet.
        free: u64,
    },
    /// It does not fit into one frame to its custodian.
    #[error("{length} bytes are too many for this kind of application, which takes {max}")]
    TooLong {
        /// Its length in bytes.
        length: u64,
        /// How long it may be.
        max: u64,
    },
    /// The device has no such instances.
    #[error("this device has no {0} instances")]
    NoBackend(InstanceType),
}

/// Why an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crash {
    /// It could not be started.
    #[error("it could not be started")]
    NotStarted,
    /// It reported a fault of the application.
    #[error(transparent)]
    Fault(FaultCode),
    /// It did not answer in time and was ended.
    #[error("it did not answer in time")]
    Silent,
    /// It ended by itself, or wrote what is not a reply.
    #[error("it is gone")]
    Gone,
    /// It answered another question.
    #[error("it gave an answer of another kind")]
    Unexpected,
}

/// What a frame to a custodian carries beside the few bytes around it.
pub const FRAME_CONTENT_BYTES_MAX: u64 = 15 * 1024 * 1024;
