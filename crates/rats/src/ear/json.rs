//! The JSON form of EAR: the same model under the names of the draft.
//!
//! Members that the model does not know have no counterpart in CBOR and are ignored. A key is
//! named by its thumbprint (`cnf` with `kid`). Text is not protected: whoever needs protection
//! verifies the CWT.

mod value;

use std::collections::BTreeMap;

use cose::Thumbprint;
use value::Value;

use crate::ear::base64url;
use crate::ear::{
    Appraisal, Ear, Profile, TeepClaims, Tier, TrustClaim, TrustValue, Vector, VerifierId,
};
use crate::eat::{Confirmation, Manifest, OemId, Ueid, Version};
use crate::label::Label;
use crate::nonce::Nonce;
use crate::refusal::Malformed;
use crate::time::Timestamp;

impl Ear {
    /// Writes JSON text under the names of the result's profile.
    //= rats 11.22 (M): a result makes the round trip in CBOR and JSON
    pub fn to_json(&self) -> String {
        let names = Names::of(self.profile);
        let mut members = Object::default();
        members.text("eat_profile", self.profile.uri());
        members.put("iat", Value::Int(self.iat.0));
        members.put_some("exp", self.exp.map(|exp| Value::Int(exp.0)));
        members.put_some("eat_nonce", self.nonce.as_ref().map(|n| binary(n.as_bytes())));
        let mut verifier = Object::default();
        verifier.text("developer", &self.verifier.developer);
        verifier.text("build", &self.verifier.build);
        members.put(names.verifier_id, verifier.done());
        if self.profile == Profile::Current {
            members.text(names.status, self.status().name());
        }
        members.put_some(names.raw_evidence, self.raw_evidence.as_deref().map(binary));
        let submods = self
            .appraisals()
            .iter()
            .map(|(name, appraisal)| (name.clone(), write_appraisal(appraisal, names)))
            .collect();
        members.put("submods", Value::Object(submods));
        let mut out = String::new();
        members.done().write(&mut out);
        out
    }

    /// Reads JSON text: the current profile, or the legacy one with its older names.
    //= rats 11.22 (M): a result makes the round trip in CBOR and JSON
    //= rats 11.23 (M): the legacy profile is accepted and flagged
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        let mut members = Object::read(Value::parse(text)?)?;
        let profile = Profile::from_uri(&members.require("eat_profile", as_text)?)?;
        let names = Names::of(profile);
        let status = members.take(names.status, as_tier)?;
        let mut verifier = Object::read(members.require(names.verifier_id, Ok)?)?;
        let ear = Self {
            profile,
            iat: members.require("iat", |value| as_time(value, "iat"))?,
            exp: members.take("exp", |value| as_time(value, "exp"))?,
            nonce: members.take("eat_nonce", as_nonce)?,
            verifier: VerifierId {
                developer: verifier.require("developer", as_text)?,
                build: verifier.require("build", as_text)?,
            },
            raw_evidence: members.take(names.raw_evidence, as_binary)?,
            submods: members.require("submods", |value| read_submods(value, names))?,
            other: BTreeMap::new(),
        };
        ear.admits(status)?;
        Ok(ear)
    }
}

/// The member names of a profile: underscores, or dots in the oldest form.
#[derive(Clone, Copy)]
struct Names {
    verifier_id: &'static str,
    status: &'static str,
    raw_evidence: &'static str,
    vector: &'static str,
    policies: &'static str,
    teep_claims: &'static str,
    key_attestation: &'static str,
    profile: Profile,
}

impl Names {
    const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Current => Self {
                verifier_id: "ear_verifier_id",
                status: "ear_status",
                raw_evidence: "ear_raw_evidence",
                vector: "ear_trustworthiness_vector",
                policies: "ear_appraisal_policy_ids",
                teep_claims: "ear_teep_claims",
                key_attestation: "ear_veraison_key_attestation",
                profile,
            },
            Profile::Legacy => Self {
                verifier_id: "ear.verifier-id",
                status: "ear.status",
                raw_evidence: "ear.raw-evidence",
                vector: "ear.trustworthiness-vector",
                policies: "ear.appraisal-policy-id",
                teep_claims: "ear.teep-claims",
                key_attestation: "ear.veraison.key-attestation",
                profile,
            },
        }
    }
}

