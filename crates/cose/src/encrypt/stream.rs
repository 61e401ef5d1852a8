//! Layer 0, piece by piece: a ciphertext of any length in constant memory.

use std::fmt;

use super::content::{ContentAlgorithm, enc_structure};
use crate::crypto::{BLOCK, Stream};
use crate::handle::Secret;
use crate::structure::Buckets;
use crate::verified::Untrusted;

/// Decrypts a detached ciphertext as it arrives.
///
/// [`take`](Self::take) takes what has arrived and gives back what it decrypts to. With an
/// authenticated cipher, **nothing of it is authentic before [`finish`](Self::finish) says so**:
/// until then it belongs into a place that can be forgotten as a whole.
pub struct Decryption {
    cipher: Stream,
    buffer: Secret,
    /// Bytes at the front that were given back already.
    given: usize,
    /// Bytes that have arrived, those given back included.
    filled: usize,
}

impl Decryption {
    pub(super) fn new(
        algorithm: ContentAlgorithm,
        key: &Secret,
        context: &str,
        buckets: &Buckets<'_>,
        external_aad: &[u8],
    ) -> Result<Self, Untrusted> {
        if key.expose().len() != algorithm.key_len() {
            return Err(Untrusted::ContentKey);
        }
        let iv = buckets.protected.iv.as_deref().or(buckets.unprotected.iv.as_deref());
        let iv = iv.ok_or(Untrusted::Iv)?;
        let cipher = match algorithm.aead() {
            Some(_) if iv.len() != algorithm.iv_len() => return Err(Untrusted::Iv),
            Some(aead) => {
                let aad = enc_structure(context, buckets.protected_bytes, external_aad);
                Stream::aead(aead, key.expose(), iv, &aad)
            }
            None if !external_aad.is_empty() => return Err(Untrusted::NotAuthenticated),
            None => Stream::ctr(key.expose(), iv.try_into().map_err(|_| Untrusted::Iv)?),
        };
        let cipher = cipher.map_err(|_| Untrusted::ContentKey)?;
        Ok(Self { cipher, buffer: Secret::new(vec![0; BUFFER]), given: 0, filled: 0 })
    }

    /// Takes bytes of the ciphertext off the front of `arrived`, one at least if there is one, and
    /// gives what can be decrypted of all that came.
    pub fn take(&mut self, arrived: &mut &[u8]) -> Result<&[u8], Untrusted> {
        let buffer = self.buffer.expose_mut();
        buffer.copy_within(self.given..self.filled, 0);
        let kept = self.filled - self.given;
        let text = (kept + arrived.len()).saturating_sub(self.cipher.tag_len());
        let ready = (text / BLOCK * BLOCK).min(PIECE);
        // What was kept back is filled up to whole blocks where it is.
        let front = kept.next_multiple_of(BLOCK).min(ready);
        let filling = if ready == 0 { arrived.len() } else { front.saturating_sub(kept) };
        let (filling, rest) = arrived.split_at(filling);
        buffer[kept..kept + filling.len()].copy_from_slice(filling);
        let (body, rest) = rest.split_at(ready - front);
        *arrived = rest;
        (self.given, self.filled) = (ready, ready.max(kept + filling.len()));
        let text = &mut buffer[..ready];
        self.cipher.decrypt_after(front, body, text).map_err(|_| Untrusted::Authentication)?;
        Ok(text)
    }

    /// The ciphertext is complete; gives the end of the text, less than a piece, if the cipher
    /// says that all of it is authentic. AES-CTR never says otherwise.
    pub fn finish(mut self) -> Result<Secret, Untrusted> {
        let rest = &mut self.buffer.expose_mut()[self.given..self.filled];
        let text = rest.len().checked_sub(self.cipher.tag_len());
        let (text, tag) = rest.split_at_mut(text.ok_or(Untrusted::Authentication)?);
        self.cipher.decrypt(text).map_err(|_| Untrusted::Authentication)?;
        let end = Secret::new(text.to_vec());
        self.cipher.finish(tag).map_err(|_| Untrusted::Authentication)?;
        Ok(end)
    }
}

impl fmt::Debug for Decryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decryption(…)")
    }
}

/// What is given back at once.
const PIECE: usize = 64 << 10;

/// A piece; or what may be kept back: less than a block and a tag.
const BUFFER: usize = PIECE + 2 * BLOCK;
