//! `tamarack evidence`: appraises evidence offline.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::println;
use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use cose::Secret;
use serde_json::{Value, json};
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request,
    Timestamp, UserData,
    anchor::{Listed, ListedDevice, Vendor},
    appraise,
    evidence::sev::{certificate::AuthorityCertificate, session::LaunchKeys},
    value::Hex,
    x509,
};

use crate::{inspect::evidence_kind, outcome::Failed};

/// `tamarack evidence`.
#[derive(Debug, Subcommand)]
pub enum Evidence {
    /// Verifies and appraises one piece of evidence for a given time
    Appraise(Appraise),
}

/// `tamarack evidence appraise`.
#[derive(Debug, Args)]
pub struct Appraise {
    /// sgx, tdx, sev-snp, sev, cca, trustzone, or auto
    #[arg(long, default_value = "auto")]
    kind: String,
    /// The evidence
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Directory with the vendors' collateral
    #[arg(long, value_name = "DIR")]
    collateral: Option<PathBuf>,
    /// Directory with root certificates of emulators that are accepted, and enrolled devices (TOML)
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// The user data that the evidence must carry, 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX")]
    user_data: Option<String>,
    /// Appraisal policy (TOML) in place of the strict default
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Reference values (TOML)
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// The time for which the appraisal is made, such as 2025-07-04T10:28:44Z
    #[arg(long, value_name = "RFC3339")]
    at: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Evidence {
    /// Runs the command: exit code 0 when affirming, 3 when refused.
    ///
    /// # Errors
    /// [`Failed::Unusable`] when an input cannot be used.
    pub fn run(self) -> Result<ExitCode, Failed> {
        let Self::Appraise(arguments) = self;
        let appraisal = arguments.appraise()?;
        if arguments.json {
            println!("{:#}", report(&appraisal));
        } else {
            println!("{appraisal}");
        }
        Ok(if appraisal.accepted() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}

impl Appraise {
    fn appraise(&self) -> Result<Appraisal> {
        let evidence = fs::read(&self.evidence)
            .with_context(|| format!("reading the evidence {}", self.evidence.display()))?;
        let kind = match self.kind.as_str() {
            "auto" => evidence_kind(&evidence).context("no kind of evidence fits; give --kind")?,
            kind => kind.parse().with_context(|| format!("`{kind}` is no kind of evidence"))?,
        };
        let at: jiff::Timestamp = self.at.parse().context("--at is no RFC 3339 time")?;
        let user_data = self.user_data.as_deref().map(user_data).transpose()?;
        let policy = match &self.policy {
            Some(path) => Policy::from_toml(&text(path)?)?,
            None => Policy::default(),
        };
        let reference = match &self.reference {
            Some(path) => ReferenceValues::from_toml(&text(path)?)?,
            None => ReferenceValues::default(),
        };
        let anchors = match &self.anchors {
            Some(directory) => anchors(directory, vendor(kind))?,
            None => Anchors::vendors(),
        };
        let collateral = match &self.collateral {
            Some(directory) => collateral(directory)?,
            None => Collateral::default(),
        };
        let endorsements = endorsements(kind, &collateral, &anchors);
        let request = Request {
            kind,
            evidence: &evidence,
            event_log: None,
            user_data: user_data.as_ref().map_or(UserData::Unchecked, UserData::Exactly),
            anchors: &anchors,
            reference: &reference,
            policy: &policy,
            now: Timestamp(at.as_second()),
        };
        Ok(appraise(&request, &endorsements))
    }
}

/// The object that programs read.
fn report(appraisal: &Appraisal) -> Value {
    let mut report = json!(appraisal);
    let debug = appraisal.claims().and_then(|claims| claims.debug);
    report["debug"] = json!(debug);
    report["format"] = json!(appraisal.kind().title());
    report["advisory_ids"] = report["tcb"]["advisory_ids"].take();
    report["verdict"] = json!(if appraisal.accepted() { "affirming" } else { "contraindicated" });
    report["vector"] = report["trust"].clone();
    report
}

/// A directory as vendors' caches lay it out: each file under its name.
pub(crate) fn collateral(directory: &Path) -> Result<Collateral> {
    let mut collateral = Collateral::default();
    let listed = fs::read_dir(directory)
        .with_context(|| format!("reading the collateral in {}", directory.display()))?;
    for entry in listed {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|n| n.to_str())) {
            collateral.insert(name, fs::read(&path)?);
        }
    }
    Ok(collateral)
}

/// The launch of an SEV guest is appraised by who holds its key: `tik.bin` beside the certificates.
fn endorsements(kind: Kind, collateral: &Collateral, anchors: &Anchors) -> Endorsements {
    match collateral.file("tik.bin") {
        Some(key) if kind == Kind::Sev => {
            let keys = LaunchKeys::recorded(Secret::new(key.to_vec()));
            Endorsements::for_launch(keys, collateral, anchors)
        }
        _ => Endorsements::prepare(kind, collateral, anchors),
    }
}

/// Whose root an emulator of that kind of evidence has.
fn vendor(kind: Kind) -> Vendor {
    match kind {
        Kind::Sev | Kind::SevSnp => Vendor::Amd,
        Kind::Cca => Vendor::Arm,
        Kind::TrustZone => Vendor::Huawei,
        Kind::Sgx | Kind::Tdx => Vendor::Intel,
    }
}

/// The vendors' roots, every certificate of a directory as the root of a vendor's emulator, and
/// every device that is listed there.
fn anchors(directory: &Path, vendor: Vendor) -> Result<Anchors> {
    let mut anchors = Anchors::vendors();
    let listed = fs::read_dir(directory)
        .with_context(|| format!("reading the anchors in {}", directory.display()))?;
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            anchors = anchors.with_device(ListedDevice::from_toml(&text(&path)?)?);
            continue;
        }
        let bytes = fs::read(&path)?;
        if let Ok(root) = AuthorityCertificate::decode(&bytes) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let spki_sha256 = Hex(root.spki_sha256());
            anchors = anchors.with_emulator(Listed { vendor: Vendor::Amd, name, spki_sha256 });
            continue;
        }
        let certificates = x509::decode_pem(&bytes).unwrap_or_else(|_| vec![bytes]);
        for der in certificates {
            let Ok(certificate) = x509::Certificate::decode(&der) else { continue };
            let name = certificate.common_name().unwrap_or("emulator").to_owned();
            let spki_sha256 = Hex(certificate.spki_sha256());
            anchors = anchors.with_emulator(Listed { vendor, name, spki_sha256 });
        }
    }
    Ok(anchors)
}

fn user_data(hexadecimal: &str) -> Result<[u8; 64]> {
    let bytes = hex::decode(hexadecimal).context("--user-data is not hexadecimal")?;
    ensure!(bytes.len() <= 64, "--user-data is longer than 64 bytes");
    let mut field = [0; 64];
    field[..bytes.len()].copy_from_slice(&bytes);
    Ok(field)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
