//! Whom the agent takes for a TAM, by its settings alone.

use std::cell::RefCell;

use cose::{Accept, Thumbprint};
use device::broker;
use rats::ear::{Ear, Expect, Tier, VectorRule};
use teep::agent;
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{Hint, Keys, NoKey, PeerKey, Standing};
use teep::{AttestationPayload, Timestamp};

use super::now;
use crate::settings::Settings;

/// The keys of all TAMs in the settings, and what their authorities certified.
pub(super) struct Anchors<'a> {
    settings: &'a Settings,
    now: Timestamp,
    certified: RefCell<Vec<(usize, Thumbprint)>>,
}

impl<'a> Anchors<'a> {
    pub(super) const fn new(settings: &'a Settings, now: Timestamp) -> Self {
        Self { settings, now, certified: RefCell::new(Vec::new()) }
    }

    /// The keys that chains vouched for, each with the place of its TAM in the settings.
    pub(super) fn into_certified(self) -> Vec<(usize, Thumbprint)> {
        self.certified.into_inner()
    }
}

impl Keys for Anchors<'_> {
    //= teep 14.51 (M): a key that is neither named nor certified is refused, and it is said why
    fn key(&self, hint: &Hint<'_>) -> Result<PeerKey, NoKey> {
        let named = self.settings.tams.iter().flat_map(|tam| &tam.keys);
        let named = named.into_iter().find(|key| Some(key.thumbprint()) == hint.thumbprint());
        if let Some(key) = named.cloned() {
            return Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None });
        }
        let mut refusal = NoKey::Unknown;
        for (at, tam) in self.settings.tams.iter().enumerate() {
            match hint.certified(&tam.roots, self.now) {
                Ok(peer) => {
                    self.certified.borrow_mut().push((at, peer.key.thumbprint()));
                    return Ok(peer);
                }
                Err(NoKey::Unknown) => {}
                Err(because) => refusal = because,
            }
        }
        Err(refusal)
    }
}

/// Reads a result about a TAM: an EAR of a Verifier that the settings name for that TAM.
pub(super) fn appraise(
    settings: &Settings,
    payload: &AttestationPayload<'_>,
    tam: Thumbprint,
) -> Result<Appraisal, NotAttested> {
    let verifiers = settings.tam_of(tam).map(|of| of.verifiers.as_slice()).unwrap_or_default();
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
