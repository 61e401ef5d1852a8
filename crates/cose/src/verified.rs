//! The proof that a signature was checked, and why one was refused.

use crate::algorithm::Algorithm;
use crate::thumbprint::Thumbprint;

/// A value whose COSE signature was checked with a key that the caller chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    thumbprint: Thumbprint,
}

impl<T> Verified<T> {
    pub(crate) fn new(value: T, thumbprint: Thumbprint) -> Self {
        Self { value, thumbprint }
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The value, without the proof.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The thumbprint of the key that verified: who signed.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Derives a value from the verified one; the proof stays.
    pub fn map<U>(self, derive: impl FnOnce(T) -> U) -> Verified<U> {
        Verified { value: derive(self.value), thumbprint: self.thumbprint }
    }

    /// Derives a value from the verified one, which may fail; the proof stays.
    pub fn try_map<U, E>(self, derive: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified { value: derive(self.value)?, thumbprint: self.thumbprint })
    }
}

/// Why a well-formed COSE object is not believed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The algorithm is unknown or not in the caller's [`Accept`](crate::Accept).
    #[error("{algorithm} is not accepted here")]
    Algorithm {
        /// The algorithm of the protected header.
        algorithm: Algorithm,
    },
    /// The protected header names no algorithm; one outside it counts for nothing.
    #[error("the protected header names no algorithm")]
    AlgorithmNotProtected,
    /// The ciphertext, the wrapped key or the MAC was not made with this key over these bytes.
    #[error("authentication failed")]
    Authentication,
    /// The content key is of another length than the content algorithm needs.
    #[error("the content key does not fit the content algorithm")]
    ContentKey,
    /// `crit` names a header parameter that is not understood here.
    #[error("critical header parameter {0} is not understood")]
    CriticalHeader(i64),
    /// `crit` names a header parameter by text.
    #[error("critical header parameter `{0}` is not understood")]
    CriticalText(String),
    /// The initialization vector is missing or of the wrong length.
    #[error("the initialization vector is missing or of the wrong length")]
    Iv,
    /// The key does not fit the algorithm.
    #[error("the key does not fit the algorithm")]
    KeyMismatch,
    /// No recipient of the message has an algorithm that fits the kind of key given.
    #[error("no recipient fits the key")]
    NoRecipient,
    /// There is no signature with this number.
    #[error("there is no signature number {0}")]
    NoSignature(usize),
    /// The algorithm does not authenticate the ciphertext, and nothing else does.
    #[error("the ciphertext is not authenticated")]
    NotAuthenticated,
    /// The payload is attached where it must be detached.
    #[error("the payload is attached")]
    PayloadAttached,
    /// The payload is detached where it must be attached.
    #[error("the payload is detached")]
    PayloadDetached,
    /// The signature was not made with this key over these bytes.
    #[error("the signature does not verify")]
    Signature,
}
