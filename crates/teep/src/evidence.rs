//! A glance into an attestation payload before anybody has appraised it.
//!
//! A TAM needs the nonce to find the exchange, and, for a stranger, the key that the Evidence
//! claims, to verify the message that carries it. Nothing of this is proven; the appraisal checks
//! both again.

use std::borrow::Cow;

use cose::Key;
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::limits;
use crate::malformed::Malformed;
use crate::wire;

/// What an attestation payload claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// eat_nonce, if it is one byte string.
    pub nonce: Option<Vec<u8>>,
    /// The COSE_Key in cnf.
    pub key: Option<Key>,
    /// eat_profile, if it is a URI.
    pub profile: Option<String>,
}

/// Looks into an EAT, signed or not, tagged or not, alone or inside a CMW record or collection.
///
/// Finds nothing in other formats.
pub fn peek(payload: &[u8]) -> Claimed {
    let mut claimed = Claimed::default();
    if cose::cbor::check(payload, limits::ATTACHMENT).is_ok() {
        let _ = look(payload, DEPTH, &mut claimed);
    }
    claimed
}

fn look(item: &[u8], depth: u8, claimed: &mut Claimed) -> Result<(), Malformed> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let mut d = Decoder::new(item);
    let kind = d.datatype()?;
    if kind == Type::Tag {
        d.tag()?;
        look(wire::raw(&mut d)?, depth, claimed)
    } else if matches!(kind, Type::Bytes | Type::BytesIndef) {
        inside(&wire::bytes(&mut d, "a byte string")?, depth, claimed)
    } else if matches!(kind, Type::Array | Type::ArrayIndef) {
        let elements = wire::array(&mut d, "an array", COSE_SIGN1_ELEMENTS, wire::raw)?;
        match elements[..] {
            // COSE_Sign1
            [_, _, payload, _] => look(payload, depth, claimed),
            // CMW record
            [_, value] | [_, value, _] => look(value, depth, claimed),
            _ => Ok(()),
        }
    } else if matches!(kind, Type::Map | Type::MapIndef) {
        wire::map(&mut d, "a map", limits::COMPONENTS, |d| entry(d, depth, claimed))
    } else {
        Ok(())
    }
}

/// An entry of a CMW collection, or a claim.
fn entry(d: &mut Decoder<'_>, depth: u8, claimed: &mut Claimed) -> Result<(), Malformed> {
    if matches!(d.datatype()?, Type::String | Type::StringIndef) {
        d.skip()?;
        return look(wire::raw(d)?, depth, claimed);
    }
    let label = wire::label(d)?;
    let value = wire::raw(d)?;
    if let Some(label) = label {
        claim(label, value, claimed);
    }
    Ok(())
}

/// Looks into the content of a byte string, if that is CBOR.
fn inside(content: &[u8], depth: u8, claimed: &mut Claimed) -> Result<(), Malformed> {
    match cose::cbor::check(content, limits::ATTACHMENT) {
        Ok(()) => look(content, depth, claimed),
        Err(_) => Ok(()),
    }
}

/// Takes a claim, unless an earlier one of the same kind was taken.
fn claim(label: i64, value: &[u8], claimed: &mut Claimed) {
    let mut d = Decoder::new(value);
    match label {
        EAT_NONCE if claimed.nonce.is_none() => {
            claimed.nonce = wire::bytes(&mut d, "eat_nonce").ok().map(Cow::into_owned);
        }
        CNF if claimed.key.is_none() => {
            let _ = wire::map(&mut d, "cnf", limits::OPTIONS, |d| {
                let label = wire::label(d)?;
                let value = wire::raw(d)?;
                if label == Some(CNF_COSE_KEY) {
                    claimed.key = Key::decode(value).ok();
                }
                Ok(())
            });
        }
        EAT_PROFILE if claimed.profile.is_none() => {
            claimed.profile = wire::text(&mut d, "eat_profile").ok().map(Cow::into_owned);
        }
        _ => {}
    }
}

/// How deep EATs and CMWs may be nested in each other.
const DEPTH: u8 = 8;
const COSE_SIGN1_ELEMENTS: usize = 4;
/// cnf (RFC 8747 section 3.1).
const CNF: i64 = 8;
/// COSE_Key in cnf (RFC 8747 section 3.2).
const CNF_COSE_KEY: i64 = 1;
/// eat_nonce (RFC 9711 section 4.1).
const EAT_NONCE: i64 = 10;
/// eat_profile (RFC 9711 section 4.3.2).
const EAT_PROFILE: i64 = 265;
