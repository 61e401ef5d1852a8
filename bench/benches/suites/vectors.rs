//! The recorded bytes that are measured with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use verifier::Collateral;

/// The directory of recorded vectors, if it is there.
pub(crate) fn directory() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    directory.is_dir().then_some(directory)
}

/// The bytes of one file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// The text of one file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// What is expected of a piece of evidence.
pub(crate) fn expected(folder: &Path) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&read(&folder.join("expected.json"))?)?)
}

/// Every file of a folder under its name.
pub(crate) fn collateral(folder: &Path) -> Result<Collateral> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            files.push((name.to_string_lossy().into_owned(), read(&path)?));
        }
    }
    Ok(Collateral::from_files(files))
}
