//! Which manifests use which components (trust-domains section 5.6.5).

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::{Reader, Writer};
use crate::component::ComponentId;
use crate::error::{Error, Malformed};

/// The users of each component, by manifest identity.
///
/// A set of users instead of a bare count makes both directions repeatable: a manifest that is
/// installed twice counts once, and unlinks once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    users: BTreeMap<ComponentId, BTreeSet<ComponentId>>,
}

impl References {
    /// How many manifests use the component.
    pub fn count(&self, component: &ComponentId) -> usize {
        self.users.get(component).map_or(0, BTreeSet::len)
    }

    /// How many manifests other than `manifest` use the component.
    pub fn others(&self, component: &ComponentId, manifest: &ComponentId) -> usize {
        let users = self.users.get(component).into_iter().flatten();
        users.filter(|user| *user != manifest).count()
    }

    /// Notes that the manifest uses the component.
    pub fn link(&mut self, component: &ComponentId, manifest: &ComponentId) {
        self.users.entry(component.clone()).or_default().insert(manifest.clone());
    }

    //= suit 13.70 (M): Shared dependency: count 2, first unlink keeps it, second removes it; a
    //= second unlink by the same manifest does not count. D 5.6.5
    /// Notes that the manifest no longer uses the component, and tells how many others do.
    pub fn unlink(&mut self, component: &ComponentId, manifest: &ComponentId) -> usize {
        let Some(users) = self.users.get_mut(component) else { return 0 };
        users.remove(manifest);
        let remaining = users.len();
        if remaining == 0 {
            self.users.remove(component);
        }
        remaining
    }

    //= suit 13.71 (M): Counts survive restart. D 5.6.5
    /// Encodes the references for storage: a map from component to a list of manifests.
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.users.iter().map(|(component, users)| {
            let list = Writer::collect(|w| {
                w.array(users.len());
                users.iter().for_each(|user| user.write(w));
            });
            (component.encode(), list)
        });
        let entries = entries.collect();
        Writer::collect(|w| {
            w.sorted_map(entries);
        })
    }

    /// Decodes stored references.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::open(bytes)?;
        let mut users: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
        for _ in 0..reader.map()? {
            let component = ComponentId::read(&mut reader)?;
            let length = reader.array()?;
            if length == 0 {
                return Err(Malformed::Expected("at least one user").into());
            }
            let list = (0..length).map(|_| ComponentId::read(&mut reader));
            users.insert(component, list.collect::<Result<_, _>>()?);
        }
        Ok(Self { users })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= suit 13.70 (M): Shared dependency: count 2, first unlink keeps it, second removes it; a
    //= second unlink by the same manifest does not count. D 5.6.5
    #[test]
    fn a_shared_component_goes_with_its_last_user_and_a_user_counts_once() {
        let [shared, one, two] = ["shared", "one", "two"].map(id);
        let mut references = References::default();
        references.link(&shared, &one);
        references.link(&shared, &two);
        references.link(&shared, &two);

        assert_eq!(references.count(&shared), 2);
        assert_eq!(references.unlink(&shared, &one), 1);
        assert_eq!(references.unlink(&shared, &one), 1);
        assert_eq!(references.unlink(&shared, &two), 0);
        assert_eq!(references, References::default());
    }

    //= suit 13.71 (M): Counts survive restart. D 5.6.5
    #[test]
    fn references_survive_encoding() {
        let mut references = References::default();
        references.link(&id("a"), &id("one"));
        references.link(&id("a"), &id("two"));
        references.link(&id("longer"), &id("one"));

        assert_eq!(References::decode(&references.encode()), Ok(references));
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::new([name]).unwrap()
    }
}
