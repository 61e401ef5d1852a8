//! `tamarack deploy`: the Network User's whole flow, with what it leaves beside the project.

use std::{fs, path::PathBuf};

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use channel::{Suite, Suites};
use clap::Args;
use cose::{Key, Signer as _};
use keys::{SystemEntropy, file};
use rats::Timestamp;
use sdk::{
    Project,
    appraisal::{Accepted, Examined},
    deploy::{Deploy as Flow, DeployFailed, Means, Progress},
    live::NotSent,
    release::NotReleased,
    trust::Trust,
};
use serde_json::{Value, json};
use verifier::{Policy, anchor::List};

use crate::{
    connect,
    evidence::collateral,
    home::{Home, Pins},
    outcome::Failed,
};

/// `tamarack deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The project file
    #[arg(long, value_name = "FILE", default_value = "tamarack.toml")]
    project: PathBuf,
    /// A device that is wanted by name
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Deploy {
    /// Runs the flow, writes its artefacts beside the project, and reports.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn run(self, home: &Home) -> Result<(), Failed> {
        let project = Project::read(&self.project).map_err(anyhow::Error::from)?;
        let account = home.account()?;
        let moc = connect::moc(&account.moc, &account.token_file, account.roots.as_ref())?;
        let owner = file::load(home.owner_key()).context("reading the owner's key")?;
        let trust = trust(&home.pins()?)?.with_launches_by(owner.key());
        let flow = Flow {
            moc: &moc,
            owner: &owner,
            project: &project,
            trust: &trust,
            device: self.device.clone(),
        };
        let mut progress = Progress::default();
        let quiet = self.json;
        let mut say = |text: &str| {
            if !quiet {
                eprintln!("{DIM}… {text}{DIM:#}");
            }
        };
        let means = Means { entropy: &mut SystemEntropy, clock: &now, say: &mut say };
        let outcome = flow.run(&mut progress, means).await;
        keep(&project, &progress)?;
        let report = report(&progress);
        match outcome {
            Ok(()) if self.json => println!("{report:#}"),
            Ok(()) => tell(&progress),
            Err(failed) => {
                if !self.json {
                    tell(&progress);
                }
                return Err(failure(failed, report));
            }
        }
        Ok(())
    }
}

/// Pins become the user's trust; a pin that cannot be used stops the command.
pub(crate) fn trust(pins: &Pins) -> Result<Trust> {
    let mut trust = Trust { strength: pins.strength, ..Trust::strict() };
    if let Some(path) = &pins.policy {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading the policy {}", path.display()))?;
        trust.policy = Policy::from_toml(&text)?;
    }
    for emulator in &pins.emulators {
        let digest = hex::decode(emulator).context("a pinned emulator is not hexadecimal")?;
        let digest = digest.as_slice().try_into().context("a pinned emulator is not 32 bytes")?;
        trust = trust.with_emulator(digest);
    }
    if let Some(path) = &pins.anchors {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading the anchors {}", path.display()))?;
        trust = trust.with_anchors(List::from_toml(&text)?);
    }
    for reference in &pins.references {
        let name = reference.corim.display().to_string();
        let corim = fs::read(&reference.corim).with_context(|| format!("reading {name}"))?;
        let signer = file::load_public(&reference.signer).context("reading a signer's key")?;
        trust = trust.with_reference(&name, &corim, &signer, now())?;
    }
    if let Some(directory) = &pins.collateral {
        trust.collateral = Some(collateral(directory)?);
    }
    if let Some(verifier) = &pins.verifier {
        let key = hex::decode(verifier).context("the pinned Verifier is not hexadecimal")?;
        trust.verifier = Some(Key::decode(&key).context("the pinned Verifier is no COSE_Key")?);
    }
    if let Some(names) = &pins.channel {
        let suites = Suites::parse(names.iter().map(String::as_str));
        trust.channel = suites.context("the pinned suites of the channel")?;
    }
    Ok(trust)
}

