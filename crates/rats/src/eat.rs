//! Entity Attestation Tokens (RFC 9711) as CWTs: the claims, their encoding and their signature.
//!
//! One claims type serves Evidence, TEEP-profile results and submodules. Which claims must be
//! there is the business of the profile ([`crate::result`]) or of the appraisal, not of this
//! module.

mod cnf;
mod identity;
mod manifests;
mod private;
mod sealed;
mod submods;

use std::collections::BTreeMap;

use cose::{Accept, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, Verified};
use minicbor::decode::Decoder;

pub use cnf::Confirmation;
pub use identity::{DebugStatus, IntendedUse, OemId, Ueid, Version};
pub use manifests::{Dloa, Manifest, MeasurementResult, MeasurementResults, ResultId};
pub use private::{ImageId, Instance, InstanceType, ManifestId, SessionKeys, TaEntry, VENDOR_ID};
pub use sealed::{decrypt, encrypt};
pub use submods::{Submod, Submods};

pub(crate) use cnf::key as cose_key;

use crate::label::{Label, claim};
use crate::map::{
    Entries, Members, bytes, encode, encode_bytes, encode_int, encode_text, encode_uint, text, time,
};
use crate::nonce::Nonce;
use crate::refusal::{Malformed, Refused, Untrusted};
use crate::time::{Lifetime, Timestamp};

/// A claims set. An absent claim says nothing; it has no default.
///
/// ```cddl
/// Claims-Set = {
///   ? 4: exp int, ? 6: iat int, ? 8: cnf, ? 10: eat_nonce bstr .size (8..64),
///   ? 256: ueid, ? 257: { + tstr => ueid }, ? 258: oemid, ? 259: hwmodel bstr .size (1..32),
///   ? 260: hwversion, ? 261: uptime uint, ? 262: oemboot bool, ? 263: dbgstat 0..4,
///   ? 264: location map, ? 265: eat_profile tstr, ? 266: submods, ? 267: bootcount uint,
///   ? 268: bootseed bstr, ? 269: dloas, ? 270: swname tstr, ? 271: swversion,
///   ? 272: manifests, ? 273: measurements, ? 274: measres, ? 275: intuse 1..5,
///   ? -75801: session-keys, ? -75802: receivers, ? -75803: instance, ? -75804: manifest,
///   * (int / tstr) => any
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of the claims and the table above")]
pub struct Claims {
    pub exp: Option<Timestamp>,
    pub iat: Option<Timestamp>,
    pub cnf: Option<Confirmation>,
    pub eat_nonce: Option<Nonce>,
    pub ueid: Option<Ueid>,
    pub sueids: BTreeMap<String, Ueid>,
    pub oemid: Option<OemId>,
    pub hwmodel: Option<Vec<u8>>,
    pub hwversion: Option<Version>,
    pub uptime: Option<u64>,
    pub oemboot: Option<bool>,
    pub dbgstat: Option<DebugStatus>,
    /// Encoded, and never read here: a place is not appraised.
    pub location: Option<Vec<u8>>,
    pub eat_profile: Option<String>,
    pub submods: Submods,
    pub bootcount: Option<u64>,
    pub bootseed: Option<Vec<u8>>,
    pub dloas: Vec<Dloa>,
    pub swname: Option<String>,
    pub swversion: Option<Version>,
    pub manifests: Vec<Manifest>,
    pub measurements: Vec<Manifest>,
    pub measres: Vec<MeasurementResults>,
    pub intuse: Option<IntendedUse>,
    pub session_keys: Option<SessionKeys>,
    pub receivers: Vec<Key>,
    pub instance: Option<Instance>,
    pub manifest: Option<ManifestId>,
    /// Claims that are not known here, encoded as received.
    pub other: BTreeMap<Label, Vec<u8>>,
}

