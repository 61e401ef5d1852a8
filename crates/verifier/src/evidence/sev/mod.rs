//! AMD SEV and SEV-ES: the launch of a guest, measured by the firmware of a verified platform.
//!
//! There is no report that a guest can ask for. The owner opens a [`session`] to the platform's
//! key, appraises what the firmware measured at launch, releases one secret, and later asks the
//! guest to prove that it holds it. What it found it can state ([`stated`]), so that others who
//! believe it can appraise the guest as well. Hygon's CSV looks alike and is refused as
//! unsupported.

pub mod certificate;
pub mod chain;
pub mod launch;
pub mod session;
pub mod stated;

mod policy;
mod reference;

use super::{Request, UserData, check_debug, check_standing, refuse};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::crypto::sha256;
use crate::evidence::Kind;
use crate::reference::check_reference;
use crate::trust::{self, Isolation, TrustValue};
use crate::value::{Hex, Octets};
use crate::{Anchors, Appraisal, Collateral, Tcb};
use chain::VerifiedChain;
use launch::{GuestPolicy, Launch};
use session::LaunchKeys;
use stated::{NotStated, Stated, Statement};

pub use policy::Policy;
pub use reference::Reference;

/// The platform's certificates, verified once, and what the owner kept of the launch.
#[derive(Debug)]
pub(crate) struct Endorsements {
    chain: Result<VerifiedChain, Box<Check>>,
    keys: Option<LaunchKeys>,
}

impl Endorsements {
    pub(crate) fn prepare(
        collateral: &Collateral,
        anchors: &Anchors,
        keys: Option<LaunchKeys>,
    ) -> Self {
        Self { chain: VerifiedChain::verify(collateral, anchors), keys }
    }
}

/// Appraises an SEV launch: authenticity, then firmware, binding and guest.
//= EV-COM-2: format, chain, measurement, binding, appraisal
pub(crate) fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    if is_hygon(request.evidence) {
        return refuse(request, hygon());
    }
    if Stated::claims(request.evidence) {
        return appraise_stated(request);
    }
    let launch = match Launch::decode(request.evidence) {
        Ok(launch) => launch,
        Err(error) => return refuse(request, not_a_launch(&error)),
    };
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = launch.fields();
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        authenticate(&launch, endorsements, request, &mut appraisal.anchor, checks)
    });
    if let Ok((chain, keys)) = authentic {
        let proves =
            |user_data: &[u8; 64]| launch.proof.as_ref().map(|proof| keys.proves(proof, user_data));
        judge_guest(&launch, chain, &proves, request, &mut appraisal, &mut checks);
        let proof = launch.proof.as_ref().map_or(&[][..], |proof| &proof[..]);
        appraisal.claims = Some(claims(&launch, chain, proof));
    }
    concluded(appraisal, checks)
}

/// Appraises a guest by its owner's statement about the launch.
fn appraise_stated(request: &Request<'_>) -> Appraisal {
    let stated = match Stated::decode(request.evidence) {
        Ok(stated) => stated,
        Err(error) => return refuse(request, not_a_launch(&error)),
    };
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        authenticate_stated(&stated, request, &mut appraisal, checks)
    });
    if let Ok((chain, statement)) = authentic {
        let proves = |user_data: &[u8; 64]| Some(statement.proves(stated.proof(), user_data));
        judge_guest(&statement.launch, &chain, &proves, request, &mut appraisal, &mut checks);
        appraisal.claims = Some(claims(&statement.launch, &chain, stated.proof()));
    }
    concluded(appraisal, checks)
}

/// What follows once it is known which guest was launched where.
fn judge_guest(
    launch: &Launch,
    chain: &VerifiedChain,
    proves: &dyn Fn(&[u8; 64]) -> Option<bool>,
    request: &Request<'_>,
    appraisal: &mut Appraisal,
    checks: &mut Checks,
) {
    appraisal.authentic = true;
    let tcb = |checks: &mut Checks| judge(launch, request, checks);
    appraisal.tcb = Some(checks.group("tcb", tcb));
    let binding = check_binding(proves, request.user_data);
    appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
    checks.note(binding);
    appraisal.reference =
        checks.group("instance", |checks| check_instance(launch, chain, request, checks));
}

fn concluded(mut appraisal: Appraisal, checks: Checks) -> Appraisal {
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, Isolation::Machine);
    appraisal
}

