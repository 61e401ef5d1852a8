//! EAT Attestation Results (draft-ietf-rats-ear): what a Verifier says of an Attester.
//!
//! The model is written and read as CBOR here and as JSON text in [`json`]. What the values mean
//! for a decision is the Relying Party's business.

mod base64url;
pub mod json;
mod token;
mod vector;

use std::collections::BTreeMap;

use cose::{Key, Thumbprint};
use minicbor::decode::Decoder;

pub use token::{Expect, VectorRule};
pub use vector::{Tier, TrustClaim, TrustValue, Vector};

use crate::eat::{Confirmation, Manifest, OemId, Ueid, Version};
use crate::label::{Label, claim};
use crate::map::{
    Entries, Members, bytes, encode, encode_bytes, encode_int, encode_text, list, text, time, whole,
};
use crate::nonce::Nonce;
use crate::refusal::Malformed;
use crate::time::{Lifetime, Timestamp};

/// An attestation result.
///
/// ```cddl
/// EAR = {
///   265: "tag:ietf.org,2026:rats/ear#03", 6: iat int, ? 4: exp int, ? 10: eat_nonce bstr,
///   1004: { 0: developer tstr, 1: build tstr }, ? 1000: tier, ? 1002: raw-evidence bstr,
///   266: { + tstr => EAR-appraisal }, * (int / tstr) => any
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ear {
    /// Which form it has.
    pub profile: Profile,
    /// When the Verifier made it.
    pub iat: Timestamp,
    /// When it ends.
    pub exp: Option<Timestamp>,
    /// The nonce of the one who asked for the result.
    pub nonce: Option<Nonce>,
    /// Who made it.
    pub verifier: VerifierId,
    /// The Evidence that was appraised. It can identify people: it is not added unasked.
    pub raw_evidence: Option<Vec<u8>>,
    submods: BTreeMap<String, Appraisal>,
    /// Members that are not known here, encoded as received.
    pub other: BTreeMap<Label, Vec<u8>>,
}

impl Ear {
    /// A result with its first appraisal: there is at least one.
    pub fn new(
        verifier: VerifierId,
        iat: Timestamp,
        name: impl Into<String>,
        appraisal: Appraisal,
    ) -> Self {
        Self {
            profile: Profile::Current,
            iat,
            exp: None,
            nonce: None,
            verifier,
            raw_evidence: None,
            submods: BTreeMap::from([(name.into(), appraisal)]),
            other: BTreeMap::new(),
        }
    }

    /// Adds the appraisal of another part of the Attester.
    pub fn insert(&mut self, name: impl Into<String>, appraisal: Appraisal) {
        self.submods.insert(name.into(), appraisal);
    }

    /// The appraisals by name, one or more.
    pub fn appraisals(&self) -> &BTreeMap<String, Appraisal> {
        &self.submods
    }

    /// The status of the whole: that of the worst appraisal.
    //= rats 11.20 (M): the top-level status is no better than the worst submodule
    pub fn status(&self) -> Tier {
        self.submods
            .values()
            .map(Appraisal::status)
            .reduce(Tier::worst)
            .expect("there is at least one appraisal")
    }

    /// The times of the result.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime { iat: Some(self.iat), exp: self.exp }
    }

    /// Encodes the claims set in the order of RFC 8949 section 4.2.1.
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(claim::EAT_PROFILE, encode_text(self.profile.uri()));
        members.put(claim::IAT, encode_int(self.iat.0));
        members.put_some(claim::EXP, self.exp.map(|exp| encode_int(exp.0)));
        members.put_some(claim::EAT_NONCE, self.nonce.as_ref().map(Nonce::encode));
        members.put(claim::EAR_VERIFIER_ID, self.verifier.encode());
        if self.profile == Profile::Current {
            members.put(claim::EAR_STATUS, encode_int(self.status().code()));
        }
        members.put_some(claim::EAR_RAW_EVIDENCE, self.raw_evidence.as_deref().map(encode_bytes));
        let mut submods = Members::default();
        for (name, appraisal) in &self.submods {
            submods.put(name.as_str(), appraisal.encode(self.profile));
        }
        members.put(claim::SUBMODS, submods.encode());
        members.put_rest(&self.other);
        members.encode()
    }

    /// Reads a claims set: the current profile, or the legacy one, which it is then flagged as.
    //= rats 11.23 (M): the legacy profile is accepted and flagged
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_preferred(encoded, cose::cbor::Limits::DEFAULT)?;
        let mut members = Entries::whole(encoded)?;
        let profile = members.require(claim::EAT_PROFILE, |d| Profile::from_uri(d.str()?))?;
        let status = members.take(claim::EAR_STATUS, |d| Tier::from_code(d.i64()?))?;
        let ear = Self {
            profile,
            iat: members.require(claim::IAT, |d| time(d, claim::IAT))?,
            exp: members.take(claim::EXP, |d| time(d, claim::EXP))?,
            nonce: members.take(claim::EAT_NONCE, Nonce::decode)?,
            verifier: members.require(claim::EAR_VERIFIER_ID, VerifierId::decode)?,
            raw_evidence: members.take(claim::EAR_RAW_EVIDENCE, bytes)?,
            submods: members.require(claim::SUBMODS, |d| decode_submods(d, profile))?,
            other: members.rest(),
        };
        ear.admits(status)?;
        Ok(ear)
    }

    /// Refuses a stated status that is better than the appraisals allow.
    fn admits(&self, status: Option<Tier>) -> Result<(), Malformed> {
        match status {
            Some(status) if status.exceeds(self.status()) => Err(Malformed::StatusTooGood),
            _ => Ok(()),
        }
    }
}

