//! Why bytes are not a TEEP message.

/// The bytes are not what the document says.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not one well-formed CBOR item, or one beyond the limits.
    #[error("not acceptable CBOR")]
    Cbor(#[from] cose::Malformed),
    /// Another type or shape is asked for.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A message type that the numbering does not have.
    #[error("message type {0} is unknown")]
    UnknownType(u64),
    /// A required member is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value is too short or too long.
    #[error("{what} has {got} bytes")]
    Length {
        /// The member.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
    },
    /// A list is empty where the document asks for one element at least.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// More entries than this side accepts.
    #[error("{0} has too many entries")]
    TooMany(&'static str),
    /// err-code 0 is reserved.
    #[error("err-code is 0")]
    ErrCodeZero,
    /// An option stands where another member of the message forbids it.
    #[error("{0} must be absent here")]
    MustBeAbsent(&'static str),
    /// A stored value was written by something else.
    #[error("stored value is of an unknown version")]
    StoredVersion,
}

impl From<minicbor::decode::Error> for Malformed {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Cbor(cose::Malformed::from(error))
    }
}
