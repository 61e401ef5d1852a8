//! The Broker's settings: one TOML file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Settings of `tamarack-broker`. Unknown members are errors; paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This device's name at the Network M/OC.
    pub device: String,
    /// Base address of the Network M/OC, `https://…` (plain `http` on loopback only).
    pub moc: String,
    /// File with the device's bearer token.
    pub token_file: PathBuf,
    /// Unix socket of the TEEP Agent.
    pub agent_socket: PathBuf,
    /// Where Untrusted Applications and their logs live.
    pub state_dir: PathBuf,
    /// Where every TEEP message is kept for a look. Default: nowhere.
    #[serde(default)]
    pub capture_dir: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a settings file.
    ///
    /// # Errors
    /// The file does not read, does not parse, or says something impossible.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the Broker's settings {}", path.display()))?;
        let mut config: Self = toml::from_str(&text)
            .with_context(|| format!("parsing the Broker's settings {}", path.display()))?;
        ensure!(!config.device.is_empty(), "`device` must not be empty");
        crate::tam::checked(&config.moc).with_context(|| format!("`moc = {:?}`", config.moc))?;
        while config.moc.ends_with('/') {
            config.moc.pop();
        }
        let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
        for path in [&mut config.token_file, &mut config.agent_socket, &mut config.state_dir] {
            *path = base.join(&*path);
        }
        config.capture_dir = config.capture_dir.map(|path| base.join(path));
        Ok(config)
    }
}
