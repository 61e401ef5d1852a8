//! A directory to work in, and the program.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

/// An author's directory with a key of its own.
pub(crate) struct Desk {
    directory: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap() };
        desk.run("key new --out owner.key").succeeded();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.get(name)).unwrap()
    }

    /// Runs `tamarack` with these words, in this directory and with this home.
    pub(crate) fn run(&self, words: &str) -> Ended {
        self.end(&mut self.command(words))
    }

    /// The same with a variable in the environment.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn run_with(&self, name: &str, value: &Path, words: &str) -> Ended {
        self.end(self.command(words).env(name, value))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamarack"));
        command.args(words.split_whitespace()).arg("--home").arg(self.path("home"));
        command
    }

    fn end(&self, command: &mut Command) -> Ended {
        let output = command.current_dir(self.directory.path()).output().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Builds `NAME.suit` from a description.
    pub(crate) fn build(&self, name: &str, description: &str) -> Ended {
        self.put(&format!("{name}.toml"), description);
        self.run(&format!("suit build --description {name}.toml --out {name}.suit --key owner.key"))
    }

    /// A TA whose payload travels with it.
    pub(crate) fn planner(&self, sequence: u64) {
        self.put("planner.payload", "wasm");
        let description = format!(
            "kind = \"ta\"\nname = \"planner\"\nsequence = {sequence}\n\
             [payload]\nfile = \"planner.payload\"\n"
        );
        self.build("planner", &description).succeeded();
    }

    /// A private key of the vectors as a key file.
    pub(crate) fn private(&self, vectors: &Path, name: &str) {
        let pem = fs::read(vectors.join(format!("suit/keys/{name}.private.pem"))).unwrap();
        let file = format!("{name}.pem");
        self.put(&file, pem);
        fs::set_permissions(self.path(&file), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Refused with exit code 3 by this check, and with these words.
    #[track_caller]
    pub(crate) fn refused(self, check: &str, words: &str) {
        assert_eq!(self.code, Some(3), "{self:#?}");
        assert!(self.err.contains(&format!("refused: {check}\n")), "{self:#?}");
        assert!(self.err.contains(words), "{words}: {self:#?}");
        for part in ["expected: ", "seen: ", "to fix: ", "remedy: "] {
            assert!(self.err.contains(part), "{part}: {self:#?}");
        }
    }

    /// Unusable input: exit code 2 with these words.
    #[track_caller]
    pub(crate) fn unusable(self, words: &str) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(self.err.starts_with("error: ") && self.err.contains(words), "{words}: {self:#?}");
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The vectors, or nothing and why.
pub(crate) fn vectors(test: &str) -> Option<PathBuf> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if vectors.is_dir() {
        return Some(vectors.canonicalize().unwrap());
    }
    println!("skipped: {test}: ../shared/vectors is absent");
    None
}
