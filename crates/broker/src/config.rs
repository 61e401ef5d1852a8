//! The Broker's settings: one TOML file.

use std::{
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Deserializer, de::Error as _};
use suit::Uuid;
use tracing::warn;

use crate::ua::{Folder, Grants};

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
    /// PEM file with further trust anchors for TLS. Default: those of the platform alone.
    #[serde(default)]
    pub roots_file: Option<PathBuf>,
    /// Where releases of Personalization Data are taken that flow live, `ADDRESS:PORT`. Default:
    /// nowhere, they come through the Network M/OC.
    #[serde(default)]
    pub relay_listen: Option<SocketAddr>,
    /// SUIT vendor identifier of the REE. Default: Tamarack's.
    #[serde(default = "vendor", deserialize_with = "uuid")]
    pub vendor_id: Uuid,
    /// SUIT class identifiers that the REE answers to. Default: Tamarack's three instance types,
    /// since the REE runs the UA of each.
    #[serde(default = "classes", deserialize_with = "uuids")]
    pub class_ids: Vec<Uuid>,
    /// OCI runtime that runs UAs which are containers, such as `/usr/sbin/runc`. Default: none,
    /// such UAs are refused.
    #[serde(default)]
    pub container_runtime: Option<PathBuf>,
    /// Folders of the machine that UAs may use when their manifests name them, or what is below:
    /// `path`, and `write` for more than reading. Default: none.
    #[serde(default)]
    pub ua_folder: Vec<Folder>,
    /// Minutes from one policy check to the next, when nobody wakes the Broker. Default: a day.
    #[serde(default = "day")]
    pub policy_check_minutes: u32,
    /// Further TEEs of this machine. Each is a device of its own at the Network M/OC, with its own
    /// Agent, token and UAs; the other settings count for all. Default: none.
    #[serde(default)]
    pub tee: Vec<Tee>,
}

