//! Measuring: one list of `{name, value, unit, floor, peer, ratio, goal, ok}` for every suite.
//!
//! The demo runs here, by its wall time; the rest is CPU time and runs in `tamarack-bench`.

mod machines;

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{build, demo, run};

/// One measured figure. Floor and peer come from the same run; `ok` is the goal's verdict.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit; of times less is better, of rates (`/s`) more.
    pub(crate) unit: String,
    /// What cannot be beaten, in the same unit.
    pub(crate) floor: Option<f64>,
    /// What a peer takes, in the same unit.
    pub(crate) peer: Option<f64>,
    /// Value to floor, or to peer where there is no floor.
    pub(crate) ratio: Option<f64>,
    /// What the ratio, or the value without one, must not exceed, or for a rate must reach. Where
    /// the name says so, it is about the difference of value and floor.
    pub(crate) goal: f64,
    /// Whether it does.
    pub(crate) ok: bool,
}

impl Row {
    fn below(name: impl Into<String>, value: f64, unit: &str, goal: f64) -> Self {
        let (name, unit, ok) = (name.into(), unit.to_owned(), value <= goal);
        Self { name, value, unit, floor: None, peer: None, ratio: None, goal, ok }
    }
}

type Suite = (&'static str, fn(Extent) -> Result<Vec<Row>>);

/// How much of a suite is run; only `moc`, which takes a quarter of an hour, has less than all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Full,
    Quick,
}

const SUITES: [Suite; 6] = [
    ("demo", |_| main_job()),
    ("instances", |_| instances()),
    ("moc", moc),
    ("suit", |_| measured("suit")),
    ("teep", |_| measured("teep")),
    ("verifier", |_| measured("verifier")),
];

/// Runs one suite or all.
pub(crate) fn run(name: Option<&str>, extent: Extent, json: bool) -> Result<()> {
    let suites = SUITES.iter().filter(|(suite, _)| name.is_none_or(|n| n == *suite));
    let suites: Vec<&Suite> = suites.collect();
    if suites.is_empty() {
        let known: Vec<_> = SUITES.iter().map(|(suite, _)| *suite).collect();
        bail!("no such suite; there are {}", known.join(", "));
    }
    let mut rows = Vec::new();
    for (suite, measure) in suites {
        if !json {
            anstream::eprintln!("measuring {suite}");
        }
        rows.extend(measure(extent)?);
    }
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        rows.iter().for_each(show);
    }
    if rows.iter().all(|row| row.ok) { Ok(()) } else { bail!("a goal was missed") }
}

fn show(row: &Row) {
    let colour = if row.ok { run::GREEN } else { run::RED };
    let (on, off) = (colour.render(), colour.render_reset());
    let Row { name, value, unit, goal, .. } = row;
    let beside = match (row.floor, row.peer) {
        (Some(floor), _) => format!("floor {floor:.1}"),
        (None, Some(peer)) => format!("peer {peer:.1}"),
        (None, None) => String::new(),
    };
    let ratio = row.ratio.map(|ratio| format!("ratio {ratio:.2}")).unwrap_or_default();
    anstream::println!(
        "{on}{name:<60}{off} {value:>9.1} {unit:<2}  {beside:<15} {ratio:<11} goal {goal}"
    );
}

/// A suite of `tamarack-bench`, built with optimisation.
fn measured(suite: &str) -> Result<Vec<Row>> {
    let mut bench = run::cargo();
    bench.args(["bench", "--locked", "--quiet", "--package", "tamarack-bench"]);
    bench.args(["--bench", "suites", "--", suite]);
    let rows = run::output(&mut bench)?;
    serde_json::from_str(&rows).with_context(|| format!("reading the rows of `{suite}`"))
}

/// A Network M/OC under the load of its devices.
fn moc(extent: Extent) -> Result<Vec<Row>> {
    let mut bench = run::cargo();
    bench.args(["bench", "--locked", "--quiet", "--package", "tamarack-moc", "--bench", "load"]);
    if extent == Extent::Quick {
        bench.args(["--", "--quick"]);
    }
    let rows = run::output(&mut bench)?;
    serde_json::from_str(&rows).context("reading the rows of `moc`")
}

/// Starts of applications and of machines, the former built with optimisation as the field's
/// programs are.
fn instances() -> Result<Vec<Row>> {
    let programs = build::all(build::Show::Failures)?;
    let native = programs.path(&format!("route-planner-{}", std::env::consts::ARCH));
    let mut bench = run::cargo();
    bench.env("TAMARACK_TA", &programs.ta).env("TAMARACK_TA_PROGRAM", native);
    bench.args(["bench", "--locked", "--quiet", "--package", "tamarack-agent"]);
    bench.args(["--bench", "instances"]);
    let rows = run::output(&mut bench)?;
    let mut rows: Vec<Row> =
        serde_json::from_str(&rows).context("reading the rows of `instances`")?;
    rows.extend(machines::rows()?);
    Ok(rows)
}

/// The main job: median wall time of the running part over interleaved runs.
fn main_job() -> Result<Vec<Row>> {
    let programs = build::all(build::Show::Failures)?;
    let mut totals = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let story = demo::story(&programs, None, &mut |_| {})?;
        totals.push((started.elapsed().as_secs_f64() * 1e3, story.phases_ms));
    }
    totals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (total, phases) = &totals[RUNS / 2];
    let mut rows = vec![Row::below("main job with its refusals", *total, "ms", 5_000.0)];
    rows.extend(
        phases.iter().map(|(name, ms)| Row::below(name.as_str(), *ms as f64, "ms", 5_000.0)),
    );
    Ok(rows)
}

const RUNS: usize = 5;
