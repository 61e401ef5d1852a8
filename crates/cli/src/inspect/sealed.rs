//! COSE objects that are encrypted or authenticated: headers and recipients, never the content.

use cose::{Tagging, cbor, encrypt::Encrypt, encrypt::Encrypt0, mac::Mac, mac::Mac0};

use super::{
    Keyring, any,
    cbor::diagnostic,
    part::{Part, shown},
};

/// COSE_Encrypt, COSE_Encrypt0, COSE_Mac and COSE_Mac0 with their tags.
pub(super) fn sealed(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    let (name, shape) = if Encrypt::decode(bytes, Tagging::Tagged).is_ok() {
        ("COSE_Encrypt", Shape { authenticated: false, recipients: true })
    } else if Encrypt0::decode(bytes, Tagging::Tagged).is_ok() {
        ("COSE_Encrypt0", Shape { authenticated: false, recipients: false })
    } else if Mac::decode(bytes, Tagging::Tagged).is_ok() {
        ("COSE_Mac", Shape { authenticated: true, recipients: true })
    } else if Mac0::decode(bytes, Tagging::Tagged).is_ok() {
        ("COSE_Mac0", Shape { authenticated: true, recipients: false })
    } else {
        return None;
    };
    let parts = cbor::whole(bytes, |d| {
        d.tag()?;
        shape.read(d, keys)
    });
    Some(Part::group(name, "", parts.ok()?))
}

/// What follows the headers.
struct Shape {
    /// A readable payload and a tag, in place of a ciphertext.
    authenticated: bool,
    recipients: bool,
}

impl Shape {
    fn read(
        &self,
        d: &mut cbor::Decoder<'_>,
        keys: &Keyring,
    ) -> Result<Vec<Part>, cbor::Malformed> {
        d.array()?;
        let mut parts = headers(d)?;
        let content = bytes_or_nil(d)?;
        if self.authenticated {
            parts.push(match content {
                Some(payload) => Part::group("payload", "", vec![any(payload, keys)]),
                None => Part::new("payload", "detached"),
            });
            let tag = d.bytes()?;
            parts.push(Part::new("tag", format!("{}: not checked: needs its key", shown(tag))));
        } else {
            parts.push(ciphertext(content));
        }
        if self.recipients {
            for number in 1..=d.array()?.unwrap_or(0) {
                d.array()?;
                let mut inside = headers(d)?;
                inside.push(match bytes_or_nil(d)? {
                    Some(key) if !key.is_empty() => Part::bytes("wrapped key", key),
                    Some(_) | None => Part::new("wrapped key", "none: agreed directly"),
                });
                parts.push(Part::group(format!("recipient {number}"), "", inside));
            }
        }
        Ok(parts)
    }
}

fn ciphertext(content: Option<&[u8]>) -> Part {
    match content {
        Some(ciphertext) => Part::new(
            "ciphertext",
            format!("{}: only a receiver's key opens it", shown(ciphertext)),
        ),
        None => Part::new("ciphertext", "detached"),
    }
}

fn headers(d: &mut cbor::Decoder<'_>) -> Result<Vec<Part>, cbor::Malformed> {
    let protected = d.bytes()?;
    let unprotected = cbor::item(d)?;
    let mut parts = Vec::new();
    if !protected.is_empty() {
        parts.push(Part::new("protected", named(protected)));
    }
    if unprotected != EMPTY_MAP {
        parts.push(Part::new("unprotected", named(unprotected)));
    }
    Ok(parts)
}

/// A header map in diagnostic notation, its algorithm by name.
fn named(map: &[u8]) -> String {
    let text = diagnostic(map);
    match algorithm(map).and_then(algorithm_name) {
        Some(name) => format!("{text}, alg {name}"),
        None => text,
    }
}

/// The `alg` parameter of a well-formed header map.
fn algorithm(map: &[u8]) -> Option<i64> {
    let mut d = cbor::Decoder::new(map);
    for _ in 0..d.map().ok()?? {
        if d.probe().i64().is_ok_and(|label| label == ALG) {
            d.skip().ok()?;
            return d.i64().ok();
        }
        d.skip().ok()?;
        d.skip().ok()?;
    }
    None
}

const fn algorithm_name(id: i64) -> Option<&'static str> {
    Some(match id {
        -65534 => "A128CTR",
        -65533 => "A192CTR",
        -65532 => "A256CTR",
        -29 => "ECDH-ES + A128KW",
        -5 => "A256KW",
        -4 => "A192KW",
        -3 => "A128KW",
        1 => "A128GCM",
        2 => "A192GCM",
        3 => "A256GCM",
        5 => "HMAC 256/256",
        24 => "ChaCha20/Poly1305",
        _ => return None,
    })
}

fn bytes_or_nil<'b>(d: &mut cbor::Decoder<'b>) -> Result<Option<&'b [u8]>, cbor::Malformed> {
    if d.datatype()? == cbor::Type::Null {
        d.null()?;
        return Ok(None);
    }
    Ok(Some(d.bytes()?))
}

const ALG: i64 = 1;
const EMPTY_MAP: &[u8] = &[0xa0];
