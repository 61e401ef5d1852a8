//! What is installed in the REE, as it stands on the disk.
//!
//! Each UA has a stem `<name>-<owner>` in the directory of the UAs:
//!
//! | file | what it is |
//! |---|---|
//! | `<stem>.json` | what is placed; replaced as a whole, and what it says is true |
//! | `<stem>.<sha256>` | the program that it names |
//! | `<stem>.d/` | the program's working directory |
//! | `<stem>.log`, `<stem>.log.1` | what the program says |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use cose::Thumbprint;
use device::ComponentId;
use serde::{Deserialize, Serialize};
use suit::build::Name;
use tracing::warn;

use super::{rights::Invocation, staging::sha256_of};
use crate::refusal::UaFailed;

/// A UA that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) owner: Thumbprint,
    pub(super) name: Name,
    pub(super) sequence_number: u64,
    /// SHA-256 of the program.
    pub(super) digest: [u8; 32],
    pub(super) invocation: Invocation,
}

/// The metadata file. A UA that was removed keeps its sequence number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Thumbprint of the owner's key, hex.
    owner: String,
    name: String,
    sequence_number: u64,
    program: Option<Program>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    /// Hex.
    sha256: String,
    /// What it is started with, of a UA that says nothing about its rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
    /// Arguments and rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invocation: Option<Invocation>,
}

impl Placed {
    /// The UA's name; two owners may use the same.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// `['REE', owner, name]`.
    pub(super) fn component(&self) -> ComponentId {
        component(self.owner, self.name())
    }

    /// The component of its manifest.
    pub(super) fn manifest(&self) -> ComponentId {
        component(self.owner, &format!("{}.suit", self.name))
    }

    /// The program's file.
    pub(super) fn program(&self, directory: &Path) -> PathBuf {
        self.file(directory, &hex::encode(self.digest))
    }

    /// What the program is started with, and what it may do.
    pub(super) fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// Where the program's words are kept.
    pub(super) fn log(&self, directory: &Path) -> PathBuf {
        self.file(directory, "log")
    }

    /// Where the program works.
    pub(super) fn room(&self, directory: &Path) -> PathBuf {
        self.file(directory, "d")
    }

    /// Whether the program is still the one that was checked.
    pub(super) async fn is_whole(&self, directory: &Path) -> bool {
        let found = sha256_of(&self.program(directory)).await;
        found.is_ok_and(|(digest, _)| digest == self.digest)
    }

    /// Makes the UA the installed one: first its program, then, in one step, what names it.
    pub(super) fn commit(&self, directory: &Path, staged: Option<&Path>) -> Result<(), UaFailed> {
        let placing = UaFailed::io("placing a UA");
        let placed = || {
            if let Some(staged) = staged {
                fs::rename(staged, self.program(directory))?;
                sync(directory)?;
            }
            let program = Program {
                sha256: hex::encode(self.digest),
                arguments: None,
                invocation: Some(self.invocation.clone()),
            };
            self.keep(directory, Some(program))?;
            self.sweep(directory, Some(&self.program(directory)))
        };
        placed().map_err(placing)
    }

    /// Removes the UA. Its sequence number stays, so that an older one cannot come back.
    pub(super) fn delete(&self, directory: &Path) -> Result<(), UaFailed> {
        let removed = || {
            self.keep(directory, None)?;
            self.sweep(directory, None)?;
            match fs::remove_dir_all(self.room(directory)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        };
        removed().map_err(UaFailed::io("removing a UA"))
    }

    fn keep(&self, directory: &Path, program: Option<Program>) -> io::Result<()> {
        let kept = Kept {
            owner: self.owner.to_string(),
            name: self.name.to_string(),
            sequence_number: self.sequence_number,
            program,
        };
        let part = self.file(directory, "json.part");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&part, self.file(directory, "json"))?;
        sync(directory)
    }

    /// Removes the programs of earlier versions.
    fn sweep(&self, directory: &Path, current: Option<&Path>) -> io::Result<()> {
        let stem = format!("{}.", stem(self.owner, self.name()));
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let suffix = name.to_str().and_then(|name| name.strip_prefix(&stem));
            let program =
                suffix.is_some_and(|suffix| hex::decode(suffix).is_ok_and(|d| d.len() == 32));
            if program && current != Some(&entry.path()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn file(&self, directory: &Path, suffix: &str) -> PathBuf {
        path(directory, self.owner, self.name(), suffix)
    }
}

/// The UAs that earlier runs installed. Metadata that cannot be read is passed over.
pub(super) fn placed(directory: &Path) -> Result<Vec<Placed>, UaFailed> {
    let reading = UaFailed::io("reading the directory of the UAs");
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(reading)?,
    };
    let mut found = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "json") {
            match read(&path).map(Kept::into_placed) {
                Ok(Some((placed, true))) => found.push(placed),
                Ok(Some((_, false))) => {}
                Ok(None) => warn!(path = %path.display(), "no metadata of a UA"),
                Err(error) => warn!(path = %path.display(), %error, "a UA is passed over"),
            }
        }
    }
    found.sort_by(|a, b| (a.owner, &a.name).cmp(&(b.owner, &b.name)));
    Ok(found)
}

/// What is kept about one UA: its last version, and whether that is installed.
pub(super) fn kept(directory: &Path, owner: Thumbprint, name: &str) -> Option<(Placed, bool)> {
    read(&path(directory, owner, name, "json")).ok().and_then(Kept::into_placed)
}

/// The temporary file of an installation.
pub(super) fn part(directory: &Path, owner: Thumbprint, name: &str) -> PathBuf {
    path(directory, owner, name, "part")
}

/// Makes a directory that only this account can use.
pub(super) fn private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

impl Kept {
    fn into_placed(self) -> Option<(Placed, bool)> {
        let owner = Thumbprint(hex::decode(&self.owner).ok()?.try_into().ok()?);
        let installed = self.program.is_some();
        let (digest, invocation) = match self.program {
            Some(Program { sha256, arguments, invocation }) => {
                let old = || arguments.map(Invocation::of_arguments);
                (hex::decode(sha256).ok()?.try_into().ok()?, invocation.or_else(old)?)
            }
            None => ([0; 32], Invocation::of_arguments(Vec::new())),
        };
        let name = Name::new(&self.name).ok()?;
        let placed =
            Placed { owner, name, sequence_number: self.sequence_number, digest, invocation };
        Some((placed, installed))
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn component(owner: Thumbprint, name: &str) -> ComponentId {
    let elements = vec![b"REE".to_vec(), owner.0.to_vec(), name.as_bytes().to_vec()];
    ComponentId::new(elements).expect("a name of at most 64 bytes fits with its suffix")
}

fn stem(owner: Thumbprint, name: &str) -> String {
    format!("{name}-{owner}")
}

fn path(directory: &Path, owner: Thumbprint, name: &str, suffix: &str) -> PathBuf {
    directory.join(format!("{}.{suffix}", stem(owner, name)))
}

/// Makes renames in a directory durable.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
