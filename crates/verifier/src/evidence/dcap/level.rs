//! Which TCB level a platform has, what that means together with its parts, and what to update.

use std::fmt::Write as _;
use std::sync::Arc;

use super::authenticity::Authentic;
use super::collateral::VerifiedCollateral;
use super::pck::Platform;
use super::quote::{Body, Quote};
use super::tcb::{Level, ModuleIdentity, SvnLevel, TcbStatus, Verdict, equal_under, svn_level};
use crate::check::{Check, Checks, Failure, Owner, Reason, Source, Stop};
use crate::evidence::Request;
use crate::evidence::tdx::TdBody;
use crate::policy::Policy;
use crate::{Tcb, Timestamp};

/// Finds the TCB status of an authentic quote's platform and compares it with the policy.
///
/// `None` when there is no collateral, or no level fits; the checks then say so.
pub(crate) fn judge(
    quote: &Quote<'_>,
    authentic: &Authentic<'_>,
    request: &Request<'_>,
    checks: &mut Checks,
) -> Option<Tcb> {
    let (collateral, policy) = (authentic.collateral?, request.policy);
    let found = find(quote, collateral, &authentic.platform, checks).ok()?;
    checks.note(check_status(&found, collateral, &authentic.platform, policy));
    checks.note(check_evaluation(collateral, policy));
    if let Some(age_s_max) = policy.dcap.age_s_max {
        checks.note(check_age(collateral, age_s_max, request.now));
    }
    let refused = found
        .advisories
        .iter()
        .find(|id| policy.dcap.advisories_refused.iter().any(|refused| **refused == ***id));
    if let Some(id) = refused {
        checks.note(refused_advisory(id));
    }
    Some(Tcb {
        status: found.merged.as_str(),
        date: Some(found.level.verdict.date),
        advisories: found.advisories,
        evaluation: Some(evaluation(collateral)),
        parts: found.parts,
        hardware: found.merged.hardware(),
        configuration: found.merged.configuration(),
    })
}

struct Found<'c> {
    /// The platform's level at launch.
    level: &'c Level,
    /// TEE_TCB_SVN at launch.
    tdx: Option<[u8; 16]>,
    /// Platform, TDX module and quoting enclave together.
    merged: TcbStatus,
    /// The part that made `merged` worse than the platform, if one did.
    worse: Option<&'static str>,
    advisories: Vec<Arc<str>>,
    parts: Vec<(&'static str, &'static str)>,
}

fn find<'c>(
    quote: &Quote<'_>,
    collateral: &'c VerifiedCollateral,
    platform: &Platform,
    checks: &mut Checks,
) -> Result<Found<'c>, Stop> {
    let mut advisories = Vec::new();
    let (level, mut merged, mut parts, mut worse) = match quote.body {
        Body::Enclave(_) => {
            let info = &collateral.tcb_info;
            let level = info.level(&platform.components, platform.pcesvn, None);
            let level = found("dcap.tcb.level", level, &collateral.tcb_source, checks)?;
            add(&mut advisories, &level.verdict);
            (level, level.verdict.status, vec![("platform", level.verdict.status.as_str())], None)
        }
        Body::TrustDomain(body) => {
            check_module(&body, collateral, checks)?;
            let launch = domain(body.tee_tcb_svn(), collateral, platform);
            let launch = found("dcap.tcb.level", launch, &collateral.tcb_source, checks)?;
            add(&mut advisories, &launch.level.verdict);
            let mut parts = vec![("platform", launch.level.verdict.status.as_str())];
            if let Some(module) = launch.module {
                add(&mut advisories, &module.verdict);
                parts.push(("tdx-module", module.verdict.status.as_str()));
            }
            let current = body.tee_tcb_svn2();
            let current = current.and_then(|svn| domain(svn, collateral, platform));
            let mut merged = launch.merged;
            if let Some(current) = current {
                parts.push(("current", current.merged.as_str()));
                merged = merged.relaunched_as(current.merged);
            }
            let module_worse =
                launch.merged != launch.level.verdict.status && merged == launch.merged;
            (launch.level, merged, parts, module_worse.then_some("TDX module"))
        }
    };
    let svn = quote.qe_report.isv_svn();
    let qe = svn_level(&collateral.qe_identity.levels, svn);
    let qe = found("dcap.tcb.qe-level", qe, &collateral.qe_source, checks)?;
    add(&mut advisories, &qe.verdict);
    parts.push(("quoting-enclave", qe.verdict.status.as_str()));
    let with_qe = merged.merge(qe.verdict.status);
    if with_qe != merged {
        worse = Some("quoting enclave");
    }
    merged = with_qe;
    let tdx = match quote.body {
        Body::Enclave(_) => None,
        Body::TrustDomain(body) => Some(*body.tee_tcb_svn()),
    };
    Ok(Found { level, tdx, merged, worse, advisories, parts })
}

