//! The recorded evidence of one family, with what the oracle says of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use verifier::time::parse_rfc3339;
use verifier::{Collateral, Timestamp};

/// One recorded piece of evidence and its files.
pub(crate) struct Vector {
    pub(crate) folder: PathBuf,
    pub(crate) expected: Json,
}

/// One stated outcome.
pub(crate) struct Case {
    pub(crate) at: Timestamp,
    pub(crate) expect: Json,
}

impl Vector {
    pub(crate) fn name(&self) -> String {
        self.folder.file_name().expect("a name").to_string_lossy().into_owned()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).expect("readable")
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let cases = self.expected["cases"].as_array().into_iter().flatten();
        let time = |json: &Json| json["verify_at"].as_str().and_then(parse_rfc3339);
        let case = |json: &Json| Some(Case { at: time(json)?, expect: json["expect"].clone() });
        cases.filter_map(case).collect()
    }

    /// Every file of the folder under its name.
    pub(crate) fn collateral(&self) -> Collateral {
        folder(&self.folder)
    }
}

/// Every file of a folder under its name.
pub(crate) fn folder(path: &Path) -> Collateral {
    let entries = fs::read_dir(path).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    Collateral::from_files(paths.filter(|path| path.is_file()).map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(path).expect("readable"))
    }))
}

/// The vectors of one kind of evidence; none when they are absent.
pub(crate) fn vectors(kind: &str) -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence");
    if !root.is_dir() {
        println!("skipped: ../shared/vectors is absent");
        return Vec::new();
    }
    let entries = fs::read_dir(root.join(kind)).expect("a folder");
    let mut folders = entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>();
    folders.sort();
    let vector = |folder: PathBuf| {
        let expected = fs::read(folder.join("expected.json")).ok()?;
        Some(Vector { folder, expected: serde_json::from_slice(&expected).expect("JSON") })
    };
    folders.into_iter().filter_map(vector).collect()
}
