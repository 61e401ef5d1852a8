//! Appraisal of an Agent for an exchange of this M/OC.
//!
//! The Verifier judges quote and claims; here is added what only the M/OC knows: who signed the
//! TEEP message, which device it is, and what was deployed there.

use api::Owner;
use cose::{Key, Thumbprint};
use keys::SigningKey;
use rats::eat::TaEntry;
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use verifier::{
    AgentAppraisal, Platform, TeepEvidence,
    teep::{Agent, Terms},
};

use crate::{collateral::Wanted, store::Quoted};

use super::{Appraised, Facts, Question, Sources, explain::Checks, family, result};

/// Appraises Evidence and signs what was found.
pub(super) fn appraise(
    question: &Question<'_>,
    sources: &Sources,
    key: &SigningKey,
    wanted: Option<&Wanted>,
) -> Appraised {
    let mut checks = Checks::default();
    // Without a quote of its own it is a renewal, which rests on the one that is known.
    let quoted = question.quoted.filter(|_| is_renewal(question.evidence));
    let first = quoted.map_or(question.evidence, |quoted| &quoted.evidence);
    let Some(evidence) = open(question.format, first, &mut checks) else {
        return refuse(question, checks, NotAttested::Unsupported);
    };
    let terms = Terms {
        challenge: quoted.map_or(question.challenge, |quoted| &quoted.challenge),
        event_log: None,
        anchors: &sources.anchors,
        reference: &sources.reference,
        policy: sources.policy(question.tenant),
        now: super::sources::seconds(question.now_ms),
    };
    let platform = platform(question, &evidence, sources, wanted);
    let prepared = sources.endorsements(evidence.kind(), platform.as_ref());
    let is_renewal = quoted.is_some();
    let appraisal = match is_renewal {
        false => Ok(evidence.appraise(&prepared, &terms)),
        true => evidence.renew(question.evidence, question.challenge, &prepared, &terms),
    };
    let appraisal = match appraisal {
        Ok(appraisal) => appraisal,
        Err(error) => {
            checks.take(error.check());
            let refused = refuse(question, checks, NotAttested::Unsupported);
            return Appraised { is_renewal, ..refused };
        }
    };
    checks.take(appraisal.appraisal().checks());
    let Some(agent) = appraisal.agent() else {
        return Appraised { is_renewal, ..unauthentic(question, checks, &appraisal) };
    };
    let facts = facts(question, &evidence, agent, &mut checks);
    let facts = facts.filter(|_| checks.hold() && appraisal.accepted());
    // A result is signed for the Network User who asked; without one nobody would read it.
    let asked = facts.as_ref().filter(|_| question.user_nonce.is_some());
    let cmw = asked.and_then(|facts| {
        let collateral = sources.collateral(evidence.kind(), platform.as_ref());
        let (ear_profile, shown) = (sources.ear_profile, appraisal.appraisal());
        let made = result::sign(question, &collateral, ear_profile, shown, facts, key);
        made.inspect_err(|error| tracing::error!(%error, "the Verifier's key cannot sign")).ok()
    });

    let verdict = if facts.is_some() { Verdict::Passed } else { Verdict::Failed };
    let outcome = Ok(as_teep(agent, verdict));
    let hardware = appraisal.appraisal();
    let (shown, failure) = checks.finish(question.now_ms);
    Appraised {
        is_renewal,
        quoted: (facts.is_some() && !is_renewal).then(|| kept(question)),
        outcome,
        verdict: shown,
        failure,
        facts,
        cmw,
        emulated: hardware.emulated(),
        tcb_status: hardware.tcb().map(|tcb| tcb.status.to_owned()),
        hardware_id: hardware_id(hardware),
    }
}

/// The platform, when collateral is by platform here; one that is missing is asked for, and comes
/// later. Strangers cannot have a vendor asked.
fn platform(
    question: &Question<'_>,
    evidence: &TeepEvidence,
    sources: &Sources,
    wanted: Option<&Wanted>,
) -> Option<Platform> {
    let wanted = wanted.filter(|_| question.hardware.is_some());
    if wanted.is_none() && !sources.has_platforms() {
        return None;
    }
    let platform = Platform::of(evidence.kind(), evidence.quote())?;
    if let (Some(wanted), false) = (wanted, sources.knows(&platform)) {
        wanted.want(platform.clone());
    }
    Some(platform)
}

/// What a renewal may rest on.
fn kept(question: &Question<'_>) -> Quoted {
    Quoted {
        evidence: question.evidence.to_vec(),
        challenge: question.challenge.to_vec(),
        at_ms: question.now_ms,
    }
}

/// Whether it is the Agent's word alone.
fn is_renewal(evidence: &[u8]) -> bool {
    rats::evidence::Evidence::decode(evidence).is_ok_and(|evidence| evidence.hardware.is_none())
}

