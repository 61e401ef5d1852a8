//! COSE_Mac0 and COSE_Mac with HMAC 256/256 (RFC 9052 section 6, RFC 9053 section 3.1).

use crate::algorithm::Algorithm;
use crate::cbor::{self, Limits, Malformed};
use crate::crypto;
use crate::encrypt::recipient;
use crate::encrypt::{Opener, ReceivedRecipient, Recipient};
use crate::handle::{KeyUnusable, Secret};
use crate::header::Header;
use crate::structure::{self, Buckets, Payload, Structure, Tagging, tag};
use crate::verified::Untrusted;

/// A decoded COSE_Mac0 whose tag is not checked yet.
///
/// ```cddl
/// COSE_Mac0_Tagged = #6.17([ Headers, payload : bstr / nil, tag : bstr ])
/// ```
#[derive(Clone, Debug)]
pub struct Mac0<'b> {
    /// What the tag covers of the header.
    pub protected: Header,
    /// What it does not cover.
    pub unprotected: Header,
    /// The payload, unless it is detached. Not verified.
    pub payload: Option<&'b [u8]>,
    /// The authentication tag.
    pub tag: &'b [u8],
    protected_bytes: &'b [u8],
}

impl<'b> Mac0<'b> {
    /// Reads one COSE_Mac0 of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Mac0 within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::MAC0, tagging, |d| {
            cbor::tuple(d, 4, "a COSE_Mac0 of four elements", |d| {
                let Buckets { protected, unprotected, protected_bytes } = Buckets::read(d)?;
                let payload = structure::bytes_or_nil(d)?;
                let tag = d.bytes()?;
                Ok(Self { protected, unprotected, payload, tag, protected_bytes })
            })
        })
    }

    /// The key identifier, protected or not.
    pub fn kid(&self) -> Option<&[u8]> {
        self.protected.kid.as_deref().or(self.unprotected.kid.as_deref())
    }

    /// Checks the tag and gives the attached payload.
    pub fn verify(&self, key: &Secret, external_aad: &[u8]) -> Result<&'b [u8], Untrusted> {
        let payload = self.payload.ok_or(Untrusted::PayloadDetached)?;
        self.verify_over(key, external_aad, payload)
    }

    /// Checks the tag over a payload that the object does not carry.
    pub fn verify_detached<'p>(
        &self,
        key: &Secret,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<&'p [u8], Untrusted> {
        if self.payload.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.verify_over(key, external_aad, payload)
    }

    fn verify_over<'p>(
        &self,
        key: &Secret,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<&'p [u8], Untrusted> {
        check_header(&self.protected)?;
        check_tag("MAC0", key, self.protected_bytes, external_aad, payload, self.tag)?;
        Ok(payload)
    }
}

/// A decoded COSE_Mac, whose key is wrapped for recipients; its tag is not checked yet.
///
/// ```cddl
/// COSE_Mac_Tagged = #6.97([ Headers, payload : bstr / nil, tag : bstr,
///                           recipients : [+COSE_recipient] ])
/// ```
#[derive(Clone, Debug)]
pub struct Mac<'b> {
    /// What the tag covers of the header.
    pub protected: Header,
    /// What it does not cover.
    pub unprotected: Header,
    /// The payload, unless it is detached. Not verified.
    pub payload: Option<&'b [u8]>,
    /// The authentication tag.
    pub tag: &'b [u8],
    /// The recipients: one at least, 64 at most.
    pub recipients: Vec<ReceivedRecipient<'b>>,
    protected_bytes: &'b [u8],
}