fn write_appraisal(appraisal: &Appraisal, names: Names) -> Value {
    let mut members = Object::default();
    members.put_some("eat_profile", appraisal.profile.clone().map(Value::Text));
    members.text(names.status, appraisal.status().name());
    members.put_some(
        names.vector,
        appraisal.vector().map(|vector| {
            let entry = |(claim, value): (TrustClaim, TrustValue)| {
                (claim.name().to_owned(), Value::Int(value.0.into()))
            };
            Value::Object(vector.iter().map(entry).collect())
        }),
    );
    let policies: Vec<_> = appraisal.policies.iter().cloned().map(Value::Text).collect();
    members.put_some(
        names.policies,
        match names.profile {
            Profile::Current => (!policies.is_empty()).then_some(Value::Array(policies)),
            Profile::Legacy => policies.into_iter().next(),
        },
    );
    members.put_some("eat_nonce", appraisal.nonce.as_ref().map(|n| binary(n.as_bytes())));
    members.put_some(
        "cnf",
        appraisal.cnf.as_ref().map(|cnf| {
            let mut members = Object::default();
            members.put("kid", binary(&cnf.thumbprint().0));
            members.done()
        }),
    );
    members.put_some(names.teep_claims, appraisal.teep.as_ref().map(write_teep));
    members.put_some(
        names.key_attestation,
        appraisal.akpub.as_deref().map(|spki| {
            let mut members = Object::default();
            members.put("akpub", binary(spki));
            members.done()
        }),
    );
    members.done()
}

fn read_submods(value: Value, names: Names) -> Result<BTreeMap<String, Appraisal>, Malformed> {
    let Object(members) = Object::read(value)?;
    if members.is_empty() {
        return Err(Malformed::Value("submods".into()));
    }
    members.into_iter().map(|(name, value)| Ok((name, read_appraisal(value, names)?))).collect()
}

fn read_appraisal(value: Value, names: Names) -> Result<Appraisal, Malformed> {
    let mut members = Object::read(value)?;
    let status = members.require(names.status, as_tier)?;
    let vector = members.take(names.vector, read_vector)?;
    let mut appraisal = Appraisal::of(status, vector);
    appraisal.profile = members.take("eat_profile", as_text)?;
    appraisal.policies = members
        .take(names.policies, |value| match (value, names.profile) {
            (Value::Array(ids), Profile::Current) if !ids.is_empty() => {
                ids.into_iter().map(as_text).collect()
            }
            (Value::Text(id), Profile::Legacy) => Ok(vec![id]),
            _ => Err(Malformed::Value(names.policies.into())),
        })?
        .unwrap_or_default();
    appraisal.nonce = members.take("eat_nonce", as_nonce)?;
    appraisal.cnf = members.take("cnf", |value| {
        let kid = Object::read(value)?.require("kid", as_binary)?;
        let kid = kid.try_into().map_err(|_| Malformed::Value("cnf".into()))?;
        Ok(Confirmation::Kid(Thumbprint(kid)))
    })?;
    appraisal.teep = members.take(names.teep_claims, read_teep)?;
    appraisal.akpub = members
        .take(names.key_attestation, |value| Object::read(value)?.require("akpub", as_binary))?;
    appraisal.coherent()
}

fn read_vector(value: Value) -> Result<Vector, Malformed> {
    let Object(members) = Object::read(value)?;
    let mut vector = Vector::default();
    for (name, value) in members {
        let known = TrustClaim::ALL.into_iter().find(|claim| claim.name() == name);
        match (known, value) {
            (Some(claim), Value::Int(value)) => {
                let value = i8::try_from(value).map_err(|_| Malformed::Value(Label::Text(name)))?;
                vector.record(claim, TrustValue(value));
            }
            _ => return Err(Malformed::Value(Label::Text(name))),
        }
    }
    if vector.is_empty() {
        Err(Malformed::Expected("a vector of one claim or more"))
    } else {
        Ok(vector)
    }
}

fn write_teep(claims: &TeepClaims) -> Value {
    let mut members = Object::default();
    members.put_some("eat_nonce", claims.nonce.as_ref().map(|n| binary(n.as_bytes())));
    members.put_some("ueid", claims.ueid.as_ref().map(|ueid| binary(ueid.as_bytes())));
    members.put_some(
        "oemid",
        claims.oemid.as_ref().map(|oemid| match oemid {
            OemId::Random(bytes) => binary(bytes),
            OemId::Ieee(bytes) => binary(bytes),
            OemId::Pen(number) => Value::Int(i64::from(*number)),
        }),
    );
    members.put_some("hwmodel", claims.hwmodel.as_deref().map(binary));
    members.put_some(
        "hwversion",
        claims.hwversion.as_ref().map(|version| {
            let mut parts = vec![Value::Text(version.version.clone())];
            parts.extend(version.scheme.clone().map(|scheme| match scheme {
                Label::Int(number) => Value::Int(number),
                Label::Text(name) => Value::Text(name),
            }));
            Value::Array(parts)
        }),
    );
    let manifests = claims.manifests.iter().map(|manifest| {
        Value::Array(vec![Value::Int(manifest.content_format.into()), binary(&manifest.content)])
    });
    members.put_some(
        "manifests",
        (!claims.manifests.is_empty()).then(|| Value::Array(manifests.collect())),
    );
    members.done()
}

