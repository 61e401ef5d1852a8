//! Whether the platform's trusted computing base is recent enough for the policy.

use std::borrow::Cow;

use super::authenticity::Authentic;
use super::policy::MinimumTcb;
use super::product::{Product, TcbVersion};
use super::report::{FirmwareVersion, Report};
use crate::Tcb;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::policy::Policy;
use crate::trust::TrustValue;
use crate::value::Value;

/// Compares the report's TCB versions with the policy's minimum.
///
/// AMD gives no status of its own, so the status says how the versions stand to that minimum.
pub(crate) fn judge(
    report: &Report<'_>,
    authentic: &Authentic,
    policy: &Policy,
    checks: &mut Checks,
) -> Tcb {
    let product = authentic.key.vek.product;
    checks.note(authentic.list.clone());
    let cpuid = report.cpuid();
    let rules = policy.snp.tcb_min.iter().filter(|rule| rule.fits(product, cpuid));
    let rules = rules.collect::<Vec<_>>();
    if rules.is_empty() {
        checks.note(check_presence(product, policy));
    }
    checks.note(check_order(report, product));
    let mut status = if rules.is_empty() { NO_MINIMUM } else { MEETS_MINIMUM };
    let mut parts = Vec::new();
    for (name, part, octets) in [
        ("snp.tcb.reported", "reported", report.reported_tcb()),
        ("snp.tcb.committed", "committed", report.committed_tcb()),
        ("snp.tcb.launch", "launch", report.launch_tcb()),
    ] {
        let check = check_version(name, TcbVersion::decode(product, octets), &rules);
        let own = match (rules.is_empty(), check.ok) {
            (true, _) => NO_MINIMUM,
            (false, true) => MEETS_MINIMUM,
            (false, false) => BELOW_MINIMUM,
        };
        if own == BELOW_MINIMUM {
            status = own;
        }
        parts.push((part, own));
        checks.note(check);
    }
    checks.note(check_firmware(report, policy));
    checks.note(check_mitigations(report, policy));
    Tcb {
        status,
        date: None,
        advisories: Vec::new(),
        evaluation: None,
        parts,
        hardware: match status {
            MEETS_MINIMUM => TrustValue::AFFIRMED,
            NO_MINIMUM => TrustValue::UNEXPECTED,
            _ => TrustValue::WARNED,
        },
        configuration: TrustValue::AFFIRMED_LESS,
    }
}

fn check_presence(product: Product, policy: &Policy) -> Check {
    let check = Check::new("snp.tcb.minimum").seen("none for this processor").source("policy");
    check.holds(!policy.snp.tcb_min_required, || {
        let toml = product.as_str().to_lowercase();
        let remedy = format!(
            "state the oldest firmware that you accept as [[snp.tcb_min]] for product \
             \"{toml}\", or set tcb_min_required = false"
        );
        Failure::new(Reason::TcbNotRecognised, Owner::PolicyOwner, remedy)
    })
}

//= EV-SNP-7: minimum for reported, committed and launch TCB, each component
//= EV-SNP-8: committed below the minimum means that the host can still roll back
fn check_version(name: &'static str, version: TcbVersion, rules: &[&MinimumTcb]) -> Check {
    let check = Check::new(name).seen(version).source("policy");
    let Some(low) = rules.iter().find(|rule| !version.is_at_least(&rule.version())) else {
        return match rules.first() {
            Some(rule) => check.expected(at_least(rule.version())),
            None => check,
        };
    };
    let remedy = match name {
        "snp.tcb.reported" => {
            "update BIOS and SEV firmware, or raise the reported TCB to what is installed"
        }
        "snp.tcb.committed" => "commit the firmware (SNP_COMMIT), so that it cannot be rolled back",
        _ => "launch the guest again on the updated platform",
    };
    check
        .expected(at_least(low.version()))
        .holds(false, || Failure::new(Reason::TcbStatusNotAllowed, Owner::DeviceOperator, remedy))
}

//= EV-SNP-8: reported ≤ committed ≤ current; reported below current is legitimate
fn check_order(report: &Report<'_>, product: Product) -> Check {
    let [reported, committed, current] =
        [report.reported_tcb(), report.committed_tcb(), report.current_tcb()]
            .map(|octets| TcbVersion::decode(product, octets));
    let ok = committed.is_at_least(&reported) && current.is_at_least(&committed);
    let named = [("reported", reported), ("committed", committed), ("current", current)];
    let seen = named.map(|(name, version)| (Cow::Borrowed(name), version.into()));
    let check = Check::new("snp.tcb.order").seen(Value::Map(seen.into()));
    check.expected("reported ≤ committed ≤ current").source("SEV-SNP ABI").holds(ok, || {
        Failure::new(
            Reason::TcbNotRecognised,
            Owner::DeviceVendor,
            "do not use this firmware: it reports a TCB that it has not committed",
        )
    })
}

//= EV-SNP-7: minimum firmware build
fn check_firmware(report: &Report<'_>, policy: &Policy) -> Check {
    let (seen, min) = (report.committed_version(), FirmwareVersion(policy.snp.firmware_min));
    let check = Check::new("snp.firmware.committed").seen(seen).expected(min).source("policy");
    check.holds(seen >= min, || {
        Failure::new(
            Reason::TcbStatusNotAllowed,
            Owner::DeviceOperator,
            "update the SEV firmware and commit it (SNP_COMMIT)",
        )
    })
}

//= EV-SNP-7: mitigation vector mask when v5
fn check_mitigations(report: &Report<'_>, policy: &Policy) -> Check {
    let mask = policy.snp.mitigations_required;
    let check = Check::new("snp.mitigations").expected(format!("{mask:#x}")).source("policy");
    let (check, ok) = match report.mitigations() {
        Some([launch, current]) => {
            let seen = format!("{launch:#x} at launch, {current:#x} now");
            (check.seen(seen), launch & current & mask == mask)
        }
        None => (check.seen("a report below version 5"), mask == 0),
    };
    check.holds(ok, || {
        Failure::new(
            Reason::TcbStatusNotAllowed,
            Owner::DeviceOperator,
            "update to SEV firmware that applies and reports these mitigations, and launch the \
             guest again",
        )
    })
}

fn at_least(version: TcbVersion) -> Value {
    let parts = version.parts().filter(|(_, svn)| *svn > 0);
    let parts = parts.map(|(name, svn)| format!("{name} {svn}")).collect::<Vec<_>>();
    if parts.is_empty() {
        Value::from("any")
    } else {
        Value::from(format!("at least {}", parts.join(", ")))
    }
}

const MEETS_MINIMUM: &str = "MeetsMinimum";
const BELOW_MINIMUM: &str = "BelowMinimum";
const NO_MINIMUM: &str = "NoMinimum";
