//! Calls of a Trusted Application, sealed both ways.
//!
//! ```cddl
//! request = [ "tamarack-call-v1", caller: bstr .size 32, enc: bstr .size 65, sealed: bstr ]
//! info = [ "tamarack-call-v1", service: bstr .size 32, manifest-digest: bstr .size 32 ]
//! plaintext = [ counter: uint, payload: bstr ]     ; HPKE Auth mode with the caller's key
//! response = [ "tamarack-answer-v1", nonce: bstr .size 32, sealed: bstr .cbor COSE_Encrypt0 ]
//! ```
//!
//! `caller` and `service` are thumbprints. Calls are on P-256 alone: X-Wing has no Auth mode, and
//! what proves a caller must not depend on who asks.
//! The key of the response mixes a secret that HPKE exports
//! with fresh random of the receiver, as RFC 9458 section 4.4 does, so that an answer to a repeated
//! request would still be under another key.

use std::collections::BTreeMap;

use cose::{
    Entropy, Key, Payload, Secret, Tagging, Thumbprint, cbor,
    encrypt::{ContentAlgorithm, ContentKey, Encrypt0, Integrity, encrypt0},
    hmac_sha256,
};

use crate::{PrivateKey, Refused, codec, kem};

/// A request or an answer, at most, bytes of plaintext.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The Trusted Application as its callers know it, from the Network User's own appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The key that the Evidence names for the Trusted Application.
    pub key: Key,
    /// SHA-256 digest of its manifest.
    pub manifest_digest: [u8; 32],
}

impl Service {
    fn info(&self) -> Vec<u8> {
        codec::labelled(REQUEST, &[&self.key.thumbprint().0, &self.manifest_digest])
    }
}

/// What a caller keeps to open the answer.
pub struct Awaiting {
    enc: Vec<u8>,
    secret: Secret,
}

/// Seals a request. The counter of a caller must grow with each request.
///
/// # Errors
/// [`Refused::TooLarge`], or [`Refused::Malformed`] for a key of another curve.
pub fn request(
    service: &Service,
    caller: &PrivateKey,
    counter: u64,
    payload: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Awaiting), Refused> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refused::TooLarge(PAYLOAD_BYTES_MAX));
    }
    let (enc, mut context) = kem::sender(&service.key, &service.info(), Some(caller), entropy)?;
    let plaintext = content(counter, payload);
    let sealed = context.seal(plaintext.expose(), &[]).map_err(|_| Refused::DoesNotOpen)?;
    let caller = caller.public().thumbprint();
    let bytes = codec::labelled(REQUEST, &[&caller.0, &enc, &sealed]);
    let mut secret = vec![0; SECRET_BYTES];
    context.export(ANSWER.as_bytes(), &mut secret).map_err(|_| Refused::DoesNotOpen)?;
    Ok((bytes, Awaiting { enc, secret: Secret::new(secret) }))
}

/// The plaintext of a request, in a buffer that never grows: no unwiped copy stays behind.
fn content(counter: u64, payload: &[u8]) -> Secret {
    let head = cbor::encode(|e| e.array(2)?.u64(counter)?.bytes_len(payload.len() as u64)?.ok());
    let mut bytes = Vec::with_capacity(head.len() + payload.len());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(payload);
    Secret::new(bytes)
}

impl Awaiting {
    /// Opens the answer to this request.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn open(&self, answer: &[u8]) -> Result<Secret, Refused> {
        if answer.len() > PAYLOAD_BYTES_MAX + OVERHEAD_BYTES_MAX {
            return Err(Refused::TooLarge(PAYLOAD_BYTES_MAX));
        }
        let (nonce, sealed): ([u8; 32], _) = codec::array(answer, "an answer", 3, |d| {
            if d.str()? != ANSWER {
                return Err(cbor::Malformed::Expected("the label of an answer"));
            }
            Ok((codec::fixed(d)?, d.bytes()?))
        })?;
        let (key, _) = answer_key(&self.secret, &self.enc, &nonce);
        let limits = cbor::Limits { bytes: sealed.len(), ..cbor::Limits::DEFAULT };
        let object = Encrypt0::decode_within(sealed, Tagging::Tagged, limits)
            .map_err(|_| Refused::Malformed("a sealed answer"))?;
        object.decrypt(&key, Integrity::Cipher, &[]).map_err(|_| Refused::DoesNotOpen)
    }
}

/// The end of the channel inside the TEE: the service key, and who may call.
#[derive(Debug)]
pub struct Endpoint {
    key: PrivateKey,
    manifest_digest: [u8; 32],
    callers: BTreeMap<Thumbprint, Caller>,
}

