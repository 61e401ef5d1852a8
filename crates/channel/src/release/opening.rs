//! The receiver's end of a release.

use std::mem;

use cose::{Accept, Entropy, Key, Secret, Sha256, Sign1, Tagging, Thumbprint};
use zeroize::Zeroizing;

use super::header::Header;
use super::{
    Binding, CHUNK_BYTES_MAX, Digests, HEAD_BYTES_MAX, LABEL, LAST, Options, Stream, TAG_BYTES,
    associated,
};
use crate::{PrivateKey, Refused, Suites, codec, kem};

/// The receiver of one exchange, with a key for each suite: all are destroyed by the first valid
/// opening of any. A failed opening does not consume them, or anybody could waste them.
#[derive(Debug)]
pub struct Receiver {
    keys: Option<Vec<PrivateKey>>,
    public: Vec<Key>,
}

/// What a valid opening gives.
#[derive(Debug)]
pub struct Opened {
    /// The Personalization Data.
    pub plaintext: Secret,
    /// The deployment that the owner named.
    pub deployment: String,
    /// Who may call the Trusted Application.
    pub callers: Vec<Key>,
    /// The owner's conditions.
    pub options: Options,
    /// For the receipt.
    pub digests: Digests,
}

/// A release that came to its last chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The deployment that the owner named.
    pub deployment: String,
    /// Who may call the Trusted Application.
    pub callers: Vec<Key>,
    /// The owner's conditions.
    pub options: Options,
    /// For the receipt.
    pub digests: Digests,
}

impl Receiver {
    /// Makes a key for each suite.
    #[must_use]
    pub fn generate(suites: &Suites, entropy: &mut dyn Entropy) -> Self {
        let keys: Vec<PrivateKey> =
            suites.iter().map(|suite| PrivateKey::of_suite(suite, entropy)).collect();
        let public = keys.iter().map(|key| key.public().clone()).collect();
        Self { keys: Some(keys), public }
    }

    /// The public keys, which the Evidence of this exchange names: one for each suite.
    #[must_use]
    pub fn public(&self) -> &[Key] {
        &self.public
    }

    /// What names this receiver: the thumbprint of its first key.
    #[must_use]
    pub fn id(&self) -> Thumbprint {
        self.public.first().expect("there is a suite").thumbprint()
    }

    /// Opens a release without conditions that is wholly there, of at most `limit` bytes of
    /// plaintext.
    ///
    /// # Errors
    /// [`Refused::Conditions`] for a release with a condition; else see [`Refused`]. The key is
    /// consumed by success alone.
    pub fn open(
        &mut self,
        bytes: &[u8],
        binding: &Binding,
        limit: usize,
    ) -> Result<Opened, Refused> {
        self.open_if(bytes, binding, limit, |options| *options == Options::default())
    }

    /// Like [`Receiver::open`], for a receiver that keeps the conditions that `keeps` says it does.
    ///
    /// # Errors
    /// See [`Receiver::open`].
    pub fn open_if(
        &mut self,
        bytes: &[u8],
        binding: &Binding,
        limit: usize,
        keeps: impl FnOnce(&Options) -> bool,
    ) -> Result<Opened, Refused> {
        let (mut opening, mut rest) = Opening::begin(self, bytes, binding)?;
        if !keeps(opening.options()) {
            return Err(Refused::Conditions);
        }
        // Never grown, so that no unwiped copy stays behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(rest.len().min(limit)));
        while !rest.is_empty() {
            let (chunk, behind) = opening.frame(rest)?;
            if plaintext.len() + chunk.expose().len() > limit {
                return Err(Refused::TooLarge(limit));
            }
            plaintext.extend_from_slice(chunk.expose());
            rest = behind;
        }
        let Release { deployment, callers, options, digests } = opening.finish()?;
        self.keys = None;
        let plaintext = Secret::new(mem::take(&mut *plaintext));
        Ok(Opened { plaintext, deployment, callers, options, digests })
    }

    /// Begins to open a release that arrives in pieces.
    #[must_use]
    pub fn stream(&self, binding: &Binding) -> Stream {
        Stream::new(binding, self.id())
    }

    /// The key that a container was sealed to, by the length of its `enc`.
    fn key(&self, enc: &[u8]) -> Result<&PrivateKey, Refused> {
        let keys = self.keys.as_ref().ok_or(Refused::Spent)?;
        let fits = |key: &&PrivateKey| key.suite().enc_len() == enc.len();
        keys.iter().find(fits).ok_or(Refused::DoesNotOpen)
    }

