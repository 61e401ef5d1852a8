//! What is installed, kept sealed on the disk of the REE.
//!
//! Contents are [slots](Slot) of their own, written as they arrive; one sealed index says which of
//! them count, and has their keys. A change makes new contents durable first and then writes one
//! index, so that a cut anywhere leaves what was there or what was to be there, never a mixture.
//! Two files take turns as the index.
//!
//! The disk belongs to somebody else. Sealing shows changed bytes; the counter of the TEE shows
//! an older index. Where the counter itself can be set back, or there is none, so can the store,
//! and [`Store::rollable`] says it.

mod disk;
mod index;
mod remote;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Weak};

use cose::Entropy as _;
use keys::SystemEntropy;
use suit::ComponentId;
use zeroize::Zeroizing;

use crate::attester::{Attester, Unavailable};
use crate::seal::Sealer;
use index::{Index, STORE_ID_BYTES};

pub use disk::{Disk, Folder};
pub use index::Installed;
pub use remote::Remote;
pub use slot::{Content, Slot};

/// The installed Trusted Components of this device.
pub struct Store {
    disk: Box<dyn Disk>,
    sealer: Arc<Sealer>,
    attester: Arc<dyn Attester>,
    index: Index,
    /// The files of slots that no index speaks of yet, as long as somebody has them.
    slots: Vec<Weak<str>>,
}

/// One change, which happens whole or not at all.
#[derive(Debug, Default)]
pub struct Change {
    /// Manifests to remove, by component identifier.
    pub remove: Vec<ComponentId>,
    /// Manifests to put in place, each replacing an older one of its identifier.
    pub install: Vec<New>,
    /// The URI of the TAM that they came from.
    pub tam: Option<String>,
    /// What the TEEP machine remembers, if it changed.
    pub memory: Option<Vec<u8>>,
}

/// A manifest to put in place.
#[derive(Debug)]
pub struct New {
    /// Its component identifier.
    pub manifest: ComponentId,
    /// Its sequence number.
    pub sequence_number: u64,
    /// SHA-256 of the manifest.
    pub digest: [u8; 32],
    /// The contents of its components.
    pub contents: BTreeMap<ComponentId, Content>,
}

/// Why the store cannot be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// The disk failed.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// A file was not written by this agent on this device.
    #[error("the file `{name}` was not sealed by this agent on this device")]
    Foreign {
        /// The file.
        name: String,
    },
    /// A file is missing.
    #[error("the file `{name}` is missing")]
    Missing {
        /// The file.
        name: String,
    },
    /// A content is longer than what is read into memory.
    #[error("{length} bytes are too many to be read into memory, which takes {max}")]
    TooLong {
        /// Its length in bytes.
        length: u64,
        /// How long it may be.
        max: u64,
    },
    /// The index is older than the counter of the TEE, or gone.
    #[error("the store was set back to an older state")]
    RolledBack,
    /// A key could not be made, or not be written.
    #[error("a key of the agent cannot be made or written")]
    Key,
    /// The TEE did not give its counter.
    #[error("the counter of the TEE is not available")]
    Counter(#[from] Unavailable),
}

impl Store {
    /// Makes a new, empty store; whatever is on the disk is forgotten.
    pub fn create(
        disk: impl Disk + 'static,
        sealer: Arc<Sealer>,
        attester: Arc<dyn Attester>,
    ) -> Result<Self, Damaged> {
        let mut index = Index::default();
        SystemEntropy.fill(&mut index.store);
        let disk = Box::new(disk);
        let mut store = Self { disk, sealer, attester, index, slots: Vec::new() };
        for slot in SLOTS {
            store.disk.remove(slot)?;
        }
        store.write(store.index.clone())?;
        store.tidy()?;
        Ok(store)
    }

    /// Opens the store that has this name, in its newest state.
    pub fn open(
        disk: impl Disk + 'static,
        sealer: Arc<Sealer>,
        attester: Arc<dyn Attester>,
        id: [u8; STORE_ID_BYTES],
    ) -> Result<Self, Damaged> {
        let newest = SLOTS
            .iter()
            .filter_map(|slot| {
                let sealed = disk.read(slot).ok().flatten()?;
                let plain = sealer.open(slot, &sealed).ok()?;
                Index::decode(&plain).ok()
            })
            .filter(|index| index.store == id)
            .max_by_key(|index| index.generation)
            .ok_or(Damaged::RolledBack)?;

        if let (Some(counter), Some(expected)) = (attester.counter()?, newest.counter) {
            if expected == counter.value + 1 {
                // The cut came between the index and the counter.
                attester.count()?;
            } else if expected != counter.value {
                return Err(Damaged::RolledBack);
            }
        }
        let disk = Box::new(disk);
        let mut store = Self { disk, sealer, attester, index: newest, slots: Vec::new() };
        store.tidy()?;
        Ok(store)
    }

