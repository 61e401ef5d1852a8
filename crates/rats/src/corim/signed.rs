//! The signed form of a CoRIM.

use std::collections::BTreeMap;

use cose::{
    Accept, ContentType, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, Verified,
};

use super::{Corim, Validity};
use crate::label::claim;
use crate::map::{Entries, Members, encode_bytes, encode_text, text, time, whole};
use crate::refusal::{Malformed, Refused, Untrusted};
use crate::time::Timestamp;

/// Who signs a CoRIM, and for how long.
///
/// ```cddl
/// corim-meta-map = { 0: { 0: signer-name tstr, ? 1: uri }, ? 1: validity-map }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The name of the signer, for people: keys decide.
    pub signer: String,
    /// How long the signature counts.
    pub validity: Option<Validity>,
}

/// What the reader of a CoRIM expects.
#[derive(Clone, Debug)]
pub struct Expect<'a> {
    /// The providers whose reference values count.
    pub signers: &'a [Key],
    /// The signature algorithms that count.
    pub accept: &'a Accept,
    /// The reader's time.
    pub now: Timestamp,
}

impl Corim {
    /// Signs the manifest.
    ///
    /// ```cddl
    /// signed-corim = #6.18(COSE_Sign1)     ; protected: 1 alg, 3 "application/rim+cbor",
    ///                                      ; 8 bstr .cbor corim-meta-map
    /// ```
    pub fn sign(&self, meta: &Meta, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        cose::sign1(
            signer,
            Header {
                content_type: Some(ContentType::Media(MEDIA_TYPE.to_owned())),
                other: BTreeMap::from([(META, encode_bytes(&meta.encode()))]),
                ..Header::default()
            },
            Header::default(),
            &[],
            Payload::Attached(&self.encode()),
        )
    }

    /// Verifies a signed manifest, its times and its signer, and reads it.
    //= rats 11.29 (M): an expired CoRIM, or one of another signer, is refused
    pub fn verify(signed: &[u8], expect: &Expect<'_>) -> Result<Verified<Self>, Refused> {
        let sign1 = Sign1::decode(signed, Tagging::Either)?;
        match &sign1.protected.content_type {
            Some(ContentType::Media(name)) if name.eq_ignore_ascii_case(MEDIA_TYPE) => {}
            _ => return Err(Malformed::ContentType.into()),
        }
        let other = &sign1.protected.other;
        let (meta, cwt) = (other.get(&META), other.get(&CWT_CLAIMS));
        if meta.is_none() && cwt.is_none() {
            return Err(Malformed::Missing(META.into()).into());
        }
        let verified = crate::eat::verify_any(signed, expect.signers, expect.accept)?;
        if let Some(meta) = meta {
            let meta = whole(meta, |d| Meta::decode(d.bytes()?))?;
            meta.validity.map_or(Ok(()), |validity| validity.check(expect.now))?;
        }
        if let Some(claims) = cwt {
            check_cwt_claims(claims, expect.now)?;
        }
        verified.try_map(|payload| {
            let corim = Self::decode(payload)?;
            corim.validity.map_or(Ok(()), |validity| validity.check(expect.now))?;
            Ok(corim)
        })
    }
}

impl Meta {
    fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check(encoded, cose::cbor::Limits::DEFAULT)?;
        let mut members = Entries::whole(encoded)?;
        let signer = members.require(0, |d| Entries::decode(d)?.require(0, text))?;
        Ok(Self { signer, validity: members.take(1, Validity::decode)? })
    }

    fn encode(&self) -> Vec<u8> {
        let mut signer = Members::default();
        signer.put(0, encode_text(&self.signer));
        let mut members = Members::default();
        members.put(0, signer.encode());
        members.put_some(1, self.validity.as_ref().map(Validity::encode));
        members.encode()
    }
}

/// The times of CWT claims in the header (RFC 9597).
fn check_cwt_claims(claims: &[u8], now: Timestamp) -> Result<(), Refused> {
    let mut members = Entries::whole(claims)?;
    if let Some(exp) = members.take(claim::EXP, |d| time(d, claim::EXP))?
        && exp <= now
    {
        return Err(Untrusted::Expired { exp, now }.into());
    }
    if let Some(iat) = members.take(NOT_BEFORE, |d| time(d, NOT_BEFORE))?
        && iat > now
    {
        return Err(Untrusted::FromTheFuture { iat, now }.into());
    }
    Ok(())
}

const MEDIA_TYPE: &str = "application/rim+cbor";
const META: i64 = 8;
const CWT_CLAIMS: i64 = 15;
const NOT_BEFORE: i64 = 5;