#[derive(Debug)]
struct Caller {
    key: Key,
    /// Every later request has a larger counter.
    served: Option<u64>,
}

/// A request that was opened, with what seals its answer.
pub struct Received {
    /// What the caller asks.
    pub payload: Secret,
    /// Who asks.
    pub caller: Thumbprint,
    enc: Vec<u8>,
    secret: Secret,
}

impl Endpoint {
    /// An endpoint that serves nobody yet.
    #[must_use]
    pub fn new(manifest_digest: [u8; 32], entropy: &mut dyn Entropy) -> Self {
        Self { key: PrivateKey::generate(entropy), manifest_digest, callers: BTreeMap::new() }
    }

    /// The service key, which the Evidence names.
    #[must_use]
    pub fn public(&self) -> &Key {
        self.key.public()
    }

    /// Serves these callers and nobody else; the counters of those who stay are kept.
    pub fn admit(&mut self, callers: Vec<Key>) {
        let mut before = std::mem::take(&mut self.callers);
        self.callers = callers
            .into_iter()
            .map(|key| {
                let thumbprint = key.thumbprint();
                let served = before.remove(&thumbprint).and_then(|caller| caller.served);
                (thumbprint, Caller { key, served })
            })
            .collect();
    }

    /// Opens a request of a caller whom the owner named, once.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn open(&mut self, request: &[u8]) -> Result<Received, Refused> {
        if request.len() > PAYLOAD_BYTES_MAX + OVERHEAD_BYTES_MAX {
            return Err(Refused::TooLarge(PAYLOAD_BYTES_MAX));
        }
        let (from, enc, sealed) = codec::array(request, "a request", 4, |d| {
            if d.str()? != REQUEST {
                return Err(cbor::Malformed::Expected("the label of a request"));
            }
            Ok((Thumbprint(codec::fixed(d)?), d.bytes()?, d.bytes()?))
        })?;
        let service =
            Service { key: self.key.public().clone(), manifest_digest: self.manifest_digest };
        let caller = self.callers.get_mut(&from).ok_or(Refused::Caller)?;
        let mut context = kem::receiver(&self.key, enc, &service.info(), Some(&caller.key))?;
        let plaintext = context.open(sealed, &[]).map_err(|_| Refused::DoesNotOpen)?;
        let plaintext = Secret::new(plaintext);
        let (counter, payload) = codec::array(plaintext.expose(), "a request's content", 2, |d| {
            Ok((d.u64()?, Secret::new(d.bytes()?.to_vec())))
        })?;
        if caller.served.is_some_and(|served| counter <= served) {
            return Err(Refused::Replay);
        }
        let mut secret = vec![0; SECRET_BYTES];
        context.export(ANSWER.as_bytes(), &mut secret).map_err(|_| Refused::DoesNotOpen)?;
        caller.served = Some(counter);
        Ok(Received { payload, caller: from, enc: enc.to_vec(), secret: Secret::new(secret) })
    }
}

impl Received {
    /// Seals the answer to this request.
    ///
    /// # Errors
    /// [`Refused::TooLarge`].
    pub fn answer(self, payload: &[u8], entropy: &mut dyn Entropy) -> Result<Vec<u8>, Refused> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Refused::TooLarge(PAYLOAD_BYTES_MAX));
        }
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce);
        let (key, iv) = answer_key(&self.secret, &self.enc, &nonce);
        let key = ContentKey::new(ContentAlgorithm::A256Gcm, key, iv).expect("lengths are fixed");
        let sealed = encrypt0(key, None, &[], Payload::Attached(payload));
        let sealed = sealed.map_err(|_| Refused::DoesNotOpen)?;
        Ok(codec::labelled(ANSWER, &[&nonce, &sealed.object]))
    }
}

/// RFC 9458 section 4.4: HKDF-SHA256 over the exported secret, salted with `enc ‖ nonce`.
fn answer_key(secret: &Secret, enc: &[u8], nonce: &[u8]) -> (Secret, Vec<u8>) {
    let salt = [enc, nonce].concat();
    let prk = Secret::new(hmac_sha256(&salt, secret.expose()).to_vec());
    let expand = |label: &[u8]| hmac_sha256(prk.expose(), &[label, &[1]].concat());
    (Secret::new(expand(b"key").to_vec()), expand(b"nonce")[..IV_BYTES].to_vec())
}

/// What sealing adds to a payload, at most.
const OVERHEAD_BYTES_MAX: usize = 1024;
const REQUEST: &str = "tamarack-call-v1";
const ANSWER: &str = "tamarack-answer-v1";
const SECRET_BYTES: usize = 32;
const IV_BYTES: usize = 12;
