//! A Network M/OC with one enrolled, emulated device, for an operator's first look.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use stage::{Layout, Spec, Stage};

use crate::{
    build::{self, Show},
    demo, run,
};

/// Builds, starts everything below `dir`, says how to go on, and stays until its input ends or
/// Ctrl-C comes.
pub(crate) fn run(dir: &Path, as_json: bool) -> Result<()> {
    let dir = std::env::current_dir().context("asking for the own directory")?.join(dir);
    ensure!(!dir.exists(), "{} is there already: name a new directory", dir.display());
    let programs = build::all(if as_json { Show::Failures } else { Show::Progress })?;
    let stage = Stage::set(Layout::below(&dir)?, programs.clone())?;
    let device = stage.device(&Spec::sgx("edge-1"))?;
    let state = device.shown(&stage)?["state"].clone();
    let command = programs.path("tamarack");
    if as_json {
        let told = json!({
            "moc": stage.moc.url,
            "operator_token_file": stage.moc.operator_token,
            "audit_key": stage.moc.audit_key,
            "device": device.name,
            "state": state,
            "emulated": true,
            "caveat": demo::CAVEAT,
        });
        anstream::println!("{told:#}");
    } else {
        tell(&stage, &command, &device.name, &state.to_string());
    }
    // The parties end with this program.
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).context("waiting")?;
    Ok(())
}

fn tell(stage: &Stage, command: &Path, device: &str, state: &str) {
    let (bold, plain) = (run::GREEN.render(), run::GREEN.render_reset());
    let token: &PathBuf = &stage.moc.operator_token;
    let operator = format!(
        "{} operator --moc {} --token-file {}",
        command.display(),
        stage.moc.url,
        token.display()
    );
    anstream::println!("{bold}The Network M/OC runs at {}.{plain}", stage.moc.url);
    anstream::println!("Device {device} is {state}. {}", demo::CAVEAT);
    anstream::println!("Its interface, to try: {}/api", stage.moc.url);
    anstream::println!("\nIn another terminal:\n  {operator} device show {device}");
    anstream::println!("  {operator} tenant add acme");
    anstream::println!("  {operator} token add first-auditor --role auditor");
    anstream::println!("The audit key is {}.", stage.moc.audit_key);
    anstream::println!("\nCtrl-C, or the end of the input, ends it; everything is kept.");
}