/// One more TEE behind the same Broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tee {
    /// Its name at the Network M/OC.
    pub device: String,
    /// File with its bearer token.
    pub token_file: PathBuf,
    /// Unix socket of its TEEP Agent.
    pub agent_socket: PathBuf,
    /// Where its Untrusted Applications and their logs live.
    pub state_dir: PathBuf,
    /// Where releases for it are taken that flow live. Default: nowhere.
    #[serde(default)]
    pub relay_listen: Option<SocketAddr>,
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
        for device in config.devices() {
            ensure!(is_name(device), "`device = {device:?}` is no device's name");
        }
        crate::tam::checked(&config.moc).with_context(|| format!("`moc = {:?}`", config.moc))?;
        for Folder { path, .. } in &config.ua_folder {
            ensure!(path.is_absolute(), "`[[ua_folder]]`: {path:?} is not absolute");
        }
        ensure!(config.policy_check_minutes > 0, "`policy_check_minutes` must not be 0");
        while config.moc.ends_with('/') {
            config.moc.pop();
        }
        let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
        for path in [&mut config.token_file, &mut config.agent_socket, &mut config.state_dir] {
            *path = base.join(&*path);
        }
        for path in [&mut config.capture_dir, &mut config.roots_file] {
            *path = path.take().map(|path| base.join(path));
        }
        for tee in &mut config.tee {
            for path in [&mut tee.token_file, &mut tee.agent_socket, &mut tee.state_dir] {
                *path = base.join(&*path);
            }
        }
        config.apart()?;
        Ok(config)
    }

    /// The settings of each TEE, as of a Broker that has no other.
    //= teep 14.98 (M): several TEEs are kept apart
    #[must_use]
    pub fn tees(&self) -> Vec<Self> {
        let first = Self { tee: Vec::new(), ..self.clone() };
        let others = self.tee.iter().map(|tee| Self {
            device: tee.device.clone(),
            token_file: tee.token_file.clone(),
            agent_socket: tee.agent_socket.clone(),
            state_dir: tee.state_dir.clone(),
            relay_listen: tee.relay_listen,
            capture_dir: self.capture_dir.as_ref().map(|dir| dir.join(&tee.device)),
            ..first.clone()
        });
        std::iter::once(first.clone()).chain(others).collect()
    }

    /// What of the machine UAs may have.
    #[must_use]
    pub fn grants(&self) -> Grants {
        Grants { folders: self.ua_folder.clone(), runtime: self.container_runtime.clone() }
    }

    fn devices(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.device).chain(self.tee.iter().map(|tee| &tee.device))
    }

    /// No two TEEs share what tells them apart.
    fn apart(&self) -> Result<()> {
        let tees = self.tees();
        for (at, one) in tees.iter().enumerate() {
            for other in &tees[..at] {
                ensure!(one.device != other.device, "two TEEs are `{}`", one.device);
                let (socket, dir) = (&one.agent_socket, &one.state_dir);
                let (one, other_name) = (&one.device, &other.device);
                ensure!(
                    *socket != other.agent_socket,
                    "`{one}` and `{other_name}` have the same `agent_socket`"
                );
                ensure!(
                    *dir != other.state_dir,
                    "`{one}` and `{other_name}` have the same `state_dir`"
                );
            }
        }
        Ok(())
    }

    /// The device's bearer token.
    ///
    /// # Errors
    /// The file does not read, or is empty.
    pub fn token(&self) -> Result<String> {
        let shown = self.token_file.display();
        let token = std::fs::read_to_string(&self.token_file)
            .with_context(|| format!("reading the device token {shown}"))?;
        ensure!(!token.trim().is_empty(), "the device token {shown} is empty");
        if self.token_file.metadata().is_ok_and(|file| file.mode() & 0o077 != 0) {
            warn!(path = %shown, "others can read the device token; give it the mode 0600");
        }
        Ok(token.trim().to_owned())
    }

    /// The further trust anchors for TLS, PEM.
    ///
    /// # Errors
    /// The file does not read.
    pub fn roots(&self) -> Result<Option<String>> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .with_context(|| format!("reading the trust anchors {}", path.display()))
        };
        self.roots_file.as_ref().map(read).transpose()
    }

    /// The time from one policy check to the next.
    #[must_use]
    pub fn policy_check_every(&self) -> Duration {
        Duration::from_secs(60 * u64::from(self.policy_check_minutes))
    }
}

/// The M/OC's rule for names of devices; it keeps the name one segment of a path.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64 && name.starts_with(first) && name.chars().all(inner)
}

fn uuid<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
    parsed(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn uuids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Uuid>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| parsed(text).map_err(D::Error::custom)).collect()
}

/// A UUID in hexadecimal, with or without hyphens.
fn parsed(text: &str) -> Result<Uuid, String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes
        .and_then(|bytes| Uuid::new(bytes).ok())
        .ok_or_else(|| format!("`{text}` is not a UUID of version 3, 4 or 5"))
}

fn vendor() -> Uuid {
    constant(VENDOR)
}

fn classes() -> Vec<Uuid> {
    CLASSES.into_iter().map(constant).collect()
}

fn constant(number: u128) -> Uuid {
    Uuid::new(number.to_be_bytes()).expect("the constants are UUIDs of version 5")
}

const fn day() -> u32 {
    24 * 60
}

/// UUID version 5 of `tamarack.example` in the DNS namespace.
const VENDOR: u128 = 0xd98d_fd44_7114_5376_bf7c_3adf_b471_2dd2;

/// UUIDs version 5 of `confidential process`, `… container` and `… vm` in the vendor's namespace.
const CLASSES: [u128; 3] = [
    0x7b39_7450_6111_5eb1_8e91_ba8b_2c60_eede,
    0x34c9_a948_c7d1_5061_8a5b_275f_752f_dcca,
    0xa6c4_590c_78c7_5cd0_b288_1e91_a42e_cf6c,
];
