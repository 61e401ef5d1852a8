//! The keys that devices were enrolled with. Collateral brings the keys, anchors say which of
//! them count and for which device; a key without an anchor is a stranger's.

use cose::{Curve, Key, Untrusted};
use serde::Deserialize;

use super::{decode_base64url, signed};
use crate::anchor::{Anchor, Device, Vendor};
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::crypto::{PublicKey, sha256};
use crate::value::Value;
use crate::x509::{decode_public_key_pem, der};
use crate::{Anchors, Collateral};

/// Every public key among the collateral: JSON Web Keys (`*.jwk`, `*.jwk.json`) and
/// SubjectPublicKeyInfo in PEM (`*.pem`).
#[derive(Debug)]
pub(crate) struct DeviceKeys(Vec<DeviceKey>);

/// One public key, trusted by nobody yet.
#[derive(Debug)]
pub(crate) struct DeviceKey {
    file: String,
    /// The SubjectPublicKeyInfo, DER.
    pub(crate) spki: Vec<u8>,
    /// The key, when COSE signatures by it are checked as such.
    pub(crate) key: Option<Key>,
    /// How anchors pin it.
    pub(crate) spki_sha256: [u8; 32],
}

/// Whose signature is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enrolment<'a> {
    /// The name of the check.
    pub(crate) check: &'static str,
    /// Whose device it is.
    pub(crate) vendor: Vendor,
    /// What the evidence names its device by.
    pub(crate) names: &'a [Device],
    /// Where trust begins.
    pub(crate) anchors: &'a Anchors,
}

impl DeviceKeys {
    pub(crate) fn read(collateral: &Collateral) -> Self {
        let keys = collateral.files().filter_map(|(file, bytes)| {
            let spki = read_key(file, bytes)?;
            let spki_sha256 = sha256(&spki);
            let key = Key::from_spki(&spki).ok();
            Some(DeviceKey { file: file.to_owned(), spki, key, spki_sha256 })
        });
        Self(keys.collect())
    }

    /// Finds the enrolled key under which `verify` succeeds.
    //= EV-CCA-1, EV-PSA-2: the anchor of this device, and no vendor-wide root
    pub(crate) fn find_signer<'a>(
        &'a self,
        enrolment: &Enrolment<'a>,
        checks: &mut Checks,
        mut verify: impl FnMut(&DeviceKey) -> Result<(), Untrusted>,
    ) -> Result<(&'a Anchor, &'a DeviceKey), Stop> {
        let anchors = enrolment.anchors.for_device(enrolment.vendor, enrolment.names);
        let mut refusal = None;
        for anchor in anchors.iter().copied() {
            let Some(key) = self.0.iter().find(|key| key.spki_sha256 == anchor.spki_sha256.0)
            else {
                continue;
            };
            let check = Check::new(enrolment.check).seen(&key.spki_sha256);
            match verify(key) {
                Ok(()) => {
                    checks.note(check.source(format!("{} in {}", anchor.name, key.file)));
                    return Ok((anchor, key));
                }
                Err(error) => {
                    refusal = refusal.or_else(|| {
                        let remedy = "send the token as the enrolled key of this device signed it";
                        let check = check.source(format!("{}: {error}", anchor.name));
                        Some(check.holds(false, || signed::failure(&error, remedy)))
                    })
                }
            }
        }
        checks.fail(refusal.unwrap_or_else(|| self.no_key(enrolment.check, &anchors)))
    }

    fn no_key(&self, name: &'static str, anchors: &[&Anchor]) -> Check {
        let check = Check::new(name).source("trust anchors");
        let keys = self.0.iter().map(|key| Value::from(&key.spki_sha256)).collect::<Vec<_>>();
        if let (Some(anchor), true) = (anchors.first(), anchors.len() == 1 || keys.is_empty()) {
            let check = check.seen(keys).expected(anchor.spki_sha256);
            return check.holds(false, || {
                Failure::new(
                    Reason::MissingEndorsement,
                    Owner::EndorsementProvider,
                    format!("supply the public key of `{}` as JWK or PEM", anchor.name),
                )
            });
        }
        let check = check.seen(keys).expected("the key of an enrolled device");
        check.holds(false, || {
            Failure::new(
                Reason::UntrustedRoot,
                Owner::PolicyOwner,
                "enrol the device: list its key's SHA-256 and its instance id among the anchors, \
                 after its maker or operator has confirmed both",
            )
        })
    }
}

/// The SHA-256 by which anchors pin the public key in a file, if there is one in it: a JSON Web Key
/// or SubjectPublicKeyInfo in PEM.
#[must_use]
pub fn enrolled_key(file: &str, bytes: &[u8]) -> Option<[u8; 32]> {
    read_key(file, bytes).map(|spki| sha256(&spki))
}

