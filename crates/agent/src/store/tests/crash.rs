//! An installation that ends at any of its effects, by `kill -9` and by a loss of power, leaves
//! a component that works: the old one or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use suit::{DigestAlgorithm, Intake};

use super::power::{Fuse, Fused, Volatile};
use super::*;
use crate::attester::{Attester, Counter, Unavailable};
use crate::testing::tee::SoftwareTee;

//= suit 13.53 (M): Interrupted update can be re-applied with the same end state (kill at every
//= step). M 6.3.1
#[test]
fn an_installation_killed_at_two_hundred_points_leaves_the_old_or_the_new_component() {
    let folder = folder();
    let effects = {
        let place = Place::new(&folder.path().join("counted"));
        let fuse = Fuse::whole();
        place.update(&fuse).unwrap();
        fuse.burnt()
    };
    let (mut points, mut outcomes) = (BTreeSet::new(), BTreeMap::new());
    for seed in 0..POINTS {
        let place = Place::new(&folder.path().join(seed.to_string()));
        let (at, part) = point(seed, effects);
        points.insert(at);

        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--quiet"])
            .env(FOLDER, &place.folder)
            .env(AT, at.to_string())
            .env(PART, part.to_string())
            .output()
            .unwrap();

        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.signal(), Some(9), "seed {seed}: {said}");
        *outcomes.entry(check(seed, &mut place.open())).or_insert(0) += 1;
        std::fs::remove_dir_all(&place.folder).unwrap();
    }
    tell("killed", &points, effects, &outcomes);
}

/// Not a test: what the one above starts and kills.
#[test]
#[ignore = "started by another test, as a process to be killed"]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let place = Place { folder: PathBuf::from(folder) };
    let fuse = Fuse::kill(number(AT), u8::try_from(number(PART)).unwrap());

    place.update(&fuse).unwrap();
}

//= suit 13.53 (M): Interrupted update can be re-applied with the same end state (kill at every
//= step). M 6.3.1
#[test]
fn a_loss_of_power_at_the_same_points_with_all_unsynced_writes_leaves_the_old_or_the_new() {
    let sealer = Arc::new(Sealer::new(&SealingKey::new([7; 32])));
    let (mut points, mut outcomes) = (BTreeSet::new(), BTreeMap::new());
    let run = |fuse: &Fuse| {
        let (disk, tee) = (Volatile::default(), Arc::new(SoftwareTee::new()));
        let mut store = Store::create(disk.clone(), sealer.clone(), tee.clone()).unwrap();
        install_whole(&mut store, 1);
        let id = store.id();
        drop(store);
        let fused = Fused(disk.clone(), fuse.clone());
        let ended = Store::open(fused, sealer.clone(), tee.clone(), id)
            .map_err(|_| ())
            .and_then(|mut store| try_install(&mut store, 2).map_err(|_| ()));
        (disk, tee, id, ended)
    };
    let whole = Fuse::whole();
    assert_eq!(run(&whole).3, Ok(()));
    let effects = whole.burnt();
    for seed in 0..POINTS {
        let (at, part) = point(seed, effects);
        points.insert(at);
        let (disk, tee, id, _) = run(&Fuse::power(at, part));

        let mut random = seed;
        disk.lose_power(|| {
            random = mix(random);
            random
        });

        let mut store = Store::open(disk, sealer.clone(), tee, id).unwrap();
        *outcomes.entry(check(seed, &mut store)).or_insert(0) += 1;
    }
    tell("without power", &points, effects, &outcomes);
}

/// What a killed process wrote is there in any file system; in memory, syncing costs nothing.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What is there works, and so does installing again; tells its version.
fn check(seed: u64, store: &mut Store) -> u64 {
    let version = store.manifest(&manifest()).unwrap().sequence_number;
    assert!(version == 1 || version == 2, "seed {seed}: version {version}");
    assert_eq!(store.sequence_number(&manifest()), Some(version), "seed {seed}");
    let found = store.read(&component()).unwrap().unwrap();
    assert!(*found == content(version), "seed {seed}: not the content of version {version}");
    assert_eq!(leftovers(store), Vec::<String>::new(), "seed {seed}");

    install_whole(store, 2);
    assert!(*store.read(&component()).unwrap().unwrap() == content(2), "seed {seed}");
    version
}

fn tell(how: &str, points: &BTreeSet<usize>, effects: usize, outcomes: &BTreeMap<u64, usize>) {
    let count = |version| outcomes.get(&version).copied().unwrap_or_default();
    println!(
        "{POINTS} installations {how} at {} of {effects} effects: the old component {} times, the \
         new one {} times, never anything else",
        points.len(),
        count(1),
        count(2),
    );
    assert!(count(1) > 0 && count(2) > 0);
}

