use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use device::tee::SealingKey;

use super::*;
use crate::testing::tee::SoftwareTee;

#[test]
fn what_is_installed_is_there_after_a_restart() {
    let device = Device::new();
    let mut store = device.create();

    store.commit(install(1, b"first")).unwrap();

    let store = device.open(&store).unwrap();
    assert_eq!(store.read(&component()).unwrap().unwrap().as_slice(), b"first");
    assert_eq!(store.manifest(&manifest()).unwrap().sequence_number, 1);
    assert_eq!(store.sequence_number(&manifest()), Some(1));
}

#[test]
fn nothing_readable_reaches_the_disk() {
    let device = Device::new();
    let mut store = device.create();

    store.commit(install(1, b"a rather secret content")).unwrap();

    let files = device.disk.files.lock().unwrap();
    for (name, content) in files.iter() {
        let found = content.windows(6).any(|window| window == b"secret" || window == b"planne");
        assert!(!found, "{name}");
    }
}

#[test]
fn a_cut_at_any_moment_of_an_update_leaves_the_old_or_the_new() {
    let mut outcomes = BTreeMap::new();
    for writes in 0.. {
        let device = Device::new();
        let mut store = device.create();
        store.commit(install(1, b"old")).unwrap();

        device.disk.cut_after(writes);
        let committed = store.commit(install(2, b"new")).is_ok();
        let cut = device.disk.restore();

        let store = device.open(&store).unwrap();
        let content = store.read(&component()).unwrap().unwrap().to_vec();
        let number = store.sequence_number(&manifest());
        match content.as_slice() {
            b"old" => assert_eq!((number, committed), (Some(1), false), "after {writes}"),
            b"new" => assert_eq!(number, Some(2), "after {writes}"),
            other => panic!("after {writes}: {other:?}"),
        }
        *outcomes.entry(content).or_insert(0) += 1;
        assert_eq!(device.leftovers(&store), Vec::<String>::new(), "after {writes}");
        if !cut {
            break;
        }
    }
    assert!(outcomes[b"old".as_slice()] > 0 && outcomes[b"new".as_slice()] > 0);
}

#[test]
fn a_removed_manifest_leaves_its_sequence_number_behind() {
    let device = Device::new();
    let mut store = device.create();
    store.commit(install(7, b"content")).unwrap();

    store.commit(Change { remove: vec![manifest()], ..Change::default() }).unwrap();

    let store = device.open(&store).unwrap();
    assert!(store.manifest(&manifest()).is_none());
    assert!(store.read(&component()).unwrap().is_none());
    assert_eq!(store.sequence_number(&manifest()), Some(7));
    assert_eq!(device.leftovers(&store), Vec::<String>::new());
}

#[test]
fn an_older_disk_is_noticed() {
    let device = Device::new();
    let mut store = device.create();
    store.commit(install(1, b"old")).unwrap();
    let old = device.disk.files.lock().unwrap().clone();
    store.commit(install(2, b"new")).unwrap();

    *device.disk.files.lock().unwrap() = old;

    assert!(matches!(device.open(&store), Err(Damaged::RolledBack)));
}

#[test]
fn a_disk_without_the_index_or_with_that_of_another_store_is_noticed() {
    let device = Device::new();
    let store = device.create();
    let other = device.create();

    assert!(matches!(device.open(&store), Err(Damaged::RolledBack)));
    device.disk.files.lock().unwrap().clear();
    assert!(matches!(device.open(&other), Err(Damaged::RolledBack)));
}

#[test]
fn a_changed_content_is_noticed() {
    let device = Device::new();
    let mut store = device.create();
    store.commit(install(1, b"content")).unwrap();
    let mut files = device.disk.files.lock().unwrap();
    for (_, content) in files.iter_mut().filter(|(name, _)| name.starts_with(CONTENT)) {
        content[20] ^= 1;
    }
    drop(files);

    assert!(matches!(store.read(&component()), Err(Damaged::Foreign { .. })));
}

#[test]
fn a_folder_keeps_whole_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Folder::open(&folder.path().join("new")).unwrap();

    disk.put("one", b"1").unwrap();
    disk.put("one", b"2").unwrap();
    disk.put("two", b"").unwrap();
    disk.remove("two").unwrap();
    disk.remove("two").unwrap();

    assert_eq!(disk.read("one").unwrap(), Some(b"2".to_vec()));
    assert_eq!(disk.read("two").unwrap(), None);
    assert_eq!(disk.names().unwrap(), ["one"]);
}

struct Device {
    disk: Memory,
    sealer: Arc<Sealer>,
    tee: Arc<SoftwareTee>,
}

impl Device {
    fn new() -> Self {
        Self {
            disk: Memory::default(),
            sealer: Arc::new(Sealer::new(&SealingKey::new([7; 32]))),
            tee: Arc::new(SoftwareTee::new()),
        }
    }

    fn create(&self) -> Store {
        Store::create(self.disk.clone(), Arc::clone(&self.sealer), self.tee.clone()).unwrap()
    }

    fn open(&self, store: &Store) -> Result<Store, Damaged> {
        let sealer = Arc::clone(&self.sealer);
        Store::open(self.disk.clone(), sealer, self.tee.clone(), store.id())
    }

    /// The files that are neither an index nor a content that the index speaks of.
    fn leftovers(&self, store: &Store) -> Vec<String> {
        let contents: usize = store.installed().map(|installed| installed.contents.len()).sum();
        let names = self.disk.names().unwrap();
        let (mut kept, rest): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.starts_with(CONTENT));
        let mut left: Vec<String> = kept.drain(contents..).collect();
        left.extend(rest.into_iter().filter(|name| !SLOTS.contains(&name.as_str())));
        left
    }
}

/// A disk whose power can be cut.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    left: Arc<Mutex<Option<usize>>>,
}

impl Memory {
    fn cut_after(&self, writes: usize) {
        *self.left.lock().unwrap() = Some(writes);
    }

    /// Gives the power back, and says whether it was missed.
    fn restore(&self) -> bool {
        self.left.lock().unwrap().take() == Some(0)
    }

    /// Whether the power lasts for one more step.
    fn step(&self) -> io::Result<()> {
        match self.left.lock().unwrap().as_mut() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Disk for Memory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn put(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = format!("{name}{}", disk::UNFINISHED);
        let half = content[..content.len() / 2].to_vec();
        self.step()?;
        self.files.lock().unwrap().insert(unfinished.clone(), half);
        self.step()?;
        let mut files = self.files.lock().unwrap();
        files.remove(&unfinished);
        files.insert(name.to_owned(), content.to_vec());
        drop(files);
        // The rename may be on the disk although its confirmation is lost.
        self.step()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.lock().unwrap().remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }
}

fn install(sequence_number: u64, content: &[u8]) -> Change {
    let contents =
        BTreeMap::from([(component(), content.to_vec()), (manifest(), b"envelope".to_vec())]);
    let new = New { manifest: manifest(), sequence_number, digest: [3; 32], contents };
    Change { install: vec![new], ..Change::default() }
}

fn component() -> ComponentId {
    ComponentId::new([b"owner".as_slice(), b"planner"]).unwrap()
}

fn manifest() -> ComponentId {
    component().manifest().unwrap()
}
