//! The release of Personalization Data to an attested receiver key.
//!
//! ```cddl
//! release = head-length ‖ head ‖ +frame            ; head-length: 4 bytes, big-endian
//! head = [ enc: bstr .size 65, header: bstr .cbor release-header,
//!          signature: bstr .cbor COSE_Sign1 ]      ; by the owner, payload detached
//! release-header = [ "tamarack-release-v1", owner: bstr .cbor COSE_Key, deployment: tstr,
//!                    callers: [* bstr .cbor COSE_Key] ]
//! signed = [ "tamarack-release-v1", info: bstr, enc: bstr, header: bstr ]
//! info = [ "tamarack-release-v1", owner: thumbprint, manifest-digest: bstr .size 32,
//!          deployment: tstr, eat-digest: bstr .size 32, role: "agent" / "ta" ]
//! thumbprint = bstr .size 32
//! frame = frame-head ‖ ciphertext                  ; frame-head: 4 bytes, big-endian, the length
//!                                                  ; of the ciphertext, top bit: the last frame
//! ```
//!
//! Each frame is one HPKE message of at most 64 KiB; its associated data is `[number, last]`.

use cose::{
    Accept, Entropy, Key, Payload, Secret, Sha256, Sign1, Signer, Tagging, Thumbprint, cbor,
};

use crate::{PrivateKey, Refused, codec, kem};

/// The plaintext of a frame, at most, bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Callers that a release can name, at most.
pub const CALLERS_MAX: u64 = 256;

/// What a release is bound to. The receiver knows all of it but the deployment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The owner of the Trusted Application: who signed its manifest.
    pub owner: Thumbprint,
    /// SHA-256 digest of that manifest.
    pub manifest_digest: [u8; 32],
    /// SHA-256 digest of the payload of the Agent's EAT that named the receiver key.
    pub eat_digest: [u8; 32],
    /// Who opens it.
    pub role: Role,
}

/// Who opens a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The TEEP Agent (cases 1 and 4).
    Agent,
    /// The Trusted Application (cases 2, 3 and 5).
    Ta,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Ta => "ta",
        }
    }
}

impl Binding {
    fn info(&self, deployment: &str) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(6)?.str(LABEL)?.bytes(&self.owner.0)?.bytes(&self.manifest_digest)?;
            e.str(deployment)?.bytes(&self.eat_digest)?.str(self.role.as_str())?;
            Ok(())
        })
    }
}

/// What both ends know of a release afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of `enc`.
    pub enc: [u8; 32],
    /// SHA-256 of all frames.
    pub ciphertext: [u8; 32],
}

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
    /// [`Refused::Malformed`] when the receiver's key is not of P-256, or the owner's key fails.
    pub fn begin(
        owner: &dyn Signer,
        receiver: &Key,
        binding: &Binding,
        deployment: &str,
        callers: &[Key],
        entropy: &mut dyn Entropy,
    ) -> Result<(Vec<u8>, Self), Refused> {
        let info = binding.info(deployment);
        let (enc, context) = kem::sender(receiver, &info, None, entropy)?;
        let header = cbor::encode(|e| {
            e.array(4)?.str(LABEL)?;
            codec::put_key(e, owner.key())?;
            e.str(deployment)?.array(callers.len() as u64)?;
            callers.iter().try_for_each(|caller| codec::put_key(e, caller))
        });
        let signed = codec::labelled(LABEL, &[&info, &enc, &header]);
        let none = cose::Header::default;
        let signature = cose::sign1(owner, none(), none(), &[], Payload::Detached(&signed))
            .map_err(|_| Refused::Owner)?;
        let head = cbor::encode(|e| {
            e.array(3)?.bytes(&enc)?.bytes(&header)?.bytes(&signature)?;
            Ok(())
        });
        let length = u32::try_from(head.len()).map_err(|_| Refused::TooLarge(HEAD_BYTES_MAX))?;
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

/// The receiver key of one exchange: destroyed by its first valid opening. A failed opening does
/// not consume it, or anybody could waste it.
#[derive(Debug)]
pub struct Receiver {
    key: Option<PrivateKey>,
    public: Key,
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
    /// For the receipt.
    pub digests: Digests,
}

impl Receiver {
    /// Makes the key.
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let key = PrivateKey::generate(entropy);
        Self { public: key.public().clone(), key: Some(key) }
    }

    /// The public key, which the Evidence of this exchange names.
    #[must_use]
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// Opens a release that is wholly there, of at most `limit` bytes of plaintext.
    ///
    /// # Errors
    /// See [`Refused`]; the key is consumed by success alone.
    pub fn open(
        &mut self,
        bytes: &[u8],
        binding: &Binding,
        limit: usize,
    ) -> Result<Opened, Refused> {
        let key = self.key.as_ref().ok_or(Refused::Spent)?;
        let (mut opening, mut rest) = Opening::begin(key, bytes, binding)?;
        let mut plaintext = Vec::new();
        while !rest.is_empty() {
            let (chunk, behind) = opening.frame(rest)?;
            if plaintext.len() + chunk.expose().len() > limit {
                return Err(Refused::TooLarge(limit));
            }
            plaintext.extend_from_slice(chunk.expose());
            rest = behind;
        }
        let opened = opening.finish(Secret::new(plaintext))?;
        self.key = None;
        Ok(opened)
    }
}

