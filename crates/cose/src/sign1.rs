//! COSE_Sign1: one signature (RFC 9052 section 4.2).

use crate::algorithm::Accept;
use crate::cbor::{self, Limits, Malformed};
use crate::crypto::{self, Mismatch};
use crate::handle::{KeyUnusable, Signer};
use crate::header::Header;
use crate::key::Key;
use crate::structure::{self, Buckets, Payload, Structure, Tagging, tag};
use crate::verified::{Untrusted, Verified};

/// A decoded COSE_Sign1 whose signature is not checked yet.
///
/// ```cddl
/// COSE_Sign1_Tagged = #6.18([ Headers, payload : bstr / nil, signature : bstr ])
/// ```
#[derive(Clone, Debug)]
pub struct Sign1<'b> {
    /// What the signature covers of the header.
    pub protected: Header,
    /// What it does not cover: hints at best.
    pub unprotected: Header,
    /// The payload, unless it is detached. Not verified.
    pub payload: Option<&'b [u8]>,
    /// The signature.
    pub signature: &'b [u8],
    protected_bytes: &'b [u8],
}

impl<'b> Sign1<'b> {
    /// Reads one COSE_Sign1 of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Sign1 within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::SIGN1, tagging, |d| {
            cbor::tuple(d, 4, "a COSE_Sign1 of four elements", |d| {
                let Buckets { protected, unprotected, protected_bytes } = Buckets::read(d)?;
                let payload = structure::bytes_or_nil(d)?;
                let signature = d.bytes()?;
                Ok(Self { protected, unprotected, payload, signature, protected_bytes })
            })
        })
    }

    /// The key identifier, protected or not.
    pub fn kid(&self) -> Option<&[u8]> {
        self.protected.kid.as_deref().or(self.unprotected.kid.as_deref())
    }

    /// Checks the signature over the attached payload.
    //= teep 14.4 (M), EV-COM-7: the signature is verified over the exact received payload bytes
    pub fn verify(
        &self,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
    ) -> Result<Verified<&'b [u8]>, Untrusted> {
        let payload = self.payload.ok_or(Untrusted::PayloadDetached)?;
        self.verify_over(key, accept, external_aad, payload)
    }

    /// Checks the signature over a payload that the object does not carry.
    pub fn verify_detached<'p>(
        &self,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<Verified<&'p [u8]>, Untrusted> {
        if self.payload.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.verify_over(key, accept, external_aad, payload)
    }

    fn verify_over<'p>(
        &self,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<Verified<&'p [u8]>, Untrusted> {
        self.protected.check_critical()?;
        let signed = to_be_signed(self.protected_bytes, external_aad, payload);
        verify_signature(&self.protected, key, accept, &signed, self.signature)?;
        Ok(Verified::new(payload, key.thumbprint()))
    }
}

/// Signs a payload as tagged COSE_Sign1.
///
/// `alg` goes into the protected header. The signer's thumbprint becomes the unprotected `kid`
/// unless there is a `kid` already. A parameter in both buckets stays in the protected one only.
pub fn sign1(
    signer: &dyn Signer,
    protected: Header,
    unprotected: Header,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    signed(signer, protected, unprotected, external_aad, payload, Some(tag::SIGN1))
}

/// [`sign1`] without the CBOR tag.
pub fn sign1_untagged(
    signer: &dyn Signer,
    protected: Header,
    unprotected: Header,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    signed(signer, protected, unprotected, external_aad, payload, None)
}

fn signed(
    signer: &dyn Signer,
    protected: Header,
    unprotected: Header,
    external_aad: &[u8],
    payload: Payload<'_>,
    tag: Option<u64>,
) -> Result<Vec<u8>, KeyUnusable> {
    let (protected, unprotected) = signature_headers(signer, protected, unprotected)?;
    let message = to_be_signed(&protected, external_aad, payload.bytes()).concat();
    let signature = signer.sign(&message)?;
    Ok(cbor::encode(|e| {
        // The payload is in the message as well, so this is room enough for the object.
        e.writer_mut().reserve(message.len() + unprotected.len() + signature.len());
        if let Some(tag) = tag {
            e.tag(cbor::Tag::new(tag))?;
        }
        e.array(4)?.bytes(&protected)?;
        e.writer_mut().extend_from_slice(&unprotected);
        structure::write_bytes_or_nil(e, payload.attached())?;
        e.bytes(&signature)?.ok()
    }))
}

/// The encoded buckets of a signature, with `alg` and `kid`.
pub(crate) fn signature_headers(
    signer: &dyn Signer,
    mut protected: Header,
    mut unprotected: Header,
) -> Result<(Vec<u8>, Vec<u8>), KeyUnusable> {
    let algorithm = signer.algorithm();
    if algorithm.is_legacy() || algorithm.curve() != Some(signer.key().curve()) {
        return Err(KeyUnusable);
    }
    protected.algorithm = Some(algorithm);
    if protected.kid.is_none() && unprotected.kid.is_none() {
        unprotected.kid = Some(signer.key().thumbprint().0.to_vec());
    }
    let unprotected = unprotected.without(&protected);
    Ok((protected.encode_protected(), unprotected.encode()))
}

/// Checks a signature with the algorithm of its own protected header.
pub(crate) fn verify_signature(
    protected: &Header,
    key: &Key,
    accept: &Accept,
    signed: &Structure<'_>,
    signature: &[u8],
) -> Result<(), Untrusted> {
    //= teep 15.105 (M): an algorithm outside the protected header, or a legacy one, is refused
    let algorithm = protected.algorithm.ok_or(Untrusted::AlgorithmNotProtected)?;
    if !accept.allows(algorithm) {
        return Err(Untrusted::Algorithm { algorithm });
    }
    crypto::verify(algorithm, key, &signed.parts(), signature).map_err(|mismatch| match mismatch {
        Mismatch::Key => Untrusted::KeyMismatch,
        Mismatch::Signature => Untrusted::Signature,
    })
}

/// ```cddl
/// Sig_structure = [ "Signature1", body_protected : bstr, external_aad : bstr, payload : bstr ]
/// ```
fn to_be_signed<'a>(protected: &'a [u8], aad: &'a [u8], payload: &'a [u8]) -> Structure<'a> {
    Structure::new("Signature1", &[protected, aad, payload])
}
