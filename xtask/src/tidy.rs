//! What the tree promises: dependency edges, sizes, order, paths, licences.

mod edges;
mod licences;
mod manifests;
mod sources;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::run;

/// Checks everything and lists every finding.
pub(crate) fn run() -> Result<()> {
    let metadata: Value = serde_json::from_str(&run::output(run::cargo().args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?)
    .context("reading cargo metadata")?;
    let files = tracked()?;
    let mut findings = Vec::new();
    edges::check(&metadata, &mut findings);
    licences::check(&metadata, &mut findings);
    for file in &files {
        let Ok(text) = fs::read_to_string(run::root().join(file)) else { continue };
        sources::check(file, &text, &mut findings);
        manifests::check(file, &text, &mut findings);
    }
    for finding in &findings {
        println(finding);
    }
    if !findings.is_empty() {
        bail!("the tree is not tidy: {} findings", findings.len());
    }
    println(&format!("tidy: {} files, no finding", files.len()));
    Ok(())
}

/// The files that git tracks or would track, but for the inputs of the fuzzer, which are any bytes.
fn tracked() -> Result<Vec<PathBuf>> {
    let listed = run::output(
        std::process::Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(run::root()),
    )?;
    let files = listed.lines().map(PathBuf::from).filter(|file| !file.starts_with("fuzz/corpus"));
    Ok(files.filter(|file| run::root().join(file).is_file()).collect())
}

fn println(line: &str) {
    anstream::println!("{line}");
}
