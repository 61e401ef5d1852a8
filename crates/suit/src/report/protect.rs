//! Reports that can be believed (suit-report section 7, teep-protocol section 8.2).
//!
//! Authentication is outside: a COSE_Sign1, or a COSE_Mac0 between those who share a secret. The
//! report inside may be encrypted, as a COSE_Encrypt for its receivers or as a COSE_Encrypt0 for
//! those who share a key.

use cose::encrypt::{self, ContentKey, Encrypt, Encrypt0, Integrity, Opener, Recipient};
use cose::mac::Mac0;
use cose::{Accept, Header, Key, KeyUnusable, Payload, Secret, Sign1, Signer, Tagging, Thumbprint};

use super::Report;
use crate::authentication::convert;
use crate::cbor::{Kind, Reader};
use crate::error::{Error, Malformed, Unsupported, Untrusted};

/// A report with the key that answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The report.
    pub report: Report,
    /// The thumbprint of the key that signed.
    pub signer: Thumbprint,
}

/// What opens an encrypted report.
#[derive(Clone, Copy)]
pub enum Opening<'a> {
    /// Nothing: the report has to be readable.
    Readable,
    /// The key of a receiver of a COSE_Encrypt.
    Receiver(Opener<'a>),
    /// The shared key of a COSE_Encrypt0.
    Shared(&'a Secret),
}

//= suit 13.97 (M): Protected report verifies with its own key and not with the TEEP key. P 4.2
/// Signs a report with the key of the report generator.
pub fn protect(report: &Report, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    sign(&report.encode(), signer)
}

/// Encrypts a report for its receivers and signs the ciphertext.
pub fn protect_for(
    report: &Report,
    signer: &dyn Signer,
    content_key: ContentKey,
    receivers: &[Recipient<'_>],
) -> Result<Vec<u8>, KeyUnusable> {
    let report = report.encode();
    let purpose = encrypt::other::SUIT_REPORT;
    let payload = Payload::Attached(&report);
    let sealed = encrypt::encrypt(content_key, receivers, purpose, &[], payload)?;
    sign(&sealed.object, signer)
}

/// Authenticates a report by a shared secret of 32 bytes.
pub fn protect_mac(report: &Report, secret: &Secret) -> Result<Vec<u8>, KeyUnusable> {
    let payload = report.encode();
    let header = Header::default;
    cose::mac::mac0(secret, header(), header(), &[], Payload::Attached(&payload))
}

/// Opens a signed report that is not encrypted.
pub fn unprotect(bytes: &[u8], key: &Key, accept: &Accept) -> Result<Protected, Error> {
    unprotect_with(bytes, key, accept, &Opening::Readable)
}

//= suit 13.99 (M): Policy "authenticated only": no bare report leaves. R 8
/// Opens a signed report, encrypted or not; a bare one is malformed here.
pub fn unprotect_with(
    bytes: &[u8],
    key: &Key,
    accept: &Accept,
    opening: &Opening<'_>,
) -> Result<Protected, Error> {
    let sign1 = Sign1::decode(bytes, Tagging::Either).map_err(Malformed::from)?;
    let payload = sign1.verify(key, accept, &[]).map_err(|error| convert(&error))?;
    Ok(Protected { report: open(payload.get(), opening)?, signer: key.thumbprint() })
}

/// Opens a report that a shared secret authenticates.
pub fn unprotect_mac(
    bytes: &[u8],
    secret: &Secret,
    opening: &Opening<'_>,
) -> Result<Report, Error> {
    let mac0 = Mac0::decode(bytes, Tagging::Either).map_err(Malformed::from)?;
    let payload = mac0.verify(secret, &[]).map_err(|error| convert(&error))?;
    open(payload, opening)
}

fn sign(payload: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    cose::sign1(signer, Header::default(), Header::default(), &[], Payload::Attached(payload))
}

/// SUIT_Report_Unprotected: a report, or an encrypted one. The outer signature or MAC has been
/// checked, so a cipher without integrity is acceptable.
fn open(payload: &[u8], opening: &Opening<'_>) -> Result<Report, Error> {
    let mut reader = Reader::trusted(payload);
    if reader.kind()? != Kind::Tag {
        return Report::decode(payload);
    }
    let tag = reader.tag()?;
    let opened = match (tag, opening) {
        (TAG_ENCRYPT, Opening::Receiver(opener)) => {
            let object = Encrypt::decode(payload, Tagging::Tagged).map_err(Malformed::from)?;
            let purpose = encrypt::other::SUIT_REPORT;
            object.decrypt(opener, purpose, Integrity::Elsewhere, &[])
        }
        (TAG_ENCRYPT0, Opening::Shared(key)) => {
            let object = Encrypt0::decode(payload, Tagging::Tagged).map_err(Malformed::from)?;
            object.decrypt(key, Integrity::Elsewhere, &[])
        }
        (TAG_ENCRYPT | TAG_ENCRYPT0, _) => return Err(Untrusted::Payload.into()),
        (other, _) => return Err(Unsupported::AuthenticationKind(other).into()),
    };
    Report::decode(opened.map_err(|_| Untrusted::Payload)?.expose())
}

const TAG_ENCRYPT0: u64 = 16;
const TAG_ENCRYPT: u64 = 96;
