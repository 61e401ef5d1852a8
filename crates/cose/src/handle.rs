//! What the caller brings: handles to private keys, and randomness.

use std::fmt;

use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::key::Key;

/// A private key that signs, wherever it lives.
pub trait Signer: Send + Sync {
    /// The algorithm of every signature made; never a legacy one.
    fn algorithm(&self) -> Algorithm;

    /// The public key that verifies the signatures.
    fn key(&self) -> &Key;

    /// Signs a message, in the encoding COSE uses: raw r ‖ s for ECDSA, 64 bytes for Ed25519.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable>;
}

/// A private key that agrees on secrets with other keys of its curve.
pub trait Agreement: Send + Sync {
    /// The public key.
    fn key(&self) -> &Key;

    /// The raw shared secret: the x coordinate for P-256 and P-384, the output of X25519.
    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable>;
}

/// A source of uniformly random bytes.
pub trait Entropy {
    /// Fills the buffer.
    fn fill(&mut self, out: &mut [u8]);
}

/// The key cannot do what was asked: wrong algorithm, wrong curve, or a failing device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used for this")]
pub struct KeyUnusable;

/// Secret bytes: wiped on drop, not printed, compared in constant time.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Draws a new secret.
    pub fn draw(entropy: &mut dyn Entropy, len: usize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; len]);
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The buffer itself, to be shortened; growing it would leave a copy behind.
    pub(crate) fn expose_vec(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        crate::crypto::equal(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
