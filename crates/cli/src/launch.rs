//! `tamarack launch`: a guest of AMD SEV or SEV-ES, attested at its launch by its owner.

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Args;
use keys::{SystemEntropy, file};
use sdk::launch::{self, Launched, NotLaunched};
use serde_json::json;

use crate::{deploy, home::Home, outcome::Failed};

/// `tamarack launch`.
#[derive(Debug, Args)]
pub struct Launch {
    /// Where the host waits for the guest's owner
    #[arg(long, value_name = "HOST:PORT")]
    at: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Launch {
    /// Appraises what the platform measured, and injects the secret without which nothing runs.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self, home: &Home) -> Result<(), Failed> {
        let owner = file::load(home.owner_key()).context("reading the owner's key")?;
        let trust = deploy::trust(&home.pins()?)?;
        let launched = launch::launch(&self.at, &owner, &trust, deploy::now(), &mut SystemEntropy);
        let Launched { appraisal, .. } = launched.map_err(failure)?;
        let emulated = appraisal.emulated();
        if self.json {
            let launched_by = cose::Signer::key(&owner).thumbprint().to_string();
            let report = json!({
                "launched_by": launched_by,
                "emulated": emulated,
                "checks": appraisal.checks(),
            });
            println!("{report:#}");
            return Ok(());
        }
        deploy::print(format_args!("{}", appraisal.checks()));
        println!("{GREEN}✓{GREEN:#} the launch is yours, and the guest runs with your secret");
        if emulated != Some(false) {
            println!("{YELLOW}This device is emulated: its operator can read the data.{YELLOW:#}");
        }
        Ok(())
    }
}

fn failure(not: NotLaunched) -> Failed {
    match not {
        NotLaunched::Refused { refusal, checks } => {
            Failed::Refused { refusal, report: json!({ "checks": checks }) }
        }
        silent @ (NotLaunched::Unreachable { .. } | NotLaunched::Broken(_)) => {
            Failed::Unreachable(silent.into())
        }
        other => Failed::Unusable(other.into()),
    }
}

const GREEN: Style = AnsiColor::Green.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
