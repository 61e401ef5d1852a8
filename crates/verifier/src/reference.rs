//! Reference values: which measured software the policy's owner means.
//!
//! One list for each kind of evidence; evidence fits when it fits any entry of its list.

use serde::{Deserialize, Serialize};

use crate::check::{Check, Failure, Owner, Reason};
use crate::evidence::{cca, sev, sgx, snp, tdx, trustzone};
use crate::policy::{Misconfigured, Policy};
use crate::value::Value;

/// Reference values by kind of evidence.
///
/// ```toml
/// [[sgx]]
/// name = "tamarack-agent 0.1.0"
/// mrenclave = "…"
///
/// [[tdx]]
/// name = "edge image 7"
/// mrtd = "…"
/// rtmr1 = "…"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReferenceValues {
    /// SGX enclaves.
    pub sgx: Vec<sgx::Reference>,
    /// TDX trust domains.
    pub tdx: Vec<tdx::Reference>,
    /// SEV-SNP guests.
    pub snp: Vec<snp::Reference>,
    /// SEV and SEV-ES guests.
    pub sev: Vec<sev::Reference>,
    /// CCA platforms and realms.
    pub cca: Vec<cca::Reference>,
    /// TrustZone software.
    pub trustzone: Vec<trustzone::Reference>,
}

impl ReferenceValues {
    /// Reads reference values from TOML; unknown fields are refused.
    pub fn from_toml(text: &str) -> Result<Self, Misconfigured> {
        toml::from_str(text).map_err(|error| Misconfigured {
            what: "set of reference values",
            detail: error.to_string(),
        })
    }

    /// Adds other reference values.
    #[must_use]
    pub fn with(mut self, mut other: Self) -> Self {
        self.sgx.append(&mut other.sgx);
        self.tdx.append(&mut other.tdx);
        self.snp.append(&mut other.snp);
        self.sev.append(&mut other.sev);
        self.cca.append(&mut other.cca);
        self.trustzone.append(&mut other.trustzone);
        self
    }
}

/// One field of a reference value beside the evidence's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The name of the field, as in the reference value.
    pub(crate) field: &'static str,
    /// What the reference value asks.
    pub(crate) expected: Value,
    /// What the evidence says.
    pub(crate) seen: Value,
    /// Whether that fits.
    pub(crate) ok: bool,
}

/// What one kind's reference value looks like to [`check_reference`].
pub(crate) trait Comparable {
    /// The verified measurements that are compared.
    type Measured;

    /// What people call this reference value.
    fn name(&self) -> &str;

    /// Compares every field that the reference value names.
    fn compare(&self, measured: &Self::Measured) -> Vec<Row>;
}

/// Looks for a reference value that fits; explains the closest one when none does.
pub(crate) fn check_reference<R: Comparable>(
    name: &'static str,
    references: &[R],
    measured: &R::Measured,
    policy: &Policy,
) -> (Check, Option<String>) {
    let mut closest: Option<(usize, &R, Vec<Row>)> = None;
    for reference in references {
        let rows = reference.compare(measured);
        let wrong = rows.iter().filter(|row| !row.ok).count();
        if wrong == 0 && !rows.is_empty() {
            let check = Check::new(name).seen(reference.name().to_owned());
            return (check.source("reference values"), Some(reference.name().to_owned()));
        }
        if closest.as_ref().is_none_or(|(best, ..)| wrong < *best) {
            closest = Some((wrong, reference, rows));
        }
    }
    let Some((_, reference, rows)) = closest else {
        let check = Check::new(name).seen("no reference value").source("reference values");
        return (check.holds(!policy.reference_required, missing), None);
    };
    let children = rows.into_iter().map(|row| row.into_check(reference.name())).collect::<Vec<_>>();
    let ok = children.iter().all(|child| child.ok);
    (Check { ok, children, ..Check::new(name) }, None)
}

fn missing() -> Failure {
    Failure::new(
        Reason::MeasurementMismatch,
        Owner::PolicyOwner,
        "list a reference value for this kind of evidence, or set reference_required = false",
    )
}

impl Row {
    fn into_check(self, reference: &str) -> Check {
        let field = self.field;
        Check::new(field)
            .expected(self.expected)
            .seen(self.seen)
            .source(format!("reference value `{reference}`, the closest of the list"))
            .holds(self.ok, || {
                Failure::new(
                    Reason::MeasurementMismatch,
                    Owner::DeviceOperator,
                    format!(
                        "run the software that `{reference}` names, or have its provider publish \
                         a reference value with this {field}"
                    ),
                )
            })
    }
}
