//! What the report says of the guest: its own policy, how it was launched, and what was launched.

use super::authenticity::Authentic;
use super::container::Container;
use super::policy::{GuestPolicyBit, PlatformBit, Policy};
use super::reference::Measured;
use super::report::{DEBUG, MIGRATE_MA, RESERVED_ONE, Report};
use super::vtpm::register_name;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::claims::{Claims, Named};
use crate::evidence::{Kind, Request, check_debug};
use crate::reference::check_reference;
use crate::value::{Hex, Octets};

/// Checks the guest and names the reference value that fits.
//= EV-SNP-7: policy bits, ABI, VMPL and platform info as the policy asks
pub(crate) fn check(
    container: &Container<'_>,
    authentic: &Authentic,
    request: &Request<'_>,
    checks: &mut Checks,
) -> Option<String> {
    let (report, policy) = (&container.report, &request.policy.snp);
    checks.note(check_debug(is_debug(report), request.policy));
    check_guest_policy(report, policy, checks);
    checks.note(check_migration(report, policy));
    checks.note(check_vmpl(report, policy));
    check_platform(report, policy, checks);
    if let Some(csp_id) = &authentic.key.vek.csp_id {
        checks.note(check_csp(csp_id, policy));
    }
    if container.runtime.is_some() {
        checks.note(check_paravisor(policy));
        checks.note(check_quoted(container.quote().is_some(), policy));
    }
    //= EV-SNP-9: measurement, host data and digests count as reference values pin them
    let measured = Measured::of(container);
    let references = &request.reference.snp;
    let (check, name) =
        check_reference("instance.reference", references, &measured, request.policy);
    checks.note(check);
    name
}

/// What the authentic report says.
pub(crate) fn claims(container: &Container<'_>, authentic: &Authentic) -> Claims {
    let report = &container.report;
    let mut claims = Claims::new(Kind::SevSnp, container.user_data());
    claims.generation = Some(authentic.key.vek.product.as_str());
    claims.instance_id = authentic.key.vek.chip_id.as_ref().map(|id| Octets::new(id));
    claims.measurements.push(Named::new("measurement", report.measurement()));
    claims.registers.push(Named::new("host_data", report.host_data()));
    let quoted = container.quote().into_iter().flat_map(|quote| &quote.registers);
    let quoted = quoted.map(|(number, value)| Named::new(register_name(*number), &value[..]));
    claims.registers.extend(quoted);
    if report.id_key_digest() != &[0; 48] {
        claims.signers.push(Named::new("id_key_digest", report.id_key_digest()));
    }
    if let Some(digest) = report.author_key_digest() {
        claims.signers.push(Named::new("author_key_digest", digest));
    }
    claims.svns.push(("guest_svn", report.guest_svn().into()));
    let tcb = authentic.key.vek.tcb;
    claims.svns.extend(tcb.parts().map(|(name, svn)| (name, u64::from(svn))));
    claims.debug = Some(is_debug(report));
    claims
}

fn is_debug(report: &Report<'_>) -> bool {
    has(report.guest_policy(), DEBUG)
}

fn check_guest_policy(report: &Report<'_>, policy: &Policy, checks: &mut Checks) {
    let bits = report.guest_policy();
    let reserved = has(bits, RESERVED_ONE);
    let check = Check::new("snp.policy.reserved").seen(reserved).expected(true);
    checks.note(check.source("SEV-SNP ABI").holds(reserved, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::AgentProvider,
            "launch the guest with bit 17 of its policy set, as the ABI demands",
        )
    }));
    let (seen, min) = (report.abi_min(), policy.abi_min);
    let version = |[major, minor]: [u8; 2]| format!("{major}.{minor}");
    let check = Check::new("snp.policy.abi").seen(version(seen));
    let check = check.expected(format!("at least {}", version(min))).source("policy");
    checks.note(check.holds(seen >= min, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::AgentProvider,
            "launch the guest with a policy that demands this firmware ABI",
        )
    }));
    for (list, wanted) in
        [(&policy.guest_policy_required, true), (&policy.guest_policy_refused, false)]
    {
        checks_of_guest_policy(list, wanted, bits, checks);
    }
}

