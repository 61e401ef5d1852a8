//! Reports that can be believed: COSE_Sign1 around a SUIT_Report (suit-report section 7).

use cose::{Accept, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, Thumbprint};

use super::Report;
use crate::authentication::convert;
use crate::error::{Error, Malformed};

/// A report with the key that answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The report.
    pub report: Report,
    /// The thumbprint of the key that signed.
    pub signer: Thumbprint,
}

//= suit 13.97 (M): Protected report verifies with its own key and not with the TEEP key. P 4.2
/// Signs a report with the key of the report generator.
pub fn protect(report: &Report, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    let payload = report.encode();
    cose::sign1(signer, Header::default(), Header::default(), &[], Payload::Attached(&payload))
}

//= suit 13.99 (M): Policy "authenticated only": no bare report leaves. R 8
/// Opens a protected report; a bare one is malformed here.
pub fn unprotect(bytes: &[u8], key: &Key, accept: &Accept) -> Result<Protected, Error> {
    let sign1 = Sign1::decode(bytes, Tagging::Either).map_err(Malformed::from)?;
    if sign1.payload.is_none() {
        return Err(Malformed::Absent("the report in its signature").into());
    }
    let payload = sign1.verify(key, accept, &[]).map_err(|error| convert(&error))?;
    Ok(Protected { report: Report::decode(payload.get())?, signer: key.thumbprint() })
}