/// The platform's chain as the host gave it, then the statement of an owner who counts.
fn authenticate_stated(
    stated: &Stated<'_>,
    request: &Request<'_>,
    appraisal: &mut Appraisal,
    checks: &mut Checks,
) -> Result<(VerifiedChain, Statement), Stop> {
    let chain = match VerifiedChain::verify(&stated.certificates, request.anchors) {
        Ok(chain) => chain,
        Err(check) => {
            let children = vec![*check];
            return checks.fail(Check { ok: false, children, ..Check::new("sev.chain") });
        }
    };
    appraisal.anchor = Some(chain.anchor.clone());
    let check = Check::new("sev.chain").seen(&chain.anchor.spki_sha256.0);
    checks.note(check.source(chain.anchor.name.clone().into_owned()));
    checks.need(check_standing(&chain.anchor, request.policy))?;
    let statement = match Statement::verify(stated.statement) {
        Ok(statement) => statement,
        Err(error) => return checks.fail(no_statement(&error)),
    };
    appraisal.fields = statement.fields();
    let owner = statement.owner.thumbprint().0;
    checks.note(Check::new("sev.launch.statement").seen(&owner).source("the owner's signature"));
    let known = request.policy.sev.launched_by.contains(&Hex(owner));
    let check = Check::new("sev.launch.owner").seen(&owner).source("policy");
    checks.need(check.expected("a Network User in launched_by").holds(known, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::PolicyOwner,
            "list the key of who launched this guest in launched_by, or launch it yourself",
        )
    }))?;
    //= EV-SEV-1: the launch was on this platform
    let platform = statement.platform == sha256(chain.pdh.public());
    checks.need(Check::new("sev.session.platform").holds(platform, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply the certificates of the platform on which the guest was launched",
        )
    }))?;
    Ok((chain, statement))
}

fn no_statement(error: &NotStated) -> Check {
    let reason = match error {
        NotStated::Malformed(_) => Reason::Malformed,
        NotStated::Untrusted(_) => Reason::BadSignature,
    };
    Check::new("sev.launch.statement").seen(error.to_string()).holds(false, || {
        let remedy = "send the statement that the owner of the launch signed";
        Failure::new(reason, Owner::Attester, remedy)
    })
}

//= EV-SEV-1: the platform's chain, then the HMAC that its firmware made
fn authenticate<'e>(
    launch: &Launch,
    endorsements: &'e Endorsements,
    request: &Request<'_>,
    anchor: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<(&'e VerifiedChain, &'e LaunchKeys), Stop> {
    let chain = match &endorsements.chain {
        Ok(chain) => chain,
        Err(check) => {
            let children = vec![(**check).clone()];
            return checks.fail(Check { ok: false, children, ..Check::new("sev.chain") });
        }
    };
    *anchor = Some(chain.anchor.clone());
    let check = Check::new("sev.chain").seen(&chain.anchor.spki_sha256.0);
    checks.note(check.source(chain.anchor.name.clone().into_owned()));
    checks.need(check_standing(&chain.anchor, request.policy))?;
    let Some(keys) = &endorsements.keys else { return checks.fail(no_keys()) };
    checks.need(Check::new("sev.session.platform").holds(keys.is_for(chain), || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply the certificates of the platform to which the session was opened",
        )
    }))?;
    //= EV-SEV-4: the measurement's HMAC
    let ok = keys.measured(launch);
    checks.need(Check::new("sev.launch.measure").source("transport integrity key").holds(
        ok,
        || {
            Failure::new(
                Reason::BadSignature,
                Owner::Attester,
                "send what LAUNCH_MEASURE answered in this session, with its policy and digest",
            )
        },
    ))?;
    Ok((chain, keys))
}

/// AMD gives no status for SEV firmware, so it follows from the policy's minimum. Without SNP
/// nothing protects memory from being replayed or moved by the host: the hardware is known to be
/// weaker than its successors.
fn judge(launch: &Launch, request: &Request<'_>, checks: &mut Checks) -> Tcb {
    let (seen, min) = (launch.firmware, request.policy.sev.firmware_min);
    let shown = |[major, minor, build]: [u8; 3]| format!("{major}.{minor}.{build}");
    let check = Check::new("sev.firmware").seen(shown(seen)).expected(shown(min)).source("policy");
    let ok = seen >= min;
    checks.note(check.holds(ok, || {
        Failure::new(
            Reason::TcbStatusNotAllowed,
            Owner::DeviceOperator,
            "update the SEV firmware and launch the guest again",
        )
    }));
    let status = match (min, ok) {
        ([0, 0, 0], _) => "NoMinimum",
        (_, true) => "MeetsMinimum",
        (_, false) => "BelowMinimum",
    };
    Tcb {
        status,
        date: None,
        advisories: Vec::new(),
        evaluation: None,
        parts: vec![("firmware", status)],
        hardware: TrustValue::WARNED,
        configuration: TrustValue::AFFIRMED_LESS,
    }
}

