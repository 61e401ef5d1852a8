//! The appraisal policy: what its owner accepts, beyond what the evidence's vendor says.
//!
//! Every field has the strict answer as default, so an empty file is the strict policy.

use serde::{Deserialize, Serialize};

use crate::evidence::{cca, dcap, sev, sgx, snp, tdx, trustzone};

/// What the policy's owner accepts.
///
/// ```toml
/// id = "strict"
/// emulated_allowed = false
///
/// [dcap]
/// tcb_statuses = ["UpToDate"]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What results and explanations call this policy. Default: `strict`.
    pub id: String,
    /// Accept evidence whose anchor is a listed emulator: the operator of that machine can read
    /// everything. Default: `false`.
    pub emulated_allowed: bool,
    /// Accept an instance that its host can debug. Default: `false`.
    pub debug_allowed: bool,
    /// Refuse evidence of a kind for which there is no reference value. When there are some, one
    /// must fit in any case. Default: `true`.
    pub reference_required: bool,
    /// Accept a container whose image the Agent names and no runtime register holds, on hardware
    /// that has such registers. Default: `false`.
    pub claimed_images_allowed: bool,
    /// Rules for SGX and TDX endorsements.
    pub dcap: dcap::Policy,
    /// Rules for SGX enclaves.
    pub sgx: sgx::Policy,
    /// Rules for TDX trust domains.
    pub tdx: tdx::Policy,
    /// Rules for SEV-SNP guests.
    pub snp: snp::Policy,
    /// Rules for SEV and SEV-ES guests.
    pub sev: sev::Policy,
    /// Rules for CCA realms.
    pub cca: cca::Policy,
    /// Rules for TrustZone: iTrustee, virtCCA, OP-TEE and PSA.
    pub trustzone: trustzone::Policy,
}

/// A policy, a set of reference values or a listed device is not what this Verifier reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: {detail}")]
pub struct Misconfigured {
    /// Which file it is.
    pub what: &'static str,
    /// What the TOML reader says, with line and column.
    pub detail: String,
}

impl Policy {
    /// Reads a policy from TOML; unknown fields are refused.
    pub fn from_toml(text: &str) -> Result<Self, Misconfigured> {
        toml::from_str(text)
            .map_err(|error| Misconfigured { what: "appraisal policy", detail: error.to_string() })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            id: "strict".into(),
            emulated_allowed: false,
            debug_allowed: false,
            reference_required: true,
            claimed_images_allowed: false,
            dcap: dcap::Policy::default(),
            sgx: sgx::Policy::default(),
            tdx: tdx::Policy::default(),
            snp: snp::Policy::default(),
            sev: sev::Policy::default(),
            cca: cca::Policy::default(),
            trustzone: trustzone::Policy::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_strict_policy() {
        assert_eq!(Policy::from_toml(""), Ok(Policy::default()));
    }

    #[test]
    fn an_unknown_field_is_refused_at_every_level() {
        assert!(Policy::from_toml("emulated = true").is_err());
        assert!(Policy::from_toml("[dcap]\nstatuses = []").is_err());
        assert!(Policy::from_toml("[sgx]\ndebug = true").is_err());
    }

    #[test]
    fn fields_that_are_given_override_the_strict_ones() {
        let policy = Policy::from_toml(
            "id = 'bench'\nemulated_allowed = true\n\
             [dcap]\ntcb_statuses = ['UpToDate', 'SWHardeningNeeded']",
        )
        .expect("a valid policy");

        assert!(policy.emulated_allowed && !policy.debug_allowed);
        assert_eq!(policy.dcap.tcb_statuses.len(), 2);
        assert_eq!(policy.tdx, tdx::Policy::default());
    }
}
