//! Why the Broker could not do something, sorted by whose fault it is.

use device::broker::Cause;

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
}

/// What went wrong between the Broker and a TAM (teep-otrp-over-http section 5.6).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TamFailed {
    /// Nothing answered.
    #[error("no answer: {0}; check that the Network M/OC runs and that the address is right")]
    Unreachable(String),
    /// Plain HTTP is for loopback only.
    #[error("plain HTTP to a host that is not loopback; use https")]
    PlainHttp,
    /// The answer's status is not 2xx. Redirects are never followed (section 4).
    #[error("HTTP status {0}")]
    Status(u16),
    /// A body of another media type.
    #[error("an answer of media type `{0}`, expected application/teep+cbor")]
    MediaType(String),
    /// A body beyond the limit.
    #[error("an answer of more than {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
}

impl TamFailed {
    /// What the Agent is told in `ProcessError`.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Unreachable(_) => Cause::Unreachable,
            Self::PlainHttp | Self::Status(_) => Cause::Refused,
            Self::MediaType(_) | Self::TooLarge { .. } => Cause::Unusable,
        }
    }
}

/// What went wrong between the Broker and the TEEP Agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentFailed {
    /// The socket does not answer.
    #[error("the Agent's socket failed: {0}; check that the TEE runs")]
    Unreachable(#[from] std::io::Error),
    /// The bytes on the socket are not what the contract says.
    #[error("the Agent's reply is malformed: {0}")]
    Malformed(#[from] device::Malformed),
    /// The Agent refused the call.
    #[error("the Agent refused: {0}")]
    Refused(device::Failure),
    /// A reply of a kind that does not answer the call.
    #[error("the Agent's reply does not answer {0}")]
    WrongReply(&'static str),
}

/// Why an Untrusted Application was not placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UaFailed {
    /// The envelope is not one that this processor takes.
    #[error("the UA's manifest was refused: {0}")]
    Manifest(String),
    /// A command of the manifest failed.
    #[error("{check}: expected {expected}, seen {seen}")]
    Check {
        /// Which command.
        check: String,
        /// What the manifest says.
        expected: String,
        /// What was found.
        seen: String,
    },
    /// The payload could not be fetched.
    #[error("fetching {uri}: {source}")]
    Fetch {
        /// From where.
        uri: String,
        /// What happened.
        source: TamFailed,
    },
    /// The machine refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the machine said.
        source: std::io::Error,
    },
}
