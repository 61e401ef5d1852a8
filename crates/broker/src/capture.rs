//! Keeps every TEEP message that passes, for a look with `tamarack inspect`.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tracing::warn;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the TAM to the Agent.
    FromTam,
    /// From the Agent to the TAM.
    ToTam,
}

/// A directory of numbered messages, or nothing.
#[derive(Debug, Default)]
pub struct Capture {
    directory: Option<PathBuf>,
    count: AtomicU64,
}

impl Capture {
    /// Keeps messages in `directory`, or none without one.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        let kept = directory.as_deref().map_or(0, highest);
        Self { directory, count: AtomicU64::new(kept) }
    }

    /// Keeps one message. A full disk costs the capture, never the session.
    pub fn keep(&self, direction: Direction, message: &[u8]) {
        let Some(directory) = &self.directory else { return };
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let way = match direction {
            Direction::FromTam => "tam-to-agent",
            Direction::ToTam => "agent-to-tam",
        };
        let path = directory.join(format!("{number:03}-{way}.teep.cbor"));
        let private = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        if let Err(error) = private.and_then(|()| fs::write(&path, message)) {
            warn!(path = %path.display(), %error, "a message was not captured");
        }
    }
}

/// The highest number that an earlier run has used.
fn highest(directory: &Path) -> u64 {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.split('-').next()?.parse().ok();
    names.filter_map(number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_keeps_the_messages_of_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("captured");

        Capture::new(Some(kept.clone())).keep(Direction::FromTam, b"one");
        Capture::new(Some(kept.clone())).keep(Direction::ToTam, b"two");

        assert_eq!(fs::read(kept.join("001-tam-to-agent.teep.cbor")).unwrap(), b"one");
        assert_eq!(fs::read(kept.join("002-agent-to-tam.teep.cbor")).unwrap(), b"two");
    }

    #[test]
    fn a_directory_that_cannot_be_written_costs_the_capture_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"in the way").unwrap();

        Capture::new(Some(file.clone())).keep(Direction::ToTam, b"one");
        Capture::new(None).keep(Direction::ToTam, b"one");

        assert_eq!(fs::read(file).unwrap(), b"in the way");
    }
}
