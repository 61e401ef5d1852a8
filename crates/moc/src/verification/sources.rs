//! What the Verifier appraises by, read from the files that the configuration names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use cose::Accept;
use rats::{
    corim::{Corim, Expect},
    ear::Profile,
};
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Platform, Policy, ReferenceValues, anchor,
};

use crate::{
    collateral::Store,
    config::{Appraisal, EarProfile, PolicySource},
};

/// Policy, anchors, reference values and endorsements.
#[derive(Debug)]
pub struct Sources {
    /// The operator's policy.
    pub policy: Policy,
    /// Where trust begins.
    pub anchors: Anchors,
    /// Which measured software is meant.
    pub reference: ReferenceValues,
    collateral: Collateral,
    /// Which form of EAR results have.
    pub ear_profile: Profile,
    tenant_policies: BTreeMap<String, Policy>,
    endorsements: Vec<(Kind, Endorsements)>,
    /// Endorsements of the platforms that have a folder of their own, once they were asked for.
    platforms: Mutex<BTreeMap<String, Endorsements>>,
    /// The folders of platforms.
    folders: BTreeSet<String>,
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
            Some(dir) => Store::at(dir.clone()).read().map_err(unreadable(dir))?,
            None => Collateral::default(),
        };
        let folder = |(name, _): (&str, _)| Some(name.rsplit_once('/')?.0.to_owned());
        let folders = collateral.files().filter_map(folder).collect();
        let tenants = config.tenant_policies.iter();
        let tenants =
            tenants.map(|(tenant, source)| Ok((tenant.clone(), self::policy(Some(source))?)));
        let endorsements = Kind::ALL
            .into_iter()
            .map(|kind| (kind, Endorsements::prepare(kind, &collateral, &anchors)))
            .collect();
        Ok(Self {
            policy,
            anchors,
            reference,
            collateral,
            ear_profile: match config.ear_profile {
                EarProfile::Ietf => Profile::Current,
                EarProfile::Veraison => Profile::Legacy,
            },
            tenant_policies: tenants.collect::<Result<_, Unusable>>()?,
            endorsements,
            platforms: Mutex::default(),
            folders,
            stamps,
        })
    }

    /// Whether a file has changed since everything was read.
    pub fn are_stale(&self, config: &Appraisal) -> bool {
        stamps(config) != self.stamps
    }

    /// The policy for a tenant's results; without a tenant, or a policy of its own, the
    /// operator's.
    pub fn policy(&self, tenant: Option<&str>) -> &Policy {
        let own = tenant.and_then(|tenant| self.tenant_policies.get(tenant));
        own.unwrap_or(&self.policy)
    }

    /// Whether there is collateral for that platform alone.
    pub fn knows(&self, platform: &Platform) -> bool {
        self.folders.contains(&folder(platform))
    }

    /// Whether there is collateral for any platform alone.
    pub fn has_platforms(&self) -> bool {
        self.folders.iter().any(|folder| folder.contains('/'))
    }

    /// The endorsements for evidence of that kind, and of that platform if it has its own.
    pub fn endorsements(&self, kind: Kind, platform: Option<&Platform>) -> Endorsements {
        let Some(platform) = platform.filter(|platform| self.knows(platform)) else {
            let found = self.endorsements.iter().find(|(each, _)| *each == kind);
            return found.expect("endorsements are prepared for every kind").1.clone();
        };
        let folder = folder(platform);
        if let Some(prepared) = self.platforms().get(&folder) {
            return prepared.clone();
        }
        let collateral = self.collateral.for_platform(kind, Some(platform));
        let prepared = Endorsements::prepare(kind, &collateral, &self.anchors);
        self.platforms().insert(folder, prepared.clone());
        prepared
    }

    /// What is handed on with a result: the files that counted for it.
    pub fn collateral(&self, kind: Kind, platform: Option<&Platform>) -> Collateral {
        self.collateral.for_platform(kind, platform)
    }

    /// A panic elsewhere leaves whole entries behind.
    fn platforms(&self) -> MutexGuard<'_, BTreeMap<String, Endorsements>> {
        self.platforms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn folder(platform: &Platform) -> String {
    format!("{}/{platform}", platform.kind())
}

/// The files that the configuration names, as they are at the moment.
fn stamps(config: &Appraisal) -> Vec<Stamp> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for policy in config.policy.iter().chain(config.tenant_policies.values()) {
        if let PolicySource::File(path) = policy {
            paths.push(path.clone());
        }
    }
    paths.extend(config.anchors.clone());
    paths.extend(config.reference_values.iter().flat_map(|f| [f.corim.clone(), f.signer.clone()]));
    if let Some(files) = config.collateral.clone().and_then(|dir| Store::at(dir).files().ok()) {
        paths.extend(files.into_iter().map(|(_, path)| path));
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

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::Unreadable { path, source }
}

/// Milliseconds as the formats count time.
pub(super) fn seconds(now_ms: u64) -> rats::Timestamp {
    rats::Timestamp(i64::try_from(now_ms / 1000).unwrap_or(i64::MAX))
}
