//! The few things that the store does to a folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder with files, none below another.
///
/// Nothing has to survive a loss of power before it is synced: bytes by [`Disk::sync`], names by
/// [`Disk::sync_names`]. What was not synced may be there, in part or not.
pub trait Disk: Send {
    /// Reads a file; `None` when there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Reads at most `length` bytes of a file, fewer only at its end; `None` when there is none.
    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>>;
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Adds to the end of a file, which is made when there is none.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file the name of another one, in its place.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; it is no error that there is none.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes the bytes of a file durable.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Makes durable which files there are.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Puts a file in place, whole or not at all, and durable.
    fn put(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED}");
        self.remove(&unfinished)?;
        self.append(&unfinished, content)?;
        self.sync(&unfinished)?;
        self.rename(&unfinished, name)?;
        self.sync_names()
    }
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens a folder, and makes it when it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Folder {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        unless_absent(std::fs::read(self.0.join(name)))
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = unless_absent(File::open(self.0.join(name)))? else {
            return Ok(None);
        };
        file.seek(io::SeekFrom::Start(offset))?;
        let mut piece = Vec::new();
        file.take(length as u64).read_to_end(&mut piece)?;
        Ok(Some(piece))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).open(self.0.join(name))?.write_all(bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        unless_absent(std::fs::remove_file(self.0.join(name))).map(drop)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The end of the name of a file that is not whole yet.
pub(super) const UNFINISHED: &str = ".unfinished";
