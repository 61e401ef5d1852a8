//! Arm TrustZone: PSA tokens of TF-M (more formats below as they are read).
//!
//! The bytes say which format they are.

pub mod psa;

use serde::{Deserialize, Serialize};

use super::arm::DeviceKeys;
use super::{Request, check_user_data, refuse};
use crate::check::Checks;
use crate::reference::{Comparable, Row, check_reference};
use crate::trust::{self, Isolation};
use crate::{Anchors, Appraisal, Collateral, UserData};

/// Rules for TrustZone evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Rules for PSA tokens.
    pub psa: psa::Policy,
}

/// A reference value for TrustZone software.
///
/// ```toml
/// name = "meter firmware 1.6"
/// [trustzone.psa]
/// implementation_id = "…"
/// components = [{ type = "SPE", measurement = "…", signer_id = "…" }]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelling", into = "Spelling")]
pub struct Reference {
    /// What people call it.
    pub name: String,
    /// What is compared.
    pub software: Software,
}

/// Reference values by format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Software {
    /// A PSA device.
    Psa(psa::Reference),
}

/// A reference value as it is written in TOML: a name, and exactly one format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// What people call it.
    pub name: String,
    /// A PSA device.
    pub psa: Option<psa::Reference>,
}

/// A reference value names no format, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TrustZone reference value needs exactly one of: psa")]
pub struct NotOneFormat;

impl TryFrom<Spelling> for Reference {
    type Error = NotOneFormat;

    fn try_from(spelt: Spelling) -> Result<Self, NotOneFormat> {
        let mut formats = [spelt.psa.map(Software::Psa)].into_iter().flatten();
        match (formats.next(), formats.next()) {
            (Some(software), None) => Ok(Self { name: spelt.name, software }),
            _ => Err(NotOneFormat),
        }
    }
}

impl From<Reference> for Spelling {
    fn from(Reference { name, software }: Reference) -> Self {
        match software {
            Software::Psa(psa) => Self { name, psa: Some(psa) },
        }
    }
}

/// What was measured, by format.
#[derive(Clone, Debug)]
pub(crate) enum Measured {
    /// Of a PSA device.
    Psa(psa::PsaClaims),
}

impl Comparable for Reference {
    type Measured = Measured;

    fn name(&self) -> &str {
        &self.name
    }

    fn compare(&self, measured: &Measured) -> Vec<Row> {
        match (&self.software, measured) {
            (Software::Psa(reference), Measured::Psa(claims)) => reference.compare(claims),
        }
    }
}

/// The keys and certificates of devices.
#[derive(Debug)]
pub(crate) struct Endorsements {
    keys: DeviceKeys,
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, _: &Anchors) -> Self {
        Self { keys: DeviceKeys::read(collateral) }
    }
}

/// Appraises TrustZone evidence of any format.
pub(crate) fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    match psa::Token::decode(request.evidence) {
        Ok(token) => appraise_psa(&token, request, endorsements),
        Err(error) => refuse(request, error.into_check(SUPPORTED)),
    }
}

fn appraise_psa(
    token: &psa::Token<'_>,
    request: &Request<'_>,
    endorsements: &Endorsements,
) -> Appraisal {
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = token.claims.fields();
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        token.authenticate(&endorsements.keys, request, &mut appraisal.anchor, checks)
    });
    if authentic.is_ok() {
        appraisal.authentic = true;
        checks.group("device", |checks| token.check_device(request, checks));
        let binding = check_user_data(token.claims.nonce.as_slice(), request.user_data);
        appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
        checks.note(binding);
        appraisal.claims = Some(token.claims());
        appraisal.reference = checks.group("instance", |checks| {
            let references = &request.reference.trustzone;
            let (check, name) = check_reference(
                "instance.reference",
                references,
                &token.measured(),
                request.policy,
            );
            checks.note(check);
            name
        });
    }
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, Isolation::Process);
    appraisal
}

const SUPPORTED: &str = "a PSA token (COSE_Sign1)";
