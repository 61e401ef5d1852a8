//! COSE_Encrypt: content with recipients (RFC 9052 section 5.1).

use super::Encrypted;
use super::content::{self, ContentAlgorithm, ContentKey, Integrity};
use super::recipient::{self, Opener, ReceivedRecipient, Recipient};
use super::stream::Decryption;
use crate::cbor::{self, Limits, Malformed};
use crate::handle::{KeyUnusable, Secret};
use crate::header::Header;
use crate::structure::{self, Buckets, Payload, Tagging, tag};
use crate::verified::Untrusted;

/// A decoded COSE_Encrypt.
///
/// ```cddl
/// COSE_Encrypt_Tagged = #6.96([ Headers, ciphertext : bstr / nil,
///                               recipients : [+COSE_recipient] ])
/// ```
#[derive(Clone, Debug)]
pub struct Encrypt<'b> {
    /// The ciphertext, unless it is detached.
    pub ciphertext: Option<&'b [u8]>,
    /// The recipients: one at least, 64 at most.
    pub recipients: Vec<ReceivedRecipient<'b>>,
    buckets: Buckets<'b>,
}

impl<'b> Encrypt<'b> {
    /// Reads one COSE_Encrypt of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Encrypt within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::ENCRYPT, tagging, |d| {
            cbor::tuple(d, 4, "a COSE_Encrypt of four elements", |d| {
                let buckets = Buckets::read(d)?;
                let ciphertext = structure::bytes_or_nil(d)?;
                let recipients = recipient::read_all(d)?;
                Ok(Self { ciphertext, recipients, buckets })
            })
        })
    }

    /// The protected header of the content.
    pub fn protected(&self) -> &Header {
        &self.buckets.protected
    }

    /// The unprotected header of the content.
    pub fn unprotected(&self) -> &Header {
        &self.buckets.unprotected
    }

    /// The content cipher, if the header names a supported one in the right bucket.
    pub fn algorithm(&self) -> Result<ContentAlgorithm, Untrusted> {
        ContentAlgorithm::of(&self.buckets, Integrity::Elsewhere)
    }

    /// Decrypts the attached ciphertext.
    ///
    /// `other` is the purpose in the key derivation, one of [`other`](super::other).
    pub fn decrypt(
        &self,
        opener: &Opener<'_>,
        other: &str,
        integrity: Integrity,
        external_aad: &[u8],
    ) -> Result<Secret, Untrusted> {
        let ciphertext = self.ciphertext.ok_or(Untrusted::PayloadDetached)?;
        self.decrypt_bytes(opener, other, integrity, external_aad, ciphertext)
    }

    /// Decrypts a ciphertext that the object does not carry.
    pub fn decrypt_detached(
        &self,
        opener: &Opener<'_>,
        other: &str,
        integrity: Integrity,
        external_aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Secret, Untrusted> {
        if self.ciphertext.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.decrypt_bytes(opener, other, integrity, external_aad, ciphertext)
    }

    /// Starts to decrypt a ciphertext that the object does not carry and that comes in pieces.
    pub fn decryption(
        &self,
        opener: &Opener<'_>,
        other: &str,
        integrity: Integrity,
        external_aad: &[u8],
    ) -> Result<Decryption, Untrusted> {
        if self.ciphertext.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        let algorithm = ContentAlgorithm::of(&self.buckets, integrity)?;
        let key = recipient::open_any(&self.recipients, opener, other)?;
        Decryption::new(algorithm, &key, CONTEXT, &self.buckets, external_aad)
    }

    fn decrypt_bytes(
        &self,
        opener: &Opener<'_>,
        other: &str,
        integrity: Integrity,
        external_aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Secret, Untrusted> {
        let algorithm = ContentAlgorithm::of(&self.buckets, integrity)?;
        let key = recipient::open_any(&self.recipients, opener, other)?;
        content::open(algorithm, &key, CONTEXT, &self.buckets, external_aad, ciphertext)
    }
}

/// Encrypts a payload for recipients as tagged COSE_Encrypt.
///
/// The content key is consumed, since it must not be used again. `other` is the purpose in the key
/// derivation, one of [`other`](super::other). AES-CTR covers no `external_aad` (RFC 9459), so
/// there it must be empty.
pub fn encrypt(
    content_key: ContentKey,
    recipients: &[Recipient<'_>],
    other: &str,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Encrypted, KeyUnusable> {
    if !(content_key.algorithm.is_authenticated() || external_aad.is_empty()) {
        return Err(KeyUnusable);
    }
    let (protected, unprotected) = content_key.header(None);
    let recipients = recipient::encode_all(recipients, &content_key.key, other)?;
    let ciphertext =
        content_key.seal(CONTEXT, &protected, external_aad, payload.bytes()).ok_or(KeyUnusable)?;
    let attached = payload.attached().map(|_| ciphertext.as_slice());
    let object = cbor::encode(|e| {
        e.tag(cbor::Tag::new(tag::ENCRYPT))?.array(4)?.bytes(&protected)?;
        e.writer_mut().extend_from_slice(&unprotected);
        structure::write_bytes_or_nil(e, attached)?;
        e.writer_mut().extend_from_slice(&recipients);
        e.ok()
    });
    let ciphertext = attached.is_none().then_some(ciphertext);
    Ok(Encrypted { object, ciphertext })
}

const CONTEXT: &str = "Encrypt";
