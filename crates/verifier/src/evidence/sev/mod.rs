//! AMD SEV and SEV-ES.
//!
//! This Verifier reads no SEV launch measurements yet and refuses them as unsupported.

use serde::{Deserialize, Serialize};

use super::{Request, refuse};
use crate::check::{Check, Failure, Owner, Reason};
use crate::{Anchors, Appraisal, Collateral};

/// Rules for SEV launch measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {}

/// A reference value for SEV launch measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
}

/// Collateral for SEV launch measurements.
#[derive(Debug)]
pub(crate) struct Endorsements {}

impl Endorsements {
    pub(crate) fn prepare(_: &Collateral, _: &Anchors) -> Self {
        Self {}
    }
}

/// Appraises SEV launch measurements.
pub(crate) fn appraise(request: &Request<'_>, _: &Endorsements) -> Appraisal {
    let check = Check::new("evidence.kind").seen("SEV").holds(false, || {
        Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "send evidence of a kind that this Verifier appraises",
        )
    });
    refuse(request, check)
}
