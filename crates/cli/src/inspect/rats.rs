//! EAT, EAR, CMW, CoRIM and Evidence.

use ::rats::{
    binding::{Binding, BoundQuote},
    cmw::{Cmw, Record},
    corim::Corim,
    ear::Ear,
    eat::{Claims, TaEntry},
};

use super::{
    Keyring, any,
    cbor::{diagnostic, part},
    cose as cose_parts, evidence,
    part::{Part, component},
};

/// A claims set: an EAT, or an EAR by its profile.
pub(super) fn claims(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    if let Ok(ear) = Ear::decode(bytes) {
        return Some(self::ear(&ear));
    }
    let claims = Claims::decode(bytes).ok()?;
    // Any map of integers is a claims set; one without a single claim that is known says nothing.
    if (Claims { other: Default::default(), ..claims.clone() }) == Claims::default() {
        return None;
    }
    Some(Part::group("EAT claims", "", eat(&claims, keys)))
}

fn eat(claims: &Claims, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| Part::new(name, value)));
    };
    put("eat_profile", claims.eat_profile.clone());
    put("eat_nonce", claims.eat_nonce.as_ref().map(|n| super::part::shown(n.as_bytes())));
    put("cnf", claims.cnf.as_ref().map(|cnf| format!("{cnf:?}")));
    put("ueid", claims.ueid.as_ref().map(|ueid| format!("{ueid:?}")));
    put("oemid", claims.oemid.as_ref().map(|oemid| format!("{oemid:?}")));
    put("hwmodel", claims.hwmodel.as_ref().map(|model| String::from_utf8_lossy(model).into()));
    put("hwversion", claims.hwversion.as_ref().map(|version| format!("{version:?}")));
    put("dbgstat", claims.dbgstat.as_ref().map(|status| format!("{status:?}")));
    put("iat", claims.iat.map(|time| time.0.to_string()));
    put("exp", claims.exp.map(|time| time.0.to_string()));
    put("swname", claims.swname.clone());
    put("instance", claims.instance.as_ref().map(|instance| format!("{instance:?}")));
    for receiver in &claims.receivers {
        parts.push(cose_parts::key("receiver", receiver, keys));
    }
    if let Some(session) = &claims.session_keys {
        parts.push(Part::new("tamarack keys", format!("{session:?}")));
    }
    if let Some(manifest) = &claims.manifest {
        parts.push(Part::new("manifest", format!("{manifest:?}")));
    }
    parts.extend(claims.submods.tas().map(|entry| application(entry, keys)));
    for (name, submodule) in claims.submods.other() {
        parts.push(Part::new(format!("submod {name}"), format!("{submodule:?}")));
    }
    for (label, value) in &claims.other {
        parts.push(part(format!("claim {label:?}"), value));
    }
    parts
}

/// What the Agent says of one of its Trusted Applications.
fn application(entry: &TaEntry, keys: &Keyring) -> Part {
    let mut parts = vec![cose_parts::key("service key", &entry.service_key, keys)];
    parts.extend(entry.receivers.iter().map(|key| cose_parts::key("receiver", key, keys)));
    let isolation = entry.instance.isolation.join(", ");
    parts.push(Part::new("instance", format!("{} ({isolation})", entry.instance.kind.name())));
    let manifest = &entry.manifest;
    let name = component(manifest.component_id.iter().map(Vec::as_slice));
    let version = format!("{name}, sequence number {}", manifest.sequence_number);
    parts.push(Part::new("manifest", version));
    parts.push(Part::bytes("manifest digest", &manifest.digest));
    Part::group(format!("submod {}", entry.submod_name()), "", parts)
}

fn ear(ear: &Ear) -> Part {
    let mut parts = vec![
        Part::new("profile", format!("{:?}", ear.profile)),
        Part::new("iat", ear.iat.0.to_string()),
    ];
    parts.extend(ear.exp.map(|time| Part::new("exp", time.0.to_string())));
    let verifier = format!("{}, {}", ear.verifier.developer, ear.verifier.build);
    parts.push(Part::new("verifier", verifier));
    parts.extend(ear.nonce.as_ref().map(|nonce| Part::bytes("nonce", nonce.as_bytes())));
    for (name, appraisal) in ear.appraisals() {
        let mut inside = vec![Part::new("status", format!("{:?}", appraisal.status()))];
        for (claim, value) in appraisal.vector().into_iter().flat_map(|vector| vector.iter()) {
            inside.push(Part::new(format!("{claim:?}"), format!("{value:?}")));
        }
        inside.push(Part::new("policies", appraisal.policies.join(", ")));
        let key = appraisal.confirmed().map(|thumbprint| thumbprint.to_string());
        inside.push(Part::new("cnf", key.unwrap_or_else(|| "none: bound to no key".into())));
        parts.push(Part::group(format!("appraisal of {name}"), "", inside));
    }
    Part::group("EAR", format!("status {:?}", ear.status()), parts)
}

