//! What a manifest would change, kept in memory until the whole of it has succeeded.

use std::collections::BTreeMap;

use suit::ComponentId;
use zeroize::Zeroizing;

use crate::store::{Damaged, Store};

/// New contents, and removals, over what is installed.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// `None` stands for a removal.
    changed: BTreeMap<ComponentId, Option<Zeroizing<Vec<u8>>>>,
}

impl Staging {
    /// The content that the component would have.
    pub(super) fn read(
        &self,
        store: &Store,
        component: &ComponentId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Damaged> {
        match self.changed.get(component) {
            Some(content) => Ok(content.clone()),
            None => store.read(component),
        }
    }

    /// Gives the component a new content.
    pub(super) fn write(&mut self, component: &ComponentId, content: Vec<u8>) {
        self.changed.insert(component.clone(), Some(Zeroizing::new(content)));
    }

    /// Takes the content of the component away.
    pub(super) fn remove(&mut self, component: &ComponentId) {
        self.changed.insert(component.clone(), None);
    }
}
