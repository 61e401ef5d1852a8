//! SUIT reports inside TEEP messages: what binds them to the exchange.
//!
//! What a report says is `suit`'s business, and whose report key signed it the shell's.

use cose::{Sign1, Tagging};
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::confidential::{Receiver, is_encrypted};
use crate::envelope::Signer;
use crate::misbehaved::Misbehaved;
use crate::token::Token;
use crate::wire;

/// A report as far as it concerns TEEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// suit-report-nonce.
    pub nonce: Option<Vec<u8>>,
    /// How the report is protected.
    pub protection: ReportProtection,
    /// Whether it is encrypted inside its signature; then the nonce is known to its receiver alone.
    pub encrypted: bool,
}

/// How a report is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportProtection {
    /// By the TEEP message alone.
    None,
    /// By a signature.
    Sign1 {
        /// The algorithm.
        algorithm: Option<i64>,
        /// The key as the signature names it.
        kid: Option<Vec<u8>>,
    },
    /// By a MAC, an encryption or something else.
    Other,
}

/// Reads a report: bare, or in COSE_Sign1 with or without tag.
pub fn read(bytes: &[u8]) -> Option<Wrapped> {
    read_with(bytes, None)
}

/// Reads a report, and with the key that it is encrypted to also what is inside.
pub fn read_with(bytes: &[u8], receiver: Option<&Receiver>) -> Option<Wrapped> {
    let d = Decoder::new(bytes);
    if d.datatype().ok()? == Type::Map {
        let protection = ReportProtection::None;
        return Some(Wrapped { nonce: nonce(bytes)?, protection, encrypted: false });
    }
    let sign1 = Sign1::decode(bytes, Tagging::Either).ok()?;
    let kid = sign1.protected.kid.as_ref().or(sign1.unprotected.kid.as_ref()).cloned();
    let algorithm = sign1.protected.algorithm.map(cose::Algorithm::id);
    let protection = ReportProtection::Sign1 { algorithm, kid };
    let payload = sign1.payload?;
    let encrypted = is_encrypted(payload);
    let nonce = match receiver {
        Some(receiver) if encrypted => nonce(receiver.report(payload).ok()?.expose())?,
        None if encrypted => None,
        Some(_) | None => nonce(payload)?,
    };
    Some(Wrapped { nonce, protection, encrypted })
}

/// The nonce of a SUIT_Report map; nothing if it is none.
#[expect(clippy::option_option, reason = "no report and no nonce are two things")]
fn nonce(report: &[u8]) -> Option<Option<Vec<u8>>> {
    cose::cbor::check(report, crate::limits::ATTACHMENT).ok()?;
    let mut nonce = None;
    wire::map(&mut Decoder::new(report), "SUIT_Report", REPORT_MEMBERS, |d| {
        let label = wire::label(d)?;
        let value = wire::raw(d)?;
        if label == Some(SUIT_REPORT_NONCE) {
            nonce = Some(wire::bytes(&mut Decoder::new(value), "suit-report-nonce")?.into_owned());
        }
        Ok(())
    })
    .ok()?;
    Some(nonce)
}

/// Checks that a report belongs to the exchange and has a key of its own.
//= teep 14.14 (M): the key of an embedded report differs from the key of the message
pub(crate) fn check(
    bytes: &[u8],
    token: Option<&Token>,
    signer: &Signer,
    receiver: Option<&Receiver>,
) -> Result<(), Misbehaved> {
    let report = read_with(bytes, receiver).ok_or(Misbehaved::ReportUnreadable)?;
    if report.encrypted && receiver.is_none() {
        return Err(Misbehaved::Undecipherable);
    }
    if let Some(token) = token
        && report.nonce.as_deref() != Some(token.as_bytes())
    {
        return Err(Misbehaved::ReportNonce);
    }
    if has_key_of(bytes, &report, signer) {
        return Err(Misbehaved::ReportKey);
    }
    Ok(())
}

/// Whether the key of the message protects the report, whatever the report calls it.
pub(crate) fn has_key_of(bytes: &[u8], report: &Wrapped, signer: &Signer) -> bool {
    let ReportProtection::Sign1 { kid, .. } = &report.protection else { return false };
    if kid.as_deref() == Some(&signer.thumbprint.0[..]) {
        return true;
    }
    let Ok(sign1) = Sign1::decode(bytes, Tagging::Either) else { return false };
    kid.is_none() && sign1.verify(&signer.key, &cose::Accept::WITH_LEGACY, &[]).is_ok()
}

/// Label of suit-report-nonce (draft-ietf-suit-report).
const SUIT_REPORT_NONCE: i64 = 2;

/// Members that a SUIT_Report may have.
const REPORT_MEMBERS: usize = 32;