/// Which form of EAR a result has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// draft-ietf-rats-ear.
    Current,
    /// The form of draft-fv-rats-ear that Veraison made common.
    Legacy,
}

impl Profile {
    /// The value of the profile claim.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Current => "tag:ietf.org,2026:rats/ear#03",
            Self::Legacy => "tag:github.com,2023:veraison/ear",
        }
    }

    /// Reads the profile claim, which is compared exactly.
    //= rats 11.13 (M): the profile claim is compared exactly
    pub fn from_uri(uri: &str) -> Result<Self, Malformed> {
        [Self::Current, Self::Legacy]
            .into_iter()
            .find(|profile| profile.uri() == uri)
            .ok_or(Malformed::Profile)
    }
}

/// Who made a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierId {
    /// Who makes the Verifier.
    pub developer: String,
    /// Which build it is.
    pub build: String,
}

impl VerifierId {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        Ok(Self { developer: members.require(0, text)?, build: members.require(1, text)? })
    }

    fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(0, encode_text(&self.developer));
        members.put(1, encode_text(&self.build));
        members.encode()
    }
}

/// The appraisal of one part of an Attester.
///
/// ```cddl
/// EAR-appraisal = {
///   ? 265: profile tstr, 1000: tier, ? 1001: trustworthiness-vector, ? 1003: [ + tstr ],
///   ? 10: eat_nonce bstr, ? 8: cnf, ? 65000: ear-teep-claims, ? -70002: { "akpub" => bstr },
///   * (int / tstr) => any
/// }                                    ; 1003 is one tstr in the legacy form
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// The profile of the Evidence that was appraised.
    pub profile: Option<String>,
    status: Tier,
    vector: Option<Vector>,
    /// The policies that were applied, in their order.
    pub policies: Vec<String>,
    /// The nonce that was found in the Evidence.
    pub nonce: Option<Nonce>,
    /// The key of the Attester, as an extension of ours: without it a result is not bound.
    pub cnf: Option<Confirmation>,
    /// The claims that TEEP wants in a result.
    pub teep: Option<TeepClaims>,
    /// The attested key of the legacy form: a SubjectPublicKeyInfo.
    pub akpub: Option<Vec<u8>>,
    /// Members that are not known here, encoded as received.
    pub other: BTreeMap<Label, Vec<u8>>,
}

impl Appraisal {
    /// An appraisal with the status that its vector allows. An empty vector is left out.
    //= rats 11.20 (M): a status is no better than the worst claim
    pub fn new(vector: Vector) -> Self {
        let status = vector.status();
        Self::of(status, (!vector.is_empty()).then_some(vector))
    }

    fn of(status: Tier, vector: Option<Vector>) -> Self {
        Self {
            profile: None,
            status,
            vector,
            policies: Vec::new(),
            nonce: None,
            cnf: None,
            teep: None,
            akpub: None,
            other: BTreeMap::new(),
        }
    }

    /// The status.
    pub fn status(&self) -> Tier {
        self.status
    }

    /// Makes the status worse than the vector alone asks for; it never gets better.
    pub fn degrade(&mut self, tier: Tier) {
        self.status = self.status.worst(tier);
    }

    /// The trustworthiness vector, unless it was waived.
    pub fn vector(&self) -> Option<&Vector> {
        self.vector.as_ref()
    }

    /// The thumbprint of the key that the result is about. A result without one is not bound to
    /// anybody, and a thumbprint of an unreadable key is none.
    pub fn confirmed(&self) -> Option<Thumbprint> {
        if let Some(cnf) = &self.cnf {
            return Some(cnf.thumbprint());
        }
        let key = Key::from_spki(self.akpub.as_deref()?).ok()?;
        Some(key.thumbprint())
    }

    fn encode(&self, profile: Profile) -> Vec<u8> {
        let mut members = Members::default();
        members.put_some(claim::EAT_PROFILE, self.profile.as_deref().map(encode_text));
        members.put(claim::EAR_STATUS, encode_int(self.status.code()));
        members.put_some(claim::EAR_VECTOR, self.vector.as_ref().map(Vector::encode));
        members.put_some(claim::EAR_POLICY_IDS, self.encode_policies(profile));
        members.put_some(claim::EAT_NONCE, self.nonce.as_ref().map(Nonce::encode));
        members.put_some(claim::CNF, self.cnf.as_ref().map(Confirmation::encode));
        members.put_some(claim::EAR_TEEP_CLAIMS, self.teep.as_ref().map(TeepClaims::encode));
        members.put_some(claim::LEGACY_KEY_ATTESTATION, self.akpub.as_deref().map(encode_akpub));
        members.put_rest(&self.other);
        members.encode()
    }

