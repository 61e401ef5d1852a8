//! Arm CCA.
//!
//! This Verifier reads no CCA tokens yet and refuses them as unsupported.

use serde::{Deserialize, Serialize};

use super::{Request, refuse};
use crate::check::{Check, Failure, Owner, Reason};
use crate::{Anchors, Appraisal, Collateral};

/// Rules for CCA tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {}

/// A reference value for CCA tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
}

/// Collateral for CCA tokens.
#[derive(Debug)]
pub(crate) struct Endorsements {}

impl Endorsements {
    pub(crate) fn prepare(_: &Collateral, _: &Anchors) -> Self {
        Self {}
    }
}

/// Appraises CCA tokens.
pub(crate) fn appraise(request: &Request<'_>, _: &Endorsements) -> Appraisal {
    let check = Check::new("evidence.kind").seen("CCA").holds(false, || {
        Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "send evidence of a kind that this Verifier appraises",
        )
    });
    refuse(request, check)
}