fn read_key(file: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    if file.ends_with(".jwk") || file.ends_with(".jwk.json") {
        return read_jwk(bytes);
    }
    if !file.ends_with(".pem") {
        return None;
    }
    let spki = decode_public_key_pem(bytes).ok()?;
    PublicKey::from_spki(&spki).is_ok().then_some(spki)
}

/// Reads a JSON Web Key (RFC 7517, RFC 7518 sections 6.2 and 6.3); members that no key needs are
/// not looked at.
fn read_jwk(bytes: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(tag = "kty")]
    enum Jwk {
        #[serde(rename = "EC")]
        Point { crv: String, x: String, y: String },
        #[serde(rename = "RSA")]
        Rsa { n: String, e: String },
    }
    let (crv, x, y) = match serde_json::from_slice(bytes).ok()? {
        Jwk::Point { crv, x, y } => (crv, decode_base64url(&x)?, decode_base64url(&y)?),
        Jwk::Rsa { n, e } => {
            let (modulus, exponent) = (decode_base64url(&n)?, decode_base64url(&e)?);
            return Some(rsa_spki(&rsa_public_key(&modulus, &exponent)?));
        }
    };
    let point = [&[4][..], &x, &y].concat();
    match crv.as_str() {
        "P-256" if x.len() == 32 => {
            Key::from_sec1(Curve::P256, &point).ok().map(|key| key.to_spki())
        }
        "P-384" if x.len() == 48 => {
            Key::from_sec1(Curve::P384, &point).ok().map(|key| key.to_spki())
        }
        "P-521" if x.len() == 66 && y.len() == 66 => Some(p521_spki(&point)),
        _ => None,
    }
}

/// The RSAPublicKey (RFC 8017 appendix A.1.1) of a modulus and an exponent of 1 to 4 octets.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let whole = |number: &[u8]| number.first().is_some_and(|&octet| octet != 0);
    if !whole(modulus) || !whole(exponent) || modulus.len() > 1024 || exponent.len() > 4 {
        return None;
    }
    let numbers = [integer(modulus), integer(exponent)].concat();
    Some(element(der::SEQUENCE, &numbers))
}

/// The SubjectPublicKeyInfo of an RSAPublicKey.
pub(crate) fn rsa_spki(public_key: &[u8]) -> Vec<u8> {
    let bits = element(der::BIT_STRING, &[&[0], public_key].concat());
    element(der::SEQUENCE, &[RSA_ALGORITHM, &bits].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|&octet| octet >= 0x80) { &[0] } else { &[] };
    element(der::INTEGER, &[sign, number].concat())
}

/// An element of less than 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

/// The SubjectPublicKeyInfo of an uncompressed point on P-521.
pub(crate) fn p521_spki(point: &[u8]) -> Vec<u8> {
    [P521_PREFIX, point].concat()
}

/// What stands before the point: DER leaves one spelling.
const P521_PREFIX: &[u8] = &[
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05,
    0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];

/// rsaEncryption with NULL parameters, an AlgorithmIdentifier.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    const JWK: &str = r#"{"kty":"EC","crv":"P-256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig"}"#;

    fn keys(name: &str, text: &str) -> usize {
        DeviceKeys::read(&Collateral::from_files([(name, text)])).0.len()
    }

    #[test]
    fn keys_are_read_from_files_of_their_names() {
        assert_eq!(keys("cpak.jwk.json", JWK), 1);
        assert_eq!(keys("cpak.jwk", JWK), 1);
        assert_eq!(keys("expected.json", JWK), 0);
        assert_eq!(keys("cpak.pem", JWK), 0);
    }

    #[test]
    fn a_key_of_modulus_and_exponent_is_the_same_as_in_pem() {
        let modulus = [&[0xc1][..], &[0x55; 255]].concat();
        let public_key = rsa_public_key(&modulus, &[1, 0, 1]).expect("a key");

        let spki = rsa_spki(&public_key);

        assert_eq!(PublicKey::from_spki(&spki), Ok(PublicKey::Rsa(&public_key)));
        assert_eq!(public_key[..9], [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00]);
        assert_eq!(rsa_public_key(&[0, 1], &[1]), None);
        assert_eq!(rsa_public_key(&modulus, &[]), None);
    }

    #[test]
    fn what_is_no_point_of_a_known_curve_is_no_key() {
        for (from, to) in
            [("P-256", "P-384"), ("P-256", "P-521"), ("EC", "RSA"), ("EC", "oct"), ("MKB", "MKA")]
        {
            assert_eq!(keys("cpak.jwk", &JWK.replace(from, to)), 0, "{to}");
        }
    }
}
