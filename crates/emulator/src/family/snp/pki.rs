//! X.509 as the vendor writes it: RSASSA-PSS with SHA-384 (RFC 4055), and the extensions
//! 1.3.6.1.4.1.3704.1 of a VCEK.

use jiff::Timestamp;

use super::product::{Product, Tcb};
use crate::key::RsaKey;
use crate::x509::{
    BASIC_CONSTRAINTS, CERT_SIGN_CRL_SIGN, KEY_USAGE, SUBJECT_KEY_ID, Window, authority_key_id,
    extension, key_id, list_extensions, name, revoked,
};
use crate::{Error, der};

/// A certificate to be signed.
pub(super) struct Certificate<'a> {
    pub(super) serial: &'a [u8],
    pub(super) subject: &'a str,
    pub(super) issuer: &'a str,
    pub(super) validity: Window,
    /// SubjectPublicKeyInfo.
    pub(super) spki: &'a [u8],
    pub(super) extensions: Vec<u8>,
}

impl Certificate<'_> {
    /// Signs the certificate with the issuer's key.
    pub(super) fn sign(&self, key: &RsaKey) -> Result<Vec<u8>, Error> {
        let validity = [der::time(self.validity.from)?, der::time(self.validity.to)?].concat();
        let to_be_signed = der::sequence(&[
            &der::context(0, &der::number(2)),
            &der::integer(self.serial),
            &algorithm(),
            &name(self.issuer),
            &der::sequence(&[&validity]),
            &name(self.subject),
            self.spki,
            &der::context(3, &der::sequence(&[&self.extensions])),
        ]);
        signed(&to_be_signed, key)
    }
}

/// The extensions of an ARK or ASK.
pub(super) fn authority_extensions(subject: &RsaKey, issuer: &RsaKey, below: u64) -> Vec<u8> {
    let constraints = der::sequence(&[&der::boolean(true), &der::number(below)]);
    let subject = der::octet_string(&key_id(subject.spki()));
    [
        authority_key_id(&key_id(issuer.spki())),
        extension(SUBJECT_KEY_ID, false, &subject),
        extension(BASIC_CONSTRAINTS, true, &constraints),
        extension(KEY_USAGE, true, CERT_SIGN_CRL_SIGN),
    ]
    .concat()
}

/// The extensions of a VCEK: no key usage and no key identifiers, but which chip, and for which
/// security versions.
pub(super) fn vcek_extensions(product: Product, tcb: Tcb, chip_id: &[u8]) -> Vec<u8> {
    let svn = |arcs: &[u8], svn: u8| amd(arcs, &der::number(svn.into()));
    let mut extensions = vec![
        amd(&[1], &der::number(1)),
        amd(&[2], &der::element(IA5_STRING, product.name().as_bytes())),
        svn(&[3, 1], tcb.bootloader),
        svn(&[3, 2], tcb.tee),
        svn(&[3, 3], tcb.snp),
        svn(&[3, 8], tcb.microcode),
    ];
    if product == Product::Turin {
        extensions.push(svn(&[3, 9], tcb.fmc));
    }
    extensions.push(amd(&[4], chip_id));
    extensions.concat()
}

/// A revocation list of an ARK.
pub(super) fn revocation_list(
    issuer: &str,
    key: &RsaKey,
    number: u64,
    window: Window,
    serials: &[([u8; 20], Timestamp)],
) -> Result<Vec<u8>, Error> {
    let to_be_signed = der::sequence(&[
        &der::number(1),
        &algorithm(),
        &name(issuer),
        &der::time(window.from)?,
        &der::time(window.to)?,
        &revoked(serials)?,
        &list_extensions(number, &key_id(key.spki())),
    ]);
    signed(&to_be_signed, key)
}

fn signed(to_be_signed: &[u8], key: &RsaKey) -> Result<Vec<u8>, Error> {
    let signature = der::bit_string(&key.sign_pss(to_be_signed)?);
    Ok(der::sequence(&[to_be_signed, &algorithm(), &signature]))
}

fn algorithm() -> Vec<u8> {
    let null = der::element(0x05, &[]);
    let hash = der::sequence(&[&der::oid(SHA384), &null]);
    let mask = der::sequence(&[&der::oid(MGF1), &hash]);
    let parameters = der::sequence(&[
        &der::context(0, &hash),
        &der::context(1, &mask),
        &der::context(2, &der::number(SALT_BYTES)),
    ]);
    der::sequence(&[&der::oid(RSASSA_PSS), &parameters])
}

fn amd(arcs: &[u8], value: &[u8]) -> Vec<u8> {
    extension(&[AMD, arcs].concat(), false, value)
}

const IA5_STRING: u8 = 0x16;
const SALT_BYTES: u64 = 48;

/// 1.3.6.1.4.1.3704.1
const AMD: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];
/// 1.2.840.113549.1.1.8
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// 1.2.840.113549.1.1.10
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 2.16.840.1.101.3.4.2.2
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
