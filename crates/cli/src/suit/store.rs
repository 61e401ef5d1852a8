//! A device's store as a directory: components as files, and what the device keeps of manifests.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io::{self, Read, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cose::Entropy as _;
use keys::SystemEntropy;
use serde::{Deserialize, Serialize};
use suit::{
    ComponentId, DigestAlgorithm, Intake, Measured, Outcome, Sink,
    process::{Installed, Obstacle, References},
};

/// The components of a device.
///
/// Contents are put in place complete or not at all. Nothing is forced to the disk: this is for
/// trying, not for running.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Removed at the end: nobody named the directory.
    temporary: bool,
}

/// What a device keeps of manifests, as a file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Sequence numbers by encoded manifest component, hexadecimal.
    sequence_numbers: BTreeMap<String, u64>,
    /// Which manifests use which components, encoded, hexadecimal.
    references: String,
}

impl Store {
    /// The store in `directory`, or an empty one that is removed at the end.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self> {
        let store = match directory {
            Some(directory) => Self { directory: directory.to_owned(), temporary: false },
            None => Self { directory: temporary()?, temporary: true },
        };
        let components = store.directory.join(COMPONENTS);
        fs::create_dir_all(&components)
            .with_context(|| format!("making the store {}", components.display()))?;
        Ok(store)
    }

    /// What the device keeps of manifests.
    pub(super) fn installed(&self) -> Result<Installed> {
        let path = self.directory.join(KEPT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Installed::default());
            }
            Err(error) => return Err(error).context("reading the store"),
        };
        let what = || format!("{} is not what a dry run wrote", path.display());
        let kept: Kept = serde_json::from_slice(&text).with_context(what)?;
        kept.read().with_context(what)
    }

    /// Keeps it.
    pub(super) fn keep(&self, installed: &Installed) -> Result<()> {
        let numbers = installed.sequence_numbers.iter();
        let kept = Kept {
            sequence_numbers: numbers.map(|(id, n)| (hex::encode(id.encode()), *n)).collect(),
            references: hex::encode(installed.references.encode()),
        };
        let text = serde_json::to_vec_pretty(&kept).context("writing the store")?;
        super::write(&self.directory.join(KEPT), &text)
    }

    /// The file of a component, below the store.
    pub(super) fn file(&self, component: &ComponentId) -> PathBuf {
        Path::new(COMPONENTS).join(component.file_name())
    }

    /// The content of a component.
    pub(super) fn content(&self, component: &ComponentId) -> Result<Vec<u8>, Obstacle> {
        let path = self.path(component);
        fs::read(&path).map_err(|error| obstacle(&path, &error))
    }

    /// Opens the content of a component.
    pub(super) fn reader(&self, component: &ComponentId) -> Result<File, Obstacle> {
        let path = self.path(component);
        File::open(&path).map_err(|error| obstacle(&path, &error))
    }

    /// Puts what comes out of `intake` in place, and tells its size; `seen` hears how much went in.
    pub(super) fn put(
        &self,
        component: &ComponentId,
        content: &mut dyn Read,
        intake: Intake,
        seen: &mut dyn FnMut(u64),
    ) -> Result<u64, Obstacle> {
        let path = self.path(component);
        let new = path.with_extension("new");
        let filled = fill(&new, content, intake, seen).and_then(|measured| {
            fs::rename(&new, &path).map_err(|error| obstacle(&path, &error))?;
            Ok(measured.size)
        });
        if filled.is_err() {
            // What is left of it is never read, and the next attempt replaces it.
            let _absent = fs::remove_file(&new);
        }
        filled
    }

    /// Digest and size of a component.
    pub(super) fn measure(&self, component: &ComponentId, algorithm: DigestAlgorithm) -> Outcome {
        let mut intake = match Intake::plain(algorithm, u64::MAX) {
            Ok(intake) => intake,
            Err(obstacle) => return Outcome::Failed(obstacle),
        };
        let path = self.path(component);
        let measured = self.reader(component).and_then(|mut file| {
            each_piece(&path, &mut file, &mut |piece| intake.take(piece, &mut |_| Ok(())))?;
            intake.finish(&mut |_| Ok(()))
        });
        match measured {
            Ok(Measured { digest, size }) => Outcome::Measured { digest, size },
            Err(Obstacle::Absent) => Outcome::Absent,
            Err(obstacle) => Outcome::Failed(obstacle),
        }
    }

    /// Exchanges two contents.
    pub(super) fn swap(&self, one: &ComponentId, other: &ComponentId) -> Result<(), Obstacle> {
        let (first, second) = (self.path(one), self.path(other));
        let (first_content, second_content) = (self.content(one)?, self.content(other)?);
        fs::write(&first, second_content).map_err(|error| obstacle(&first, &error))?;
        fs::write(&second, first_content).map_err(|error| obstacle(&second, &error))
    }

    /// Removes a component; an absent one is removed.
    pub(super) fn remove(&self, component: &ComponentId) -> Result<(), Obstacle> {
        let path = self.path(component);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(obstacle(&path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, component: &ComponentId) -> PathBuf {
        self.directory.join(self.file(component))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.temporary {
            // Nothing depends on it: the system empties its temporary directory as well.
            let _left = fs::remove_dir_all(&self.directory);
        }
    }
}

impl Kept {
    fn read(&self) -> Result<Installed> {
        let mut installed = Installed::default();
        for (id, number) in &self.sequence_numbers {
            let id = ComponentId::decode(&hex::decode(id)?)?;
            installed.sequence_numbers.insert(id, *number);
        }
        installed.references = References::decode(&hex::decode(&self.references)?)?;
        Ok(installed)
    }
}

/// Writes what comes out of `intake` into a new file.
fn fill(
    new: &Path,
    content: &mut dyn Read,
    mut intake: Intake,
    seen: &mut dyn FnMut(u64),
) -> Result<Measured, Obstacle> {
    let told = |error: io::Error| obstacle(new, &error);
    let mut file = File::create(new).map_err(told)?;
    let mut sink = |text: &[u8]| file.write_all(text).map_err(told);
    let mut arrived = 0;
    each_piece(new, content, &mut |piece| {
        arrived += piece.len() as u64;
        intake.take(piece, &mut sink)?;
        seen(arrived);
        Ok(())
    })?;
    intake.finish(&mut sink)
}

fn each_piece(path: &Path, content: &mut dyn Read, take: Sink<'_>) -> Result<(), Obstacle> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = content.read(&mut piece).map_err(|error| obstacle(path, &error))?;
        if read == 0 {
            return Ok(());
        }
        take(&piece[..read])?;
    }
}

fn temporary() -> Result<PathBuf> {
    let mut unique = [0; 8];
    SystemEntropy.fill(&mut unique);
    let directory = std::env::temp_dir().join(format!("tamarack-suit-{}", hex::encode(unique)));
    let made = DirBuilder::new().mode(0o700).create(&directory);
    made.with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

fn obstacle(path: &Path, error: &io::Error) -> Obstacle {
    match error.kind() {
        io::ErrorKind::NotFound => Obstacle::Absent,
        _ => Obstacle::Other(format!("{}: {error}", path.display())),
    }
}

const COMPONENTS: &str = "components";
const KEPT: &str = "manifests.json";
const PIECE_BYTES: usize = 64 * 1024;
