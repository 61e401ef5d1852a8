//! COSE (RFC 9052): headers, signatures, payload.

use cose::cbor;
use cose::{Accept, ContentType, Header, Key, Sign, Sign1, Tagging, Untrusted, Verified};

use super::{
    Keyring,
    cbor::diagnostic,
    part::{Part, shown},
};

/// The parts of a COSE_Sign1 but its payload. `detached` is the payload when it lies elsewhere.
pub(super) fn sign1(object: &Sign1<'_>, detached: Option<&[u8]>, keys: &Keyring) -> Vec<Part> {
    let check = |key: &Key| match detached {
        Some(payload) => object.verify_detached(key, &Accept::WITH_LEGACY, &[], payload).map(drop_),
        None => object.verify(key, &Accept::WITH_LEGACY, &[]).map(drop_),
    };
    let mut parts = headers(&object.protected, &object.unprotected, keys);
    let embedded = object.unprotected.kccs.as_ref().or(object.protected.kccs.as_ref());
    parts.push(signature(object.kid(), embedded, keys, check));
    parts
}

/// The parts of a COSE_Sign but its payload.
pub(super) fn sign(object: &Sign<'_>, keys: &Keyring) -> Vec<Part> {
    (0..)
        .zip(&object.signatures)
        .map(|(index, one)| {
            let check =
                |key: &Key| object.verify_one(index, key, &Accept::WITH_LEGACY, &[]).map(drop_);
            let mut parts = headers(&one.protected, &one.unprotected, keys);
            parts.push(signature(one.kid(), None, keys, check));
            Part::group(format!("signature {}", index + 1), "", parts)
        })
        .collect()
}

/// Decodes a tagged COSE_Sign1, if it is one.
pub(super) fn as_sign1(bytes: &[u8]) -> Option<Sign1<'_>> {
    Sign1::decode(bytes, Tagging::Either).ok()
}

/// Decodes a tagged COSE_Sign, if it is one.
pub(super) fn as_sign(bytes: &[u8]) -> Option<Sign<'_>> {
    Sign::decode(bytes, Tagging::Tagged).ok()
}

/// A public key.
pub(super) fn key(name: impl Into<String>, key: &Key, keys: &Keyring) -> Part {
    let thumbprint = key.thumbprint();
    let known = keys.name(&thumbprint).map(|name| format!(" = {name}")).unwrap_or_default();
    Part::new(name, format!("{:?}, thumbprint {thumbprint}{known}", key.curve()))
}

/// A COSE_Key that is not public: its kind is told, never its secret.
pub(super) fn secret_key(bytes: &[u8]) -> Option<Part> {
    let labels = cbor::whole(bytes, |d| {
        let mut labels = Vec::new();
        let mut kind = 0;
        for _ in 0..d.map()?.unwrap_or(0) {
            let label = d.i64()?;
            if label == KTY {
                kind = d.i64()?;
            } else {
                d.skip()?;
            }
            labels.push(label);
        }
        Ok((kind, labels))
    });
    let (kind, labels) = labels.ok()?;
    let (name, secret) = match kind {
        1 => ("OKP", D),
        2 => ("EC2", D),
        4 => ("symmetric", K),
        7 => ("AKP", PRIV),
        _ => return None,
    };
    let value = format!("{name}: secret, not shown: keep it to yourself");
    labels.contains(&secret).then(|| Part::new("COSE_Key", value))
}

fn headers(protected: &Header, unprotected: &Header, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    for (bucket, header) in [("protected", protected), ("unprotected", unprotected)] {
        let inside = header_parts(header, keys);
        if !inside.is_empty() {
            parts.push(Part::group(bucket, "", inside));
        }
    }
    parts
}

fn header_parts(header: &Header, keys: &Keyring) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(algorithm) = header.algorithm {
        parts.push(Part::new("alg", format!("{algorithm} ({})", algorithm.id())));
    }
    if !header.critical.is_empty() {
        parts.push(Part::new("crit", format!("{:?}", header.critical)));
    }
    match &header.content_type {
        Some(ContentType::Media(name)) => parts.push(Part::new("content type", name.clone())),
        Some(ContentType::Format(number)) => {
            parts.push(Part::new("content type", number.to_string()));
        }
        None => {}
    }
    if let Some(kid) = &header.kid {
        parts.push(Part::bytes("kid", kid));
    }
    if let Some(signer) = &header.kccs {
        parts.push(key("kccs", signer, keys));
    }
    if !header.x5chain.is_empty() {
        parts.push(Part::new("x5chain", format!("{} certificates", header.x5chain.len())));
    }
    for (label, value) in &header.other {
        parts.push(Part::new(label.to_string(), diagnostic(value)));
    }
    parts
}

fn signature(
    kid: Option<&[u8]>,
    embedded: Option<&Key>,
    keys: &Keyring,
    check: impl Fn(&Key) -> Result<(), Untrusted>,
) -> Part {
    let mut candidates = keys.for_kid(kid);
    candidates.extend(embedded.map(|key| ("the key in its own header", key)));
    for (name, key) in &candidates {
        if check(key).is_ok() {
            return Part::new("signature", format!("verified with {name}"));
        }
    }
    let named = kid.map(|kid| format!(", made by {}", shown(kid))).unwrap_or_default();
    let verdict = match candidates.as_slice() {
        [] => format!("not checked{named}: no key given (--keys DIR)"),
        // The key that it names says no; with others it may merely be somebody else's.
        [(name, key)] => match check(key) {
            Err(error) => format!("NOT verified with {name}: {error}"),
            Ok(()) => format!("verified with {name}"),
        },
        _ => format!("not verified with any of {} keys{named}", candidates.len()),
    };
    Part::new("signature", verdict)
}

fn drop_<T>(_verified: Verified<T>) {}

/// Labels of a COSE_Key: its type, and where each type has its secret.
const KTY: i64 = 1;
const D: i64 = -4;
const K: i64 = -1;
const PRIV: i64 = -2;
