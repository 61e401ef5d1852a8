//! Measuring: one list of `{name, value, unit, floor, peer, ratio, goal, ok}` for every suite.

use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::{build, demo, run};

/// One measured figure. Floor and peer come from the same run; `ok` is the goal's verdict.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What cannot be gone below, in the same unit.
    pub(crate) floor: Option<f64>,
    /// What a peer takes, in the same unit.
    pub(crate) peer: Option<f64>,
    /// Value to floor, or to peer where there is no floor.
    pub(crate) ratio: Option<f64>,
    /// What the ratio, or the value without one, must not exceed.
    pub(crate) goal: f64,
    /// Whether it does not.
    pub(crate) ok: bool,
}

impl Row {
    fn below(name: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        let (name, ok) = (name.into(), value <= goal);
        Self { name, value, unit, floor: None, peer: None, ratio: None, goal, ok }
    }
}

type Suite = (&'static str, fn() -> Result<Vec<Row>>);

const SUITES: [Suite; 1] = [("demo", main_job)];

/// Runs one suite or all.
pub(crate) fn run(name: Option<&str>, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for (suite, measure) in SUITES.iter().filter(|(suite, _)| name.is_none_or(|n| n == *suite)) {
        if !json {
            anstream::eprintln!("measuring {suite}");
        }
        rows.extend(measure()?);
    }
    if rows.is_empty() {
        let known: Vec<_> = SUITES.iter().map(|(suite, _)| *suite).collect();
        bail!("no such suite; there are {}", known.join(", "));
    }
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        for row in &rows {
            let colour = if row.ok { run::GREEN } else { run::RED };
            let (on, off) = (colour.render(), colour.render_reset());
            let Row { name, value, unit, goal, .. } = row;
            anstream::println!("{on}{name:<32}{off} {value:>10.1} {unit:<4} goal {goal:.1}");
        }
    }
    if rows.iter().all(|row| row.ok) { Ok(()) } else { bail!("a goal was missed") }
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
