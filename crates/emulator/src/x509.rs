//! What certificates and revocation lists of all emulated vendors share (RFC 5280).
//!
//! Common names are those that verifiers look for; the organization says that it is an emulation.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::key::sha256;
use crate::{Error, der};

/// When a certificate or list is valid.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Whether a vendor's lists are as a Verifier wants them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// Made today.
    #[default]
    Recent,
    /// Expired long ago.
    Expired,
}

impl Freshness {
    /// When lists that are made now begin to be valid.
    pub(crate) fn lists_from(self, now: Timestamp) -> Result<Timestamp, Error> {
        match self {
            Self::Recent => Ok(at(now.as_second())),
            Self::Expired => after(now, -EXPIRED_AGE),
        }
    }
}

/// A certificate and what is needed to know without reading it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Issued {
    #[serde(with = "hex")]
    pub(crate) serial: [u8; 20],
    #[serde(with = "hex")]
    pub(crate) der: Vec<u8>,
    from: i64,
    to: i64,
}

impl Issued {
    pub(crate) fn new(serial: [u8; 20], der: Vec<u8>, life: Window) -> Self {
        Self { serial, der, from: life.from.as_second(), to: life.to.as_second() }
    }

    /// The second in which it begins to be valid.
    pub(crate) fn begins(&self) -> i64 {
        self.from
    }

    /// Whether it is to be made anew.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let now = now.as_second();
        now < self.from || now >= self.to - CERTIFICATE_RENEWAL.as_secs()
    }
}

/// A Name.
pub(crate) fn name(common_name: &str) -> Vec<u8> {
    let attribute =
        |oid: &[u8], text: &str| der::set(&der::sequence(&[&der::oid(oid), &der::utf8(text)]));
    let common_name = attribute(COMMON_NAME, common_name);
    der::sequence(&[&common_name, &attribute(ORGANIZATION_NAME, ORGANIZATION)])
}

/// RFC 7093 section 2, method 1: the left 160 bits of SHA-256 of the public key.
pub(crate) fn key_id(public_key: &[u8]) -> [u8; 20] {
    left(&sha256(public_key))
}

/// A positive serial number made of these bytes.
pub(crate) fn serial(parts: &[&[u8]]) -> [u8; 20] {
    let mut serial = left(&sha256(&parts.concat()));
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// An Extension.
pub(crate) fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::boolean(true) } else { Vec::new() };
    der::sequence(&[&der::oid(oid), &critical, &der::octet_string(value)])
}

/// The extension AuthorityKeyIdentifier.
pub(crate) fn authority_key_id(key_id: &[u8; 20]) -> Vec<u8> {
    let key_id = der::context_primitive(0, key_id);
    extension(AUTHORITY_KEY_ID, false, &der::sequence(&[&key_id]))
}

/// Entries of a revocation list for keys that are lost; nothing when there are none.
pub(crate) fn revoked(entries: &[([u8; 20], Timestamp)]) -> Result<Vec<u8>, Error> {
    let mut revoked = Vec::new();
    for (serial, at) in entries {
        let reason = extension(REASON_CODE, false, &der::enumerated(KEY_COMPROMISE));
        let entry = [der::integer(serial), der::time(*at)?, der::sequence(&[&reason])];
        revoked.extend(der::sequence(&[&entry.concat()]));
    }
    Ok(if revoked.is_empty() { revoked } else { der::sequence(&[&revoked]) })
}

/// The extensions of a revocation list.
pub(crate) fn list_extensions(number: u64, issuer: &[u8; 20]) -> Vec<u8> {
    let number = extension(CRL_NUMBER, false, &der::number(number));
    der::context(0, &der::sequence(&[&number, &authority_key_id(issuer)]))
}

/// Adds to a time.
pub(crate) fn after(at: Timestamp, duration: SignedDuration) -> Result<Timestamp, Error> {
    at.checked_add(duration).map_err(|_| Error::Clock)
}

/// A time that was written before; what cannot have been written counts as long ago.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Days as a duration.
pub(crate) const fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

fn left(digest: &[u8; 32]) -> [u8; 20] {
    let mut left = [0; 20];
    left.copy_from_slice(&digest[..20]);
    left
}

/// How long lists live.
pub(crate) const LIST_LIFE: SignedDuration = days(30);
/// How long before their end lists are made anew.
pub(crate) const LIST_RENEWAL: SignedDuration = days(10);
const CERTIFICATE_RENEWAL: SignedDuration = days(60);
const EXPIRED_AGE: SignedDuration = days(400);

const ORGANIZATION: &str = "Tamarack Emulation";
const KEY_COMPROMISE: u8 = 1;
/// keyUsage: keyCertSign, cRLSign.
pub(crate) const CERT_SIGN_CRL_SIGN: &[u8] = &[3, 2, 1, 0x06];

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION_NAME: &[u8] = &[0x55, 4, 10];
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 29, 14];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 29, 15];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
const CRL_NUMBER: &[u8] = &[0x55, 29, 20];
const REASON_CODE: &[u8] = &[0x55, 29, 21];
pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 29, 31];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 29, 35];