/// Result, sealed package, receipt and call ticket, beside the project file.
fn keep(project: &Project, progress: &Progress) -> Result<()> {
    let directory = project.directory();
    for (name, bytes) in [
        ("result.cmw", &progress.result),
        ("pd.suit", &progress.sealed),
        ("receipt.cbor", &progress.receipt),
    ] {
        if let Some(bytes) = bytes {
            let path = directory.join(name);
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    if let Some((service, manifest_digest)) = &progress.service {
        let address = project.ua.as_ref().and_then(|ua| ua.address.as_deref());
        let ticket = json!({
            "address": address,
            "service_key": hex::encode(service.encode()),
            "manifest_digest": hex::encode(manifest_digest),
        });
        let path = directory.join("call-ticket.json");
        fs::write(&path, format!("{ticket:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn report(progress: &Progress) -> Value {
    let events: Vec<String> = progress.events.iter().map(|told| told.event.to_string()).collect();
    let examined = progress.examined.as_ref();
    let hardware = examined.and_then(|examined| examined.hardware.as_ref());
    let phases_ms: serde_json::Map<String, Value> =
        progress.phases.iter().map(|phase| (phase.name.to_owned(), json!(phase.ms))).collect();
    json!({
        "load_sequence": events,
        "events": progress.events,
        "phases": progress.phases,
        "phases_ms": phases_ms,
        "deployment": progress.placed.as_ref().map(|placed| &placed.deployment),
        "device": progress.placed.as_ref().map(|placed| &placed.device),
        "hardware": progress.placed.as_ref().map(|placed| placed.hardware.as_str()),
        "reasons": progress.placed.as_ref().map(|placed| &placed.reasons),
        "emulated": hardware.and_then(verifier::Appraisal::emulated),
        "tcb_status": hardware.and_then(|h| h.tcb()).map(|tcb| tcb.status.to_string()),
        "channel": examined.and_then(|e| e.accepted().ok()?.suite()).map(Suite::as_str),
        "isolation": examined.and_then(|e| e.accepted().ok()).map(Accepted::isolation),
        "verdicts": examined.map(verdicts),
        "checks": examined.map(|examined| &examined.checks),
        "receipt": progress.receipt.is_some(),
    })
}

/// The user's own verdict beside that of the pinned Verifier.
fn verdicts(examined: &Examined) -> Value {
    json!({
        "own": if examined.accepted().is_ok() { "accepted" } else { "refused" },
        "moc": examined.told.map(|tier| format!("{tier:?}").to_lowercase()),
        "differ": examined.differs(),
    })
}

fn tell(progress: &Progress) {
    if let Some(placed) = &progress.placed {
        println!("{BOLD}{}{BOLD:#} on {} ({})", placed.deployment, placed.device, placed.hardware);
        for reason in &placed.reasons {
            println!("  {reason}");
        }
    }
    for event in &progress.events {
        println!("  {GREEN}✓{GREEN:#} {}", event.event);
    }
    if let Some(examined) = &progress.examined {
        println!("{BOLD}Your own appraisal{BOLD:#}");
        print(format_args!("{}", examined.checks));
        if let (true, Some(told)) = (examined.differs(), examined.told) {
            let told = format!("{told:?}").to_lowercase();
            println!("{YELLOW}The M/OC's Verifier says {told}; you do not share that.{YELLOW:#}");
        }
        if examined.hardware.is_none() && examined.accepted().is_ok() {
            println!("{YELLOW}Only the M/OC's Verifier has appraised the hardware.{YELLOW:#}");
        }
        if examined.hardware.as_ref().and_then(verifier::Appraisal::emulated) != Some(false) {
            println!("{YELLOW}This device is emulated: its operator can read the data.{YELLOW:#}");
        }
    }
    if progress.receipt.is_some() {
        println!("{GREEN}✓{GREEN:#} the Agent's receipt is signed and fits what was sealed");
    }
}

pub(crate) fn print(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    // A closed pipe ends the output, not the command.
    let _closed = write!(anstream::stdout(), "{text}");
}

fn failure(failed: DeployFailed, report: Value) -> Failed {
    let failed = match failed {
        DeployFailed::Refused(refusal) => return Failed::Refused { refusal, report },
        DeployFailed::Call(call) => Failed::from(call),
        DeployFailed::Release(NotReleased::Live(silent @ NotSent::Unreachable { .. })) => {
            Failed::Unreachable(silent.into())
        }
        unusable => Failed::Unusable(unusable.into()),
    };
    match failed {
        Failed::Refused { refusal, .. } => Failed::Refused { refusal, report },
        Failed::Unusable(_) | Failed::Unreachable(_) => failed,
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_second())
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