/// An effect to end at, and how much of it happens; all are reached before one comes again.
fn point(seed: u64, effects: usize) -> (usize, u8) {
    let at = usize::try_from(seed).unwrap() % effects;
    (at, (mix(seed) % 256) as u8)
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn install_whole(store: &mut Store, version: u64) {
    try_install(store, version).unwrap();
}

/// Streams a content of many segments, as an installation does, and commits.
fn try_install(store: &mut Store, version: u64) -> anyhow::Result<()> {
    let content = content(version);
    let intake = Intake::plain(DigestAlgorithm::Sha256, content.len() as u64)?;
    let mut slot = store.slot(intake);
    for piece in content.chunks(50_000) {
        store.extend(&mut slot, piece)?;
    }
    let content = store.finish(slot)?;
    let envelope = store.put(b"envelope")?;
    let contents = BTreeMap::from([(component(), content), (manifest(), envelope)]);
    let new = New { manifest: manifest(), sequence_number: version, digest: [3; 32], contents };
    store.commit(Change { install: vec![new], ..Change::default() })?;
    Ok(())
}

fn content(version: u64) -> Vec<u8> {
    let length = if version == 1 { 100_000 } else { 700_000 };
    (0..length).map(|at: u64| (at * (version + 6)) as u8).collect()
}

/// A device in a folder: its disk, and the counter of its TEE.
struct Place {
    folder: PathBuf,
}

impl Place {
    /// With the old component installed.
    fn new(folder: &Path) -> Self {
        let place = Self { folder: folder.to_owned() };
        let disk = Folder::open(&folder.join("disk")).unwrap();
        let mut store = Store::create(disk, place.sealer(), place.tee(Fuse::whole())).unwrap();
        install_whole(&mut store, 1);
        std::fs::write(folder.join("id"), store.id()).unwrap();
        place
    }

    fn open(&self) -> Store {
        self.open_with(Fuse::whole()).unwrap()
    }

    fn open_with(&self, fuse: Fuse) -> Result<Store, Damaged> {
        let id = std::fs::read(self.folder.join("id")).unwrap().try_into().unwrap();
        let disk = Fused(Folder::open(&self.folder.join("disk"))?, fuse.clone());
        Store::open(disk, self.sealer(), self.tee(fuse), id)
    }

    /// Installs the new component over the old one.
    fn update(&self, fuse: &Fuse) -> anyhow::Result<()> {
        try_install(&mut self.open_with(fuse.clone())?, 2)
    }

    fn sealer(&self) -> Arc<Sealer> {
        Arc::new(Sealer::new(&SealingKey::new([7; 32])))
    }

    fn tee(&self, fuse: Fuse) -> Arc<dyn Attester> {
        let file = self.folder.join("counter");
        Arc::new(Counting { tee: SoftwareTee::new(), file, fuse, lock: Mutex::new(()) })
    }
}

/// A TEE whose counter outlives the process.
struct Counting {
    tee: SoftwareTee,
    file: PathBuf,
    fuse: Fuse,
    lock: Mutex<()>,
}

impl Attester for Counting {
    fn description(&self) -> &Description {
        self.tee.description()
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        self.tee.quote(report_data)
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        self.tee.sealing_key(label)
    }

    fn counter(&self) -> Result<Option<Counter>, Unavailable> {
        let value = std::fs::read_to_string(&self.file).map_or(0, |text| text.parse().unwrap());
        Ok(Some(Counter { value, rollable: true }))
    }

    fn count(&self) -> Result<Option<Counter>, Unavailable> {
        let _one = self.lock.lock().unwrap();
        let value = self.counter()?.map_or(0, |counter| counter.value) + 1;
        // A counter of a TEE counts or does not.
        let unfinished = self.file.with_extension("unfinished");
        std::fs::write(&unfinished, value.to_string()).unwrap();
        let counted = self.fuse.burn(|part| match part {
            Some(..128) => Ok(()),
            _ => std::fs::rename(&unfinished, &self.file),
        });
        counted.map_err(|_| Unavailable::Unexpected)?;
        Ok(Some(Counter { value, rollable: true }))
    }
}

const POINTS: u64 = 200;
const CHILD: &str = "store::tests::crash::the_process_that_is_killed";
const FOLDER: &str = "TAMARACK_TEST_FOLDER";
const AT: &str = "TAMARACK_TEST_AT";
const PART: &str = "TAMARACK_TEST_PART";
