//! X.509 as the vendor writes it (RFC 5280): certificates and revocation lists, P-256 and SHA-256,
//! extensions in the vendor's order.
//!
//! Common names are those that verifiers look for; the organization says that it is an emulation.

use jiff::Timestamp;

use crate::key::{SigningKey, sha256, spki};
use crate::{Error, der};

/// Who a certificate or list is about or from.
#[derive(Clone, Copy)]
pub(crate) struct Party {
    /// The common name.
    pub(crate) common_name: &'static str,
    /// The public key.
    pub(crate) point: [u8; 65],
}

impl Party {
    /// RFC 7093 section 2, method 1: the left 160 bits of SHA-256 of the public key.
    pub(crate) fn key_id(&self) -> [u8; 20] {
        left(&sha256(&self.point))
    }

    fn name(&self) -> Vec<u8> {
        let attribute =
            |oid: &[u8], text: &str| der::set(&der::sequence(&[&der::oid(oid), &der::utf8(text)]));
        let common_name = attribute(COMMON_NAME, self.common_name);
        der::sequence(&[&common_name, &attribute(ORGANIZATION_NAME, ORGANIZATION)])
    }
}

/// When a certificate or list is valid.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// What a certified key may do.
#[derive(Clone, Copy)]
pub(crate) enum Usage {
    /// Sign certificates and lists, with this many authorities below.
    Authority { path_length: u64 },
    /// Sign anything else.
    EndEntity,
}

/// A certificate to be signed.
pub(crate) struct Certificate<'a> {
    pub(crate) serial: [u8; 20],
    pub(crate) subject: Party,
    pub(crate) issuer: Party,
    pub(crate) validity: Window,
    pub(crate) usage: Usage,
    pub(crate) crl_uri: &'a str,
    /// One more extension, not critical: arcs of its identifier, and value.
    pub(crate) extra: Option<(&'a [u8], &'a [u8])>,
}

impl Certificate<'_> {
    /// Signs the certificate with the issuer's key.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, Error> {
        let validity = [der::time(self.validity.from)?, der::time(self.validity.to)?].concat();
        let to_be_signed = der::sequence(&[
            &der::context(0, &der::number(2)),
            &der::integer(&self.serial),
            &algorithm(),
            &self.issuer.name(),
            &der::sequence(&[&validity]),
            &self.subject.name(),
            &spki(&self.subject.point),
            &der::context(3, &self.extensions()),
        ]);
        signed(&to_be_signed, key)
    }

    fn extensions(&self) -> Vec<u8> {
        let uri = der::context_primitive(6, self.crl_uri.as_bytes());
        let point = der::sequence(&[&der::context(0, &der::context(0, &uri))]);
        let (usage, constraints) = match self.usage {
            Usage::Authority { path_length } => (
                CERT_SIGN_CRL_SIGN,
                der::sequence(&[&der::boolean(true), &der::number(path_length)]),
            ),
            Usage::EndEntity => (DIGITAL_SIGNATURE_NON_REPUDIATION, der::sequence(&[])),
        };
        let extra = self.extra.map(|(oid, value)| extension(oid, false, value));
        der::sequence(&[
            &authority_key_id(&self.issuer),
            &extension(CRL_DISTRIBUTION_POINTS, false, &der::sequence(&[&point])),
            &extension(SUBJECT_KEY_ID, false, &der::octet_string(&self.subject.key_id())),
            &extension(KEY_USAGE, true, usage),
            &extension(BASIC_CONSTRAINTS, true, &constraints),
            &extra.unwrap_or_default(),
        ])
    }
}

/// A revocation list to be signed.
pub(crate) struct RevocationList<'a> {
    pub(crate) issuer: Party,
    pub(crate) number: u64,
    pub(crate) window: Window,
    /// Serial numbers, and when they were revoked.
    pub(crate) revoked: &'a [([u8; 20], Timestamp)],
}

impl RevocationList<'_> {
    /// Signs the list with the issuer's key.
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, Error> {
        let mut entries = Vec::new();
        for (serial, at) in self.revoked {
            let reason = extension(REASON_CODE, false, &der::enumerated(KEY_COMPROMISE));
            let entry = [der::integer(serial), der::time(*at)?, der::sequence(&[&reason])];
            entries.extend(der::sequence(&[&entry.concat()]));
        }
        let entries = if entries.is_empty() { entries } else { der::sequence(&[&entries]) };
        let number = extension(CRL_NUMBER, false, &der::number(self.number));
        let to_be_signed = der::sequence(&[
            &der::number(1),
            &algorithm(),
            &self.issuer.name(),
            &der::time(self.window.from)?,
            &der::time(self.window.to)?,
            &entries,
            &der::context(0, &der::sequence(&[&number, &authority_key_id(&self.issuer)])),
        ]);
        signed(&to_be_signed, key)
    }
}

/// A positive serial number made of these bytes.
pub(crate) fn serial(parts: &[&[u8]]) -> [u8; 20] {
    let mut serial = left(&sha256(&parts.concat()));
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

fn signed(to_be_signed: &[u8], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let signature = der::bit_string(&key.sign_der(to_be_signed)?);
    Ok(der::sequence(&[to_be_signed, &algorithm(), &signature]))
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(ECDSA_WITH_SHA256)])
}

fn authority_key_id(issuer: &Party) -> Vec<u8> {
    let key_id = der::context_primitive(0, &issuer.key_id());
    extension(AUTHORITY_KEY_ID, false, &der::sequence(&[&key_id]))
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::boolean(true) } else { Vec::new() };
    der::sequence(&[&der::oid(oid), &critical, &der::octet_string(value)])
}

fn left(digest: &[u8; 32]) -> [u8; 20] {
    let mut left = [0; 20];
    left.copy_from_slice(&digest[..20]);
    left
}

const ORGANIZATION: &str = "Tamarack Emulation";
const KEY_COMPROMISE: u8 = 1;
const CERT_SIGN_CRL_SIGN: &[u8] = &[3, 2, 1, 0x06];
const DIGITAL_SIGNATURE_NON_REPUDIATION: &[u8] = &[3, 2, 6, 0xc0];

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION_NAME: &[u8] = &[0x55, 4, 10];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 29, 14];
const KEY_USAGE: &[u8] = &[0x55, 29, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
const CRL_NUMBER: &[u8] = &[0x55, 29, 20];
const REASON_CODE: &[u8] = &[0x55, 29, 21];
const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 29, 31];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 29, 35];
