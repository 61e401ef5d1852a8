//! `tamarack evidence forecast`: which devices newer TCB info will refuse.

use std::{path::PathBuf, process::ExitCode};

use anstream::println;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use verifier::{Collateral, Endorsements, Reason, ReferenceValues, Request, UserData, forecast};

use super::{Stored, anchors, collateral, policy, read_stored};
use crate::outcome::Failed;

/// `tamarack evidence forecast`.
#[derive(Debug, Args)]
pub struct Forecast {
    /// Kept appraisals: a directory, one folder of `evidence appraise --keep`, or a result (CMW)
    #[arg(long, value_name = "PATH", required = true)]
    evidence: Vec<PathBuf>,
    /// Directory with the newer TCB info and its signature, and what else is newer; files that are
    /// not there stay as they were. A store with folders has them for each platform
    #[arg(long, value_name = "DIR")]
    newer: PathBuf,
    /// Appraisal policy (TOML) in place of the strict default
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Directory with root certificates of emulators that are accepted
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Forecast {
    /// Runs the command: exit code 0 when every device will pass, 3 when one will be refused.
    ///
    /// # Errors
    /// [`Failed::Unusable`] when an input cannot be used.
    pub fn run(self) -> Result<ExitCode, Failed> {
        let newer = collateral(&self.newer)?;
        let mut forecasts = Vec::new();
        for path in &self.evidence {
            for stored in read_stored(path)? {
                let forecast = self.forecast(&stored, &newer)?;
                forecasts.push((stored, forecast));
            }
        }
        let failing = forecasts.iter().filter(|(_, forecast)| will_be_refused(forecast)).count();
        if self.json {
            let devices = forecasts.iter().map(|(stored, forecast)| {
                json!({ "evidence": stored.name, "kind": stored.kind, "forecast": forecast })
            });
            println!("{:#}", json!({ "failing": failing, "devices": devices.collect::<Vec<_>>() }));
        } else {
            forecasts.iter().for_each(|(stored, forecast)| print(stored, forecast));
            println!("{failing} of {} will be refused", forecasts.len());
        }
        Ok(if failing == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    fn forecast(&self, stored: &Stored, newer: &Collateral) -> Result<verifier::Forecast> {
        let policy = policy(self.policy.as_deref())?;
        let mut today = stored.collateral.clone();
        let anchors = match &self.anchors {
            Some(directory) => anchors(directory, stored.kind, &mut today)?,
            None => verifier::Anchors::vendors(),
        };
        let mut later = today.clone();
        for (name, bytes) in newer.for_evidence(stored.kind, &stored.evidence).files() {
            later.insert(name, bytes);
        }
        let request = Request {
            kind: stored.kind,
            evidence: &stored.evidence,
            event_log: None,
            user_data: UserData::Unchecked,
            anchors: &anchors,
            reference: &ReferenceValues::default(),
            policy: &policy,
            now: stored.at,
        };
        let prepare = |files: &Collateral| Endorsements::prepare(stored.kind, files, &anchors);
        Ok(forecast(&request, &prepare(&today), &prepare(&later)))
    }
}

/// A device that the newer collateral is not about is not judged by it.
fn will_be_refused(forecast: &verifier::Forecast) -> bool {
    !forecast.passes() && !is_uncovered(forecast)
}

fn is_uncovered(forecast: &verifier::Forecast) -> bool {
    let reason = forecast.checks().first_failure().map(|(_, failure)| failure.reason);
    forecast.device().is_some() && reason == Some(Reason::MissingEndorsement)
}

fn print(stored: &Stored, forecast: &verifier::Forecast) {
    let device = forecast.device().map_or_else(|| "unknown device".to_owned(), ToString::to_string);
    let status = |tcb: Option<&verifier::Tcb>| tcb.map_or("unknown", |tcb| tcb.status);
    let (before, after) = (status(forecast.before()), status(forecast.after()));
    let outcome = match (forecast.passes(), is_uncovered(forecast)) {
        (true, _) => "passes",
        (false, true) => "not covered",
        (false, false) => "WILL BE REFUSED",
    };
    println!("{outcome}: {} device {device}, TCB {before} -> {after}", stored.kind.title());
    println!("  evidence: {}", stored.name.display());
    for (check, failure) in forecast.checks().failures() {
        println!("  {}: {} ({}: {})", check.name, failure.reason, failure.owner, failure.remedy);
    }
}
