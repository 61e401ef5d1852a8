//! Certificates on P-256, made when a test runs.

use cose::{Algorithm, Key, Signer as _};
use keys::SigningKey;

/// Gives certificates.
pub(crate) struct Authority {
    key: SigningKey,
}

/// From when to when a certificate holds: UTCTime.
pub(crate) type Validity = [&'static [u8]; 2];

pub(crate) const VALID: Validity = [b"200101000000Z", b"491231235959Z"];
pub(crate) const EXPIRED: Validity = [b"200101000000Z", b"200131000000Z"];
pub(crate) const EARLY: Validity = [b"490101000000Z", b"491231235959Z"];

impl Authority {
    pub(crate) fn new() -> Self {
        Self { key: SigningKey::generate(Algorithm::Esp256).unwrap() }
    }

    /// Its own certificate, DER.
    pub(crate) fn anchor(&self) -> Vec<u8> {
        let is_authority = extension(&[0x55, 0x1d, 0x13], &seq(&[&der(0x01, &[0xff])]));
        self.certificate(self.key.key(), "root", VALID, &is_authority)
    }

    /// A certificate for who signs messages with this key, DER.
    pub(crate) fn certify(&self, key: &Key, validity: Validity) -> Vec<u8> {
        let signs = extension(&[0x55, 0x1d, 0x0f], &der(0x03, &[7, 0x80]));
        self.certificate(key, "signer", validity, &signs)
    }

    pub(crate) fn certificate(
        &self,
        subject: &Key,
        name: &str,
        [from, to]: Validity,
        extension: &[u8],
    ) -> Vec<u8> {
        let version = der(0xa0, &der(0x02, &[2]));
        let algorithm = seq(&[&der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
        let signed = seq(&[
            &version,
            &der(0x02, &[1]),
            &algorithm,
            &distinguished("root"),
            &seq(&[&der(0x17, from), &der(0x17, to)]),
            &distinguished(name),
            &public(subject),
            &der(0xa3, &seq(&[extension])),
        ]);
        let raw = self.key.sign(&signed).unwrap();
        let (r, s) = raw.split_at(32);
        seq(&[&signed, &algorithm, &bits(&seq(&[&integer(r), &integer(s)]))])
    }
}

fn public(key: &Key) -> Vec<u8> {
    let ec = der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    let p256 = der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    seq(&[&seq(&[&ec, &p256]), &bits(&key.sec1())])
}

fn distinguished(name: &str) -> Vec<u8> {
    let common_name = seq(&[&der(0x06, &[0x55, 0x04, 0x03]), &der(0x0c, name.as_bytes())]);
    seq(&[&der(0x31, &common_name)])
}

pub(crate) fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&der(0x06, id), &der(0x04, value)])
}

fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let mut bytes = big_endian[zeros..].to_vec();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

fn bits(content: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0], content].concat())
}

pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}
