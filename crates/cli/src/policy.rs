//! `tamarack policy`: checks a policy's file, and replays it over appraisals that were kept.

use std::{path::PathBuf, process::ExitCode};

use anstream::println;
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use verifier::{
    Anchors, Appraisal, Endorsements, Policy, ReferenceValues, Request, UserData, appraise,
};

use crate::{
    evidence::{self, Stored},
    outcome::Failed,
    reference,
};

/// `tamarack policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reads a policy and shows it with every default filled in
    Check(Check),
    /// Appraises kept evidence again under a policy and lists the verdicts that would change
    Test(Test),
}

/// `tamarack policy check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The policy (TOML)
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `tamarack policy test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The policy to try (TOML)
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    /// Kept appraisals: a directory, one folder of `evidence appraise --keep`, or a result (CMW)
    #[arg(long, value_name = "PATH", required = true)]
    evidence: Vec<PathBuf>,
    /// Compare with this policy instead of with the verdicts that were kept
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Reference values (TOML or JSON); may be repeated
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// Directory with root certificates of emulators and keys of devices that are accepted
    #[arg(long, value_name = "DIR")]
    anchors: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One kept appraisal and what the policy makes of it.
struct Replay {
    stored: Stored,
    before: bool,
    after: Appraisal,
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failed::Unusable`] when an input cannot be used.
    pub fn run(self) -> Result<ExitCode, Failed> {
        match self {
            Self::Check(check) => check.run(),
            Self::Test(test) => test.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<ExitCode, Failed> {
        let policy = evidence::policy(Some(&self.file))?;
        if self.json {
            println!("{:#}", json!({ "policy": policy, "weaker_than_strict": weaker(&policy) }));
            return Ok(ExitCode::SUCCESS);
        }
        let shown = toml::to_string(&policy).context("showing the policy")?;
        println!("{shown}");
        for line in weaker(&policy) {
            println!("# {line}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Test {
    /// Exit code 0 when no verdict changes, 3 when one does.
    fn run(self) -> Result<ExitCode, Failed> {
        let policy = evidence::policy(Some(&self.policy))?;
        let against = match &self.against {
            Some(path) => Some(evidence::policy(Some(path))?),
            None => None,
        };
        let mut reference = ReferenceValues::default();
        for path in &self.reference {
            reference = reference.with(reference::read(path, "measured software")?);
        }
        let mut replays = Vec::new();
        for path in &self.evidence {
            for stored in evidence::read_stored(path)? {
                replays.push(self.replay(stored, &policy, against.as_ref(), &reference)?);
            }
        }
        let changed: Vec<_> = replays.iter().filter(|it| it.before != it.accepted()).collect();
        if self.json {
            let shown = changed.iter().map(|replay| replay.json()).collect::<Vec<_>>();
            println!("{:#}", json!({ "appraisals": replays.len(), "changed": shown }));
        } else {
            changed.iter().for_each(|replay| replay.print());
            println!("{} of {} verdicts would change", changed.len(), replays.len());
        }
        Ok(if changed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    fn replay(
        &self,
        stored: Stored,
        policy: &Policy,
        against: Option<&Policy>,
        reference: &ReferenceValues,
    ) -> Result<Replay> {
        let mut collateral = stored.collateral.clone();
        let anchors = match &self.anchors {
            Some(directory) => evidence::anchors(directory, stored.kind, &mut collateral)?,
            None => Anchors::vendors(),
        };
        let endorsements = evidence::endorsements(stored.kind, &collateral, &anchors);
        let under =
            |policy: &Policy| appraise_stored(&stored, &endorsements, &anchors, policy, reference);
        let before = against.map_or(stored.accepted, |policy| under(policy).accepted());
        let after = under(policy);
        Ok(Replay { stored, before, after })
    }
}

impl Replay {
    fn accepted(&self) -> bool {
        self.after.accepted()
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "evidence": self.stored.name,
            "before": word(self.before),
            "after": word(self.accepted()),
            "appraisal": self.after,
        })
    }

    fn print(&self) {
        let (before, after) = (word(self.before), word(self.accepted()));
        println!("{before} -> {after}: {}", self.stored.name.display());
        println!("{}", self.after);
    }
}

/// Binding is no business of a policy: evidence that was kept is appraised for what it says.
fn appraise_stored(
    stored: &Stored,
    endorsements: &Endorsements,
    anchors: &Anchors,
    policy: &Policy,
    reference: &ReferenceValues,
) -> Appraisal {
    let request = Request {
        kind: stored.kind,
        evidence: &stored.evidence,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors,
        reference,
        policy,
        now: stored.at,
    };
    appraise(&request, endorsements)
}

/// Where a policy accepts what the strict one refuses, for the eye of who reviews it.
fn weaker(policy: &Policy) -> Vec<&'static str> {
    let strict = Policy::default();
    let found = [
        (policy.emulated_allowed, "accepts emulated hardware: its operator can read everything"),
        (policy.debug_allowed, "accepts instances that their host can debug"),
        (policy.claimed_images_allowed, "accepts containers that no runtime register holds"),
        (!policy.reference_required, "accepts software without any reference value"),
        (
            policy.dcap.tcb_statuses.iter().any(|it| !strict.dcap.tcb_statuses.contains(it)),
            "accepts Intel platforms whose TCB is not up to date",
        ),
        (policy.dcap.evaluation_min < strict.dcap.evaluation_min, "accepts older evaluations"),
        (!policy.dcap.collateral_required, "accepts quotes without collateral: no revocation"),
        (!policy.snp.revocation_list_required, "accepts AMD's certificates without revocation"),
        (!policy.snp.tcb_min_required, "accepts any AMD firmware where no minimum fits"),
    ];
    found.into_iter().filter_map(|(weaker, line)| weaker.then_some(line)).collect()
}

const fn word(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}
