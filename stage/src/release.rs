//! The emulated hardware vendor, and the release signer who vouches for the TEEP Agent.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    choices::{Choices, Confidant},
    device::Hardware,
    layout::{Layout, Programs},
    moc::Tam,
    party,
};

/// Makes the emulated vendor and returns its trust anchor.
pub(crate) fn vendor(layout: &Layout, programs: &Programs) -> Result<String> {
    let mut command = programs.command("tamarack-tee");
    let made = party::json(command.arg("vendor").arg("--dir").arg(layout.vendor()))?;
    let anchor = made["anchor"].as_str().context("the emulated vendor has no anchor")?;
    Ok(anchor.to_owned())
}

/// Writes the Agents' settings, measures Agent and settings on every family, and signs the
/// measurements.
pub(crate) fn publish(
    layout: &Layout,
    programs: &Programs,
    tams: &[&Tam],
    choices: &Choices,
) -> Result<()> {
    let release = layout.release();
    let of_program = settings(tams, choices, &["process", "container"]);
    fs::write(release.join("agent.toml"), of_program)?;
    fs::write(release.join("agent-vm.toml"), settings(tams, choices, &["container", "vm"]))?;
    fs::write(release.join("strict.toml"), POLICY)?;
    let mut key = programs.command("tamarack");
    party::json(key.args(["key", "new", "--json", "--out"]).arg(release.join("release.key")))?;
    measure(layout, programs)
}

/// Publishes programs' Agents with more settings in place of those before.
pub(crate) fn again(layout: &Layout, programs: &Programs, more: &str) -> Result<()> {
    let file = layout.release().join("agent.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(file, format!("{more}\n{text}"))?;
    measure(layout, programs)
}

/// Measures Agent and settings on every family, and signs the measurements.
fn measure(layout: &Layout, programs: &Programs) -> Result<()> {
    let release = layout.release();
    let mut measurements = Vec::new();
    let mut measure = |name: &str, hardware: Hardware, what: &str, path: PathBuf, settings| {
        let mut measure = programs.command("tamarack-tee");
        measure.args(["measure", "--family", hardware.family(), what]).arg(path);
        let measured = party::json(measure.arg("--settings").arg(release.join(settings)))?;
        let file = release.join(format!("{name}.json"));
        fs::write(&file, measured.to_string())?;
        measurements.push(file);
        anyhow::Ok(())
    };
    for hardware in Hardware::ALL.into_iter().chain([Hardware::Sev]) {
        let family = hardware.family();
        // What attests at launch launches machines alone.
        if hardware == Hardware::Sev {
            if let Some(image) = hardware.image(programs) {
                measure("sev-vm", hardware, "--vm", image, "agent-vm.toml")?;
            }
            continue;
        }
        measure(family, hardware, "--agent", programs.path("tamarack-agent"), "agent.toml")?;
        if let Some(image) = hardware.image(programs) {
            measure(&format!("{family}-vm"), hardware, "--vm", image, "agent-vm.toml")?;
        }
    }
    vouch(layout, programs, &measurements, "agent.corim")
}

/// Signs the measurement of an Agent that is not the stage's.
pub(crate) fn other(layout: &Layout, programs: &Programs) -> Result<PathBuf> {
    let release = layout.release();
    let text = fs::read_to_string(release.join("sgx.json"))?;
    let mut measured: Value = serde_json::from_str(&text)?;
    measured["mrenclave"] = "5e".repeat(32).into();
    let file = release.join("other.json");
    fs::write(&file, measured.to_string())?;
    vouch(layout, programs, &[file], "other.corim")?;
    Ok(release.join("other.corim"))
}

fn vouch(
    layout: &Layout,
    programs: &Programs,
    measurements: &[PathBuf],
    corim: &str,
) -> Result<()> {
    let release = layout.release();
    let mut create = programs.command("tamarack");
    create.args(["reference", "create", "--json", "--signer"]).arg(release.join("release.key"));
    for measurement in measurements {
        create.arg("--measurement").arg(measurement);
    }
    create.arg("--out").arg(release.join(corim));
    party::json(&mut create).map(drop)
}

/// Which TAMs the Agents talk to, and for which packages they are made. The launch measures it.
fn settings(tams: &[&Tam], choices: &Choices, instances: &[&str]) -> String {
    let tams: String = tams.iter().map(|tam| self::tam(tam, choices)).collect();
    format!(
        "vendor_id = \"d98dfd44-7114-5376-bf7c-3adfb4712dd2\"\n\
         class_id = \"7b397450-6111-5eb1-8e91-ba8b2c60eede\"\n\
         instances = {}\n\
         suite = {}\n\
         {}\n{tams}",
        json!(instances),
        json!(choices.suite.unwrap_or("esp256")),
        choices.agent,
    )
}

fn tam(tam: &Tam, choices: &Choices) -> String {
    let confidant = match &choices.confidant {
        Confidant::Nobody => None,
        Confidant::Tam => Some(&tam.encryption_key),
        Confidant::Other(key) => Some(key),
    };
    let encryption = confidant.map(|key| format!("encryption_key = {}\n", json!(key)));
    format!(
        "\n[[tam]]\nuri = {}\nkeys = {}\n{}",
        json!(tam.uri),
        json!(tam.keys),
        encryption.unwrap_or_default(),
    )
}

/// What a Network User of the stage asks for: the strict policy, and for AMD, who publishes no list
/// of what is up to date, the versions of the emulated firmware.
const POLICY: &str = "\
id = \"strict\"

[[snp.tcb_min]]
product = \"genoa\"
bootloader = 10
tee = 1
snp = 24
microcode = 219

[sev]
firmware_min = [1, 55, 21]
";
