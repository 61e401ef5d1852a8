//! What SGX and TDX share: DCAP quotes, the PCK chain, Intel's collateral and TCB levels.
//!
//! Collateral is verified once into [`Endorsements`]; a quote then costs three signatures (quote,
//! quoting enclave, PCK). This module does not know what an enclave or a domain may contain.

pub mod collateral;
pub mod pck;
pub mod quote;
pub mod tcb;

mod authenticity;
mod forecast;
mod level;
mod ra_tls;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Request, check_user_data};
use crate::cache::Bounded;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::claims::Claims;
use crate::trust::{self, Isolation};
use crate::value::{Octets, Value};
use crate::{Anchors, Appraisal, Collateral, UserData};
use authenticity::{Known, authenticate};
use collateral::VerifiedCollateral;
use level::judge;
use quote::{NotAQuote, Quote};
use tcb::TcbStatus;

pub(crate) use authenticity::Authentic;
pub(crate) use forecast::forecast;

pub use ra_tls::Carried;

/// Rules for Intel's endorsements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which TCB statuses are accepted. Default: `["UpToDate"]`.
    pub tcb_statuses: Vec<TcbStatus>,
    /// The lowest `tcbEvaluationDataNumber` of TCB info and QE identity, against replay of old
    /// collateral. Default: 17 (Intel's TCB recovery of 2024-03-12).
    pub evaluation_min: u32,
    /// Advisories (`INTEL-SA-00615`) that are refused whatever the status. Default: none.
    pub advisories_refused: Vec<String>,
    /// How old TCB info, QE identity and the list of revoked PCKs may be, in seconds since they
    /// were issued, whatever validity they state. Default: no limit of its own.
    pub age_s_max: Option<u64>,
    /// Refuse a quote without collateral. When off, such a quote has no TCB status and nothing
    /// checks revocation. Default: `true`.
    pub collateral_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tcb_statuses: vec![TcbStatus::UpToDate],
            evaluation_min: 17,
            advisories_refused: Vec::new(),
            age_s_max: None,
            collateral_required: true,
        }
    }
}

/// Intel's collateral, verified once, or the explanation why not.
#[derive(Debug)]
pub(crate) struct Endorsements {
    collateral: State,
    /// The PCK chain for quotes that carry only a platform id (`pck_chain.pem`).
    pck_chain: Option<Vec<u8>>,
    anchors: Anchors,
    /// Platforms that were verified under this collateral.
    known: Bounded<Arc<Known>>,
}

#[derive(Debug)]
enum State {
    Absent,
    Refused(Box<Check>),
    Verified(Box<VerifiedCollateral>),
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, anchors: &Anchors) -> Self {
        let state = match VerifiedCollateral::verify(collateral, anchors) {
            None => State::Absent,
            Some(Err(check)) => State::Refused(check),
            Some(Ok(verified)) => State::Verified(Box::new(verified)),
        };
        let pck_chain = collateral.file("pck_chain.pem").map(<[u8]>::to_vec);
        Self {
            collateral: state,
            pck_chain,
            anchors: anchors.clone(),
            known: Bounded::new(MAX_KNOWN),
        }
    }
}

impl Endorsements {
    /// Why the collateral does not count, if it does not.
    pub(crate) fn refusal(&self) -> Option<&Check> {
        match &self.collateral {
            State::Refused(check) => Some(check),
            State::Absent | State::Verified(_) => None,
        }
    }
}

/// What a quote attests, as its TEE knows it.
pub(crate) trait Subject {
    /// What kind of isolation the TEE gives.
    const ISOLATION: Isolation;

    /// What the attester bound.
    fn report_data(&self) -> &[u8; 64];

    /// Every field for showing.
    fn fields(&self) -> Vec<(&'static str, Value)>;

    /// Checks the instance and names the reference value that fits.
    fn check(&self, request: &Request<'_>, checks: &mut Checks) -> Option<String>;

    /// What the authentic instance says.
    fn claims(&self, authentic: &Authentic<'_>) -> Claims;
}

//= EV-COM-2: format, chain, revocation and validity, TCB, binding, appraisal
/// Appraises what a quote attests: authenticity, then TCB, binding and instance.
pub(crate) fn appraise<S: Subject>(
    quote: &Quote<'_>,
    subject: &S,
    carried: &Carried<'_>,
    endorsements: &Endorsements,
    request: &Request<'_>,
) -> Appraisal {
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = subject.fields();
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        authenticate(quote, endorsements, request, &mut appraisal.anchor, checks)
    });
    if let Ok(authentic) = authentic {
        appraisal.authentic = true;
        appraisal.tcb = checks.group("tcb", |checks| judge(quote, &authentic, request, checks));
        let binding = check_user_data(subject.report_data(), request.user_data);
        appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
        checks.note(binding);
        carried.check_key(subject.report_data()).into_iter().for_each(|check| checks.note(check));
        appraisal.reference = checks.group("instance", |checks| subject.check(request, checks));
        appraisal.claims = Some(subject.claims(&authentic));
    }
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, S::ISOLATION);
    appraisal
}

/// The platform's own id where Intel gives one, else its provisioning id.
pub(crate) fn instance_id(authentic: &Authentic<'_>) -> Octets {
    let platform = &authentic.platform;
    Octets::new(platform.instance_id.as_ref().unwrap_or(&platform.ppid))
}

/// The check of bytes that are no quote, or none that is appraised.
pub(crate) fn not_a_quote(error: NotAQuote) -> Check {
    let check = Check::new("evidence.format");
    match error {
        NotAQuote::Malformed(expected) => check.expected(expected).holds(false, || {
            let remedy = "send the quote as the quoting enclave made it";
            Failure::new(Reason::Malformed, Owner::Attester, remedy)
        }),
        NotAQuote::Unsupported(seen) => check.seen(seen).holds(false, || {
            let remedy = "send a quote of version 3, 4 or 5 with an ECDSA P-256 key";
            Failure::new(Reason::Unsupported, Owner::Attester, remedy)
        }),
    }
}

/// How many platforms are remembered for one set of collateral.
const MAX_KNOWN: usize = 4096;
