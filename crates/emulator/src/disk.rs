//! State on disk: private, and replaced in one step.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Who may read a file or directory.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// The owner alone.
    Private,
    /// Everybody.
    Public,
}

impl Access {
    const fn file_mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }

    const fn dir_mode(self) -> u32 {
        match self {
            Self::Private => 0o700,
            Self::Public => 0o755,
        }
    }
}

/// Makes a directory and those above it, where they are absent.
pub(crate) fn create_dir(path: &Path, access: Access) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(access.dir_mode()).create(path);
    made.map_err(|error| Error::disk("create directory", path, &error))
}

/// The path of a directory from the root on.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| Error::disk("find", path, &error))
}

/// Waits until no other process holds the directory, and holds it until the file is dropped.
pub(crate) fn lock_dir(path: &Path) -> Result<File, Error> {
    let file = open_lock(path)?;
    file.lock().map_err(|error| Error::disk("lock", path, &error))?;
    Ok(file)
}

/// Holds the directory until the file is dropped, if no other process holds it.
pub(crate) fn try_lock_dir(path: &Path) -> Result<File, Error> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::disk("lock", path, &error)),
    }
}

/// Reads a file; `None` when there is none.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::disk("read", path, &error)),
    }
}

/// Puts bytes into a file so that a reader sees the old or the new bytes, never a mixture.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = write_new(&new, bytes, access).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| Error::disk("write", path, &error))
}

/// Reads a JSON file; `None` when there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read_if_present(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|_| Error::damaged(path, "not the expected JSON"))
}

/// Writes a JSON file, private.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec(value).expect("state has text keys only");
    write(path, &json, Access::Private)
}

fn open_lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(".lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(Access::Private.file_mode());
    options.open(&path).map_err(|error| Error::disk("open", &path, &error))
}

fn write_new(path: &Path, bytes: &[u8], access: Access) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(access.file_mode());
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");

        write(&path, b"one", Access::Private).unwrap();
        write(&path, b"two", Access::Private).unwrap();

        assert_eq!(read_if_present(&path), Ok(Some(b"two".to_vec())));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_directory_that_is_held_is_not_held_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let held = try_lock_dir(&path).unwrap();

        assert_eq!(try_lock_dir(&path).unwrap_err(), Error::InUse { path: path.clone() });

        drop(held);
        try_lock_dir(&path).unwrap();
    }

    #[test]
    fn a_file_may_be_absent_but_not_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");

        assert_eq!(read_if_present(&path), Ok(None));
        let kind = ErrorKind::IsADirectory;
        let path = dir.path().to_owned();
        assert_eq!(read_if_present(&path), Err(Error::Disk { doing: "read", path, kind }));
    }
}
