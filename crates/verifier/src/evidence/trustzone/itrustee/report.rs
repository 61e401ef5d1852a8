//! The report of the quoting TA about one trusted application.

use cose::Malformed;

use super::super::Endorsements;
use super::super::uuid::Uuid;
use super::certificate::{AkCertificate, AkKey, MODULUS, verify_pss};
use super::json::Json;
use super::{TaReference, digest, fields, header, member, signed_bytes};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::crypto::PublicKey;
use crate::evidence::Request;
use crate::evidence::arm::{NotAToken, decode_base64url, missing};
use crate::value::{Hex, Octets, Value};

/// A report, read but not verified.
///
/// `{"report_sign": {scenario: …}, "akcert": {scenario: …}, "payload": {"version", "timestamp",
/// "nonce", "scenario", "uuid", "hash_alg", "sign_alg", "ta_mem", "ta_img", "ta_attr", "tcb"},
/// "handler": "report-output"}`
#[derive(Clone, Debug)]
pub(crate) struct Report {
    signer: Signer,
    scenario: String,
    /// What the AK signed.
    signed: String,
    /// For showing.
    pub(super) fields: Vec<(&'static str, Value)>,
    /// What the asker bound.
    pub(super) nonce: Vec<u8>,
    /// What was measured.
    pub(super) ta: TaReference,
}

/// Who signed a report.
#[derive(Clone, Debug)]
enum Signer {
    /// An AK under the device root key, and its signature.
    Device(Box<AkCertificate>, Vec<u8>),
    /// An AK that an attestation service certified again.
    Service,
    /// A member of a group, by direct anonymous attestation.
    Group,
}

impl Report {
    pub(super) fn read(json: &Json<'_>) -> Result<Self, NotAToken> {
        const MEMBERS: &str = "a report with report_sign, akcert, payload and handler";
        let [signature, certificate, payload, handler] =
            json.exactly(["report_sign", "akcert", "payload", "handler"], MEMBERS)?;
        if handler.text(MEMBERS)? != "report-output" {
            return Err(Malformed::Expected("the handler report-output").into());
        }
        let scenario = header(payload)?;
        let [signature] =
            signature.exactly([&scenario], "report_sign of the payload's scenario")?;
        let [certificate] = certificate.exactly([&scenario], "akcert of the payload's scenario")?;
        let nonce = decode_base64url(member(payload, "nonce")?.text("nonce")?);
        let nonce = nonce.filter(|nonce| nonce.len() <= NONCE_OCTETS_MAX);
        let uuid = Uuid::parse(member(payload, "uuid")?.text("uuid")?);
        let ta = TaReference {
            uuid: missing(uuid, "the uuid of a trusted application")?,
            img: Hex(digest(member(payload, "ta_img")?)?),
            mem: Hex(digest(member(payload, "ta_mem")?)?),
        };
        Ok(Self {
            signer: Signer::read(&scenario, signature, certificate)?,
            signed: signed_bytes(payload),
            fields: fields(payload)?,
            nonce: missing(nonce, "a nonce of at most 64 octets in base64url")?,
            ta,
            scenario,
        })
    }

    /// The certificate of the key that signed.
    pub(super) fn ak(&self) -> Option<&AkCertificate> {
        match &self.signer {
            Signer::Device(certificate, _) => Some(certificate),
            Signer::Service | Signer::Group => None,
        }
    }

    pub(super) fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        let Signer::Device(certificate, signature) = &self.signer else {
            return checks.fail(self.unsupported());
        };
        let device = certificate.authenticate(endorsements, request, anchor, checks)?;
        let AkKey::Rsa(key) = &certificate.key else { return checks.fail(self.unsupported()) };
        //= EV-KP-3: report_sign is RSA-PSS by the AK over the printed report payload
        let ok =
            signature.len() == MODULUS && verify_pss(PublicKey::Rsa(key), &self.signed, signature);
        checks.need(Check::new("itrustee.report.signature").source("AK").holds(ok, || {
            let remedy = "send the report as the quoting TA signed it";
            Failure::new(Reason::BadSignature, Owner::Attester, remedy)
        }))?;
        let same = certificate.scenario == self.scenario;
        let check = Check::new("itrustee.scenario").seen(self.scenario.clone());
        checks.need(check.expected(certificate.scenario.clone()).holds(same, || {
            let remedy = "send the AK certificate of the report's scenario";
            Failure::new(Reason::Unsupported, Owner::Attester, remedy)
        }))?;
        Ok(device)
    }

    //= EV-KP-8: direct anonymous attestation is refused, and nothing is tried in its place
    fn unsupported(&self) -> Check {
        let check = Check::new("itrustee.scenario").seen(self.scenario.clone());
        check.expected("an AK that the device root key certified").holds(false, || {
            let remedy = "provision the quoting TA for the scenario sce_no_as: group signatures \
                          and keys that an attestation service certified are not appraised";
            Failure::new(Reason::Unsupported, Owner::DeviceOperator, remedy)
        })
    }
}

impl Signer {
    fn read(
        scenario: &str,
        signature: &Json<'_>,
        certificate: &Json<'_>,
    ) -> Result<Self, NotAToken> {
        match (scenario, certificate) {
            ("sce_no_as" | "sce_as_no_daa", Json::Object(_)) => {
                Self::device(signature, AkCertificate::read(certificate)?)
            }
            ("sce_as_no_daa", Json::Text(text)) => {
                // Before the service has certified it, the text is the device's own certificate.
                let Some(inner) = decode_base64url(text) else { return Ok(Self::Service) };
                let inner = std::str::from_utf8(&inner).map_err(|_| Malformed::Utf8)?;
                Self::device(signature, AkCertificate::read(&Json::decode(inner)?)?)
            }
            ("sce_as_with_daa", _) => Ok(Self::Group),
            ("sce_no_as" | "sce_as_no_daa", _) => {
                Err(Malformed::Expected("an AK certificate").into())
            }
            _ => Err(NotAToken::unsupported(format!("the scenario `{scenario}`"))),
        }
    }

    fn device(signature: &Json<'_>, certificate: AkCertificate) -> Result<Self, NotAToken> {
        let signature = decode_base64url(signature.text("report_sign as text")?);
        let signature = missing(signature, "report_sign in base64url")?;
        Ok(Self::Device(Box::new(certificate), signature))
    }
}

/// USER_DATA of the quoting TA.
const NONCE_OCTETS_MAX: usize = 64;
