//! Appraisals that were kept, to be made again under another policy.
//!
//! Two forms are read: folders that `tamarack evidence appraise --keep` writes, and Attestation
//! Results of a Network M/OC (signed CMW), which carry evidence and endorsements.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use cose::{Sign1, Tagging};
use rats::{
    cmw::{Cmw, Collection},
    ear::{Ear, Tier},
};
use serde::{Deserialize, Serialize};
use verifier::{Collateral, Kind, TeepEvidence, Timestamp};

/// One kept appraisal.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its file or folder.
    pub(crate) name: PathBuf,
    /// The kind of evidence.
    pub(crate) kind: Kind,
    /// The evidence.
    pub(crate) evidence: Vec<u8>,
    /// The endorsements that it was appraised with.
    pub(crate) collateral: Collateral,
    /// The time for which it was appraised.
    pub(crate) at: Timestamp,
    /// Whether it was accepted.
    pub(crate) accepted: bool,
}

/// What is kept beside evidence and endorsements.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: String,
    at_s: i64,
    accepted: bool,
    policy: String,
}

/// Every kept appraisal in a directory, or the one that a file holds.
pub(crate) fn read(path: &Path) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    collect(path, DEPTH_MAX, &mut found)?;
    ensure!(!found.is_empty(), "there is no kept appraisal in {}", path.display());
    Ok(found)
}

/// Keeps an appraisal in a new folder of a directory, named by the digest of the evidence.
pub(crate) fn keep(
    directory: &Path,
    evidence: &[u8],
    collateral: &Collateral,
    appraisal: &verifier::Appraisal,
) -> Result<PathBuf> {
    let record = Record {
        kind: appraisal.kind().to_string(),
        at_s: appraisal.at().0,
        accepted: appraisal.accepted(),
        policy: appraisal.policy().to_owned(),
    };
    let digest = hex::encode(cose::sha256(evidence));
    let folder = directory.join(format!("{}-{}", &digest[..16], appraisal.at().0));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let record = toml::to_string(&record).context("keeping the appraisal")?;
    let collateral = collateral.encode();
    let files = [(EVIDENCE, evidence), (COLLATERAL, &collateral), (RECORD, record.as_bytes())];
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(folder)
}

fn collect(path: &Path, depth: u8, found: &mut Vec<Stored>) -> Result<()> {
    let reading = || format!("reading {}", path.display());
    if path.is_file() {
        found.extend(result(path, &fs::read(path).with_context(reading)?));
        return Ok(());
    }
    if path.join(RECORD).is_file() {
        found.push(folder(path).with_context(reading)?);
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(reading)? {
        entries.push(entry.with_context(reading)?.path());
    }
    entries.sort();
    entries.iter().try_for_each(|entry| collect(entry, depth - 1, found))
}

fn folder(path: &Path) -> Result<Stored> {
    let record: Record = toml::from_str(&fs::read_to_string(path.join(RECORD))?)?;
    Ok(Stored {
        name: path.to_owned(),
        kind: record.kind.parse()?,
        evidence: fs::read(path.join(EVIDENCE))?,
        collateral: Collateral::decode(&fs::read(path.join(COLLATERAL))?)
            .context("no collateral bundle")?,
        at: Timestamp(record.at_s),
        accepted: record.accepted,
    })
}

/// Reads an Attestation Result. Its signature is not asked for: the evidence in it is appraised
/// again, and nothing else counts.
fn result(path: &Path, bytes: &[u8]) -> Option<Stored> {
    let signed = Sign1::decode(bytes, Tagging::Either).ok()?;
    let Cmw::Collection(collection) = Cmw::decode(signed.payload?).ok()? else { return None };
    let part = |label: &str| Collection::record(&collection, label).map(|record| &record.value);
    let evidence = TeepEvidence::decode(part("evidence")?).ok()?;
    let token = Sign1::decode(part("ear")?, Tagging::Either).ok()?;
    let ear = Ear::decode(token.payload?).ok()?;
    Some(Stored {
        name: path.to_owned(),
        kind: evidence.kind(),
        evidence: evidence.quote().to_vec(),
        collateral: Collateral::decode(part("endorsements")?).ok()?,
        at: ear.iat,
        accepted: matches!(ear.status(), Tier::Affirming | Tier::Warning),
    })
}

const EVIDENCE: &str = "evidence.bin";
const COLLATERAL: &str = "collateral.cbor";
const RECORD: &str = "appraisal.toml";
/// Folders inside each other.
const DEPTH_MAX: u8 = 4;