    fn encode_policies(&self, profile: Profile) -> Option<Vec<u8>> {
        let first = self.policies.first()?;
        Some(match profile {
            Profile::Legacy => encode_text(first),
            Profile::Current => encode(|e| {
                e.array(self.policies.len() as u64)?;
                self.policies.iter().try_for_each(|id| e.str(id)?.ok())
            }),
        })
    }

    fn decode(d: &mut Decoder<'_>, profile: Profile) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let status = members.require(claim::EAR_STATUS, |d| Tier::from_code(d.i64()?))?;
        let vector = members.take(claim::EAR_VECTOR, Vector::decode)?;
        let mut appraisal = Self::of(status, vector);
        appraisal.profile = members.take(claim::EAT_PROFILE, text)?;
        appraisal.policies = members
            .take(claim::EAR_POLICY_IDS, |d| decode_policies(d, profile))?
            .unwrap_or_default();
        appraisal.nonce = members.take(claim::EAT_NONCE, Nonce::decode)?;
        appraisal.cnf = members.take(claim::CNF, Confirmation::decode)?;
        appraisal.teep = members.take(claim::EAR_TEEP_CLAIMS, TeepClaims::decode)?;
        appraisal.akpub = members.take(claim::LEGACY_KEY_ATTESTATION, decode_akpub)?;
        appraisal.other = members.rest();
        appraisal.coherent()
    }

    /// Refuses a status that is better than the vector allows.
    fn coherent(self) -> Result<Self, Malformed> {
        match &self.vector {
            Some(vector) if self.status.exceeds(vector.status()) => Err(Malformed::StatusTooGood),
            _ => Ok(self),
        }
    }
}

/// The TEEP extension of an appraisal.
///
/// ```cddl
/// ear-teep-claims = { ? 10: nonce, ? 256: ueid, ? 258: oemid, ? 259: hwmodel, ? 260: hwversion,
///                     ? 272: manifests }                    ; one or more
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of the claims")]
pub struct TeepClaims {
    pub nonce: Option<Nonce>,
    pub ueid: Option<Ueid>,
    pub oemid: Option<OemId>,
    pub hwmodel: Option<Vec<u8>>,
    pub hwversion: Option<Version>,
    pub manifests: Vec<Manifest>,
}

impl TeepClaims {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let claims = Self {
            nonce: members.take(claim::EAT_NONCE, Nonce::decode)?,
            ueid: members.take(claim::UEID, Ueid::decode)?,
            oemid: members.take(claim::OEMID, OemId::decode)?,
            hwmodel: members.take(claim::HWMODEL, bytes)?,
            hwversion: members.take(claim::HWVERSION, Version::decode)?,
            manifests: members.take(claim::MANIFESTS, Manifest::decode_list)?.unwrap_or_default(),
        };
        members.finish()?;
        claims.not_empty()
    }

    fn not_empty(self) -> Result<Self, Malformed> {
        if self == Self::default() {
            return Err(Malformed::Value(claim::EAR_TEEP_CLAIMS.into()));
        }
        Ok(self)
    }

    fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put_some(claim::EAT_NONCE, self.nonce.as_ref().map(Nonce::encode));
        members.put_some(claim::UEID, self.ueid.as_ref().map(Ueid::encode));
        members.put_some(claim::OEMID, self.oemid.as_ref().map(OemId::encode));
        members.put_some(claim::HWMODEL, self.hwmodel.as_deref().map(encode_bytes));
        members.put_some(claim::HWVERSION, self.hwversion.as_ref().map(Version::encode));
        members.put_some(claim::MANIFESTS, Manifest::encode_list(&self.manifests));
        members.encode()
    }
}

fn decode_submods(
    d: &mut Decoder<'_>,
    profile: Profile,
) -> Result<BTreeMap<String, Appraisal>, Malformed> {
    let mut submods = BTreeMap::new();
    for (name, encoded) in Entries::decode(d)?.rest() {
        let Label::Text(name) = name else {
            return Err(Malformed::Value(claim::SUBMODS.into()));
        };
        submods.insert(name, whole(&encoded, |d| Appraisal::decode(d, profile))?);
    }
    if submods.is_empty() { Err(Malformed::Value(claim::SUBMODS.into())) } else { Ok(submods) }
}

fn decode_policies(d: &mut Decoder<'_>, profile: Profile) -> Result<Vec<String>, Malformed> {
    match profile {
        Profile::Current => list(d, "one policy identifier or more", text),
        Profile::Legacy => Ok(vec![text(d)?]),
    }
}

fn encode_akpub(spki: &[u8]) -> Vec<u8> {
    let mut members = Members::default();
    members.put(AKPUB, encode_bytes(spki));
    members.encode()
}

/// Bytes, or (as one implementation writes) their base64url text.
fn decode_akpub(d: &mut Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    Entries::decode(d)?.require(AKPUB, |d| match d.datatype()? {
        minicbor::data::Type::String => base64url::decode(d.str()?),
        _ => bytes(d),
    })
}

const AKPUB: &str = "akpub";

#[cfg(test)]
mod tests;
