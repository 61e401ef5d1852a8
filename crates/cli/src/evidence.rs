//! `tamarack evidence`: appraises evidence offline, and forecasts what will be refused.

mod directory;
mod forecast;
mod stored;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{eprintln, println};
use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use cose::Secret;
use rats::ear::Tier;
use serde_json::{Value, json};
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
    evidence::{EventLog, dcap::Carried, sev::session::LaunchKeys},
};

use crate::{inspect::evidence_kind, outcome::Failed, reference};

pub(crate) use directory::{anchors, collateral};
pub(crate) use stored::{Stored, read as read_stored};

/// `tamarack evidence`.
#[derive(Debug, Subcommand)]
pub enum Evidence {
    /// Verifies and appraises one piece of evidence for a given time
    Appraise(Box<Appraise>),
    /// Tells which devices newer TCB info will refuse when it becomes mandatory
    Forecast(forecast::Forecast),
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
    /// Reference values (TOML or JSON), or a measurement that `tamarack-tee measure` printed
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// An event log to replay: a TCG log (CCEL), or the JSON list of a dstack guest
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,
    /// Keep evidence, endorsements and verdict below this directory, for `tamarack policy test`
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The time for which the appraisal is made, such as 2025-07-04T10:28:44Z
    #[arg(long, value_name = "RFC3339")]
    at: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Evidence {
    /// Runs the command: exit code 0 when affirming, 3 when refused, 2 when endorsements are
    /// missing without which there is no verdict.
    ///
    /// # Errors
    /// [`Failed::Unusable`] when an input cannot be used.
    pub fn run(self) -> Result<ExitCode, Failed> {
        match self {
            Self::Appraise(arguments) => arguments.run(),
            Self::Forecast(forecast) => forecast.run(),
        }
    }
}

impl Appraise {
    fn run(&self) -> Result<ExitCode, Failed> {
        let evidence = fs::read(&self.evidence)
            .with_context(|| format!("reading the evidence {}", self.evidence.display()))?;
        let appraisal = self.appraise(&evidence)?;
        let report = report(&appraisal, &evidence);
        if appraisal.undecided() && report["debug"] != true {
            // No verdict, hence no object: neither acceptance nor what the evidence did wrong.
            eprintln!("no verdict: endorsements are missing\n{appraisal}");
            return Ok(ExitCode::from(2));
        }
        if self.json {
            println!("{report:#}");
        } else {
            println!("{appraisal}");
        }
        Ok(if appraisal.accepted() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    fn appraise(&self, evidence: &[u8]) -> Result<Appraisal> {
        let kind = match self.kind.as_str() {
            "auto" => evidence_kind(evidence).context("no kind of evidence fits; give --kind")?,
            kind => kind.parse().with_context(|| format!("`{kind}` is no kind of evidence"))?,
        };
        let at: jiff::Timestamp = self.at.parse().context("--at is no RFC 3339 time")?;
        let user_data = self.user_data.as_deref().map(user_data).transpose()?;
        let policy = policy(self.policy.as_deref())?;
        let reference = match &self.reference {
            Some(path) => reference::read(path, "measured software")?,
            None => ReferenceValues::default(),
        };
        let mut collateral = match &self.collateral {
            Some(directory) => collateral(directory)?.for_evidence(kind, evidence),
            None => Collateral::default(),
        };
        let anchors = match &self.anchors {
            Some(directory) => anchors(directory, kind, &mut collateral)?,
            None => Anchors::vendors(),
        };
        let read = |path: &PathBuf| {
            fs::read(path).with_context(|| format!("reading the event log {}", path.display()))
        };
        let event_log = self.event_log.as_ref().map(read).transpose()?;
        let endorsements = endorsements(kind, &collateral, &anchors);
        let request = Request {
            kind,
            evidence,
            event_log: event_log.as_deref().map(as_event_log),
            user_data: user_data.as_ref().map_or(UserData::Unchecked, UserData::Exactly),
            anchors: &anchors,
            reference: &reference,
            policy: &policy,
            now: Timestamp(at.as_second()),
        };
        let appraisal = appraise(&request, &endorsements);
        if let Some(directory) = &self.keep {
            stored::keep(directory, evidence, &collateral, &appraisal)?;
        }
        Ok(appraisal)
    }
}

/// A list in JSON is dstack's; everything else is a TCG log.
fn as_event_log(bytes: &[u8]) -> EventLog<'_> {
    match bytes.trim_ascii_start().first() {
        Some(b'[' | b'{') => EventLog::Dstack(bytes),
        _ => EventLog::Ccel(bytes),
    }
}

/// A policy's file, or the strict default.
pub(crate) fn policy(path: Option<&Path>) -> Result<Policy> {
    match path {
        Some(path) => Policy::from_toml(&text(path)?)
            .with_context(|| format!("in the policy {}", path.display())),
        None => Ok(Policy::default()),
    }
}

/// The object that programs read.
fn report(appraisal: &Appraisal, evidence: &[u8]) -> Value {
    let mut report = json!(appraisal);
    let debug = appraisal.claims().and_then(|claims| claims.debug);
    // What is not authentic still shows what it says.
    let shown = || report["fields"]["debug"].as_bool();
    report["debug"] = json!(debug.or_else(shown));
    report["format"] = json!(format(appraisal.kind(), evidence));
    report["advisory_ids"] = report["tcb"]["advisory_ids"].take();
    report["verdict"] = json!(verdict(appraisal));
    report["vector"] = report["trust"].clone();
    let failures = appraisal.checks().failures();
    let mut reasons: Vec<Reason> = failures.iter().map(|(_, failure)| failure.reason).collect();
    // Of authentic evidence, what can be read by the host outranks what is missing.
    reasons.sort_by_key(|reason| !(appraisal.authentic() && *reason == Reason::Debug));
    reasons.dedup();
    report["reason"] = json!(reasons.first());
    report["reasons"] = json!(reasons);
    report
}

/// The tier of the worst claim; what is refused never affirms.
fn verdict(appraisal: &Appraisal) -> &'static str {
    let worst = appraisal.trust().status();
    match (appraisal.accepted(), worst) {
        (true, Tier::Affirming) => "affirming",
        (true, Tier::Warning) => "warning",
        (true, Tier::None) => "none",
        (true | false, Tier::Contraindicated) | (false, _) => "contraindicated",
    }
}

/// The format of evidence, with its version where it has one.
fn format(kind: Kind, evidence: &[u8]) -> String {
    let word = |at: usize| evidence.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    match kind {
        Kind::Cca => "cca-token".to_owned(),
        Kind::Sev => "sev-launch-measurement".to_owned(),
        Kind::SevSnp if evidence.starts_with(b"HCLA") => "sev-snp-report-hcl".to_owned(),
        Kind::SevSnp => format!("sev-snp-report-v{}", word(0).unwrap_or_default()),
        Kind::Sgx | Kind::Tdx => match Carried::read(evidence) {
            Ok(carried) if carried.in_certificate() => format!("{kind}-ra-tls-certificate"),
            _ => format!("{kind}-quote-v{}", word(0).unwrap_or_default() & 0xffff),
        },
        Kind::TrustZone => match evidence.trim_ascii_start() {
            [b'{', ..] => "itrustee-json",
            [0xd9, 0x01, 0x8f, ..] => "virtcca-token",
            [0x86, ..] => "optee-digest",
            _ => "psa-token",
        }
        .to_owned(),
    }
}

/// The launch of an SEV guest is appraised by who holds its key: `tik.bin` beside the certificates.
pub(crate) fn endorsements(kind: Kind, collateral: &Collateral, anchors: &Anchors) -> Endorsements {
    match collateral.file("tik.bin") {
        Some(key) if kind == Kind::Sev => {
            let keys = LaunchKeys::recorded(Secret::new(key.to_vec()));
            Endorsements::for_launch(keys, collateral, anchors)
        }
        _ => Endorsements::prepare(kind, collateral, anchors),
    }
}

fn user_data(hexadecimal: &str) -> Result<[u8; 64]> {
    let bytes = hex::decode(hexadecimal).context("--user-data is not hexadecimal")?;
    ensure!(bytes.len() <= 64, "--user-data is longer than 64 bytes");
    let mut field = [0; 64];
    field[..bytes.len()].copy_from_slice(&bytes);
    Ok(field)
}

pub(crate) fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
