//! The owner's end of a release.

use cose::{Entropy, Key, Payload, Sha256, Signer, cbor};

use super::header::Header;
use super::{Binding, CHUNK_BYTES_MAX, Digests, HEAD_BYTES_MAX, LABEL, LAST, Options, associated};
use crate::{Refused, codec, kem};

/// Seals a release, chunk by chunk, in constant memory.
pub struct Sealing {
    context: kem::Sender,
    number: u64,
    enc: [u8; 32],
    ciphertext: Sha256,
}

impl Sealing {
    /// Encapsulates to the receiver, signs, and gives the bytes that come first.
    ///
    /// # Errors
    /// See [`Sealing::begin_under`].
    pub fn begin(
        owner: &dyn Signer,
        receiver: &Key,
        binding: &Binding,
        deployment: &str,
        callers: &[Key],
        entropy: &mut dyn Entropy,
    ) -> Result<(Vec<u8>, Self), Refused> {
        let options = Options::default();
        Self::begin_under(owner, receiver, binding, deployment, callers, options, entropy)
    }

    /// Like [`Sealing::begin`], under conditions of the owner.
    ///
    /// # Errors
    /// [`Refused::Malformed`] when the receiver's key is of no suite or the deployment's name is
    /// too long, [`Refused::TooLarge`] for too many callers, [`Refused::Owner`] when the owner's
    /// key fails.
    pub fn begin_under(
        owner: &dyn Signer,
        receiver: &Key,
        binding: &Binding,
        deployment: &str,
        callers: &[Key],
        options: Options,
        entropy: &mut dyn Entropy,
    ) -> Result<(Vec<u8>, Self), Refused> {
        let header = Header {
            owner: owner.key().clone(),
            deployment: deployment.to_owned(),
            callers: callers.to_vec(),
            options,
        }
        .encode()?;
        let info = binding.info(deployment);
        let (enc, context) = kem::sender(receiver, &info, None, entropy)?;
        let signed = codec::labelled(LABEL, &[&info, &enc, &header]);
        let none = cose::Header::default;
        let signature = cose::sign1(owner, none(), none(), &[], Payload::Detached(&signed))
            .map_err(|_| Refused::Owner)?;
        let head = cbor::encode(|e| {
            e.array(3)?.bytes(&enc)?.bytes(&header)?.bytes(&signature)?;
            Ok(())
        });
        if head.len() > HEAD_BYTES_MAX {
            return Err(Refused::TooLarge(HEAD_BYTES_MAX));
        }
        let length = u32::try_from(head.len()).expect("checked above");
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&head);
        let digest = cose::sha256(&enc);
        Ok((bytes, Self { context, number: 0, enc: digest, ciphertext: Sha256::new() }))
    }

    /// Seals the next chunk, which is not the last, into a frame.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] for more than [`CHUNK_BYTES_MAX`].
    pub fn chunk(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        self.seal(plaintext, false)
    }

    /// Seals the last chunk, which may be empty.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] for more than [`CHUNK_BYTES_MAX`].
    pub fn last(mut self, plaintext: &[u8]) -> Result<(Vec<u8>, Digests), Refused> {
        let frame = self.seal(plaintext, true)?;
        Ok((frame, Digests { enc: self.enc, ciphertext: self.ciphertext.finish() }))
    }

    fn seal(&mut self, plaintext: &[u8], last: bool) -> Result<Vec<u8>, Refused> {
        if plaintext.len() > CHUNK_BYTES_MAX {
            return Err(Refused::TooLarge(CHUNK_BYTES_MAX));
        }
        let sealed = self.context.seal(plaintext, &associated(self.number, last));
        let sealed = sealed.map_err(|_| Refused::DoesNotOpen)?;
        self.number += 1;
        let mark = if last { LAST } else { 0 };
        let length = u32::try_from(sealed.len()).expect("a chunk and its tag are short") | mark;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(&sealed);
        self.ciphertext.update(&frame);
        Ok(frame)
    }
}

/// Seals all at once.
///
/// # Errors
/// See [`Sealing::begin`].
pub fn seal(
    owner: &dyn Signer,
    receiver: &Key,
    binding: &Binding,
    deployment: &str,
    callers: &[Key],
    plaintext: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Digests), Refused> {
    let (mut bytes, mut sealing) =
        Sealing::begin(owner, receiver, binding, deployment, callers, entropy)?;
    let mut rest = plaintext;
    while let Some((chunk, behind)) = rest.split_at_checked(CHUNK_BYTES_MAX)
        && !behind.is_empty()
    {
        bytes.extend(sealing.chunk(chunk)?);
        rest = behind;
    }
    let (frame, digests) = sealing.last(rest)?;
    bytes.extend(frame);
    Ok((bytes, digests))
}