/// Opens a release, frame by frame. What it gives counts only after [`Opening::finish`].
pub struct Opening {
    context: kem::Receiver,
    number: u64,
    ended: bool,
    deployment: String,
    callers: Vec<Key>,
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
        key: &PrivateKey,
        bytes: &'b [u8],
        binding: &Binding,
    ) -> Result<(Self, &'b [u8]), Refused> {
        let (head, rest) = prefixed(bytes, HEAD_BYTES_MAX)?;
        let head_what = "the head of a release";
        let (enc, header, signature) =
            codec::array(head, head_what, 3, |d| Ok((d.bytes()?, d.bytes()?, d.bytes()?)))?;
        let (owner, deployment, callers) = read_header(header)?;
        if owner.thumbprint() != binding.owner {
            return Err(Refused::Owner);
        }
        let info = binding.info(&deployment);
        let signed = codec::labelled(LABEL, &[&info, enc, header]);
        let object = Sign1::decode(signature, Tagging::Tagged).map_err(|_| Refused::Owner)?;
        // Not authenticated by the signature, so there is exactly one form of it.
        if object.kid() != Some(&binding.owner.0) {
            return Err(Refused::Owner);
        }
        let verified = object.verify_detached(&owner, &Accept::CURRENT, &[], &signed);
        verified.map_err(|_| Refused::Owner)?;
        let context = kem::receiver(key, enc, &info, None)?;
        let enc = cose::sha256(enc);
        let ciphertext = Sha256::new();
        let opening =
            Self { context, number: 0, ended: false, deployment, callers, enc, ciphertext };
        Ok((opening, rest))
    }

    /// Opens the first frame of `bytes`; what lies behind it comes back.
    ///
    /// # Errors
    /// See [`Refused`].
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
    pub fn finish(self, plaintext: Secret) -> Result<Opened, Refused> {
        if !self.ended {
            return Err(Refused::Cut);
        }
        let digests = Digests { enc: self.enc, ciphertext: self.ciphertext.finish() };
        let Self { deployment, callers, .. } = self;
        Ok(Opened { plaintext, deployment, callers, digests })
    }
}

fn read_header(header: &[u8]) -> Result<(Key, String, Vec<Key>), Refused> {
    codec::array(header, "the header of a release", 4, |d| {
        if d.str()? != LABEL {
            return Err(cbor::Malformed::Expected("the label of a release"));
        }
        let owner = codec::key(d)?;
        let deployment = d.str()?.to_owned();
        let count = d.array()?.filter(|count| *count <= CALLERS_MAX);
        let count = count.ok_or(cbor::Malformed::Expected("a list of callers"))?;
        let callers = (0..count).map(|_| codec::key(d)).collect::<Result<_, _>>()?;
        Ok((owner, deployment, callers))
    })
}

fn prefixed(bytes: &[u8], limit: usize) -> Result<(&[u8], &[u8]), Refused> {
    let (head, rest) = bytes.split_first_chunk().ok_or(Refused::Cut)?;
    let length = u32::from_be_bytes(*head) as usize;
    if length > limit {
        return Err(Refused::TooLarge(limit));
    }
    rest.split_at_checked(length).ok_or(Refused::Cut)
}

fn associated(number: u64, last: bool) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(2)?.u64(number)?.bool(last)?;
        Ok(())
    })
}

const LABEL: &str = "tamarack-release-v1";
const HEAD_BYTES_MAX: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const LAST: u32 = 1 << 31;
