//! Confidentiality of attestation payloads and SUIT reports towards the TAM (section 8.2).
//!
//! Two layers: a fresh content key encrypts the content, and ECDH-ES + A128KW to the TAM's static
//! key carries the content key. Attestation payloads are signed first and then encrypted; SUIT
//! reports are encrypted first and then signed, as suit-report has it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use cose::encrypt::{ContentAlgorithm, ContentKey, Encrypt, Integrity, Opener, Recipient, encrypt};
use cose::{Agreement, Entropy, Key, KeyUnusable, Payload, Secret, Signer, Tagging};
use minicbor::decode::Decoder;

use crate::attestation::AttestationPayload;
use crate::limits;
use crate::misbehaved::Misbehaved;
use crate::suit_cose_profile::SuitCoseProfile;

/// The TAM's static key agreement key: a handle, so that it may live in an HSM.
#[derive(Clone)]
pub struct Receiver(Arc<dyn Agreement>);

impl Receiver {
    /// Takes the handle.
    pub fn new(key: Arc<dyn Agreement>) -> Self {
        Self(key)
    }

    /// The public key, which Agents encrypt to.
    pub fn key(&self) -> &Key {
        self.0.key()
    }

    /// Opens an attestation payload, if it is encrypted.
    pub(crate) fn payload<'b>(&self, bytes: Cow<'b, [u8]>) -> Result<Cow<'b, [u8]>, Misbehaved> {
        if !is_encrypted(&bytes) {
            return Ok(bytes);
        }
        let opened = self.open(&bytes, cose::encrypt::other::EAT)?;
        Ok(Cow::Owned(opened.expose().to_vec()))
    }

    /// Opens what a SUIT report's signature covers.
    pub(crate) fn report(&self, sealed: &[u8]) -> Result<Secret, Misbehaved> {
        self.open(sealed, cose::encrypt::other::SUIT_REPORT)
    }

    /// The signature around, of the message or of the report, covers the ciphertext: ciphers that
    /// do not authenticate are acceptable.
    fn open(&self, bytes: &[u8], purpose: &str) -> Result<Secret, Misbehaved> {
        let message = Encrypt::decode_within(bytes, Tagging::Tagged, limits::ATTACHMENT);
        let message = message.map_err(|_| Misbehaved::Undecipherable)?;
        let opener = Opener::Agreement(&*self.0);
        let opened = message.decrypt(&opener, purpose, Integrity::Elsewhere, &[]);
        opened.map_err(|_| Misbehaved::Undecipherable)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.key().thumbprint())
    }
}

/// How an Agent keeps what it tells a TAM from everybody between them.
#[derive(Clone, Copy, Debug)]
pub struct Confidentiality<'a> {
    /// The TAM's static key.
    pub receiver: &'a Key,
    /// A profile that the TAM lists.
    pub profile: SuitCoseProfile,
}

/// Why nothing was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// Key exchange or cipher of the profile are not supported here.
    #[error("the SUIT COSE profile is not supported here")]
    Profile,
    /// The keys do not go together.
    #[error("key is unusable")]
    Key(#[from] KeyUnusable),
}

impl Confidentiality<'_> {
    /// Encrypts an attestation payload, whose format stays what it is.
    ///
    /// `ephemeral` is a key pair on the curve of the TAM's key, made for this payload alone.
    pub fn payload(
        &self,
        payload: &AttestationPayload<'_>,
        ephemeral: &dyn Agreement,
        entropy: &mut dyn Entropy,
    ) -> Result<AttestationPayload<'static>, NotSealed> {
        let content_key = self.content_key(entropy)?;
        let recipient = Recipient::Agreement { receiver: self.receiver, ephemeral };
        let purpose = cose::encrypt::other::EAT;
        let content = Payload::Attached(&payload.bytes);
        let sealed = encrypt(content_key, &[recipient], purpose, &[], content)?;
        let format = payload.format.clone().map(|format| Cow::Owned(format.into_owned()));
        Ok(AttestationPayload { format, bytes: Cow::Owned(sealed.object) })
    }

    /// Encrypts a SUIT report and signs it with the key of reports.
    ///
    /// `ephemeral` is a key pair on the curve of the TAM's key, made for this report alone.
    pub fn report(
        &self,
        report: &suit::Report,
        signer: &dyn Signer,
        ephemeral: &dyn Agreement,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NotSealed> {
        let content_key = self.content_key(entropy)?;
        let recipient = Recipient::Agreement { receiver: self.receiver, ephemeral };
        Ok(suit::report::protect_for(report, signer, content_key, &[recipient])?)
    }

    fn content_key(&self, entropy: &mut dyn Entropy) -> Result<ContentKey, NotSealed> {
        let cipher = ContentAlgorithm::from_id(self.profile.encryption);
        match cipher {
            Some(cipher) if self.profile.key_exchange == ECDH_ES_A128KW => {
                Ok(ContentKey::draw(cipher, entropy))
            }
            Some(_) | None => Err(NotSealed::Profile),
        }
    }
}

/// Whether bytes begin as a tagged COSE_Encrypt does.
pub(crate) fn is_encrypted(bytes: &[u8]) -> bool {
    Decoder::new(bytes).tag().is_ok_and(|tag| tag.as_u64() == ENCRYPT)
}

/// ECDH-ES + A128KW (RFC 9053 section 6.4.1).
const ECDH_ES_A128KW: i64 = -29;
/// CBOR tag of COSE_Encrypt.
const ENCRYPT: u64 = 96;
