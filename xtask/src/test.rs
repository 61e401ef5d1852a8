//! What CI runs.

use std::{process::Stdio, time::Instant};

use anyhow::{Context as _, Result, bail};

use crate::{build, ledger, run, setup, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 8] = [
    ("machine", setup::for_tests),
    ("format", || run::must(run::cargo().args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("ledger", ledger::check),
    ("lints", lints),
    ("sample", sample),
    ("token", token),
    ("tests", tests),
];

/// Runs the steps in order and says how long each took.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut took = Vec::new();
    for (name, step) in STEPS.into_iter().filter(|(name, _)| only.is_none_or(|o| name.contains(o)))
    {
        anstream::println!("{}── {name}{}", run::GREEN.render(), run::GREEN.render_reset());
        let started = Instant::now();
        step().with_context(|| format!("step `{name}`"))?;
        took.push((name, started.elapsed()));
    }
    if took.is_empty() {
        bail!("no step's name contains that text");
    }
    for (name, time) in took {
        anstream::println!("{name:>10}  {:>6.1} s", time.as_secs_f64());
    }
    Ok(())
}

fn lints() -> Result<()> {
    let mut clippy = run::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]);
    run::must(&mut clippy)
}

/// The sample's Trusted Application lies outside the workspace, since it is built for another
/// machine; its logic is tested on this one.
fn sample() -> Result<()> {
    let manifest = run::root().join("examples/route-planner/ta/Cargo.toml");
    let mut test = run::cargo();
    test.args(["test", "--locked", "--manifest-path"]).arg(manifest);
    test.arg("--target-dir").arg(run::root().join("target/ta"));
    run::must(&mut test)
}

/// Keys in a PKCS#11 token: a feature, so that nobody else loads vendors' libraries.
fn token() -> Result<()> {
    for (command, tail) in [("clippy", &["--", "--deny", "warnings"][..]), ("test", &[])] {
        let mut cargo = run::cargo();
        cargo.args([command, "--locked", "--package", "tamarack-keys", "--features", "pkcs11"]);
        cargo.args(["--test", "pkcs11"]).args(tail);
        run::must(&mut cargo)?;
    }
    let mut cargo = run::cargo();
    cargo.args(["test", "--locked", "--package", "tamarack-cli", "--features", "pkcs11"]);
    cargo.args(["--lib", "--test", "suit", "--", "token"]);
    run::must(&mut cargo)
}

/// Runs every test and counts the skipped ones, which say so by name.
fn tests() -> Result<()> {
    let programs = build::with_guests(build::Show::Progress)?;
    let mut test = run::cargo();
    test.env("TAMARACK_PROGRAMS", programs.path("")).env("TAMARACK_TA", &programs.ta);
    if let Some(guests) = programs.guests() {
        test.env("TAMARACK_GUESTS", guests);
    }
    test.args(["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"]);
    let child = test.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut passed, mut failed) = (0_u64, 0_u64);
    let mut skipped = Vec::new();
    for line in text.lines() {
        if line.starts_with("test result:") {
            passed += count(line, "passed");
            failed += count(line, "failed");
        } else if line.starts_with("skipped: ") {
            skipped.push(line.to_owned());
        } else if line.ends_with("FAILED") || line.contains("panicked at") {
            anstream::println!("{line}");
        }
    }
    if !output.status.success() {
        anstream::println!("{text}");
    }
    for line in &skipped {
        anstream::println!("{line}");
    }
    anstream::println!("{} passed, {failed} failed, {} skipped", passed, skipped.len());
    if !output.status.success() {
        bail!("tests failed");
    }
    Ok(())
}

fn count(line: &str, what: &str) -> u64 {
    let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| *word == what);
    at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}
