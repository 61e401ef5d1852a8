//! Keys that signatures are checked with.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use cose::{Key, Thumbprint};

/// Public keys by thumbprint, each with the name of its file.
#[derive(Debug, Default)]
pub struct Keyring(BTreeMap<Thumbprint, (String, Key)>);

impl Keyring {
    /// Reads every COSE_Key file of a directory; other files are passed over.
    ///
    /// # Errors
    /// The directory does not read.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut keys = Self::default();
        let listed = fs::read_dir(directory)
            .with_context(|| format!("reading the keys in {}", directory.display()))?;
        for entry in listed {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_file()
                && let Ok(key) = Key::decode(&fs::read(&path)?)
            {
                keys.insert(name, key);
            }
        }
        Ok(keys)
    }

    /// Adds a key; the first name of a key stays.
    pub fn insert(&mut self, name: String, key: Key) {
        self.0.entry(key.thumbprint()).or_insert((name, key));
    }

    /// The keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.values().map(|(_, key)| key)
    }

    /// The keys to try for a `kid`: the one it names, or all of them.
    pub(super) fn for_kid(&self, kid: Option<&[u8]>) -> Vec<(&str, &Key)> {
        let named = kid.and_then(|kid| Thumbprint::try_from(kid).ok());
        match named.and_then(|thumbprint| self.0.get(&thumbprint)) {
            Some((name, key)) => vec![(name, key)],
            None => self.0.values().map(|(name, key)| (name.as_str(), key)).collect(),
        }
    }

    /// The name under which a key is known here.
    pub(crate) fn name(&self, thumbprint: &Thumbprint) -> Option<&str> {
        self.0.get(thumbprint).map(|(name, _)| name.as_str())
    }
}
