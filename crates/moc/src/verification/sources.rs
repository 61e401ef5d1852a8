//! What the Verifier appraises by, read from the files that the configuration names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use cose::Accept;
use rats::corim::{Corim, Expect};
use verifier::{Anchors, Collateral, Endorsements, Kind, Policy, ReferenceValues, anchor};

use crate::config::{Appraisal, PolicySource};

/// Policy, anchors, reference values and endorsements.
#[derive(Debug)]
pub struct Sources {
    /// The operator's policy.
    pub policy: Policy,
    /// Where trust begins.
    pub anchors: Anchors,
    /// Which measured software is meant.
    pub reference: ReferenceValues,
    /// The endorsements as they are handed on.
    pub collateral: Collateral,
    endorsements: Vec<(Kind, Endorsements)>,
    stamps: Vec<Stamp>,
}

/// When a file was last written, and how long it was.
type Stamp = (PathBuf, Option<SystemTime>, u64);

/// Something that the Verifier needs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A policy or a list of anchors is not one.
    #[error("in {path}")]
    Misconfigured {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: verifier::policy::Misconfigured,
    },
    /// Reference values are not signed by the signer who is named, or have expired.
    #[error("the reference values in {path} do not count")]
    Reference {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rats::Refused,
    },
    /// A key.
    #[error("a key cannot be used")]
    Key(#[from] keys::Error),
}

impl Sources {
    /// Reads everything.
    pub fn read(config: &Appraisal, now_ms: u64) -> Result<Self, Unusable> {
        let stamps = stamps(config);
        let policy = policy(config.policy.as_ref())?;
        let mut anchors = Anchors::vendors();
        for emulator in &config.emulated_anchors {
            anchors = anchors.with_emulator(emulator.0.clone());
        }
        if let Some(path) = &config.anchors {
            anchors = anchors.with_list(list(path)?);
        }
        let mut reference = ReferenceValues::default();
        for file in &config.reference_values {
            let corim = corim(&file.corim, &file.signer, now_ms)?;
            reference = reference.with_corim(&corim);
        }
        let collateral = match &config.collateral {
            Some(dir) => collateral(dir)?,
            None => Collateral::default(),
        };
        let endorsements = Kind::ALL
            .into_iter()
            .map(|kind| (kind, Endorsements::prepare(kind, &collateral, &anchors)))
            .collect();
        Ok(Self { policy, anchors, reference, collateral, endorsements, stamps })
    }

    /// Whether a file has changed since everything was read.
    pub fn are_stale(&self, config: &Appraisal) -> bool {
        stamps(config) != self.stamps
    }

    /// The endorsements for one kind of evidence.
    pub fn endorsements(&self, kind: Kind) -> Option<&Endorsements> {
        self.endorsements.iter().find(|(each, _)| *each == kind).map(|(_, prepared)| prepared)
    }
}

/// The files that the configuration names, as they are at the moment.
fn stamps(config: &Appraisal) -> Vec<Stamp> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Some(PolicySource::File(path)) = &config.policy {
        paths.push(path.clone());
    }
    paths.extend(config.anchors.clone());
    paths.extend(config.reference_values.iter().flat_map(|f| [f.corim.clone(), f.signer.clone()]));
    if let Some(entries) = config.collateral.as_ref().and_then(|dir| fs::read_dir(dir).ok()) {
        paths.extend(entries.flatten().map(|entry| entry.path()));
    }
    paths.sort();
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let written = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (path, written, metadata.map_or(0, |metadata| metadata.len()))
    };
    paths.into_iter().map(stamp).collect()
}

fn policy(source: Option<&PolicySource>) -> Result<Policy, Unusable> {
    match source {
        None => Ok(Policy::default()),
        Some(PolicySource::Inline(policy)) => Ok((**policy).clone()),
        Some(PolicySource::File(path)) => {
            let text = fs::read_to_string(path).map_err(unreadable(path))?;
            Policy::from_toml(&text)
                .map_err(|source| Unusable::Misconfigured { path: path.clone(), source })
        }
    }
}

fn list(path: &Path) -> Result<anchor::List, Unusable> {
    let text = fs::read_to_string(path).map_err(unreadable(path))?;
    anchor::List::from_toml(&text)
        .map_err(|source| Unusable::Misconfigured { path: path.to_owned(), source })
}

fn corim(path: &Path, signer: &Path, now_ms: u64) -> Result<Corim, Unusable> {
    let signers = [keys::file::load_public(signer)?];
    let bytes = fs::read(path).map_err(unreadable(path))?;
    let expect = Expect { signers: &signers, accept: &Accept::CURRENT, now: seconds(now_ms) };
    Corim::verify(&bytes, &expect)
        .map(cose::Verified::into_inner)
        .map_err(|source| Unusable::Reference { path: path.to_owned(), source })
}

fn collateral(dir: &Path) -> Result<Collateral, Unusable> {
    let mut collateral = Collateral::default();
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let entry = entry.map_err(unreadable(dir))?;
        let path = entry.path();
        if path.is_file() {
            let bytes = fs::read(&path).map_err(unreadable(&path))?;
            collateral.insert(entry.file_name().to_string_lossy(), bytes);
        }
    }
    Ok(collateral)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::Unreadable { path, source }
}

/// Milliseconds as the formats count time.
pub(super) fn seconds(now_ms: u64) -> rats::Timestamp {
    rats::Timestamp(i64::try_from(now_ms / 1000).unwrap_or(i64::MAX))
}
