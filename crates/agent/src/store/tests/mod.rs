mod crash;
mod power;

use std::collections::BTreeMap;
use std::sync::Arc;

use device::tee::SealingKey;
use suit::{DigestAlgorithm, Intake};

use self::power::{Fuse, Fused, Volatile};
use super::*;
use crate::testing::tee::SoftwareTee;

#[test]
fn what_is_installed_is_there_after_a_restart() {
    let device = Device::new();
    let mut store = device.create();

    install(&mut store, 1, b"first").unwrap();

    let store = device.open(&store).unwrap();
    assert_eq!(store.read(&component()).unwrap().unwrap().as_slice(), b"first");
    assert_eq!(store.manifest(&manifest()).unwrap().sequence_number, 1);
    assert_eq!(store.sequence_number(&manifest()), Some(1));
}

#[test]
fn nothing_readable_reaches_the_disk() {
    let device = Device::new();
    let mut store = device.create();

    install(&mut store, 1, b"a rather secret content").unwrap();

    for (name, content) in device.disk.files() {
        let found = content.windows(6).any(|window| window == b"secret" || window == b"planne");
        assert!(!found, "{name}");
    }
}

#[test]
fn a_cut_at_any_effect_of_an_update_leaves_the_old_or_the_new() {
    let mut outcomes = BTreeMap::new();
    for effects in 0.. {
        let device = Device::new();
        let mut old = device.create();
        install(&mut old, 1, b"old").unwrap();
        let fuse = Fuse::power(effects, 128);

        let cut = device.open_behind(&old, fuse.clone());
        let committed = cut.is_ok_and(|mut store| install(&mut store, 2, b"new").is_ok());

        let store = device.open(&old).unwrap();
        let content = store.read(&component()).unwrap().unwrap().to_vec();
        let number = store.sequence_number(&manifest());
        match content.as_slice() {
            b"old" => assert_eq!((number, committed), (Some(1), false), "after {effects}"),
            b"new" => assert_eq!(number, Some(2), "after {effects}"),
            other => panic!("after {effects}: {other:?}"),
        }
        *outcomes.entry(content).or_insert(0) += 1;
        assert_eq!(leftovers(&store), Vec::<String>::new(), "after {effects}");
        if fuse.burnt() <= effects {
            break;
        }
    }
    assert!(outcomes[b"old".as_slice()] > 0 && outcomes[b"new".as_slice()] > 0);
}

#[test]
fn a_slot_that_nobody_finished_is_noise_and_is_swept_away() {
    let device = Device::new();
    let mut store = device.create();
    let intake = Intake::plain(DigestAlgorithm::Sha256, 1 << 20).unwrap();
    let mut slot = store.slot(intake);
    store.extend(&mut slot, &[b'x'; 200_000]).unwrap();

    // While somebody writes it, a commit of something else leaves it alone.
    install(&mut store, 1, b"content").unwrap();
    let written = leftovers(&store);
    assert_eq!(written.len(), 1);
    let noise = device.disk.files().remove(&written[0]).unwrap();
    assert!(noise.len() > 100_000 && !noise.windows(8).any(|window| window == b"xxxxxxxx"));

    drop(slot);
    install(&mut store, 2, b"content").unwrap();
    assert_eq!(leftovers(&store), Vec::<String>::new());
}

#[test]
fn a_content_is_measured_passed_on_and_read_piece_by_piece() {
    let device = Device::new();
    let mut store = device.create();
    let plain: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7) as u8).collect();
    let content = store.put(&plain).unwrap();

    let measured = store.measure(&content, DigestAlgorithm::Sha384).unwrap();
    let intake = Intake::plain(DigestAlgorithm::Sha256, content.length).unwrap();
    let passed = store.pass(&content, intake).unwrap();

    assert_eq!(measured.digest.bytes(), cose::sha384(&plain));
    assert_eq!((passed.digest, passed.length), (cose::sha256(&plain), 3_000_000));
    assert_ne!(passed.file, content.file);
    assert!(*store.load(&passed).unwrap() == plain);
}

#[test]
fn a_removed_manifest_leaves_its_sequence_number_behind() {
    let device = Device::new();
    let mut store = device.create();
    install(&mut store, 7, b"content").unwrap();

    store.commit(Change { remove: vec![manifest()], ..Change::default() }).unwrap();

    let store = device.open(&store).unwrap();
    assert!(store.manifest(&manifest()).is_none());
    assert!(store.read(&component()).unwrap().is_none());
    assert_eq!(store.sequence_number(&manifest()), Some(7));
    assert_eq!(leftovers(&store), Vec::<String>::new());
}

#[test]
fn an_older_disk_is_noticed() {
    let device = Device::new();
    let mut store = device.create();
    install(&mut store, 1, b"old").unwrap();
    let old = device.disk.copy();
    install(&mut store, 2, b"new").unwrap();

    device.disk.replace(&old);

    assert!(matches!(device.open(&store), Err(Damaged::RolledBack)));
}

#[test]
fn a_disk_without_the_index_or_with_that_of_another_store_is_noticed() {
    let device = Device::new();
    let store = device.create();
    let other = device.create();

    assert!(matches!(device.open(&store), Err(Damaged::RolledBack)));
    device.disk.replace(&Volatile::default());
    assert!(matches!(device.open(&other), Err(Damaged::RolledBack)));
}

#[test]
fn a_changed_content_is_noticed() {
    let device = Device::new();
    let mut store = device.create();
    install(&mut store, 1, b"content").unwrap();
    device.disk.damage(|name| name.starts_with(CONTENT), |content| content[2] ^= 1);

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
    disk: Volatile,
    sealer: Arc<Sealer>,
    tee: Arc<SoftwareTee>,
}

impl Device {
    fn new() -> Self {
        Self {
            disk: Volatile::default(),
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

    /// The same store behind a fuse.
    fn open_behind(&self, store: &Store, fuse: Fuse) -> Result<Store, Damaged> {
        let (disk, sealer) = (Fused(self.disk.clone(), fuse), Arc::clone(&self.sealer));
        Store::open(disk, sealer, self.tee.clone(), store.id())
    }
}

/// The files that are neither an index nor a content that the index speaks of.
fn leftovers(store: &Store) -> Vec<String> {
    let installed = store.installed().flat_map(|installed| installed.contents.values());
    let used: Vec<&str> = installed.map(|content| &*content.file).chain(SLOTS).collect();
    let names = store.disk.names().unwrap();
    names.into_iter().filter(|name| !used.contains(&name.as_str())).collect()
}

fn install(store: &mut Store, sequence_number: u64, content: &[u8]) -> anyhow::Result<()> {
    let (content, envelope) = (store.put(content)?, store.put(b"envelope")?);
    let contents = BTreeMap::from([(component(), content), (manifest(), envelope)]);
    let new = New { manifest: manifest(), sequence_number, digest: [3; 32], contents };
    Ok(store.commit(Change { install: vec![new], ..Change::default() })?)
}

fn component() -> ComponentId {
    ComponentId::new([b"owner".as_slice(), b"planner"]).unwrap()
}

fn manifest() -> ComponentId {
    component().manifest().unwrap()
}