//= EV-SEV-7: the nonce is the firmware's, so later user data is bound by the injected key
fn check_binding(proves: &dyn Fn(&[u8; 64]) -> Option<bool>, expected: UserData<'_>) -> Check {
    let check = Check::new("binding.user-data");
    let UserData::Exactly(user_data) = expected else {
        return check.source("nothing to compare with");
    };
    let proof = proves(user_data);
    let seen = if proof.is_some() { "a proof" } else { "no proof" };
    let ok = proof == Some(true);
    check.seen(seen).expected("a proof by the injected key").source("this exchange").holds(
        ok,
        || {
            Failure::new(
                Reason::BindingMismatch,
                Owner::Attester,
                "prove by the injected key that the guest of this launch answers this challenge",
            )
        },
    )
}

//= EV-SEV-5: NODBG=1, NOKS=1, ES=1, NOSEND=1 unless allowed
fn check_instance(
    launch: &Launch,
    chain: &VerifiedChain,
    request: &Request<'_>,
    checks: &mut Checks,
) -> Option<String> {
    let (guest, policy) = (launch.policy, &request.policy.sev);
    checks.note(check_debug(!guest.has(GuestPolicy::NODBG), request.policy));
    let flags = [
        ("sev.policy.noks", GuestPolicy::NOKS, !policy.key_sharing_allowed),
        ("sev.policy.es", GuestPolicy::ES, policy.es_required),
        ("sev.policy.nosend", GuestPolicy::NOSEND, !policy.sending_allowed),
    ];
    for (name, flag, required) in flags {
        let set = guest.has(flag);
        let check = Check::new(name).seen(set).expected(true).source("policy");
        checks.note(check.holds(set || !required, || {
            let bit = flag.trailing_zeros();
            configuration(format!("launch the guest with bit {bit} of its policy set"))
        }));
    }
    let (seen, min) = (guest.api_min(), policy.api_min);
    let shown = |[major, minor]: [u8; 2]| format!("{major}.{minor}");
    let check = Check::new("sev.policy.api").seen(shown(seen));
    let check = check.expected(format!("at least {}", shown(min))).source("policy");
    checks.note(check.holds(seen >= min, || {
        configuration("launch the guest with a policy that demands this firmware API".into())
    }));
    let known = policy.owners.is_empty() || policy.owners.contains(&Hex(chain.owner));
    checks.note(Check::new("sev.owner").seen(&chain.owner).source("policy").holds(known, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::PolicyOwner,
            "list the owner of this platform in owners if you trust it",
        )
    }));
    let references = &request.reference.sev;
    let (check, name) =
        check_reference("instance.reference", references, &launch.digest, request.policy);
    checks.note(check);
    name
}

fn claims(launch: &Launch, chain: &VerifiedChain, proof: &[u8]) -> Claims {
    let mut claims = Claims::new(Kind::Sev, proof);
    let registers_encrypted = launch.policy.has(GuestPolicy::ES);
    claims.generation = Some(if registers_encrypted { "SEV-ES" } else { "SEV" });
    claims.instance_id = Some(Octets::new(&chain.chip));
    claims.measurements.push(Named::new("launch_digest", &launch.digest));
    claims.signers.push(Named::new("platform_owner", &chain.owner));
    let [major, minor, build] = launch.firmware;
    let svns = [("api_major", major), ("api_minor", minor), ("build", build)];
    claims.svns.extend(svns.map(|(name, svn)| (name, u64::from(svn))));
    claims.debug = Some(!launch.policy.has(GuestPolicy::NODBG));
    claims
}

/// A report of Hygon's CSV, as bytes or as the JSON in which its tools wrap it.
fn is_hygon(evidence: &[u8]) -> bool {
    evidence.len() == CSV_REPORT_LENGTH || evidence.starts_with(b"{")
}

fn hygon() -> Check {
    let check = Check::new("evidence.format").seen("Hygon CSV, or another wrapping in JSON");
    check.holds(false, || {
        Failure::new(
            Reason::Unsupported,
            Owner::Attester,
            "attest on hardware of AMD: Hygon's SM2 and SM3 are not appraised",
        )
    })
}

fn not_a_launch(error: &cose::Malformed) -> Check {
    let check = Check::new("evidence.format").seen(error.to_string()).expected("a sev-launch");
    check.holds(false, || {
        let remedy = "send what LAUNCH_MEASURE answered as a sev-launch";
        Failure::new(Reason::Malformed, Owner::Attester, remedy)
    })
}

fn no_keys() -> Check {
    let check = Check::new("sev.session").seen("no transport integrity key");
    check.holds(false, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "appraise the launch where its session was opened: nobody else can check its MAC",
        )
    })
}

fn configuration(remedy: String) -> Failure {
    Failure::new(Reason::ConfigurationNotAllowed, Owner::AgentProvider, remedy)
}

/// How many octets a CSV attestation report has.
const CSV_REPORT_LENGTH: usize = 2548;
