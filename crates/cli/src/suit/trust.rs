//! Whom the author's tools believe: the key in the envelope, or the keys of a directory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use clap::Args;
use cose::{
    Accept,
    cbor::{self, MapReader},
};
use suit::{
    Anchors, ComponentId, SIGNATURES, Signer,
    authentication::Secret,
    authority::{Authority, OwnerPrefix},
};

use crate::inspect::Keyring;

/// Whose signatures count.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Directory with the public keys (COSE_Key) that count, in place of the key in the envelope
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Accept ES256, ES384 and EdDSA, as older drafts and their examples sign
    #[arg(long)]
    legacy: bool,
}

/// What [`Trust`] names, read.
#[derive(Clone)]
pub(super) struct Trusted {
    /// Whom to believe.
    pub anchors: Arc<Anchors>,
    /// The algorithms that count.
    pub accept: Accept,
    /// Which components a signer may touch.
    pub authority: Arc<dyn Authority + Send + Sync>,
    /// The keys by name.
    pub names: Arc<Keyring>,
}

impl Trust {
    /// Reads the keys.
    pub(super) fn read(&self) -> Result<Trusted> {
        let accept = if self.legacy { Accept::WITH_LEGACY } else { Accept::NONE };
        let accept = SIGNATURES.or(accept);
        let Some(directory) = &self.keys else {
            return Ok(Trusted {
                anchors: Arc::new(Anchors::none().with_self_certified()),
                accept,
                authority: Arc::new(OwnerPrefix),
                names: Arc::default(),
            });
        };
        let names = Keyring::read(directory)?;
        let mut anchors = names.keys().cloned().fold(Anchors::none(), Anchors::with_key);
        for secret in secrets(directory)? {
            anchors = anchors.with_secret(secret);
        }
        Ok(Trusted {
            anchors: Arc::new(anchors),
            accept,
            authority: Arc::new(OwnerOrNobody),
            names: Arc::new(names),
        })
    }
}

/// A listed signer has the components below its own prefix, and those that name no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnerOrNobody;

impl Authority for OwnerOrNobody {
    fn permits(&self, signer: &Signer, component: &ComponentId) -> bool {
        component.owner().is_none() || OwnerPrefix.permits(signer, component)
    }
}

/// Every symmetric COSE_Key for HMAC 256/256 in a directory.
fn secrets(directory: &Path) -> Result<Vec<Secret>> {
    let listed = fs::read_dir(directory)
        .with_context(|| format!("reading the keys in {}", directory.display()))?;
    let mut secrets = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.is_file() {
            secrets.extend(secret(&fs::read(&path)?));
        }
    }
    Ok(secrets)
}

/// ```cddl
/// { 1 => 4, 3 => 5, -1 => bstr }
/// ```
fn secret(bytes: &[u8]) -> Option<Secret> {
    let (mut kind, mut algorithm, mut key) = (None, None, None);
    cbor::whole(bytes, |d| {
        let mut map = MapReader::new(d)?;
        while let Some(label) = map.key()? {
            match label {
                1 => kind = Some(map.value().i64()?),
                3 => algorithm = Some(map.value().i64()?),
                -1 => key = Some(map.value().bytes()?),
                _ => drop(cbor::item(map.value())?),
            }
        }
        Ok(())
    })
    .ok()?;
    (kind == Some(SYMMETRIC) && algorithm == Some(HMAC_256)).then(|| key.map(Secret::new))?
}

const SYMMETRIC: i64 = 4;
const HMAC_256: i64 = 5;