/// A domain's level for one value of TEE_TCB_SVN.
struct Domain<'c> {
    level: &'c Level,
    module: Option<&'c SvnLevel>,
    merged: TcbStatus,
}

//= EV-DCAP-9: TEE_TCB_SVN[1] > 0 leaves components 0 and 1 to the module identity
fn domain<'c>(
    svn: &[u8; 16],
    collateral: &'c VerifiedCollateral,
    platform: &Platform,
) -> Option<Domain<'c>> {
    let info = &collateral.tcb_info;
    let apart = svn[1] > 0;
    let level = info.level(&platform.components, platform.pcesvn, Some((svn, apart)))?;
    let module = if apart {
        Some(svn_level(&identity(collateral, svn[1])?.levels, svn[0].into())?)
    } else {
        None
    };
    let status = level.verdict.status;
    let merged = module.map_or(status, |module| status.merge(module.verdict.status));
    Some(Domain { level, module, merged })
}

fn identity(collateral: &VerifiedCollateral, generation: u8) -> Option<&ModuleIdentity> {
    collateral.tcb_info.module_identities.iter().find(|known| known.generation == generation)
}

//= EV-DCAP-12: SEAM attributes under mask, MRSIGNERSEAM as in the collateral
fn check_module(
    body: &TdBody<'_>,
    collateral: &VerifiedCollateral,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let generation = body.tee_tcb_svn()[1];
    let module = if generation > 0 {
        identity(collateral, generation).map(|identity| &identity.module)
    } else {
        collateral.tcb_info.module.as_ref()
    };
    let module = found("dcap.tcb.tdx-module", module, &collateral.tcb_source, checks)?;
    let unknown = || {
        Failure::new(
            Reason::TcbNotRecognised,
            Owner::DeviceOperator,
            "load the vendor's production TDX module",
        )
    };
    let check = Check::new("dcap.tcb.tdx-module-signer").seen(body.mr_signer_seam());
    let check = check.expected(&module.mr_signer).source(collateral.tcb_source.clone());
    checks.need(check.holds(*body.mr_signer_seam() == module.mr_signer, unknown))?;
    let (seen, mask) = (body.seam_attributes(), &module.attributes_mask);
    let check = Check::new("dcap.tcb.tdx-module-attributes").seen(seen);
    let check = check.expected(&module.attributes).source(collateral.tcb_source.clone());
    checks.need(check.holds(equal_under(seen, mask, &module.attributes), unknown))
}

/// No level or no identity is an error of its own, never "out of date".
fn found<T>(
    name: &'static str,
    value: Option<T>,
    source: &Arc<str>,
    checks: &mut Checks,
) -> Result<T, Stop> {
    value.ok_or(()).or_else(|()| {
        let check = Check::new(name).seen("none fits").source(source.clone());
        checks.fail(check.holds(false, || {
            Failure::new(
                Reason::TcbNotRecognised,
                Owner::DeviceOperator,
                "update the platform: the vendor's table begins above its versions",
            )
        }))
    })
}

fn add(advisories: &mut Vec<Arc<str>>, verdict: &Verdict) {
    for id in &verdict.advisories {
        if !advisories.contains(id) {
            advisories.push(id.clone());
        }
    }
}

//= EV-COM-9: the vendor reports a status, the policy decides
fn check_status(
    found: &Found<'_>,
    collateral: &VerifiedCollateral,
    platform: &Platform,
    policy: &Policy,
) -> Check {
    let allowed = &policy.dcap.tcb_statuses;
    let names = allowed.iter().map(|status| status.as_str()).collect::<Vec<_>>();
    let check = Check::new("dcap.tcb.status").seen(found.merged.as_str()).expected(names);
    let check = check.source(Source::Named(collateral.tcb_source.clone()));
    check.holds(allowed.contains(&found.merged), || {
        let (owner, remedy) = remedy(found, collateral, platform, policy);
        Failure::new(Reason::TcbStatusNotAllowed, owner, remedy)
    })
}

