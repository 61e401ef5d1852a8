//! COSE_Sign: several signatures over one payload (RFC 9052 section 4.1).

use crate::algorithm::Accept;
use crate::cbor::{self, Decoder, Limits, Malformed};
use crate::handle::{KeyUnusable, Signer};
use crate::header::Header;
use crate::key::Key;
use crate::sign1::{signature_headers, verify_signature};
use crate::structure::{self, Buckets, Payload, Structure, Tagging, tag};
use crate::verified::{Untrusted, Verified};

/// A decoded COSE_Sign whose signatures are not checked yet.
///
/// ```cddl
/// COSE_Sign_Tagged = #6.98([ Headers, payload : bstr / nil, signatures : [+ COSE_Signature] ])
/// ```
#[derive(Clone, Debug)]
pub struct Sign<'b> {
    /// What all signatures cover of the body's header.
    pub protected: Header,
    /// What they do not cover.
    pub unprotected: Header,
    /// The payload, unless it is detached. Not verified.
    pub payload: Option<&'b [u8]>,
    /// The signatures, in the order of the message; one at least.
    pub signatures: Vec<Signature<'b>>,
    protected_bytes: &'b [u8],
}

/// One signature of a COSE_Sign.
///
/// ```cddl
/// COSE_Signature = [ Headers, signature : bstr ]
/// ```
#[derive(Clone, Debug)]
pub struct Signature<'b> {
    /// What the signature covers of its own header.
    pub protected: Header,
    /// What it does not cover.
    pub unprotected: Header,
    /// The signature.
    pub signature: &'b [u8],
    protected_bytes: &'b [u8],
}

impl<'b> Sign<'b> {
    /// Reads one COSE_Sign of at most 1 MiB.
    pub fn decode(bytes: &'b [u8], tagging: Tagging) -> Result<Self, Malformed> {
        Self::decode_within(bytes, tagging, Limits::DEFAULT)
    }

    /// Reads one COSE_Sign within the caller's limits.
    pub fn decode_within(
        bytes: &'b [u8],
        tagging: Tagging,
        limits: Limits,
    ) -> Result<Self, Malformed> {
        structure::open(bytes, limits, tag::SIGN, tagging, |d| {
            cbor::tuple(d, 4, "a COSE_Sign of four elements", |d| {
                let Buckets { protected, unprotected, protected_bytes } = Buckets::read(d)?;
                let payload = structure::bytes_or_nil(d)?;
                let signatures = read_signatures(d)?;
                Ok(Self { protected, unprotected, payload, signatures, protected_bytes })
            })
        })
    }

    /// Checks one signature, counted from zero, over the attached payload.
    pub fn verify_one(
        &self,
        index: usize,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
    ) -> Result<Verified<&'b [u8]>, Untrusted> {
        let payload = self.payload.ok_or(Untrusted::PayloadDetached)?;
        self.verify_over(index, key, accept, external_aad, payload)
    }

    /// Checks one signature over a payload that the object does not carry.
    pub fn verify_one_detached<'p>(
        &self,
        index: usize,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<Verified<&'p [u8]>, Untrusted> {
        if self.payload.is_some() {
            return Err(Untrusted::PayloadAttached);
        }
        self.verify_over(index, key, accept, external_aad, payload)
    }

    fn verify_over<'p>(
        &self,
        index: usize,
        key: &Key,
        accept: &Accept,
        external_aad: &[u8],
        payload: &'p [u8],
    ) -> Result<Verified<&'p [u8]>, Untrusted> {
        let one = self.signatures.get(index).ok_or(Untrusted::NoSignature(index))?;
        self.protected.check_critical()?;
        one.protected.check_critical()?;
        let signed = to_be_signed(self.protected_bytes, one.protected_bytes, external_aad, payload);
        verify_signature(&one.protected, key, accept, &signed, one.signature)?;
        Ok(Verified::new(payload, key.thumbprint()))
    }
}

impl Signature<'_> {
    /// The key identifier, protected or not.
    pub fn kid(&self) -> Option<&[u8]> {
        self.protected.kid.as_deref().or(self.unprotected.kid.as_deref())
    }
}

/// Signs a payload with several keys as tagged COSE_Sign, in the order of the signers.
///
/// The body's header is empty; each signature has `alg` protected and the signer's thumbprint as
/// unprotected `kid`.
pub fn sign(
    signers: &[&dyn Signer],
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    let signers = signers.iter().map(|signer| (*signer, Header::default())).collect();
    sign_with(signers, external_aad, payload)
}

/// The same with more in the unprotected header of each signature, such as an `x5chain`.
pub fn sign_with(
    signers: Vec<(&dyn Signer, Header)>,
    external_aad: &[u8],
    payload: Payload<'_>,
) -> Result<Vec<u8>, KeyUnusable> {
    if signers.is_empty() {
        return Err(KeyUnusable);
    }
    let mut signatures = Vec::with_capacity(signers.len());
    for (signer, unprotected) in signers {
        let (protected, unprotected) = signature_headers(signer, Header::default(), unprotected)?;
        let signed = to_be_signed(&[], &protected, external_aad, payload.bytes()).concat();
        let signature = signer.sign(&signed)?;
        signatures.push((protected, unprotected, signature));
    }
    Ok(cbor::encode(|e| {
        e.tag(cbor::Tag::new(tag::SIGN))?.array(4)?.bytes(&[])?.map(0)?;
        structure::write_bytes_or_nil(e, payload.attached())?;
        e.array(signatures.len() as u64)?;
        for (protected, unprotected, signature) in &signatures {
            e.array(3)?.bytes(protected)?;
            e.writer_mut().extend_from_slice(unprotected);
            e.bytes(signature)?;
        }
        e.ok()
    }))
}

fn read_signatures<'b>(d: &mut Decoder<'b>) -> Result<Vec<Signature<'b>>, Malformed> {
    let mut signatures = Vec::new();
    let length = d.array()?;
    while cbor::more(d, length, signatures.len())? {
        signatures.push(cbor::tuple(d, 3, "a COSE_Signature of three elements", |d| {
            let Buckets { protected, unprotected, protected_bytes } = Buckets::read(d)?;
            Ok(Signature { protected, unprotected, protected_bytes, signature: d.bytes()? })
        })?);
    }
    if signatures.is_empty() {
        return Err(Malformed::Expected("one signature or more"));
    }
    Ok(signatures)
}

/// ```cddl
/// Sig_structure = [ "Signature", body_protected : bstr, sign_protected : bstr,
///                   external_aad : bstr, payload : bstr ]
/// ```
fn to_be_signed<'a>(
    body: &'a [u8],
    sign: &'a [u8],
    aad: &'a [u8],
    payload: &'a [u8],
) -> Structure<'a> {
    Structure::new("Signature", &[body, sign, aad, payload])
}