impl Claims {
    /// Encodes the set in the order of RFC 8949 section 4.2.1, without a tag.
    //= rats 11.4 (M): the encoder emits neither indefinite lengths nor tags
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        self.encode_token(&mut members);
        self.encode_device(&mut members);
        self.encode_software(&mut members);
        members.put_rest(&self.other);
        members.encode()
    }

    /// Reads a set in the serialization of the TEEP profile: definite lengths, shortest heads,
    /// no key twice, any order.
    //= rats 11.5 (R): integers that are not in preferred serialization are refused
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_preferred(bytes, cose::cbor::Limits::DEFAULT)?;
        Self::decode_members(bytes)
    }

    /// The times of the token.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime { iat: self.iat, exp: self.exp }
    }

    /// Reads a set whose serialization was checked from outside.
    //= rats 11.14 (M): unknown claims are ignored
    pub(crate) fn decode_members(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut claims = Self::default();
        let mut entries = Entries::whole(bytes)?;
        claims.decode_token(&mut entries)?;
        claims.decode_device(&mut entries)?;
        claims.decode_software(&mut entries)?;
        claims.other = entries.rest();
        Ok(claims)
    }

    fn decode_token(&mut self, entries: &mut Entries<'_>) -> Result<(), Malformed> {
        self.exp = entries.take(claim::EXP, |d| time(d, claim::EXP))?;
        self.iat = entries.take(claim::IAT, |d| time(d, claim::IAT))?;
        self.cnf = entries.take(claim::CNF, Confirmation::decode)?;
        self.eat_nonce = entries.take(claim::EAT_NONCE, Nonce::decode)?;
        self.eat_profile = entries.take(claim::EAT_PROFILE, text)?;
        self.submods = entries.take(claim::SUBMODS, Submods::decode)?.unwrap_or_default();
        self.intuse = entries.take(claim::INTUSE, IntendedUse::decode)?;
        self.session_keys = entries.take(claim::SESSION_KEYS, SessionKeys::decode)?;
        self.receivers = entries.take(claim::RECEIVERS, private::receivers)?.unwrap_or_default();
        self.instance = entries.take(claim::INSTANCE, Instance::decode)?;
        self.manifest = entries.take(claim::MANIFEST, ManifestId::decode)?;
        Ok(())
    }

    fn decode_device(&mut self, entries: &mut Entries<'_>) -> Result<(), Malformed> {
        self.ueid = entries.take(claim::UEID, Ueid::decode)?;
        self.sueids = entries.take(claim::SUEIDS, decode_sueids)?.unwrap_or_default();
        self.oemid = entries.take(claim::OEMID, OemId::decode)?;
        self.hwmodel = entries.take(claim::HWMODEL, |d| match d.bytes()? {
            model if (1..=32).contains(&model.len()) => Ok(model.to_vec()),
            _ => Err(Malformed::Value(claim::HWMODEL.into())),
        })?;
        self.hwversion = entries.take(claim::HWVERSION, Version::decode)?;
        self.uptime = entries.take(claim::UPTIME, |d| Ok(d.u64()?))?;
        self.oemboot = entries.take(claim::OEMBOOT, |d| Ok(d.bool()?))?;
        self.dbgstat = entries.take(claim::DBGSTAT, DebugStatus::decode)?;
        self.location = entries.take_raw(claim::LOCATION).map(<[u8]>::to_vec);
        self.bootcount = entries.take(claim::BOOTCOUNT, |d| Ok(d.u64()?))?;
        self.bootseed = entries.take(claim::BOOTSEED, bytes)?;
        Ok(())
    }

    fn decode_software(&mut self, entries: &mut Entries<'_>) -> Result<(), Malformed> {
        self.dloas = entries.take(claim::DLOAS, Dloa::decode_list)?.unwrap_or_default();
        self.swname = entries.take(claim::SWNAME, text)?;
        self.swversion = entries.take(claim::SWVERSION, Version::decode)?;
        self.manifests = entries.take(claim::MANIFESTS, Manifest::decode_list)?.unwrap_or_default();
        self.measurements =
            entries.take(claim::MEASUREMENTS, Manifest::decode_list)?.unwrap_or_default();
        self.measres =
            entries.take(claim::MEASRES, MeasurementResults::decode_list)?.unwrap_or_default();
        Ok(())
    }

    fn encode_token(&self, members: &mut Members) {
        members.put_some(claim::EXP, self.exp.map(|time| encode_int(time.0)));
        members.put_some(claim::IAT, self.iat.map(|time| encode_int(time.0)));
        members.put_some(claim::CNF, self.cnf.as_ref().map(Confirmation::encode));
        members.put_some(claim::EAT_NONCE, self.eat_nonce.as_ref().map(Nonce::encode));
        members.put_some(claim::EAT_PROFILE, self.eat_profile.as_deref().map(encode_text));
        members.put_some(claim::SUBMODS, self.submods.encode());
        members.put_some(claim::INTUSE, self.intuse.map(|use_| encode_uint(use_.code().into())));
        members.put_some(claim::SESSION_KEYS, self.session_keys.as_ref().map(SessionKeys::encode));
        members.put_some(claim::RECEIVERS, private::encode_receivers(&self.receivers));
        members.put_some(claim::INSTANCE, self.instance.as_ref().map(Instance::encode));
        members.put_some(claim::MANIFEST, self.manifest.as_ref().map(ManifestId::encode));
    }

    fn encode_device(&self, members: &mut Members) {
        members.put_some(claim::UEID, self.ueid.as_ref().map(Ueid::encode));
        if !self.sueids.is_empty() {
            let mut sueids = Members::default();
            for (name, ueid) in &self.sueids {
                sueids.put(name.as_str(), ueid.encode());
            }
            members.put(claim::SUEIDS, sueids.encode());
        }
        members.put_some(claim::OEMID, self.oemid.as_ref().map(OemId::encode));
        members.put_some(claim::HWMODEL, self.hwmodel.as_deref().map(encode_bytes));
        members.put_some(claim::HWVERSION, self.hwversion.as_ref().map(Version::encode));
        members.put_some(claim::UPTIME, self.uptime.map(encode_uint));
        members.put_some(claim::OEMBOOT, self.oemboot.map(|ok| encode(|e| e.bool(ok)?.ok())));
        members.put_some(claim::DBGSTAT, self.dbgstat.map(|s| encode_uint(s.code().into())));
        members.put_some(claim::LOCATION, self.location.clone());
        members.put_some(claim::BOOTCOUNT, self.bootcount.map(encode_uint));
        members.put_some(claim::BOOTSEED, self.bootseed.as_deref().map(encode_bytes));
    }

    fn encode_software(&self, members: &mut Members) {
        members.put_some(claim::DLOAS, Dloa::encode_list(&self.dloas));
        members.put_some(claim::SWNAME, self.swname.as_deref().map(encode_text));
        members.put_some(claim::SWVERSION, self.swversion.as_ref().map(Version::encode));
        members.put_some(claim::MANIFESTS, Manifest::encode_list(&self.manifests));
        members.put_some(claim::MEASUREMENTS, Manifest::encode_list(&self.measurements));
        members.put_some(claim::MEASRES, MeasurementResults::encode_list(&self.measres));
    }
}