fn open(format: Option<&str>, evidence: &[u8], checks: &mut Checks) -> Option<TeepEvidence> {
    let format = format.unwrap_or("absent");
    let is_cmw = format.eq_ignore_ascii_case(api::media::CMW);
    let provider = (Owner::AgentProvider, "run a TEEP Agent that this M/OC can appraise");
    if !checks.make("evidence.format", is_cmw, api::media::CMW, format, provider) {
        return None;
    }
    match TeepEvidence::decode(evidence) {
        Ok(evidence) => Some(evidence),
        Err(error) => {
            checks.take(error.check());
            None
        }
    }
}

fn facts(
    question: &Question<'_>,
    evidence: &TeepEvidence,
    agent: &Agent,
    checks: &mut Checks,
) -> Option<Facts> {
    let claims = &agent.token.get().claims;
    //= rats 11.6 (M): the confirmed key is the one that signed the message
    let named = agent.teep_key.thumbprint();
    let device = (Owner::Device, "ask again: the Evidence names another Agent");
    let signer = question.signer.to_string();
    checks.make("agent.signer", named == question.signer, signer, named.to_string(), device);

    if let Some(expected) = question.hardware {
        let seen = family(evidence.kind());
        let operator = (Owner::Operator, "enrol the device as what it is");
        let same = expected == seen;
        checks.make("device.hardware", same, expected.to_string(), seen.to_string(), operator);
    }

    let session = claims.session_keys.as_ref();
    let distinct = session.is_some_and(|keys| {
        all_differ([&agent.evidence_key, &agent.teep_key, &keys.report, &keys.receipt])
    });
    let seen = if distinct { "each key has one use" } else { "a key is missing or used twice" };
    let provider = (Owner::AgentProvider, "run a TEEP Agent with a key for each use");
    checks.make("agent.keys", distinct, "each key has one use", seen, provider);

    let applications: Vec<_> = claims.submods.tas().cloned().collect();
    application(question, &applications, checks);
    let session = session?.clone();
    Some(Facts {
        kind: evidence.kind(),
        agent_key: agent.teep_key.clone(),
        report_key: session.report,
        receipt_key: session.receipt,
        applications,
    })
}

/// The Trusted Application that was deployed has to be named with its manifest.
//= rats 11.34 (R): release to a TA needs the TA's own entry
fn application(question: &Question<'_>, applications: &[TaEntry], checks: &mut Checks) {
    let Some(wanted) = &question.application else { return };
    let entry =
        applications.iter().find(|entry| entry.manifest.component_id == wanted.manifest_component);
    let expected = hex::encode(&wanted.manifest_digest);
    let seen = entry.map_or_else(|| "no entry".to_owned(), |e| hex::encode(e.manifest.digest));
    let device = (Owner::Device, "look at the Agent's log: the TA does not run as deployed");
    checks.make("ta.manifest", seen == expected, expected, seen, device);
}

fn all_differ(keys: [&Key; 4]) -> bool {
    let mut thumbprints = keys.map(Key::thumbprint);
    thumbprints.sort();
    thumbprints.windows(2).all(|pair| pair[0] != pair[1])
}

/// What the TEEP session compares with challenge and signer.
fn as_teep(agent: &Agent, verdict: Verdict) -> Appraisal {
    let claims = &agent.token.get().claims;
    let confirmation: Thumbprint = agent.teep_key.thumbprint();
    Appraisal {
        nonce: claims.eat_nonce.as_ref().map(|nonce| nonce.as_bytes().to_vec()),
        recent: false,
        confirmation: Some(confirmation),
        verdict,
    }
}

/// What authentic evidence says of the hardware that made it.
fn hardware_id(hardware: &verifier::Appraisal) -> Option<String> {
    let id = hardware.claims()?.instance_id.as_ref()?;
    Some(id.to_string())
}

/// Evidence whose Agent layer does not belong to an authentic quote.
fn unauthentic(question: &Question<'_>, checks: Checks, appraisal: &AgentAppraisal) -> Appraised {
    let hardware = appraisal.appraisal();
    Appraised {
        emulated: hardware.emulated(),
        tcb_status: hardware.tcb().map(|tcb| tcb.status.to_owned()),
        hardware_id: hardware_id(hardware),
        ..refuse(question, checks, NotAttested::Untrusted)
    }
}

fn refuse(question: &Question<'_>, checks: Checks, why: NotAttested) -> Appraised {
    let (verdict, failure) = checks.finish(question.now_ms);
    Appraised {
        outcome: Err(why),
        verdict,
        failure,
        facts: None,
        cmw: None,
        emulated: None,
        tcb_status: None,
        hardware_id: None,
        is_renewal: false,
        quoted: None,
    }
}
