//! Faults of our own caller.

use crate::cipher_suite::Suite;

/// The shell called something that it must not call now, or with something unusable.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// There is no key for a suite, or one of another algorithm.
    #[error("no signing key for {0:?}")]
    NoSigner(Suite),
    /// The signing key failed.
    #[error("signing key is unusable")]
    KeyUnusable(#[from] cose::KeyUnusable),
    /// The call answers nothing that the machine asked for.
    #[error("{0} was not asked for")]
    NotAskedFor(&'static str),
    /// No session has this handle.
    #[error("there is no session with this handle")]
    UnknownHandle,
    /// The outcome covers another number of manifests than were handed out.
    #[error("outcomes of {got} manifests given for {expected}")]
    Outcomes {
        /// How many were handed out.
        expected: usize,
        /// How many outcomes came back.
        got: usize,
    },
    /// Personalization Data for a device whose attestation failed.
    #[error("personalization data cannot repair a device")]
    RepairWithPersonalizationData,
    /// The list is beyond the limits.
    #[error("{0} has too many entries")]
    TooMany(&'static str),
    /// The nonce of a SUIT report is not the token.
    #[error("nonce of a SUIT report is not the token")]
    ReportNonce,
    /// A configuration that cannot work.
    #[error("configuration: {0}")]
    Config(&'static str),
}
