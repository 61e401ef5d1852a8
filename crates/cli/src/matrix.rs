//! `tamarack matrix`: every row of the draft's figures 2 to 6, run on this machine.
//!
//! All parties are processes in a directory of their own, as in the field. Two devices play at a
//! time; flows of one family share a device, but for confidential VMs: there the VM is the instance
//! and belongs to one deployment. The VM flows on AMD's hardware are run on SEV-ES as well, which
//! attests at launch; they are shown apart, since the figures do not have them.

mod filter;
mod play;
mod programs;
mod report;
mod table;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anstream::{eprintln, println};
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;
use stage::{Flow, Ran};

use crate::outcome::Failed;
use filter::Filter;

/// `tamarack matrix`.
#[derive(Debug, Args)]
pub struct Matrix {
    /// Only these rows: `case=3,hardware=SGX,instance=process,ua=yes`; several values with `|`
    #[arg(long, value_name = "KEY=VALUE,...", default_value = "")]
    filter: Filter,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a report with the sequence diagram of each flow
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Keep everything in this new directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Leave out the VM flows on SEV-ES, which the figures do not have and which are shown apart
    #[arg(long)]
    figures_only: bool,
    /// Devices that play at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    jobs: usize,
}

/// A row with what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The packaging case.
    pub(crate) case: u8,
    /// The instance type.
    pub(crate) instance: &'static str,
    /// The hardware as the figure spells it.
    pub(crate) hardware: String,
    /// The hardware that it ran on.
    pub(crate) ran_on: String,
    /// Whether a UA belongs to it.
    pub(crate) with_ua: bool,
    /// The figure.
    pub(crate) figure: u8,
    /// Whether it is beyond the figures.
    #[serde(skip)]
    pub(crate) variant: bool,
    /// Its packages.
    pub(crate) packages: Vec<String>,
    /// Where the secure channel ends.
    pub(crate) secure_channel_end: String,
    /// What the figure expects.
    pub(crate) expected: Vec<String>,
    /// What happened.
    #[serde(flatten)]
    pub(crate) ran: Ran,
}

impl Row {
    fn new(flow: Flow, ran: Ran) -> Self {
        Self {
            case: flow.case,
            instance: flow.instance.as_str(),
            ran_on: flow.ran_on().map_or_else(|_| "none".to_owned(), |h| h.as_str().to_owned()),
            variant: flow.variant.is_some(),
            hardware: flow.hardware,
            with_ua: flow.with_ua,
            figure: flow.figure,
            packages: flow.packages,
            secure_channel_end: flow.secure_channel_end,
            expected: flow.load_sequence,
            ran,
        }
    }
}

/// All rows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) flows: Vec<Row>,
    /// VM flows on SEV-ES, beyond the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) variants: Vec<Row>,
    /// How many of the figures' rows went as the figures say.
    pub(crate) passed: usize,
    /// How long all of it took, milliseconds.
    pub(crate) took_ms: u64,
    /// What emulation means.
    pub(crate) caveat: &'static str,
}

impl Matrix {
    /// Runs the rows, shows them, and says by its exit code whether all went as the figures say.
    ///
    /// # Errors
    /// The stage cannot be set.
    pub fn run(self) -> Result<ExitCode, Failed> {
        let begun = Instant::now();
        let variants = if self.figures_only { Vec::new() } else { stage::variants() };
        let flows = stage::flows().into_iter().chain(variants);
        let flows: Vec<Flow> = flows.filter(|flow| self.filter.takes(flow)).collect();
        if flows.is_empty() {
            return Err(Failed::Unusable(anyhow::anyhow!("no row of the figures fits the filter")));
        }
        let programs = programs::find()?;
        let directory = Directory::new(self.keep.clone())?;
        let total = flows.len();
        let mut done = 0;
        let rows = play::play(&programs, &directory.0, flows, self.jobs, &mut |row| {
            done += 1;
            eprintln!("{}", table::line(row, done, total));
        })?;
        let all = rows.iter().all(|row| row.ran.ok);
        let (variants, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.variant);
        let outcome = Outcome {
            passed: rows.iter().filter(|row| row.ran.ok).count(),
            flows: rows,
            variants,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            caveat: CAVEAT,
        };
        if let Some(path) = &self.html {
            fs::write(path, report::html(&outcome))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        if self.json {
            let text = serde_json::to_string_pretty(&outcome).context("showing the flows")?;
            println!("{text}");
        } else {
            println!("{}", table::table(&outcome));
        }
        directory.leave(self.keep.is_some())?;
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}

/// Where the parties play.
struct Directory(PathBuf);

impl Directory {
    fn new(keep: Option<PathBuf>) -> Result<Self> {
        let path = match keep {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("tamarack-matrix-{}", std::process::id())),
        };
        let empty = path.read_dir().map_or(true, |mut entries| entries.next().is_none());
        ensure!(empty, "{} is not empty; name a new directory", path.display());
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// A party that is about to end may still hold a file.
    fn leave(self, keep: bool) -> Result<()> {
        if keep {
            return Ok(());
        }
        if fs::remove_dir_all(&self.0).is_err() {
            std::thread::sleep(Duration::from_millis(200));
            fs::remove_dir_all(&self.0)
                .with_context(|| format!("removing {}", self.0.display()))?;
        }
        Ok(())
    }
}

const CAVEAT: &str = "Emulated hardware: whoever operates this machine can read the \
     Personalization Data in the software TEE's memory.";