/// A conceptual message wrapper.
pub(super) fn cmw(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    let cmw = Cmw::decode(bytes).ok()?;
    Some(wrapped("CMW", &cmw, keys))
}

fn wrapped(name: &str, cmw: &Cmw, keys: &Keyring) -> Part {
    match cmw {
        Cmw::Record(one) => record(name, one, keys),
        Cmw::Collection(collection) => {
            let entries = collection.entries().iter();
            let inside = entries.map(|(label, cmw)| wrapped(&format!("{label:?}"), cmw, keys));
            Part::group(format!("{name} collection"), "", inside.collect())
        }
        other => Part::new(name, format!("{other:?}")),
    }
}

fn record(name: &str, record: &Record, keys: &Keyring) -> Part {
    let title = format!("{:?}", record.media_type);
    let inside = hardware(&record.value).unwrap_or_else(|| any(&record.value, keys));
    Part::group(name, title, vec![inside])
}

/// A quote with what it is bound to.
fn hardware(bytes: &[u8]) -> Option<Part> {
    let bound = BoundQuote::decode(bytes).ok()?;
    let inside =
        evidence::evidence(&bound.quote).unwrap_or_else(|| Part::bytes("quote", &bound.quote));
    let binding = match Binding::decode(&bound.binding) {
        Ok(binding) => {
            let mut parts = vec![
                Part::bytes("challenge", binding.challenge.as_bytes()),
                Part::new("evidence key", binding.key.thumbprint().to_string()),
            ];
            parts.extend(binding.claims.map(|digest| Part::bytes("digest of the EAT", &digest)));
            parts.push(Part::bytes("user data that follows", &binding.report_data()));
            Part::group("teep-bind-v1", "", parts)
        }
        Err(_) => part("binding", &bound.binding),
    };
    Some(Part::group("quote with its binding", "", vec![inside, binding]))
}

/// Reference values.
pub(super) fn corim(bytes: &[u8]) -> Option<Part> {
    let corim = Corim::decode(bytes).ok()?;
    let mut parts = Vec::new();
    if let Some(validity) = &corim.validity {
        parts.push(Part::new("valid until", validity.not_after.0.to_string()));
    }
    for tag in &corim.tags {
        for triple in &tag.reference_values {
            let measurements = triple.measurements.iter().map(|measurement| {
                let key = measurement.key.as_ref().map(|key| format!("{key:?}"));
                let digests = measurement.digests.iter().map(|digest| hex::encode(&digest.value));
                let digests: Vec<String> = digests.collect();
                Part::new(key.unwrap_or_else(|| "measurement".into()), digests.join(", "))
            });
            let class = &triple.environment.class;
            let environment = [class.vendor.as_deref(), class.model.as_deref()];
            let words: Vec<&str> = environment.into_iter().flatten().collect();
            parts.push(Part::group("reference value", words.join(" "), measurements.collect()));
        }
    }
    Some(Part::group("CoRIM", format!("{:?}", corim.id), parts))
}

/// A claims set that breaks a rule of its claims: shown with the rule.
pub(super) fn refused(bytes: &[u8]) -> Option<Part> {
    let error = Claims::decode(bytes).err()?;
    let labels = cose::cbor::whole(bytes, |d| {
        let mut labels = Vec::new();
        for _ in 0..d.map()?.unwrap_or(0) {
            labels.push(d.i64()?);
            d.skip()?;
        }
        Ok(labels)
    });
    let of_eat = |label: &i64| matches!(label, 8 | 10 | 256..=275);
    if labels.ok()?.iter().filter(|label| of_eat(label)).count() < CLAIMS_MIN {
        return None;
    }
    let parts = vec![part("claims", bytes)];
    Some(Part::group("EAT claims, refused", error.to_string(), parts))
}

/// How many registered claims make a map of integers a claims set.
const CLAIMS_MIN: usize = 2;

/// Anything else that is CBOR.
pub(super) fn unknown(bytes: &[u8]) -> Part {
    Part::new("CBOR", diagnostic(bytes))
}