fn checks_of_guest_policy(list: &[GuestPolicyBit], wanted: bool, bits: u64, checks: &mut Checks) {
    for flag in list {
        let seen = has(bits, flag.number());
        let check = Check::new(flag.check()).seen(seen).expected(wanted).source("policy");
        checks.note(check.holds(seen == wanted, || {
            let state = if wanted { "set" } else { "clear" };
            let remedy =
                format!("launch the guest with bit {} of its policy {state}", flag.number());
            Failure::new(Reason::ConfigurationNotAllowed, Owner::AgentProvider, remedy)
        }));
    }
}

//= EV-SNP-7: MIGRATE_MA=0 unless the migration agent is trusted
fn check_migration(report: &Report<'_>, policy: &Policy) -> Check {
    let check = Check::new("snp.policy.migration-agent").source("policy");
    if !has(report.guest_policy(), MIGRATE_MA) {
        return check.seen("none may export the guest");
    }
    let agent = report.report_id_ma();
    let trusted = policy.migration_agents.iter().any(|Hex(id)| id == agent);
    check.seen(agent).expected(policy.migration_agents.clone()).holds(trusted, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::AgentProvider,
            "launch the guest with MIGRATE_MA clear, or have its migration agent listed in \
             migration_agents: it can move the guest elsewhere",
        )
    })
}

//= EV-SNP-7: VMPL as expected
fn check_vmpl(report: &Report<'_>, policy: &Policy) -> Check {
    let seen = report.vmpl();
    let check = Check::new("snp.vmpl").seen(seen).expected(policy.vmpls.clone()).source("policy");
    check.holds(policy.vmpls.iter().any(|&level| u32::from(level) == seen), || {
        let (owner, remedy) = if seen == HOST_REQUESTED {
            (Owner::Attester, "have the guest ask for the report: the host asked for this one")
        } else {
            (
                Owner::PolicyOwner,
                "ask from the expected privilege level, or list the guest's level in vmpls when \
                 it runs below a service module that you trust",
            )
        };
        Failure::new(Reason::ConfigurationNotAllowed, owner, remedy)
    })
}

fn check_platform(report: &Report<'_>, policy: &Policy, checks: &mut Checks) {
    let lists: [(&[PlatformBit], bool); 2] =
        [(&policy.platform_required, true), (&policy.platform_refused, false)];
    for (list, wanted) in lists {
        for flag in list {
            let seen = has(report.platform_info(), flag.number());
            let check = Check::new(flag.check()).seen(seen).expected(wanted).source("policy");
            checks.note(check.holds(seen == wanted, || {
                Failure::new(
                    Reason::ConfigurationNotAllowed,
                    Owner::DeviceOperator,
                    flag.remedy(wanted),
                )
            }));
        }
    }
}

//= EV-SNP-6: the CSP id of a VLEK against policy
fn check_csp(csp_id: &str, policy: &Policy) -> Check {
    let check = Check::new("snp.csp").seen(csp_id.to_owned()).source("policy");
    let ok = policy.csp_ids.iter().any(|listed| listed == csp_id);
    check.expected(policy.csp_ids.clone()).holds(ok, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::PolicyOwner,
            "list this cloud provider in csp_ids if you trust it with the key of its whole fleet",
        )
    })
}

//= EV-SNP-10: what runs above a paravisor is measured by its vTPM, not by the report
fn check_paravisor(policy: &Policy) -> Check {
    let check = Check::new("snp.paravisor").seen("Azure HCL").source("policy");
    check.holds(policy.paravisor_allowed, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::PolicyOwner,
            "attest from a guest without paravisor, or set paravisor_allowed: the report then \
             measures the paravisor, not what runs above it",
        )
    })
}

fn check_quoted(quoted: bool, policy: &Policy) -> Check {
    let check = Check::new("snp.vtpm").seen(if quoted { "a quote" } else { "no quote" });
    check.source("policy").holds(quoted || !policy.vtpm_quote_required, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::Attester,
            "send a quote of the vTPM with the HCL report, so that what runs above the paravisor \
             is known",
        )
    })
}

fn has(bits: u64, number: u8) -> bool {
    bits >> number & 1 == 1
}

const HOST_REQUESTED: u32 = u32::MAX;
