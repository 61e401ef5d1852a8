//! X.509 as the vendor writes it (RFC 5280): certificates and revocation lists, P-256 and SHA-256,
//! extensions in the vendor's order.

use jiff::Timestamp;

use crate::key::{SigningKey, spki};
use crate::x509::{
    BASIC_CONSTRAINTS, CERT_SIGN_CRL_SIGN, CRL_DISTRIBUTION_POINTS, KEY_USAGE, SUBJECT_KEY_ID,
    Window, authority_key_id, extension, key_id, list_extensions, name, revoked,
};
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
    /// What names the key.
    pub(crate) fn key_id(&self) -> [u8; 20] {
        key_id(&self.point)
    }

    fn name(&self) -> Vec<u8> {
        name(self.common_name)
    }
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
            &authority_key_id(&self.issuer.key_id()),
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
        let to_be_signed = der::sequence(&[
            &der::number(1),
            &algorithm(),
            &self.issuer.name(),
            &der::time(self.window.from)?,
            &der::time(self.window.to)?,
            &revoked(self.revoked)?,
            &list_extensions(self.number, &self.issuer.key_id()),
        ]);
        signed(&to_be_signed, key)
    }
}

fn signed(to_be_signed: &[u8], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let signature = der::bit_string(&key.sign_der(to_be_signed)?);
    Ok(der::sequence(&[to_be_signed, &algorithm(), &signature]))
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(ECDSA_WITH_SHA256)])
}

const DIGITAL_SIGNATURE_NON_REPUDIATION: &[u8] = &[3, 2, 6, 0xc0];

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
