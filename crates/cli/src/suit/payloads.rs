//! The network of a dry run: a directory of files.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use anstream::eprint;
use suit::{Digest, DigestAlgorithm, process::Obstacle};

/// Files that stand for what URIs name.
#[derive(Debug)]
pub(super) struct Payloads(pub Option<PathBuf>);

impl Payloads {
    /// The file for a URI: the one that is named by the payload's SHA-256, else the one that is
    /// named as the URI's path ends.
    pub(super) fn find(
        &self,
        uri: &str,
        expected: Option<Digest>,
    ) -> Result<(PathBuf, File), Obstacle> {
        let directory = self.0.as_deref().ok_or(Obstacle::Unreachable)?;
        let digest = expected.filter(|digest| digest.algorithm() == DigestAlgorithm::Sha256);
        let digest = digest.map(|digest| hex::encode(digest.bytes()));
        let names = digest.into_iter().chain(last_segment(uri).map(str::to_owned));
        for path in names.map(|name| directory.join(name)) {
            if let Some(file) = open(&path)? {
                return Ok((path, file));
            }
        }
        Err(Obstacle::Unreachable)
    }
}

fn open(path: &Path) -> Result<Option<File>, Obstacle> {
    let told = |error: &io::Error| Obstacle::Other(format!("{}: {error}", path.display()));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            File::open(path).map(Some).map_err(|error| told(&error))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(&error)),
    }
}

/// The last segment of a URI's path, if it can be the name of a file.
fn last_segment(uri: &str) -> Option<&str> {
    let path = uri.split(['?', '#']).next()?;
    let (_, path) = path.split_once("://")?;
    let (_, name) = path.rsplit_once('/')?;
    (!matches!(name, "" | "." | "..") && !name.contains('\0')).then_some(name)
}

/// A line that tells how far a large payload is.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    total: u64,
    shown: Option<u64>,
    visible: bool,
}

impl Progress {
    /// For a payload of `total` bytes; silent for small ones and where nobody watches.
    pub(super) fn new(name: &str, total: u64) -> Self {
        let visible = total > SHOWN_BYTES_MIN && io::stderr().is_terminal();
        Self { name: name.to_owned(), total, shown: None, visible }
    }

    /// So many bytes came.
    pub(super) fn at(&mut self, bytes: u64) {
        let percent = bytes.saturating_mul(100) / self.total.max(1);
        if self.visible && self.shown != Some(percent) {
            self.shown = Some(percent);
            eprint!("\r… {}: {percent} % of {} KiB", self.name, self.total / 1024);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

const SHOWN_BYTES_MIN: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_segment_of_a_path_names_a_file() {
        assert_eq!(last_segment("https://example.org/a/b.wasm?x=/y#/z"), Some("b.wasm"));
        assert_eq!(last_segment("https://example.org/a/.."), None);
        assert_eq!(last_segment("https://example.org/a/"), None);
        assert_eq!(last_segment("https://example.org"), None);
        assert_eq!(last_segment("urn:x/y"), None);
    }

    #[test]
    fn a_file_is_found_by_digest_first_and_nothing_is_found_without_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let digest = cose::sha256(b"content");
        let named = directory.path().join("file");
        fs::write(&named, b"x").unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        let payloads = Payloads(Some(directory.path().to_owned()));
        let find = |uri, digest| payloads.find(uri, digest).map(|(path, _)| path);

        assert_eq!(find("https://x/file", Some(Digest::sha256(digest))), Ok(named));
        let exact = directory.path().join(hex::encode(digest));
        fs::write(&exact, b"content").unwrap();
        assert_eq!(find("https://x/file", Some(Digest::sha256(digest))), Ok(exact));
        assert_eq!(find("https://x/folder", None), Err(Obstacle::Unreachable));
        assert_eq!(
            Payloads(None).find("https://x/file", None).map(drop),
            Err(Obstacle::Unreachable)
        );
    }
}
