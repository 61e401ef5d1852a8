//! Text: PEM, JSON, hexadecimal digits, and words for people.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::Malformed;
use serde_json::Value;
use verifier::{
    evidence::dcap::tcb::{QeIdentity, TcbInfo},
    time::Rfc3339,
};

use super::{
    Keyring, certificate, explain,
    part::{Part, shown},
};

/// A text that is not evidence by itself.
pub(super) fn document(text: &str, keys: &Keyring) -> Option<Part> {
    let trimmed = text.trim_matches(['\0', '\n', '\r', ' ', '\t']);
    if trimmed.is_empty() || trimmed.contains('\0') {
        return None;
    }
    pem(trimmed, keys)
        .or_else(|| digits(trimmed, keys))
        .or_else(|| json(trimmed))
        .or_else(|| words(text))
}

/// One or more PEM blocks, with or without words around them.
fn pem(text: &str, keys: &Keyring) -> Option<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----")?;
        let (body, after) = body.split_once(&format!("-----END {label}-----"))?;
        parts.push(block(label, body, keys));
        rest = after;
    }
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        count => Some(Part::group("PEM", format!("{count} blocks"), parts)),
    }
}

fn block(label: &str, body: &str, keys: &Keyring) -> Part {
    if label.ends_with("PRIVATE KEY") {
        return private_key(label, body, keys);
    }
    let digits: String = body.split_whitespace().collect();
    let der = STANDARD.decode(digits).ok();
    let inside = der.as_deref().and_then(|der| certificate::der(der, keys));
    inside.unwrap_or_else(|| Part::new(label, format!("{} bytes", der.map_or(0, |d| d.len()))))
}

/// A private key: its public half is told, nothing else.
fn private_key(label: &str, body: &str, keys: &Keyring) -> Part {
    let text = format!("-----BEGIN {label}-----{body}-----END {label}-----");
    let public = keys::SigningKey::from_pem(&text)
        .map(|key| cose::Signer::key(&key).clone())
        .or_else(|_| keys::AgreementKey::from_pem(&text).map(|k| cose::Agreement::key(&k).clone()));
    let parts = public.iter().map(|key| super::cose::key("public key", key, keys)).collect();
    Part::group("private key", "not shown: keep it to yourself", parts)
}

/// Hexadecimal digits: what they stand for.
fn digits(text: &str, keys: &Keyring) -> Option<Part> {
    let packed: String = text.split_whitespace().collect();
    let bytes = hex::decode(packed).ok()?;
    if bytes.len() < DIGITS_BYTES_MIN {
        return None;
    }
    let title = format!("{} bytes", bytes.len());
    let inside = explain(&bytes, keys).unwrap_or_else(|| opaque(&bytes));
    Some(Part::group("hexadecimal digits", title, vec![inside]))
}

fn json(text: &str) -> Option<Part> {
    if let Ok(info) = TcbInfo::decode(text.as_bytes()) {
        let parts = vec![
            Part::bytes("FMSPC", &info.fmspc),
            Part::new("issued", Rfc3339(info.issued).to_string()),
            Part::new("next update", Rfc3339(info.next_update).to_string()),
            Part::new("evaluation data number", info.evaluation.to_string()),
            Part::new("levels", info.levels.len().to_string()),
            Part::new("module identities", info.module_identities.len().to_string()),
        ];
        return Some(Part::group("Intel TCB info", format!("{:?}", info.tee), parts));
    }
    if let Ok(identity) = QeIdentity::decode(text.as_bytes()) {
        let parts = vec![
            Part::bytes("MRSIGNER", &identity.mr_signer),
            Part::new("ISVPRODID", identity.isv_prod_id.to_string()),
            Part::new("issued", Rfc3339(identity.issued).to_string()),
            Part::new("next update", Rfc3339(identity.next_update).to_string()),
            Part::new("evaluation data number", identity.evaluation.to_string()),
            Part::new("levels", identity.levels.len().to_string()),
        ];
        return Some(Part::group("Intel QE identity", format!("{:?}", identity.tee), parts));
    }
    let value: Value = serde_json::from_str(text).ok()?;
    if !(value.is_object() || value.is_array()) {
        return None;
    }
    let members = tree("JSON", &value, 0);
    let has = |names: &[&str]| names.iter().all(|name| value.get(name).is_some());
    let title = if has(&["service_key", "manifest_digest", "address"]) {
        return Some(ticket(&value));
    } else if has(&["kty"]) {
        "JSON Web Key"
    } else if has(&["eat_profile", "submods"]) {
        "EAR"
    } else {
        "JSON"
    };
    Some(Part { name: title.to_owned(), ..members })
}

