//! Payloads on their way into the store: bounded, decrypted and measured in one pass.
//!
//! The shell gives what arrives to an [`Intake`] and writes what comes out of it into a slot that
//! nobody reads yet. Memory does not grow with the payload. The measurement answers a later
//! [`Request::Digest`](crate::Request::Digest), so that a payload is read once.

use cose::encrypt::{Decryption, Opener};
use cose::{Sha256, Sha384, Sha512};

use crate::digest::{Digest, DigestAlgorithm};
use crate::encryption::Info;
use crate::process::Obstacle;

/// One payload that is arriving.
#[derive(Debug)]
pub struct Intake {
    decryption: Option<Box<Decryption>>,
    hash: Hash,
    /// Bytes that may still arrive.
    left: u64,
    size: u64,
}

/// What a payload turned out to be, after decryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The digest of the content.
    pub digest: Digest,
    /// The bytes of the content.
    pub size: u64,
}

/// Takes a piece of content.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Obstacle>;

impl Intake {
    /// Takes a payload that is not encrypted, of at most `limit` bytes.
    pub fn plain(algorithm: DigestAlgorithm, limit: u64) -> Result<Self, Obstacle> {
        Ok(Self { decryption: None, hash: Hash::new(algorithm)?, left: limit, size: 0 })
    }

    //= suit 13.81 (M): GCM and ChaCha tag failure: nothing of the plaintext becomes visible or
    //= readable (what was streamed is encrypted under an install key that is destroyed). E 6
    /// Takes a ciphertext of at most `limit` bytes, to be decrypted with this key.
    ///
    /// What the sink gets is not authentic before [`Intake::finish`] returns: it has to be a
    /// place that can be forgotten, such as a [slot](crate::slot).
    pub fn encrypted(
        info: &Info<'_>,
        opener: &Opener<'_>,
        algorithm: DigestAlgorithm,
        limit: u64,
    ) -> Result<Self, Obstacle> {
        let decryption = info.decryption(opener).map_err(|_| Obstacle::Decryption)?;
        let decryption = Some(Box::new(decryption));
        Ok(Self { decryption, ..Self::plain(algorithm, limit)? })
    }

    /// Takes the bytes that have arrived.
    pub fn take(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), Obstacle> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(Obstacle::TooLarge)?;
        let Some(decryption) = &mut self.decryption else {
            return note(&mut self.hash, &mut self.size, bytes, sink);
        };
        while !bytes.is_empty() {
            let text = decryption.take(&mut bytes).map_err(|_| Obstacle::Decryption)?;
            note(&mut self.hash, &mut self.size, text, sink)?;
        }
        Ok(())
    }

    /// The payload is complete: tells what it is, if its cipher finds nothing changed.
    pub fn finish(self, sink: Sink<'_>) -> Result<Measured, Obstacle> {
        let Self { decryption, mut hash, mut size, .. } = self;
        if let Some(decryption) = decryption {
            let end = decryption.finish().map_err(|_| Obstacle::Decryption)?;
            note(&mut hash, &mut size, end.expose(), sink)?;
        }
        Ok(Measured { digest: hash.finish(), size })
    }
}

fn note(hash: &mut Hash, size: &mut u64, text: &[u8], sink: Sink<'_>) -> Result<(), Obstacle> {
    if text.is_empty() {
        return Ok(());
    }
    hash.update(text);
    *size += text.len() as u64;
    sink(text)
}

#[derive(Debug)]
enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hash {
    fn new(algorithm: DigestAlgorithm) -> Result<Self, Obstacle> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Self::Sha256(Sha256::new())),
            DigestAlgorithm::Sha384 => Ok(Self::Sha384(Sha384::new())),
            DigestAlgorithm::Sha512 => Ok(Self::Sha512(Sha512::new())),
            DigestAlgorithm::Shake128 | DigestAlgorithm::Shake256 => Err(Obstacle::Unsupported),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        let digest = match self {
            Self::Sha256(hash) => return Digest::sha256(hash.finish()),
            Self::Sha384(hash) => Digest::new(DigestAlgorithm::Sha384, &hash.finish()),
            Self::Sha512(hash) => Digest::new(DigestAlgorithm::Sha512, &hash.finish()),
        };
        digest.expect("a hash is as long as its algorithm says")
    }
}
