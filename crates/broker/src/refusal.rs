//! Why the Broker could not do something, sorted by whose fault it is.

use std::time::Duration;

use device::{broker::Cause, frame};

use crate::machine::Machine;

/// Why a TEEP session ended without success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionFailed {
    /// The TAM could not be talked to, or broke the HTTP binding.
    #[error("the TAM at {uri} failed")]
    Tam {
        /// The TAM URI without its ticket.
        uri: String,
        /// What happened.
        #[source]
        source: TamFailed,
    },
    /// The TEEP Agent could not be talked to, or refused.
    #[error("the TEEP Agent failed")]
    Agent(#[from] AgentFailed),
    /// A session was asked for before the Broker was set up.
    #[error("the Broker is still starting")]
    Starting,
    /// The session was cut off because the Broker ends.
    #[error("the Broker is stopping")]
    Stopping,
}

/// What went wrong between the Broker and an HTTP server: a TAM (teep-otrp-over-http section 5.6)
/// or the Network M/OC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TamFailed {
    /// Nothing answered, or its TLS identity is not the one that was asked for.
    #[error("no answer: {0}; check that the Network M/OC runs and that the address is right")]
    Unreachable(String),
    /// The answer did not come in time.
    #[error("no answer in time")]
    TimedOut,
    /// The address is no HTTP address.
    #[error("`{0}` is not an HTTP address")]
    Address(String),
    /// Plain HTTP is for loopback only.
    #[error("plain HTTP to a host that is not loopback; use https")]
    PlainHttp,
    /// Payloads come over plain HTTP from the M/OC alone.
    #[error("plain HTTP to a server that is not the Network M/OC; use https")]
    Elsewhere,
    /// The answer's status is not 2xx. Redirects are never followed (section 4).
    #[error("HTTP status {0}")]
    Status(u16),
    /// A body of another media type.
    #[error("an answer of media type {0:?}, expected application/teep+cbor")]
    MediaType(String),
    /// A body that is not what the interface says.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// A body beyond the limit.
    #[error("an answer of more than {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
}

impl TamFailed {
    /// What the Agent is told in `ProcessError`.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Unreachable(_) | Self::Address(_) | Self::Setup(_) => Cause::Unreachable,
            Self::TimedOut => Cause::TimedOut,
            Self::PlainHttp | Self::Elsewhere | Self::Status(_) => Cause::Refused,
            Self::MediaType(_) | Self::Malformed(_) | Self::TooLarge { .. } => Cause::Unusable,
        }
    }
}

/// What went wrong between the Broker and the TEEP Agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentFailed {
    /// Nothing listens at the socket.
    #[error("the Agent's socket does not answer; check that the TEE runs")]
    Unreachable(#[source] std::io::Error),
    /// Nothing listens, and the Agent is that of a confidential VM.
    #[error("the Agent does not answer: its confidential VM {0}")]
    Machine(Machine),
    /// The connection broke, or what came over it is not what the contract says.
    #[error("the connection to the Agent failed")]
    Connection(#[from] frame::Broken),
    /// No reply in time.
    #[error("the Agent did not reply within {0:?}")]
    Silent(Duration),
    /// The Agent refused the call.
    #[error("the Agent refused")]
    Refused(#[source] device::Failure),
    /// A reply of a kind, or of a session, that does not answer the call.
    #[error("the Agent's reply does not answer {0}")]
    WrongReply(&'static str),
}

impl AgentFailed {
    /// Whether the Agent was not there, and may be there again soon.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Machine(_) => true,
            Self::Connection(broken) => {
                matches!(broken, frame::Broken::Ended | frame::Broken::Io(_))
            }
            Self::Silent(_) | Self::Refused(_) | Self::WrongReply(_) => false,
        }
    }
}

/// Why an Untrusted Application was not placed, removed or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UaFailed {
    /// The envelope cannot be read, or this processor does not do what it asks.
    #[error("the UA's manifest was refused")]
    Manifest(#[source] suit::Error),
    /// A check did not hold.
    #[error("{check}: expected {expected}, seen {seen}")]
    Check {
        /// Which check: a command of the manifest, or a rule of this processor.
        check: String,
        /// What the manifest or the rule says.
        expected: String,
        /// What was found.
        seen: String,
    },
    /// The payload could not be fetched.
    #[error("fetching {uri} failed")]
    Fetch {
        /// From where.
        uri: String,
        /// What happened.
        source: TamFailed,
    },
    /// The machine refused.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the machine said.
        source: std::io::Error,
    },
}

impl UaFailed {
    pub(crate) fn check(
        check: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self::Check { check: check.into(), expected: expected.into(), seen: seen.into() }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += ": ";
        text += &inner.to_string();
        cause = inner.source();
    }
    text
}