/// What `tamarack deploy` writes for callers of the service.
fn ticket(value: &Value) -> Part {
    let text = |name: &str| value[name].as_str().unwrap_or("not named").to_owned();
    let key = hex::decode(text("service_key")).ok();
    let key = key.and_then(|encoded| cose::Key::decode(&encoded).ok());
    let parts = vec![
        Part::new("address", text("address")),
        match key {
            Some(key) => super::cose::key("service key", &key, &Keyring::default()),
            None => Part::new("service key", "unreadable"),
        },
        Part::new("manifest digest", text("manifest_digest")),
    ];
    let who = "for callers: whose answers these keys protect";
    Part::group("call ticket", who, parts)
}

/// The members, to a depth at which they are still readable.
fn tree(name: &str, value: &Value, depth: usize) -> Part {
    let children: Vec<Part> = match value {
        Value::Object(members) if depth < DEPTH_MAX => {
            members.iter().map(|(name, one)| tree(name, one, depth + 1)).collect()
        }
        Value::Array(elements)
            if depth < DEPTH_MAX
                && elements.iter().any(|one| one.is_object() || one.is_array()) =>
        {
            let numbered = (1..).zip(elements.iter().take(ELEMENTS_MAX));
            numbered.map(|(number, one)| tree(&format!("{number}"), one, depth + 1)).collect()
        }
        _ => return Part::new(name, short(&scalar(value))),
    };
    let title = match value {
        Value::Array(elements) => format!("{} elements", elements.len()),
        _ => String::new(),
    };
    Part::group(name, title, children)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Words for people, by their first line.
fn words(text: &str) -> Option<Part> {
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    let title = format!("{} lines", text.lines().count());
    let digest = hex::encode(cose::sha256(text.as_bytes()));
    let parts = vec![Part::new("begins", short(first)), Part::new("SHA-256", digest)];
    Some(Part::group("text", title, parts))
}

fn short(text: &str) -> String {
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(CHARS_MAX).collect();
    format!("{head}… ({} bytes)", text.len())
}

/// Bytes of which nothing is known but what can be counted: a payload, a ciphertext, a raw key.
pub(super) fn opaque(bytes: &[u8]) -> Part {
    let mut parts = vec![
        Part::new("begins", shown(&bytes[..bytes.len().min(16)])),
        Part::new(
            "SHA-256",
            format!("{}, as image-digest says it", hex::encode(cose::sha256(bytes))),
        ),
    ];
    // What begins as an object of COSE and does not end as one is damaged rather than foreign.
    let tagged = bytes.first().is_some_and(|first| (0xc0..=0xdb).contains(first));
    if let Err(error) = cose::cbor::check(bytes, super::LIMITS)
        && (tagged
            || !matches!(
                error,
                Malformed::NotWellFormed | Malformed::Truncated | Malformed::Trailing
            ))
    {
        parts.push(Part::new("refused as CBOR", error.to_string()));
    }
    Part::group("opaque bytes", format!("{} bytes", bytes.len()), parts)
}

/// Shorter ones may well be words.
const DIGITS_BYTES_MIN: usize = 32;
const DEPTH_MAX: usize = 3;
const ELEMENTS_MAX: usize = 16;
const CHARS_MAX: usize = 160;