impl<'b> Mac<'b> {
    /// Reads one COSE_Mac of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Mac within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::MAC, tagging, |d| {
            cbor::tuple(d, 5, "a COSE_Mac of five elements", |d| {
                let Buckets { protected, unprotected, protected_bytes } = Buckets::read(d)?;
                let payload = structure::bytes_or_nil(d)?;
                let tag = d.bytes()?;
                let recipients = recipient::read_all(d)?;
                Ok(Self { protected, unprotected, payload, tag, recipients, protected_bytes })
            })
        })
    }

    /// Unwraps the key, checks the tag and gives the attached payload.
    ///
    /// `other` is the purpose in the key derivation of [`Opener::Agreement`].
    pub fn verify(
        &self,
        opener: &Opener<'_>,
        other: &str,
        external_aad: &[u8],
    ) -> Result<&'b [u8], Untrusted> {
        let payload = self.payload.ok_or(Untrusted::PayloadDetached)?;
        self.verify_over(opener, other, external_aad, payload)
    }

    /// Unwraps the key and checks the tag over a payload that the object does not carry.
    pub fn verify_detached<'p>(
        &self,
        opener: &Opener<'_>,
        other: &str,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<&'p [u8], Untrusted> {
        if self.payload.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.verify_over(opener, other, external_aad, payload)
    }

    fn verify_over<'p>(
        &self,
        opener: &Opener<'_>,
        other: &str,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<&'p [u8], Untrusted> {
        check_header(&self.protected)?;
        let key = recipient::open_any(&self.recipients, opener, other)?;
        check_tag("MAC", &key, self.protected_bytes, external_aad, payload, self.tag)?;
        Ok(payload)
    }
}

/// Authenticates a payload as tagged COSE_Mac0 with HMAC 256/256.
///
/// `alg` goes into the protected header. The key has 32 bytes; any other length gives
/// [`KeyUnusable`].
pub fn mac0(
    key: &Secret,
    mut protected: Header,
    unprotected: Header,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    if key.expose().len() != KEY_LEN {
        return Err(KeyUnusable);
    }
    protected.algorithm = Some(HMAC_256);
    let unprotected = unprotected.without(&protected).encode();
    let protected = protected.encode_protected();
    let mac = tag_over("MAC0", key, &protected, external_aad, payload.bytes());
    Ok(cbor::encode(|e| {
        e.tag(cbor::Tag::new(tag::MAC0))?.array(4)?.bytes(&protected)?;
        e.writer_mut().extend_from_slice(&unprotected);
        structure::write_bytes_or_nil(e, payload.attached())?;
        e.bytes(&mac)?.ok()
    }))
}

/// Authenticates a payload for recipients as tagged COSE_Mac with HMAC 256/256.
///
/// The key has 32 bytes and is made for this message.
pub fn mac(
    key: Secret,
    recipients: &[Recipient<'_>],
    other: &str,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    if key.expose().len() != KEY_LEN {
        return Err(KeyUnusable);
    }
    let protected = Header { algorithm: Some(HMAC_256), ..Header::default() }.encode_protected();
    let mac = tag_over("MAC", &key, &protected, external_aad, payload.bytes());
    let recipients = recipient::encode_all(recipients, &key, other)?;
    Ok(cbor::encode(|e| {
        e.tag(cbor::Tag::new(tag::MAC))?.array(5)?.bytes(&protected)?.map(0)?;
        structure::write_bytes_or_nil(e, payload.attached())?;
        e.bytes(&mac)?;
        e.writer_mut().extend_from_slice(&recipients);
        e.ok()
    }))
}

fn check_header(protected: &Header) -> Result<(), Untrusted> {
    protected.check_critical()?;
    let algorithm = protected.algorithm.ok_or(Untrusted::AlgorithmNotProtected)?;
    if algorithm != HMAC_256 {
        return Err(Untrusted::Algorithm { algorithm });
    }
    Ok(())
}

fn check_tag(
    context: &str,
    key: &Secret,
    protected: &[u8],
    external_aad: &[u8],
    payload: &[u8],
    tag: &[u8],
) -> Result<(), Untrusted> {
    if key.expose().len() != KEY_LEN {
        return Err(Untrusted::KeyMismatch);
    }
    if !crypto::equal(&tag_over(context, key, protected, external_aad, payload), tag) {
        return Err(Untrusted::Authentication);
    }
    Ok(())
}

/// ```cddl
/// MAC_structure = [ context : "MAC" / "MAC0", protected : bstr, external_aad : bstr,
///                   payload : bstr ]
/// ```
fn tag_over(context: &str, key: &Secret, protected: &[u8], aad: &[u8], payload: &[u8]) -> [u8; 32] {
    let structure = Structure::new(context, &[protected, aad, payload]);
    crypto::hmac_sha256_parts(key.expose(), &structure.parts())
}

/// HMAC 256/256.
const HMAC_256: Algorithm = Algorithm::Other(5);
const KEY_LEN: usize = 32;
