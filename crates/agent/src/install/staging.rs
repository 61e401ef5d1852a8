//! What a manifest would change, in slots that nothing counts until the whole of it has succeeded.

use std::collections::BTreeMap;

use cose::equal;
use suit::process::{Obstacle, Outcome};
use suit::{ComponentId, DigestAlgorithm, Measured};
use zeroize::Zeroizing;

use crate::store::{Content, Damaged, Store};

/// New contents, and removals, over what is installed.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// `None` stands for a removal.
    changed: BTreeMap<ComponentId, Option<Content>>,
}

impl Staging {
    /// The content that the component would have.
    pub(super) fn content<'a>(
        &'a self,
        store: &'a Store,
        component: &ComponentId,
    ) -> Option<&'a Content> {
        match self.changed.get(component) {
            Some(content) => content.as_ref(),
            None => store.content(component),
        }
    }

    /// The same, in memory.
    pub(super) fn read(
        &self,
        store: &Store,
        component: &ComponentId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Damaged> {
        self.content(store, component).map(|content| store.load(content)).transpose()
    }

    /// Whether the component would have just this content; another length is never read.
    pub(super) fn holds(
        &self,
        store: &Store,
        component: &ComponentId,
        expected: &[u8],
    ) -> Result<bool, Damaged> {
        match self.content(store, component) {
            Some(content) if content.length == expected.len() as u64 => {
                store.load(content).map(|seen| equal(&seen, expected))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// The digest of the content that the component would have.
    pub(super) fn measure(
        &self,
        store: &Store,
        component: &ComponentId,
        algorithm: DigestAlgorithm,
    ) -> Result<Option<Measured>, Obstacle> {
        let content = self.content(store, component);
        content.map(|content| store.measure(content, algorithm)).transpose()
    }

    /// Gives the component a new content, if there is one.
    pub(super) fn put(
        &mut self,
        component: &ComponentId,
        content: Result<Content, Obstacle>,
    ) -> Outcome {
        match content {
            Ok(content) => {
                self.changed.insert(component.clone(), Some(content));
                Outcome::Done
            }
            Err(obstacle) => Outcome::Failed(obstacle),
        }
    }

    /// Exchanges two contents.
    pub(super) fn swap(
        &mut self,
        store: &Store,
        one: &ComponentId,
        other: &ComponentId,
    ) -> Outcome {
        let contents = self.content(store, one).zip(self.content(store, other));
        let Some((first, second)) = contents.map(|(a, b)| (a.clone(), b.clone())) else {
            return Outcome::Failed(Obstacle::Absent);
        };
        self.changed.insert(one.clone(), Some(second));
        self.changed.insert(other.clone(), Some(first));
        Outcome::Done
    }

    /// Takes the content of the component away.
    pub(super) fn remove(&mut self, component: &ComponentId) {
        self.changed.insert(component.clone(), None);
    }
}
