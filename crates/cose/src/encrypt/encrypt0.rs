//! COSE_Encrypt0: content under a key that both sides have (RFC 9052 section 5.2).

use super::Encrypted;
use super::content::{self, ContentAlgorithm, ContentKey, Integrity};
use crate::cbor::{self, Limits, Malformed};
use crate::handle::{KeyUnusable, Secret};
use crate::header::Header;
use crate::structure::{self, Buckets, Payload, Tagging, tag};
use crate::verified::Untrusted;

/// A decoded COSE_Encrypt0.
///
/// ```cddl
/// COSE_Encrypt0_Tagged = #6.16([ Headers, ciphertext : bstr / nil ])
/// ```
#[derive(Clone, Debug)]
pub struct Encrypt0<'b> {
    /// The ciphertext, unless it is detached.
    pub ciphertext: Option<&'b [u8]>,
    buckets: Buckets<'b>,
}

impl<'b> Encrypt0<'b> {
    /// Reads one COSE_Encrypt0 of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Encrypt0 within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::ENCRYPT0, tagging, |d| {
            cbor::tuple(d, 3, "a COSE_Encrypt0 of three elements", |d| {
                let buckets = Buckets::read(d)?;
                let ciphertext = structure::bytes_or_nil(d)?;
                Ok(Self { ciphertext, buckets })
            })
        })
    }

    /// The protected header.
    pub fn protected(&self) -> &Header {
        &self.buckets.protected
    }

    /// The unprotected header.
    pub fn unprotected(&self) -> &Header {
        &self.buckets.unprotected
    }

    /// The cipher, if the header names a supported one in the right bucket.
    pub fn algorithm(&self) -> Result<ContentAlgorithm, Untrusted> {
        ContentAlgorithm::of(&self.buckets, Integrity::Elsewhere)
    }

    /// Decrypts the attached ciphertext.
    pub fn decrypt(
        &self,
        key: &Secret,
        integrity: Integrity,
        external_aad: &[u8],
    ) -> Result<Secret, Untrusted> {
        let ciphertext = self.ciphertext.ok_or(Untrusted::PayloadDetached)?;
        self.decrypt_bytes(key, integrity, external_aad, ciphertext)
    }

    /// Decrypts a ciphertext that the object does not carry.
    pub fn decrypt_detached(
        &self,
        key: &Secret,
        integrity: Integrity,
        external_aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Secret, Untrusted> {
        if self.ciphertext.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.decrypt_bytes(key, integrity, external_aad, ciphertext)
    }

    fn decrypt_bytes(
        &self,
        key: &Secret,
        integrity: Integrity,
        external_aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Secret, Untrusted> {
        let algorithm = ContentAlgorithm::of(&self.buckets, integrity)?;
        content::open(algorithm, key, CONTEXT, &self.buckets, external_aad, ciphertext)
    }
}

/// Encrypts a payload as tagged COSE_Encrypt0, with the key's name in the unprotected header.
///
/// The pair of key and IV is consumed, since it must not be used again. AES-CTR covers no
/// `external_aad` (RFC 9459), so there it must be empty.
pub fn encrypt0(
    content_key: ContentKey,
    kid: Option<&[u8]>,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Encrypted, KeyUnusable> {
    if !(content_key.algorithm.is_authenticated() || external_aad.is_empty()) {
        return Err(KeyUnusable);
    }
    let (protected, unprotected) = content_key.header(kid);
    let ciphertext =
        content_key.seal(CONTEXT, &protected, external_aad, payload.bytes()).ok_or(KeyUnusable)?;
    let attached = payload.attached().map(|_| ciphertext.as_slice());
    let object = cbor::encode(|e| {
        e.tag(cbor::Tag::new(tag::ENCRYPT0))?.array(3)?.bytes(&protected)?;
        e.writer_mut().extend_from_slice(&unprotected);
        structure::write_bytes_or_nil(e, attached)
    });
    let ciphertext = attached.is_none().then_some(ciphertext);
    Ok(Encrypted { object, ciphertext })
}

const CONTEXT: &str = "Encrypt0";
