//! A Network User's home: owner key, the M/OC's address, and pins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sdk::trust::Strength;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A directory with everything that belongs to one Network User.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
}

/// Which Network M/OC, and as whom.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The M/OC's address.
    pub moc: String,
    /// File with the tenant's token.
    pub token_file: PathBuf,
    /// File with trust anchors for TLS besides the platform's, PEM.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}

/// What the Network User pinned. None of it comes from the M/OC.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pins {
    /// Whose word is enough: `result` (the Verifier's), `evidence` (the Verifier's, and the own
    /// appraisal of its Evidence), or `own` (own nonce and own appraisal). Absent: `own`.
    pub strength: Strength,
    /// The suites of the channel that data may be sealed with, the preferred one first: any of
    /// `x-wing`, `p-256` and `x25519`. Absent: all, in this order.
    pub channel: Option<Vec<String>>,
    /// The Verifier whose results are compared: COSE_Key, hexadecimal.
    pub verifier: Option<String>,
    /// Roots of emulators that are accepted: SHA-256 of SubjectPublicKeyInfo, hexadecimal.
    pub emulators: Vec<String>,
    /// A list of anchors (TOML) that are accepted as well: roots of emulators, and keys of single
    /// devices.
    pub anchors: Option<PathBuf>,
    /// Signed reference values, each with the key of who signed them.
    pub references: Vec<Reference>,
    /// The user's own collateral, a directory as vendors' caches lay it out.
    pub collateral: Option<PathBuf>,
    /// The user's own appraisal policy (TOML). Absent: the strict default.
    pub policy: Option<PathBuf>,
}

/// Reference values and their signer.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Signed CoRIM.
    pub corim: PathBuf,
    /// The signer's public key, a COSE_Key file.
    pub signer: PathBuf,
}

impl Home {
    /// The home in `directory`, or else `.tamarack` in the user's own home.
    ///
    /// # Errors
    /// There is neither.
    pub fn at(directory: Option<PathBuf>) -> Result<Self> {
        let default = || std::env::home_dir().map(|home| home.join(".tamarack"));
        let directory = directory.or_else(default).context("no home directory: give --home DIR")?;
        Ok(Self { directory })
    }

    /// A file of the home.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The owner's signing key.
    #[must_use]
    pub fn owner_key(&self) -> PathBuf {
        self.file("owner.key")
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("making {}", self.directory.display()))
    }

    /// Which M/OC this home uses.
    ///
    /// # Errors
    /// There is none yet.
    pub fn account(&self) -> Result<Account> {
        read(&self.file(ACCOUNT))?.with_context(|| {
            let directory = self.directory.display();
            format!("{directory} is not set up: run `tamarack init --moc URL --token-file FILE`")
        })
    }

    /// Keeps which M/OC this home uses.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_account(&self, account: &Account) -> Result<()> {
        write(&self.file(ACCOUNT), account)
    }

    /// What is pinned.
    ///
    /// # Errors
    /// The file does not parse.
    pub fn pins(&self) -> Result<Pins> {
        Ok(read(&self.file(PINS))?.unwrap_or_default())
    }

    /// Keeps pins.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_pins(&self, pins: &Pins) -> Result<()> {
        write(&self.file(PINS), pins)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let parsed = toml::from_str(&text);
            parsed.map(Some).with_context(|| format!("parsing {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = toml::to_string(value).context("writing settings")?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

const ACCOUNT: &str = "account.toml";
const PINS: &str = "pins.toml";