/// The claims of a token together with the signed bytes that they were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The claims.
    pub claims: Claims,
    /// The payload, as received.
    pub payload: Vec<u8>,
}

impl Token {
    /// SHA-256 of the payload: what a binding and a release name the token by.
    pub fn digest(&self) -> [u8; 32] {
        cose::sha256(&self.payload)
    }
}

/// Signs a claims set as a CWT, without tags.
pub fn sign(claims: &Claims, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    sign_payload(&claims.encode(), signer)
}

/// Signs an encoded claims set as a CWT, without tags.
//= rats 11.4 (M): the encoder emits neither indefinite lengths nor tags
pub(crate) fn sign_payload(payload: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    cose::sign1_untagged(
        signer,
        Header::default(),
        Header::default(),
        &[],
        Payload::Attached(payload),
    )
}

/// Verifies a CWT and reads its claims.
pub fn verify(token: &[u8], key: &Key, accept: &Accept) -> Result<Verified<Token>, Refused> {
    verify_payload(token, key, accept)?.try_map(|payload| {
        Ok(Token { claims: Claims::decode(payload)?, payload: payload.to_vec() })
    })
}

/// Reads the claims of a CWT **without** verifying it, only to choose the key to verify it with.
pub fn peek(token: &[u8]) -> Result<Claims, Malformed> {
    let sign1 = Sign1::decode(untagged(token), Tagging::Either)?;
    Claims::decode(sign1.payload.ok_or(Malformed::Expected("an attached payload"))?)
}

pub(crate) fn verify_payload<'b>(
    token: &'b [u8],
    key: &Key,
    accept: &Accept,
) -> Result<Verified<&'b [u8]>, Refused> {
    Ok(Sign1::decode(untagged(token), Tagging::Either)?.verify(key, accept, &[])?)
}

/// Verifies with the one of `keys` that the token names, or with any when it names none.
//= rats 11.9 (M): a token of an unknown signer is refused
pub(crate) fn verify_any<'b>(
    token: &'b [u8],
    keys: &[Key],
    accept: &Accept,
) -> Result<Verified<&'b [u8]>, Refused> {
    let sign1 = Sign1::decode(untagged(token), Tagging::Either)?;
    let kid = sign1.protected.kid.as_deref().or(sign1.unprotected.kid.as_deref());
    let mut refused = Untrusted::UnknownSigner;
    for key in keys.iter().filter(|key| kid.is_none_or(|kid| kid == key.thumbprint().0)) {
        match sign1.verify(key, accept, &[]) {
            Ok(verified) => return Ok(verified),
            Err(error) => refused = error.into(),
        }
    }
    Err(refused.into())
}

/// Takes off the CWT tag (61), which is accepted and means nothing here.
fn untagged(token: &[u8]) -> &[u8] {
    token.strip_prefix(CWT_TAG).unwrap_or(token)
}

fn decode_sueids(d: &mut Decoder<'_>) -> Result<BTreeMap<String, Ueid>, Malformed> {
    let count = match d.map()? {
        Some(count) if count > 0 => count,
        _ => return Err(Malformed::Value(claim::SUEIDS.into())),
    };
    (0..count).map(|_| Ok((text(d)?, Ueid::decode(d)?))).collect()
}

const CWT_TAG: &[u8] = &[0xd8, 0x3d];

#[cfg(test)]
mod tests;
