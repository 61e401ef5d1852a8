//! The emulated counter: a number in a file, so whoever controls the disk can set it back.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::{self, Access};

/// The counter of one device.
#[derive(Debug)]
pub struct Counter {
    path: PathBuf,
    value: u64,
}

impl Counter {
    /// Reads the counter of the device in this directory; a new device starts with zero.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("counter");
        let value = match disk::read_if_present(&path)? {
            Some(bytes) => {
                let bytes = bytes.try_into();
                u64::from_be_bytes(bytes.map_err(|_| Error::damaged(&path, "not 8 bytes"))?)
            }
            None => 0,
        };
        Ok(Self { path, value })
    }

    /// Returns the value.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Adds one and returns the value once it is on disk.
    pub fn increment(&mut self) -> Result<u64, Error> {
        let next = self.value.saturating_add(1);
        disk::write(&self.path, &next.to_be_bytes(), Access::Private)?;
        self.value = next;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut counter = Counter::open(dir.path()).unwrap();
        assert_eq!(counter.value(), 0);

        counter.increment().unwrap();
        counter.increment().unwrap();

        assert_eq!(Counter::open(dir.path()).unwrap().value(), 2);
    }
}
