//! What can be wrong with received bytes.

/// Bytes that are not a message of this interface.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not the CBOR item that is expected here.
    #[error("not a CBOR {0}")]
    Cbor(&'static str),
    /// Bytes follow the message.
    #[error("bytes follow the message")]
    Trailing,
    /// The message is not in its deterministic encoding.
    #[error("not in deterministic encoding")]
    NotDeterministic,
    /// The array has another number of elements than this kind of message.
    #[error("{what} has {got} elements")]
    Arity {
        /// The thing that is decoded.
        what: &'static str,
        /// Its number of elements.
        got: u64,
    },
    /// A field is shorter or longer than allowed.
    #[error("{what} has a length of {got}")]
    Length {
        /// The field.
        what: &'static str,
        /// Its length.
        got: usize,
    },
    /// A code point that this interface does not define.
    #[error("{what} {value} is not defined")]
    Unknown {
        /// The registry.
        what: &'static str,
        /// The code point.
        value: u64,
    },
}
