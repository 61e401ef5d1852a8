//! Measures what TEEP messages, SUIT manifests and appraisals cost beyond the signatures that
//! nobody can do without, and against peers.
//!
//! `cargo bench --package tamarack-bench -- teep|suit|verifier` prints a JSON list of rows;
//! `cargo xtask bench` runs it, and docs/benchmarks.md explains it.

mod bare;
mod suit;
mod teep;
mod vectors;
mod verifier;

use std::io::Write as _;

use anyhow::{Result, bail};
use bench::Row;

fn main() -> Result<()> {
    // Cargo adds this to the arguments of its benchmarks.
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let [suite] = &arguments.collect::<Vec<_>>()[..] else {
        bail!("say which suite: teep, suit or verifier")
    };
    if suite == suit::install::ARGUMENT {
        return suit::install::serve();
    }
    let rows = measure(suite)?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &rows)?;
    writeln!(out)?;
    Ok(())
}

fn measure(suite: &str) -> Result<Vec<Row>> {
    if suite == "teep" {
        return teep::measure();
    }
    let measure = match suite {
        "suit" => suit::measure,
        "verifier" => verifier::measure,
        _ => bail!("no such suite: {suite}"),
    };
    match vectors::directory() {
        Some(directory) => measure(&directory),
        None => {
            writeln!(std::io::stderr(), "skipped: ../shared/vectors is absent")?;
            Ok(Vec::new())
        }
    }
}
