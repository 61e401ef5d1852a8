//! Removes what an Update names: manifests with everything that they installed.

use std::collections::VecDeque;

use device::ComponentId as DeviceId;
use device::broker::Action;
use suit::ComponentId;
use teep::agent::NotUnlinked;
use tracing::{info, warn};

use super::run::next;
use super::{NotAsked, Place, Step, chain};
use crate::store::Change;

/// The manifests of one Update that are to go, under way.
#[derive(Debug)]
pub struct Unlinking {
    waiting: VecDeque<ComponentId>,
    gone: usize,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    action: u64,
    manifest: ComponentId,
    answer: Option<Result<(), String>>,
}

impl Unlinking {
    /// Takes the manifests, in order.
    pub fn new(manifests: Vec<ComponentId>) -> Self {
        Self { waiting: manifests.into(), gone: 0, asked: None }
    }

    /// Goes on until the Broker has to do something, or everything is over. Unlinking stops at
    /// the first failure.
    pub fn advance(&mut self, place: &mut Place<'_>) -> Step<Result<(), NotUnlinked<'static>>> {
        loop {
            let removed = match self.asked.take() {
                Some(Asked { answer: Some(answer), manifest, .. }) => {
                    answer.and_then(|()| remove(&manifest, place))
                }
                Some(asked) => {
                    self.asked = Some(asked);
                    return Step::Actions(Vec::new());
                }
                None => {
                    let Some(manifest) = self.waiting.pop_front() else {
                        return Step::Over(Ok(()));
                    };
                    if let Some(action) = self.ask(&manifest, place) {
                        return Step::Actions(vec![action]);
                    }
                    remove(&manifest, place)
                }
            };
            match removed {
                Ok(()) => self.gone += 1,
                Err(cause) => {
                    let (unlinked, msg) = (self.gone, cause.into());
                    return Step::Over(Err(NotUnlinked { unlinked, msg, reports: Vec::new() }));
                }
            }
        }
    }

    /// Takes the Broker's answer.
    pub fn done(&mut self, action: u64, outcome: Result<Vec<u8>, String>) -> Result<(), NotAsked> {
        match &mut self.asked {
            Some(asked) if asked.action == action && asked.answer.is_none() => {
                asked.answer = Some(outcome.map(drop));
                Ok(())
            }
            Some(_) | None => Err(NotAsked),
        }
    }

    /// A UA is removed by the Broker first.
    fn ask(&mut self, manifest: &ComponentId, place: &mut Place<'_>) -> Option<Action> {
        if !manifest.is_in_ree() || !is_there(manifest, place) {
            return None;
        }
        let named = DeviceId::new(manifest.parts().to_vec()).ok()?;
        let action = next(place);
        self.asked = Some(Asked { action, manifest: manifest.clone(), answer: None });
        Some(Action::RemoveUa { id: action, manifest: named })
    }
}

/// Whether it is installed, for all that this TAM may know.
fn is_there(manifest: &ComponentId, place: &Place<'_>) -> bool {
    place.store.manifest(manifest).is_some() && place.shows(manifest)
}

/// Removes a manifest of the agent's own. One that is not installed is removed already.
fn remove(manifest: &ComponentId, place: &mut Place<'_>) -> Result<(), String> {
    if !is_there(manifest, place) {
        return Ok(());
    }
    let change = Change { remove: vec![manifest.clone()], ..Change::default() };
    if let Err(damaged) = place.store.commit(change) {
        let cause = chain(&damaged);
        warn!(%manifest, cause, "a manifest cannot be removed");
        return Err(cause);
    }
    info!(%manifest, "a manifest is removed");
    place.applications.forget(manifest);
    Ok(())
}
