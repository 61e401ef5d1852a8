//! What the pinned Verifier says, and what is read on its word alone.

use cose::{Accept, Thumbprint};
use rats::{
    Timestamp,
    binding::Binding,
    cmw::{Cmw, Collection},
    ear::{self, Ear, Tier, VectorRule},
    eat::{self, Token},
    evidence::Evidence,
};
use verifier::{Check, Reason};

use super::{Expected, Look, Stopped, part, stop};
use crate::trust::Trust;

/// The check of the Verifier's own result.
pub(super) const CHECK: &str = "result.ear";

/// Whether a Verifier that says this lets the flow go on.
pub(super) const fn is_positive(tier: Tier) -> bool {
    matches!(tier, Tier::Affirming | Tier::Warning)
}

impl Look<'_> {
    /// The pinned Verifier's result for the user's own nonce; nothing where none is pinned.
    pub(super) fn told(&mut self, collection: &Collection) -> Result<Option<Ear>, Stopped> {
        if self.trust.verifier.is_none() {
            return Ok(None);
        }
        let token = part(collection, "ear", self.checks)?;
        match ear(token, self.expected, self.trust, self.now) {
            Ok(ear) => Ok(Some(ear)),
            Err(error) => {
                let check = check().expected("a fresh EAR for this nonce").seen(error.to_string());
                stop(self.checks, check, Reason::BadSignature, "ask for a new attestation")
            }
        }
    }

    /// The M/OC's own verdict must not contradict: a disagreement is a visible state, and stops.
    pub(super) fn agrees(
        &mut self,
        told: Option<&Ear>,
        teep_key: Option<Thumbprint>,
    ) -> Result<(), Stopped> {
        let Some(ear) = told else { return Ok(()) };
        let bound = agent(ear).and_then(ear::Appraisal::confirmed);
        if bound.is_none() || bound != teep_key {
            let key = teep_key.map_or_else(|| "a key".to_owned(), |key| key.to_string());
            let check = check().expected(key).seen("a result that is bound to another key");
            let remedy = "ask for a new attestation";
            return stop(self.checks, check, Reason::BindingMismatch, remedy);
        }
        let check = check().expected("affirming or warning").seen(format!("{:?}", ear.status()));
        if !is_positive(ear.status()) {
            let remedy = "ask the operator why its Verifier does not share your verdict";
            return stop(self.checks, check, Reason::ConfigurationNotAllowed, remedy);
        }
        self.checks.push(check);
        Ok(())
    }
}

/// What the result says, apart from everything else that is wrong with it.
pub(super) fn tier(
    result: &[u8],
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Option<Tier> {
    let verifier = std::slice::from_ref(trust.verifier.as_ref()?);
    let cmw = Cmw::verify(result, verifier, &Accept::CURRENT).ok()?.into_inner();
    let Cmw::Collection(collection) = cmw else { return None };
    let token = &collection.record("ear")?.value;
    ear(token, expected, trust, now).ok().map(|ear| ear.status())
}

/// The challenge that the Verifier says the Evidence answers.
pub(super) fn challenge(ear: Option<&Ear>, checks: &mut Vec<Check>) -> Result<Vec<u8>, Stopped> {
    match ear.and_then(agent).and_then(|agent| agent.nonce.as_ref()) {
        Some(nonce) => Ok(nonce.as_bytes().to_vec()),
        None => {
            let check = check().expected("the challenge of the Evidence").seen("none");
            stop(checks, check, Reason::BindingMismatch, "let your own nonce decide")
        }
    }
}

/// The agent layer of Evidence that the user does not appraise: its hardware layer is the pinned
/// Verifier's word.
pub(super) fn unappraised(evidence: &[u8], checks: &mut Vec<Check>) -> Result<Token, Stopped> {
    let token = Evidence::decode(evidence).ok().and_then(|evidence| {
        let binding = Binding::decode(&evidence.hardware?.bound.binding).ok()?;
        eat::verify(&evidence.eat, &binding.key, &Accept::CURRENT).ok()
    });
    let check = Check::new("agent.eat.signature").source("the Evidence, which was not appraised");
    match token {
        Some(token) => {
            checks.push(check.seen("by the key that the Evidence names"));
            Ok(token.into_inner())
        }
        None => {
            let check = check.expected("Evidence with an EAT").seen("something else");
            stop(checks, check, Reason::Malformed, "ask for a new attestation")
        }
    }
}

fn ear(
    token: &[u8],
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<Ear, rats::Refused> {
    let expect = ear::Expect {
        verifiers: trust.verifier.as_slice(),
        accept: &Accept::CURRENT,
        now,
        skew_s: CLOCK_SKEW_S_MAX,
        nonce: Some(expected.nonce),
        vector: VectorRule::Required,
    };
    Ok(Ear::verify(token, &expect)?.into_inner())
}

fn agent(ear: &Ear) -> Option<&ear::Appraisal> {
    ear.appraisals().get("agent")
}

fn check() -> Check {
    Check::new(CHECK).source("pinned Verifier")
}

/// How far the M/OC's clock may be off, seconds.
const CLOCK_SKEW_S_MAX: i64 = 60;