fn read_teep(value: Value) -> Result<TeepClaims, Malformed> {
    let mut members = Object::read(value)?;
    let claims = TeepClaims {
        nonce: members.take("eat_nonce", as_nonce)?,
        ueid: members.take("ueid", |value| Ueid::received(&as_binary(value)?))?,
        oemid: members.take("oemid", read_oemid)?,
        hwmodel: members.take("hwmodel", as_binary)?,
        hwversion: members.take("hwversion", read_version)?,
        manifests: members.take("manifests", read_manifests)?.unwrap_or_default(),
    };
    claims.not_empty()
}

fn read_oemid(value: Value) -> Result<OemId, Malformed> {
    let refused = Malformed::Value("oemid".into());
    if let Value::Int(number) = value {
        return Ok(OemId::Pen(u32::try_from(number).map_err(|_| refused)?));
    }
    let bytes = as_binary(value)?;
    if let Ok(random) = bytes.as_slice().try_into() {
        return Ok(OemId::Random(random));
    }
    Ok(OemId::Ieee(bytes.try_into().map_err(|_| refused)?))
}

fn read_version(value: Value) -> Result<Version, Malformed> {
    let Value::Array(parts) = value else { return Err(Malformed::Value("hwversion".into())) };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Value::Text(version)), None, _) => Ok(Version { version, scheme: None }),
        (Some(Value::Text(version)), Some(Value::Int(number)), None) => {
            Ok(Version { version, scheme: Some(Label::Int(number)) })
        }
        (Some(Value::Text(version)), Some(Value::Text(name)), None) => {
            Ok(Version { version, scheme: Some(Label::Text(name)) })
        }
        _ => Err(Malformed::Value("hwversion".into())),
    }
}

fn read_manifests(value: Value) -> Result<Vec<Manifest>, Malformed> {
    let refused = || Malformed::Value("manifests".into());
    let Value::Array(manifests) = value else { return Err(refused()) };
    manifests
        .into_iter()
        .map(|value| {
            let Value::Array(parts) = value else { return Err(refused()) };
            let Ok([Value::Int(format), content]) = <[Value; 2]>::try_from(parts) else {
                return Err(refused());
            };
            let content_format = u16::try_from(format).map_err(|_| refused())?;
            Ok(Manifest { content_format, content: as_binary(content)? })
        })
        .collect()
}

/// The members of an object, to be written or to be taken out one by one.
#[derive(Default)]
struct Object(BTreeMap<String, Value>);

impl Object {
    fn read(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Malformed::Expected("a JSON object")),
        }
    }

    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn put_some(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.put(name, Value::Text(value.to_owned()));
    }

    fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        self.0.remove(name).map(read).transpose()
    }

    fn require<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.take(name, read)?.ok_or(Malformed::Missing(name.into()))
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn binary(bytes: &[u8]) -> Value {
    Value::Text(base64url::encode(bytes))
}

fn as_text(value: Value) -> Result<String, Malformed> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Malformed::Expected("a JSON string")),
    }
}

fn as_binary(value: Value) -> Result<Vec<u8>, Malformed> {
    base64url::decode(&as_text(value)?)
}

fn as_nonce(value: Value) -> Result<Nonce, Malformed> {
    Nonce::new(as_binary(value).map_err(|_| Malformed::Nonce)?)
}

/// The name of a tier, or its number as some implementations write it.
fn as_tier(value: Value) -> Result<Tier, Malformed> {
    match value {
        Value::Text(name) => Tier::from_name(&name),
        Value::Int(code) => Tier::from_code(code),
        _ => Err(Malformed::Expected("a trustworthiness tier")),
    }
}

//= rats 11.10 (M): a floating-point time is refused
fn as_time(value: Value, name: &str) -> Result<Timestamp, Malformed> {
    match value {
        Value::Int(seconds) => Ok(Timestamp(seconds)),
        Value::Number(_) => Err(Malformed::FloatTime(name.into())),
        _ => Err(Malformed::Expected("a time in whole seconds")),
    }
}