    /// Destroys the keys, once.
    pub(super) fn spend(&mut self) -> Result<(), Refused> {
        self.keys.take().map(drop).ok_or(Refused::Spent)
    }
}

/// Opens a release, frame by frame. What it gives counts only after [`Opening::finish`].
pub struct Opening {
    context: kem::Receiver,
    number: u64,
    ended: bool,
    header: Header,
    enc: [u8; 32],
    ciphertext: Sha256,
}

impl Opening {
    /// Reads the head, checks the owner's signature, and decapsulates. The bytes behind the head
    /// come back.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn begin<'b>(
        receiver: &Receiver,
        bytes: &'b [u8],
        binding: &Binding,
    ) -> Result<(Self, &'b [u8]), Refused> {
        if receiver.keys.is_none() {
            return Err(Refused::Spent);
        }
        let (head, rest) = prefixed(bytes, HEAD_BYTES_MAX)?;
        let head_what = "the head of a release";
        let (enc, header_bytes, signature) =
            codec::array(head, head_what, 3, |d| Ok((d.bytes()?, d.bytes()?, d.bytes()?)))?;
        let header = Header::decode(header_bytes)?;
        if header.owner.thumbprint() != binding.owner {
            return Err(Refused::Owner);
        }
        let info = binding.info(&header.deployment);
        let signed = codec::labelled(LABEL, &[&info, enc, header_bytes]);
        let object = Sign1::decode(signature, Tagging::Tagged).map_err(|_| Refused::Owner)?;
        // Not authenticated by the signature, so there is exactly one form of it.
        if object.kid() != Some(&binding.owner.0) {
            return Err(Refused::Owner);
        }
        let verified = object.verify_detached(&header.owner, &Accept::CURRENT, &[], &signed);
        verified.map_err(|_| Refused::Owner)?;
        let context = kem::receiver(receiver.key(enc)?, enc, &info, None)?;
        let enc = cose::sha256(enc);
        let ciphertext = Sha256::new();
        Ok((Self { context, number: 0, ended: false, header, enc, ciphertext }, rest))
    }

    /// The owner's conditions.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.header.options
    }

    /// Whether the last frame was opened.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Opens the first frame of `bytes`; what lies behind it comes back.
    ///
    /// # Errors
    /// See [`Refused`]; [`Refused::Cut`] when the frame is not wholly there.
    pub fn frame<'b>(&mut self, bytes: &'b [u8]) -> Result<(Secret, &'b [u8]), Refused> {
        if self.ended {
            return Err(Refused::Behind);
        }
        let head = bytes.first_chunk().ok_or(Refused::Cut)?;
        let mark = u32::from_be_bytes(*head);
        let (length, last) = ((mark & !LAST) as usize, mark & LAST != 0);
        if length > CHUNK_BYTES_MAX + TAG_BYTES {
            return Err(Refused::TooLarge(CHUNK_BYTES_MAX));
        }
        let (frame, rest) = bytes.split_at_checked(4 + length).ok_or(Refused::Cut)?;
        let opened = self.context.open(&frame[4..], &associated(self.number, last));
        let opened = opened.map_err(|_| Refused::DoesNotOpen)?;
        self.ciphertext.update(frame);
        self.number += 1;
        self.ended = last;
        Ok((Secret::new(opened), rest))
    }

    /// Ends the opening; only a release that came to its last chunk is one.
    ///
    /// # Errors
    /// [`Refused::Cut`].
    pub fn finish(self) -> Result<Release, Refused> {
        if !self.ended {
            return Err(Refused::Cut);
        }
        let digests = Digests { enc: self.enc, ciphertext: self.ciphertext.finish() };
        let Header { deployment, callers, options, .. } = self.header;
        Ok(Release { deployment, callers, options, digests })
    }
}

fn prefixed(bytes: &[u8], limit: usize) -> Result<(&[u8], &[u8]), Refused> {
    let (head, rest) = bytes.split_first_chunk().ok_or(Refused::Cut)?;
    let length = u32::from_be_bytes(*head) as usize;
    if length > limit {
        return Err(Refused::TooLarge(limit));
    }
    rest.split_at_checked(length).ok_or(Refused::Cut)
}
