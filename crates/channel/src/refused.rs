//! Why a container was not opened.

/// Why a container was not opened. One error stands for every cryptographic cause, so that nobody
/// learns from it which key or which byte was wrong.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are not a container.
    #[error("the bytes are not {0}")]
    Malformed(&'static str),
    /// It is signed by somebody else than the owner of the manifest.
    #[error("the release is not signed by the owner of the Trusted Application")]
    Owner,
    /// Key, binding or ciphertext do not fit.
    #[error("the container does not open here")]
    DoesNotOpen,
    /// The owner asks for something that the receiver cannot keep.
    #[error("the receiver cannot keep the conditions of the release")]
    Conditions,
    /// The receiver key of this exchange has opened a release already.
    #[error("the receiver key of this exchange was used already")]
    Spent,
    /// The ciphertext ends before its last chunk.
    #[error("the ciphertext is cut")]
    Cut,
    /// Something follows the last chunk.
    #[error("something follows the last chunk")]
    Behind,
    /// The content is larger than the receiver takes.
    #[error("the content is larger than {0} bytes")]
    TooLarge(usize),
    /// The caller is not one whom the owner named.
    #[error("the owner did not name this caller")]
    Caller,
    /// The request was served already, or is older than one that was.
    #[error("the request is a replay")]
    Replay,
}
