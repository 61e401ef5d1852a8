//! AMD SEV-SNP.
//!
//! This Verifier reads no SEV-SNP reports yet and refuses them as unsupported.

use serde::{Deserialize, Serialize};

use super::{Request, refuse};
use crate::check::{Check, Failure, Owner, Reason};
use crate::{Anchors, Appraisal, Collateral};

/// Rules for SEV-SNP reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {}

/// A reference value for SEV-SNP reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
}

/// Collateral for SEV-SNP reports.
#[derive(Debug)]
pub(crate) struct Endorsements {}

impl Endorsements {
    pub(crate) fn prepare(_: &Collateral, _: &Anchors) -> Self {
        Self {}
    }
}

/// Appraises SEV-SNP reports.
pub(crate) fn appraise(request: &Request<'_>, _: &Endorsements) -> Appraisal {
    let check = Check::new("evidence.kind").seen("SEV-SNP").holds(false, || {
        Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "send evidence of a kind that this Verifier appraises",
        )
    });
    refuse(request, check)
}
