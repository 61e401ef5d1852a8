//! What need not be verified twice. Caches are bounded, and keyed by the digest of everything
//! that was authenticated; what is not in them is verified in full.
//!
//! A cache changes what an appraisal costs, never what it says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cose::Sha256;

use crate::anchor::Device;
use crate::{Anchors, Collateral, Endorsements, Kind};

/// Endorsements that were prepared before, by the digest of collateral and anchors.
#[derive(Debug)]
pub struct EndorsementCache(Bounded<Endorsements>);

impl EndorsementCache {
    /// A cache of at most `capacity` sets of collateral.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Bounded::new(capacity))
    }

    /// The endorsements of this collateral, prepared at most once while they are remembered.
    //= EV-PERF-1: keyed by the hash of the exact bytes; time is checked at every use
    pub fn prepare(&self, kind: Kind, collateral: &Collateral, anchors: &Anchors) -> Endorsements {
        let mut key = Sha256::new();
        key.update(kind.as_str().as_bytes());
        key.update(&collateral.digest());
        for anchor in anchors.iter() {
            let [vendor, standing] = [anchor.vendor as u8, anchor.standing as u8];
            key.update(&[vendor, standing]);
            key.update(&anchor.spki_sha256.0);
            key.update(&cose::sha256(anchor.name.as_bytes()));
            let (implementation, device): (&[u8], &[u8]) = match &anchor.device {
                None => (&[], &[]),
                Some(Device::Instance(id)) => (&[1], id.as_slice()),
                Some(Device::Key { implementation_id, key_id }) => {
                    (&implementation_id.0, key_id.as_slice())
                }
            };
            key.update(&cose::sha256(implementation));
            key.update(&cose::sha256(device));
        }
        let key = key.finish();
        if let Some(prepared) = self.0.find(&key) {
            return prepared;
        }
        let prepared = Endorsements::prepare(kind, collateral, anchors);
        self.0.insert(key, prepared.clone());
        prepared
    }
}

/// Values by digest; the oldest gives way to the newest.
//= EV-PERF-2: caches are bounded and fail open to full verification
#[derive(Debug)]
pub(crate) struct Bounded<V> {
    capacity: usize,
    entries: Mutex<Entries<V>>,
}

#[derive(Debug)]
struct Entries<V> {
    values: BTreeMap<[u8; 32], V>,
    order: VecDeque<[u8; 32]>,
}

impl<V: Clone> Bounded<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let entries = Entries { values: BTreeMap::new(), order: VecDeque::new() };
        Self { capacity, entries: Mutex::new(entries) }
    }

    pub(crate) fn find(&self, key: &[u8; 32]) -> Option<V> {
        self.lock().values.get(key).cloned()
    }

    pub(crate) fn insert(&self, key: [u8; 32], value: V) {
        let mut entries = self.lock();
        if self.capacity == 0 || entries.values.insert(key, value).is_some() {
            return;
        }
        entries.order.push_back(key);
        if entries.order.len() > self.capacity
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.values.remove(&oldest);
        }
    }

    /// A panic elsewhere leaves whole entries behind, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Entries<V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-PERF-2: caches are bounded and fail open to full verification
    #[test]
    fn the_oldest_entry_gives_way() {
        let cache = Bounded::new(2);
        for number in [1, 2, 2, 3] {
            cache.insert([number; 32], number);
        }

        assert_eq!([1, 2, 3].map(|number| cache.find(&[number; 32])), [None, Some(2), Some(3)]);
    }

    #[test]
    fn a_cache_without_room_remembers_nothing() {
        let cache = Bounded::new(0);
        cache.insert([1; 32], 1);

        assert_eq!(cache.find(&[1; 32]), None);
    }
}
