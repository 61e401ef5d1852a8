//! One manifest for the REE: checked here, handed to the Broker, reported as the Broker's word.

use std::collections::BTreeMap;

use device::broker::Action;
use rats::eat::InstanceType;
use suit::report::Conclusion;
use suit::{ComponentId, Digest, Verified, authority, rollback};
use teep::agent::Outcome;
use tracing::warn;

use super::part::facts;
use super::run::next;
use super::{NotAsked, Place, Refused, Step, chain, manifest_id, report};
use crate::store::{Change, New};

/// A manifest that the Broker installs.
#[derive(Debug)]
pub(super) struct Delegation {
    envelope: Vec<u8>,
    manifest: ComponentId,
    components: Vec<ComponentId>,
    sequence_number: u64,
    digest: Digest,
    manifest_digest: [u8; 32],
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Asked { action: u64 },
    Answered(Result<Vec<u8>, String>),
}

impl Delegation {
    /// Checks owner and sequence number, as for a manifest of the TEE.
    pub(super) fn new(verified: &Verified<'_>, place: &Place<'_>) -> Result<Self, Refused> {
        let manifest = manifest_id(verified)?;
        place.permits(&manifest)?;
        authority::owner_prefix(verified).map_err(suit::Error::from)?;
        let components = verified.manifest().common.components.clone();
        if components.iter().any(|component| !component.is_in_ree()) {
            return Err(Refused::NotOneComponent);
        }
        rollback::check(verified.manifest(), place.store.sequence_number(&manifest))
            .map_err(suit::Error::from)?;
        let manifest_digest =
            facts(verified, manifest.clone(), &InstanceType::ALL)?.manifest_digest;
        Ok(Self {
            envelope: verified.envelope().bytes().to_vec(),
            manifest,
            components,
            sequence_number: verified.manifest().sequence_number,
            digest: verified.digest(),
            manifest_digest,
            state: State::New,
        })
    }

    pub(super) fn advance(
        &mut self,
        nonce: Option<&[u8]>,
        place: &mut Place<'_>,
    ) -> Step<Outcome<'static>> {
        match std::mem::replace(&mut self.state, State::New) {
            State::New => {
                let action = next(place);
                self.state = State::Asked { action };
                let envelope = std::mem::take(&mut self.envelope);
                Step::Actions(vec![Action::InstallUa { id: action, envelope, loads: None }])
            }
            State::Asked { action } => {
                self.state = State::Asked { action };
                Step::Actions(Vec::new())
            }
            State::Answered(answer) => Step::Over(self.end(answer, nonce, place)),
        }
    }

    /// Takes the Broker's answer.
    pub(super) fn done(
        &mut self,
        action: u64,
        outcome: Result<Vec<u8>, String>,
    ) -> Result<(), NotAsked> {
        match self.state {
            State::Asked { action: asked } if asked == action => {
                self.state = State::Answered(outcome);
                Ok(())
            }
            State::New | State::Asked { .. } | State::Answered(_) => Err(NotAsked),
        }
    }

    fn end(
        &self,
        answer: Result<Vec<u8>, String>,
        nonce: Option<&[u8]>,
        place: &mut Place<'_>,
    ) -> Outcome<'static> {
        let answer = answer.and_then(|said| {
            self.keep(place).inspect_err(|cause| warn!(cause, "a UA cannot be noted"))?;
            Ok(said)
        });
        let records = match &answer {
            Ok(said) => {
                let each = self.components.iter();
                each.map(|component| report::said_by_broker(component, said)).collect()
            }
            Err(_) => Vec::new(),
        };
        let result = match &answer {
            Ok(_) => Conclusion::Success,
            Err(cause) => report::failure(None, None, cause),
        };
        let installed = answer.is_ok();
        let report = report::new(self.digest, nonce, records, result);
        let components = if installed { self.components.clone() } else { Vec::new() };
        Outcome { installed, report: place.reporter.sign(&report), components }
    }

    /// Notes the manifest, so that an older one is refused from now on.
    fn keep(&self, place: &mut Place<'_>) -> Result<(), String> {
        let new = New {
            manifest: self.manifest.clone(),
            sequence_number: self.sequence_number,
            digest: self.manifest_digest,
            contents: BTreeMap::new(),
        };
        let tam = place.tam_uri();
        let change = Change { install: vec![new], tam, ..Change::default() };
        place.store.commit(change).map_err(|damaged| chain(&damaged))
    }
}
