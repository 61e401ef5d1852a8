//! Whom the agent takes for a TAM, by its settings alone.

use cose::{Accept, Thumbprint};
use device::broker;
use rats::ear::{Ear, Expect, Tier, VectorRule};
use teep::AttestationPayload;
use teep::agent;
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{Hint, Keys, NoKey, PeerKey, Standing};

use super::now;
use crate::settings::Settings;

/// The keys of all TAMs in the settings.
pub(super) struct Anchors<'a>(pub(super) &'a Settings);

impl Keys for Anchors<'_> {
    fn key(&self, hint: &Hint<'_>) -> Result<PeerKey, NoKey> {
        let wanted = hint.thumbprint().ok_or(NoKey::Unknown)?;
        let keys = self.0.tams.iter().flat_map(|tam| &tam.keys);
        let key = keys.into_iter().find(|key| key.thumbprint() == wanted);
        let key = key.cloned().ok_or(NoKey::Unknown)?;
        Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
    }
}

/// Reads a result about a TAM: an EAR of a Verifier that the settings name for that TAM.
pub(super) fn appraise(
    settings: &Settings,
    payload: &AttestationPayload<'_>,
    tam: Thumbprint,
) -> Result<Appraisal, NotAttested> {
    let of = settings.tams.iter().find(|of| of.keys.iter().any(|key| key.thumbprint() == tam));
    let verifiers = of.map(|of| of.verifiers.as_slice()).unwrap_or_default();
    let expect = Expect {
        verifiers,
        accept: &Accept::CURRENT,
        now: now(),
        skew_s: CLOCK_SKEW_S,
        nonce: None,
        vector: VectorRule::Waived,
    };
    let ear = Ear::verify(&payload.bytes, &expect).map_err(|_| NotAttested::Untrusted)?;
    let ear = ear.into_inner();
    let found = ear.appraisals().values().find(|one| one.confirmed() == Some(tam));
    let found = found.ok_or(NotAttested::AnotherKey)?;
    Ok(Appraisal {
        nonce: found.nonce.as_ref().map(|nonce| nonce.as_bytes().to_vec()),
        recent: true,
        confirmation: found.confirmed(),
        verdict: match ear.status() {
            Tier::Affirming => Verdict::Passed,
            Tier::None | Tier::Warning | Tier::Contraindicated => Verdict::Failed,
        },
    })
}

/// The Broker's word for a failure in the words of the TEEP machine.
pub(super) const fn cause(cause: broker::Cause) -> agent::Cause {
    match cause {
        broker::Cause::Unreachable | broker::Cause::TimedOut => agent::Cause::Unreachable,
        broker::Cause::Refused | broker::Cause::Unusable => agent::Cause::Status(0),
    }
}

/// The REE's clock may be off by this much; it decides nothing but whether a result is current.
const CLOCK_SKEW_S: i64 = 300;