    /// Names the store.
    pub fn id(&self) -> [u8; STORE_ID_BYTES] {
        self.index.store
    }

    /// Whether who controls the disk can bring back an older state unnoticed.
    pub fn rollable(&self) -> bool {
        !matches!(self.attester.counter(), Ok(Some(counter)) if !counter.rollable)
    }

    /// What is installed, in the order of the identifiers.
    pub fn installed(&self) -> impl Iterator<Item = &Installed> {
        self.index.installed.values()
    }

    /// What the manifest with this identifier installed.
    pub fn manifest(&self, manifest: &ComponentId) -> Option<&Installed> {
        self.index.installed.get(manifest)
    }

    /// The manifest that put this component in place.
    pub fn owner_of(&self, component: &ComponentId) -> Option<&Installed> {
        self.installed().find(|installed| installed.contents.contains_key(component))
    }

    /// The highest sequence number that was ever installed for this manifest.
    pub fn sequence_number(&self, manifest: &ComponentId) -> Option<u64> {
        self.index.sequence_numbers.get(manifest).copied()
    }

    /// The highest sequence numbers of all manifests that were ever installed.
    pub fn sequence_numbers(&self) -> &BTreeMap<ComponentId, u64> {
        &self.index.sequence_numbers
    }

    /// What [`Change::memory`] gave last.
    pub fn memory(&self) -> Option<&[u8]> {
        self.index.memory.as_deref()
    }

    /// The content of a component; `None` when it is not installed.
    pub fn content(&self, component: &ComponentId) -> Option<&Content> {
        self.owner_of(component).and_then(|installed| installed.contents.get(component))
    }

    /// The content of a component, in memory; `None` when it is not installed.
    pub fn read(&self, component: &ComponentId) -> Result<Option<Zeroizing<Vec<u8>>>, Damaged> {
        self.content(component).map(|content| self.load(content)).transpose()
    }

    /// Makes a change; when it returns, the change is durable.
    pub fn commit(&mut self, change: Change) -> Result<(), Damaged> {
        let mut index = self.index.clone();
        for manifest in &change.remove {
            index.installed.remove(manifest);
        }
        for new in change.install {
            for content in new.contents.values() {
                self.disk.sync(&content.file)?;
            }
            self.disk.sync_names()?;
            let highest = index.sequence_numbers.entry(new.manifest.clone()).or_default();
            *highest = new.sequence_number.max(*highest);
            let installed = Installed {
                manifest: new.manifest.clone(),
                sequence_number: new.sequence_number,
                digest: new.digest,
                contents: new.contents,
                tam: change.tam.clone(),
            };
            index.installed.insert(new.manifest, installed);
        }
        if change.memory.is_some() {
            index.memory = change.memory;
        }
        self.write(index)?;
        // What is left over from here on is found again when the store is opened.
        let _ = self.tidy();
        Ok(())
    }

    /// Puts an index in place as the newest one, then counts.
    fn write(&mut self, mut index: Index) -> Result<(), Damaged> {
        index.generation += 1;
        index.counter = self.attester.counter()?.map(|counter| counter.value + 1);
        let slot = SLOTS[usize::from(index.generation.is_multiple_of(2))];
        self.disk.put(slot, &self.sealer.seal(slot, &index.encode()))?;
        self.attester.count()?;
        self.index = index;
        Ok(())
    }

    /// Removes the files that no index speaks of and nobody writes.
    fn tidy(&mut self) -> Result<(), Damaged> {
        let slots: Vec<Arc<str>> = self.slots.iter().filter_map(Weak::upgrade).collect();
        let installed = self.index.installed.values();
        let contents = installed.flat_map(|installed| installed.contents.values());
        let contents = contents.map(|content| &content.file);
        let used: BTreeSet<&str> = contents.chain(&slots).map(|file| &**file).collect();
        for name in self.disk.names()? {
            let ours = name.starts_with(CONTENT) || name.ends_with(disk::UNFINISHED);
            if ours && !used.contains(name.as_str()) {
                self.disk.remove(&name)?;
            }
        }
        Ok(self.disk.sync_names()?)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("generation", &self.index.generation).finish_non_exhaustive()
    }
}

/// How the names of contents begin.
const CONTENT: &str = "content-";

/// The two places of the index.
const SLOTS: [&str; 2] = ["index-0", "index-1"];
