//! AMD SEV-SNP guests: attestation reports of versions 2, 3 and 5 on Milan, Genoa and Turin.
//!
//! AMD's certificates and revocation lists are verified once into [`endorsement`]; a report then
//! costs one signature. This module does not know what a guest may contain, nor how old firmware
//! may be: that the policy says.

pub mod container;
pub mod endorsement;
pub mod product;
pub mod report;
pub mod vek;
pub mod vtpm;

mod authenticity;
mod instance;
mod level;
mod policy;
mod reference;

use std::sync::Arc;

use super::{Request, check_user_data, refuse};
use crate::cache::Bounded;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::crypto::sha256;
use crate::trust::{self, Isolation};
use crate::{Anchors, Appraisal, Collateral, UserData};
use authenticity::authenticate;
use container::Container;
use endorsement::VerifiedEndorsements;
use report::NotAReport;

pub use policy::{GuestPolicyBit, MinimumTcb, PlatformBit, Policy};
pub use reference::{NoIdentity, Reference, Register, Spelling};

/// AMD's endorsements, verified once.
#[derive(Debug)]
pub(crate) struct Endorsements {
    verified: Arc<VerifiedEndorsements>,
    anchors: Anchors,
    /// What came in certificate tables, by their digest.
    tables: Bounded<Arc<VerifiedEndorsements>>,
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, anchors: &Anchors) -> Self {
        let verified = VerifiedEndorsements::built_in(anchors).with(collateral.files(), anchors);
        Self {
            verified: Arc::new(verified),
            anchors: anchors.clone(),
            tables: Bounded::new(MAX_TABLES),
        }
    }

    /// What is wrong with a file that was supplied, if something is.
    pub(crate) fn refusal(&self) -> Option<&Check> {
        self.verified.problems().first()
    }

    /// What is known together with the certificates that came with a report.
    //= EV-PERF-1: verified once, by the hash of the exact bytes
    fn with_table(&self, container: &Container<'_>) -> Arc<VerifiedEndorsements> {
        if container.certificates.is_empty() {
            return self.verified.clone();
        }
        let key = sha256(container.table);
        if let Some(known) = self.tables.find(&key) {
            return known;
        }
        let files = container.certificates.iter().map(|bytes| ("certificate table", *bytes));
        let known = Arc::new((*self.verified).clone().with(files, &self.anchors));
        self.tables.insert(key, known.clone());
        known
    }
}

/// Appraises an SEV-SNP report: authenticity, then TCB, binding and instance.
//= EV-COM-2: format, chain, revocation and validity, TCB, binding, appraisal
pub(crate) fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    let container = match Container::decode(request.evidence) {
        Ok(container) => container,
        Err(error) => return refuse(request, not_a_report(error)),
    };
    let report = &container.report;
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = report.fields();
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        authenticate(&container, endorsements, request, &mut appraisal.anchor, checks)
    });
    if let Ok(authentic) = authentic {
        appraisal.authentic = true;
        let tcb = |checks: &mut Checks| level::judge(report, &authentic, request.policy, checks);
        appraisal.tcb = Some(checks.group("tcb", tcb));
        let binding = check_user_data(container.user_data(), request.user_data);
        appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
        checks.note(binding);
        appraisal.reference = checks
            .group("instance", |checks| instance::check(&container, &authentic, request, checks));
        appraisal.claims = Some(instance::claims(&container, &authentic));
    }
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, Isolation::Machine);
    appraisal
}

/// The check of bytes that are no report, or none that is appraised.
fn not_a_report(error: NotAReport) -> Check {
    let check = Check::new("evidence.format");
    match error {
        NotAReport::Malformed(expected) => check.expected(expected).holds(false, || {
            let remedy = "send the report as the secure processor made it";
            Failure::new(Reason::Malformed, Owner::Attester, remedy)
        }),
        NotAReport::Unsupported(seen) => check.seen(seen).holds(false, || {
            let remedy = "send a report of version 2, 3 or 5 that a VCEK or VLEK signed";
            Failure::new(Reason::Unsupported, Owner::Attester, remedy)
        }),
    }
}

/// How many certificate tables are remembered for one set of collateral.
const MAX_TABLES: usize = 1024;