fn remedy(
    found: &Found<'_>,
    collateral: &VerifiedCollateral,
    platform: &Platform,
    policy: &Policy,
) -> (Owner, String) {
    let advisories = found.advisories.join(", ");
    let settings = || format!("change the BIOS settings that {advisories} name");
    let remedy = match found.merged {
        TcbStatus::SwHardeningNeeded => {
            let remedy = format!("build with the mitigations of {advisories}, then allow this");
            return (Owner::AgentProvider, remedy);
        }
        TcbStatus::TdRelaunchAdvised | TcbStatus::TdRelaunchAdvisedConfigurationNeeded => {
            "start the domain anew on the updated platform".to_owned()
        }
        TcbStatus::ConfigurationNeeded | TcbStatus::ConfigurationAndSwHardeningNeeded => settings(),
        TcbStatus::Revoked => {
            format!("take the platform out of service: its TCB is revoked ({advisories})")
        }
        TcbStatus::UpToDate | TcbStatus::OutOfDate | TcbStatus::OutOfDateConfigurationNeeded => {
            match found.worse {
                Some(part) => format!("update the {part} ({advisories})"),
                None => lacking(collateral, platform, found.tdx, policy).unwrap_or_else(settings),
            }
        }
    };
    (Owner::DeviceOperator, remedy)
}

/// What the platform lacks for the best level that the policy allows, or else for the newest one,
/// in Intel's own labels.
fn lacking(
    collateral: &VerifiedCollateral,
    platform: &Platform,
    tdx: Option<[u8; 16]>,
    policy: &Policy,
) -> Option<String> {
    let info = &collateral.tcb_info;
    let allowed = &policy.dcap.tcb_statuses;
    let goal = info.levels.iter().find(|level| allowed.contains(&level.verdict.status));
    let goal = goal.or(info.levels.first())?;
    let mut text = String::new();
    let mut lack = |label: &str, seen: u16, asked: u16| {
        if seen < asked {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{label} SVN {seen} < {asked}");
        }
    };
    for at in 0..16 {
        let label = info.sgx_labels[at].as_deref().unwrap_or("SGX component");
        lack(label, platform.components[at].into(), goal.sgx[at].into());
    }
    lack("PCE", platform.pcesvn, goal.pcesvn);
    if let (Some(seen), Some(goal)) = (tdx, &goal.tdx) {
        let from = if seen[1] > 0 { 2 } else { 0 };
        for at in from..16 {
            let label = info.tdx_labels[at].as_deref().unwrap_or("TDX component");
            lack(label, seen[at].into(), goal[at].into());
        }
    }
    if text.is_empty() {
        return None;
    }
    let (status, source) = (goal.verdict.status, &collateral.tcb_source);
    Some(format!("update BIOS and platform software: {text}, required for {status} by {source}"))
}

fn evaluation(collateral: &VerifiedCollateral) -> u32 {
    collateral.tcb_info.evaluation.min(collateral.qe_identity.evaluation)
}

//= EV-DCAP-11: the minimum of both objects, against a policy minimum
fn check_evaluation(collateral: &VerifiedCollateral, policy: &Policy) -> Check {
    let (seen, asked) = (evaluation(collateral), policy.dcap.evaluation_min);
    let check = Check::new("dcap.tcb.evaluation").seen(seen).expected(format!("at least {asked}"));
    check.source("policy").holds(seen >= asked, || {
        Failure::new(
            Reason::StaleEndorsement,
            Owner::EndorsementProvider,
            format!("fetch collateral of evaluation {asked} or later"),
        )
    })
}

/// The root's own list lives for a year and is left to its own validity.
fn check_age(collateral: &VerifiedCollateral, age_s_max: u64, now: Timestamp) -> Check {
    let renewed = ["TCB info", "QE identity", "PCK CRL"];
    let windows = collateral.windows.iter().filter(|window| renewed.contains(&window.what));
    let oldest = windows.min_by_key(|window| window.from);
    let check = Check::new("dcap.tcb.age").expected(format!("at most {age_s_max} s"));
    let Some(oldest) = oldest else { return check };
    let age_s = u64::try_from(now.0.saturating_sub(oldest.from.0)).unwrap_or(0);
    let what = oldest.what;
    check.seen(format!("{what} of {age_s} s ago")).source("policy").holds(
        age_s <= age_s_max,
        || {
            Failure::new(
                Reason::StaleEndorsement,
                Owner::EndorsementProvider,
                format!("fetch the {what} again: the policy asks for a more recent one"),
            )
        },
    )
}

fn refused_advisory(id: &str) -> Check {
    let check = Check::new("dcap.tcb.advisories").seen(id.to_owned()).source("policy");
    check.holds(false, || {
        Failure::new(
            Reason::TcbStatusNotAllowed,
            Owner::DeviceOperator,
            format!("update the platform as {id} says"),
        )
    })
}
