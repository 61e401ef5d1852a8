//! Whether a report comes from where it claims: key, chain, revocation, validity.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Endorsements;
use super::container::{Container, Runtime};
use super::endorsement::{EndorsedKey, VerifiedEndorsements, Window};
use super::product::{Product, TcbVersion};
use super::report::{Report, SigningKey};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::evidence::{Request, check_standing};

/// What an authentic report has shown.
#[derive(Debug)]
pub(crate) struct Authentic {
    /// The key that signed it, with its chain.
    pub(crate) key: Arc<EndorsedKey>,
    /// Whether a revocation list of its root was there.
    pub(crate) list: Check,
}

/// Checks everything that makes a report authentic, in the order of EV-COM-2. The anchor is set as
/// soon as it is known, so that a refusal can still tell emulated from real.
pub(crate) fn authenticate(
    container: &Container<'_>,
    endorsements: &Endorsements,
    request: &Request<'_>,
    anchor: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<Authentic, Stop> {
    let report = &container.report;
    let known = endorsements.with_table(container);
    let key = find_key(report, &known, checks)?;
    *anchor = Some(key.authority.root.anchor.clone());
    checks.note(check_chain(&key));
    checks.need(check_standing(&key.authority.root.anchor, request.policy))?;
    checks.need(check_product(report, &key))?;
    check_revocation(&key, &known, checks)?;
    let list = known.newest_list(&key.authority.root).map(|list| list.window());
    checks.need(check_windows(&key, list, request))?;
    if let Some(runtime) = &container.runtime {
        check_runtime(runtime, report, checks)?;
    }
    Ok(Authentic { list: check_list(&key, list, &known, request), key })
}

/// Finds the key that must have signed the report, and checks that it did.
//= EV-SNP-1: report signature by VCEK or VLEK, as key info names
//= EV-SNP-8: endorsements are looked up by the reported TCB
fn find_key(
    report: &Report<'_>,
    known: &VerifiedEndorsements,
    checks: &mut Checks,
) -> Result<Arc<EndorsedKey>, Stop> {
    let fitting = known.keys().filter(|key| key.fits(report)).collect::<Vec<_>>();
    if fitting.is_empty() {
        return checks.fail(explain_absence(report, known));
    }
    let check = Check::new("snp.report.signature").source(report.signing_key().as_str());
    match fitting.into_iter().find(|key| key.vek.verify(report)) {
        Some(key) => {
            checks.note(check);
            Ok(key.clone())
        }
        None => checks.fail(check.holds(false, || {
            tampered("send the report again as the secure processor made it: it changed")
        })),
    }
}

fn explain_absence(report: &Report<'_>, known: &VerifiedEndorsements) -> Check {
    let kind = report.signing_key();
    let same_kind = |key: &&Arc<EndorsedKey>| key.vek.kind == kind && key.vek.is_of_chip(report);
    let closest = known.keys().find(same_kind);
    let check = Check::new("snp.vek").source(kind.as_str());
    if closest.is_none() && !known.problems().is_empty() {
        return Check { ok: false, children: known.problems().to_vec(), ..check };
    }
    let check = match closest {
        //= EV-SNP-5: SPLs equal the reported TCB, part by part
        Some(key) => {
            let reported = TcbVersion::decode(key.vek.product, report.reported_tcb());
            check.seen(key.vek.tcb).expected(reported)
        }
        //= EV-SNP-6: hwID is the chip id
        None => check.seen("none for this chip").expected(report.chip_id()),
    };
    let cpuid = report.cpuid().and_then(|cpuid| Product::from_cpuid(cpuid.family, cpuid.model));
    let product = closest.map(|key| key.vek.product).or(cpuid);
    check.holds(false, || {
        let remedy = remedy(report, product);
        Failure::new(Reason::MissingEndorsement, Owner::EndorsementProvider, remedy)
    })
}

/// Says where the key's certificate is to be had.
fn remedy(report: &Report<'_>, product: Option<Product>) -> String {
    let (SigningKey::Vcek, Some(product)) = (report.signing_key(), product) else {
        return match report.signing_key() {
            SigningKey::Vcek => {
                "supply the VCEK certificate of this chip for its reported TCB".to_owned()
            }
            SigningKey::Vlek => {
                "supply the cloud provider's VLEK certificate for the reported TCB".to_owned()
            }
        };
    };
    let mut remedy = format!("fetch https://kdsintf.amd.com/vcek/v1/{product}/");
    for octet in &report.chip_id()[..product.chip_id_length()] {
        write!(remedy, "{octet:02x}").expect("a String takes everything");
    }
    let tcb = TcbVersion::decode(product, report.reported_tcb());
    let names = [
        ("fmc", "fmcSPL"),
        ("bootloader", "blSPL"),
        ("tee", "teeSPL"),
        ("snp", "snpSPL"),
        ("microcode", "ucodeSPL"),
    ];
    let mut separator = '?';
    for (part, svn) in tcb.parts() {
        let name = names.iter().find(|(own, _)| *own == part).map_or(part, |(_, name)| name);
        write!(remedy, "{separator}{name}={svn:02}").expect("a String takes everything");
        separator = '&';
    }
    remedy
}

//= EV-SNP-2: the chain up to the pinned ARK
fn check_chain(key: &EndorsedKey) -> Check {
    let root = &key.authority.root;
    let check = Check::new("snp.vek.chain").seen(&root.anchor.spki_sha256.0);
    check.source(root.anchor.name.clone().into_owned())
}

//= EV-SNP-5: the layout follows the issuer's product, which the processor confirms
fn check_product(report: &Report<'_>, key: &EndorsedKey) -> Check {
    let check = Check::new("snp.product").expected(key.vek.product.as_str());
    let Some(cpuid) = report.cpuid() else { return check.source("VEK certificate") };
    let product = Product::from_cpuid(cpuid.family, cpuid.model);
    let seen = product.map_or("unknown processor", Product::as_str);
    check.seen(seen).source("VEK certificate").holds(product == Some(key.vek.product), || {
        Failure::new(
            Reason::Unsupported,
            Owner::PolicyOwner,
            "appraise this processor with a Verifier that knows it: its endorsement is for \
             another product",
        )
    })
}

//= EV-SNP-4: no ASK, ASVK or VLEK on a list of the ARK
fn check_revocation(
    key: &EndorsedKey,
    known: &VerifiedEndorsements,
    checks: &mut Checks,
) -> Result<(), Stop> {
    for (what, serial) in key.serials() {
        let revoked = known.revokes(&key.authority.root, serial);
        checks.need(Check::new("snp.revocation").source(what).holds(!revoked, || {
            Failure::new(
                Reason::Revoked,
                Owner::EndorsementProvider,
                "fetch the endorsements again: this certificate was revoked and replaced; when it \
                 is still the current one, take the platform out of service",
            )
        }))?;
    }
    Ok(())
}

//= EV-SNP-4: validity at the given time
fn check_windows(key: &EndorsedKey, list: Option<Window>, request: &Request<'_>) -> Check {
    let windows = key.windows().into_iter().chain(list).collect::<Vec<_>>();
    let check = Check::new("snp.validity").seen(request.now);
    let wrong = |window: &Window| Some((*window, window.reason_at(request.now)?));
    let Some((window, reason)) = windows.iter().find_map(wrong) else {
        let until = windows.iter().min_by_key(|window| window.until);
        return match until {
            Some(window) => check.expected(window.until).source(window.what),
            None => check,
        };
    };
    let bound = if reason == Reason::Expired { window.until } else { window.from };
    check.expected(bound).source(window.what).holds(false, || {
        let remedy = format!(
            "fetch the {} that is valid at the time of the appraisal, or check the clock",
            window.what
        );
        Failure::new(reason, Owner::EndorsementProvider, remedy)
    })
}

//= EV-SNP-10: both are checked, the report's binding and the vTPM's quote
fn check_runtime(
    runtime: &Runtime<'_>,
    report: &Report<'_>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let ok = runtime.is_bound_by(report);
    let check = Check::new("snp.hcl.binding").seen(report.report_data());
    checks.need(check.expected("SHA-256 of the runtime claims").holds(ok, || {
        tampered("send the HCL report as the paravisor made it: its claims changed")
    }))?;
    let Some(quote) = &runtime.quote else { return Ok(()) };
    let signed = runtime.attestation_key.as_ref().is_some_and(|key| quote.is_signed_by(key));
    let check = Check::new("snp.vtpm.signature").source("HCLAkPub in the runtime claims");
    checks.need(check.holds(signed, || {
        tampered("quote with the attestation key of the vTPM that this paravisor made")
    }))?;
    checks.need(Check::new("snp.vtpm.registers").holds(quote.covers_registers(), || {
        tampered("send the registers as they were when the quote was made")
    }))
}

fn check_list(
    key: &EndorsedKey,
    list: Option<Window>,
    known: &VerifiedEndorsements,
    request: &Request<'_>,
) -> Check {
    let check = Check::new("snp.revocation-list");
    if let Some(window) = list {
        let age_s = u64::try_from(request.now.0.saturating_sub(window.from.0)).unwrap_or(0);
        let limit = request.policy.snp.revocation_list_age_s_max;
        let check = check.seen(window.from).source(window.what);
        let Some(limit) = limit.filter(|limit| age_s > *limit) else { return check };
        return check.expected(format!("issued at most {limit} s ago")).holds(false, || {
            Failure::new(
                Reason::StaleEndorsement,
                Owner::EndorsementProvider,
                "fetch the revocation list again: the policy asks for a more recent one",
            )
        });
    }
    if let Some(file) = known.unsigned_lists(&key.authority.root).next() {
        return check.source(file.to_owned()).holds(false, || {
            Failure::new(
                Reason::BadSignature,
                Owner::EndorsementProvider,
                "fetch the revocation list again, from the vendor of this hardware",
            )
        });
    }
    let required = request.policy.snp.revocation_list_required;
    check.seen("none supplied").source("policy").holds(!required, || {
        let product = key.vek.product;
        let remedy = format!(
            "supply the revocation list of this product, for real hardware \
             https://kdsintf.amd.com/vcek/v1/{product}/crl"
        );
        Failure::new(Reason::MissingEndorsement, Owner::EndorsementProvider, remedy)
    })
}

fn tampered(remedy: &'static str) -> Failure {
    Failure::new(Reason::BadSignature, Owner::Attester, remedy)
}
