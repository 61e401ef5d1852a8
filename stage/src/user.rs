//! Network Users and vehicles.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Stage,
    deploying::{Attempt, Deploying},
    device::{Hardware, Instance},
    moc::write_secret,
    party::{self, free_port},
};

/// A refusal, explained.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was checked.
    pub check: String,
    /// What the check expected.
    pub expected: String,
    /// What it saw.
    pub seen: String,
    /// Whose it is to fix.
    pub owner: String,
    /// How.
    pub remedy: String,
}

/// How a deployment ended.
#[derive(Clone, Debug)]
pub enum Deployed {
    /// The TA runs with the Personalization Data.
    Running {
        /// What `tamarack deploy --json` printed.
        report: Value,
    },
    /// Somebody refused, and said why.
    Refused {
        /// The reason.
        refusal: Refusal,
        /// What `tamarack deploy --json` printed.
        report: Value,
    },
}

/// A Network User with a home, a tenant, and pins of their own.
#[derive(Debug)]
pub struct User {
    home: PathBuf,
    name: String,
    owner: String,
}

/// Whom a Network User believes.
#[derive(Clone, Debug)]
pub struct Pins {
    /// The root of an emulator of SGX that is accepted.
    pub emulator: Option<String>,
    /// A list of the anchors that are accepted.
    pub anchors: Option<PathBuf>,
    /// Reference values, signed by the stage's release signer.
    pub reference: PathBuf,
    /// A policy in place of the strict default.
    pub policy: Option<PathBuf>,
}

/// A ride of the vehicle: names of the driver's places.
#[derive(Clone, Copy, Debug)]
pub struct Ride<'a> {
    /// Where it begins.
    pub from: &'a str,
    /// Where it ends.
    pub to: &'a str,
}

/// What the vehicle got.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct VehicleAnswer {
    /// Driving time, minutes.
    pub minutes: f64,
    /// Length, metres.
    pub length_m: u64,
    /// Streets in driving order.
    pub streets: Vec<String>,
    /// How the driver's habits shaped the route.
    pub habits: Vec<String>,
}

impl User {
    pub(crate) fn new(stage: &Stage, name: &str, pins: &Pins) -> Result<Self> {
        let home = stage.layout.user(name);
        fs::create_dir_all(&home)?;
        let added = stage.moc.operator(&stage.programs, &["tenant", "add", name])?;
        let token = added["token"].as_str().context("the M/OC gave the tenant no token")?;
        write_secret(&home.join("tenant.token"), token)?;
        let mut user = Self { home, name: name.to_owned(), owner: String::new() };
        let mut init = user.tamarack(stage);
        init.args(["init", "--json", "--moc", &stage.moc.url]);
        let made = party::json(init.arg("--token-file").arg(user.home.join("tenant.token")))?;
        made["owner"].as_str().context("the user has no key")?.clone_into(&mut user.owner);
        user.trust(stage, pins)?;
        let mut vehicle = stage.programs.command("route-vehicle");
        party::json(vehicle.args(["key", "--out"]).arg(user.home.join("vehicle.key")))?;
        Ok(user)
    }

    /// Pins come from the parties themselves, never from the M/OC: the release signer's key and
    /// statement, the vendor's root, and the key of the Verifier whose results are compared.
    fn trust(&self, stage: &Stage, pins: &Pins) -> Result<()> {
        let mut trust = self.tamarack(stage);
        trust.args(["trust", "--json", "--verifier", &stage.moc.verifier_key]);
        if let Some(emulator) = &pins.emulator {
            trust.args(["--emulator", emulator]);
        }
        if let Some(anchors) = &pins.anchors {
            trust.arg("--anchors").arg(anchors);
        }
        trust.arg("--reference").arg(&pins.reference);
        trust.arg("--reference-signer").arg(stage.layout.release().join("release.pub"));
        trust.arg("--collateral").arg(stage.layout.vendor().join("collateral"));
        if let Some(policy) = &pins.policy {
            trust.arg("--policy").arg(policy);
        }
        party::json(&mut trust).map(drop)
    }

    /// The thumbprint of the user's key, hexadecimal.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Launches the guest that waits at an address.
    ///
    /// # Errors
    /// The user refused the launch, or the host does not answer; the error has what was printed.
    pub fn launch(&self, stage: &Stage, at: &str) -> Result<Value> {
        let mut command = self.tamarack(stage);
        let output = command.args(["launch", "--json", "--at", at]).output()?;
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("tamarack launch ended with {}: {} {said}", output.status, printed["refused"]);
        }
        Ok(printed)
    }

    /// The Network User's directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The user's command.
    #[must_use]
    pub fn tamarack(&self, stage: &Stage) -> Command {
        let mut command = stage.programs.command("tamarack");
        command.arg("--home").arg(&self.home);
        command
    }

    /// Writes the sample's project for this user and SGX, as `tamarack.toml` beside the data.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn project(&self, stage: &Stage, name: &str, pd: &[u8]) -> Result<PathBuf> {
        self.project_for(stage, name, pd, Hardware::Sgx)
    }

    /// Writes the sample's project for this user and this family.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn project_for(
        &self,
        stage: &Stage,
        name: &str,
        pd: &[u8],
        hardware: Hardware,
    ) -> Result<PathBuf> {
        self.project_in(stage, name, pd, hardware, Instance::Process)
    }

    /// Writes the sample's project for this user, this family and this instance type.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn project_in(
        &self,
        stage: &Stage,
        name: &str,
        pd: &[u8],
        hardware: Hardware,
        instance: Instance,
    ) -> Result<PathBuf> {
        let directory = self.home.join(name);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("pd.json"), pd)?;
        fs::copy(&stage.programs.ta, directory.join("route-planner.wasm"))?;
        fs::copy(stage.programs.path("route-relay"), directory.join("route-relay"))?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let project = directory.join("tamarack.toml");
        let text = SAMPLE
            .replace("127.0.0.1:4747", &listen)
            .replace("name = \"route-planner\"", &format!("name = {}", json!(name)))
            .replace("\"process\"", &json!(instance.as_str()).to_string())
            .replace("[\"SGX\"]", &json!([hardware.as_str()]).to_string())
            .replace(
                "\"../target/vehicle.pub\"",
                &json!(self.home.join("vehicle.pub")).to_string(),
            );
        fs::write(&project, text)?;
        Ok(project)
    }

    /// Deploys a project: request, packages, attestation, release.
    ///
    /// # Errors
    /// The command failed without an explained refusal.
    pub fn deploy(&self, stage: &Stage, project: &Path, device: &str) -> Result<Deployed> {
        let Attempt { code, report, said, .. } = self.attempt(stage, project, device)?;
        match code {
            Some(0) => Ok(Deployed::Running { report }),
            Some(3) => {
                let refusal = serde_json::from_value(report["refused"].clone())
                    .with_context(|| format!("a refusal without its reason: {report}"))?;
                Ok(Deployed::Refused { refusal, report })
            }
            _ => bail!("tamarack deploy ended with {code:?}: {said}"),
        }
    }

    /// Deploys a project, however that ends.
    ///
    /// # Errors
    /// The command did not start, or did not end in time.
    pub fn attempt(&self, stage: &Stage, project: &Path, device: &str) -> Result<Attempt> {
        self.begin(stage, project, device)?.end_within(DEPLOYED_WITHIN)
    }

    /// Begins to deploy a project.
    ///
    /// # Errors
    /// The command did not start.
    pub fn begin(&self, stage: &Stage, project: &Path, device: &str) -> Result<Deploying> {
        let mut command = self.tamarack(stage);
        command.args(["deploy", "--json", "--device", device, "--project"]).arg(project);
        Deploying::start(command, &self.home)
    }

    /// The bearer token of the user's tenant.
    ///
    /// # Errors
    /// The file does not read.
    pub fn token(&self) -> Result<String> {
        fs::read_to_string(self.home.join("tenant.token")).context("reading the tenant's token")
    }

    /// Sends the vehicle's sealed request through the UA and opens the TA's answer.
    ///
    /// # Errors
    /// The vehicle got no answer.
    pub fn ride(&self, stage: &Stage, project: &Path, ride: Ride<'_>) -> Result<VehicleAnswer> {
        let mut vehicle = stage.programs.command("route-vehicle");
        vehicle.args(["ride", "--from", ride.from, "--to", ride.to, "--key"]);
        vehicle.arg(self.home.join("vehicle.key")).arg("--ticket");
        vehicle.arg(project.with_file_name("call-ticket.json"));
        let answer =
            party::json(&mut vehicle).with_context(|| format!("{}'s vehicle", self.name))?;
        Ok(serde_json::from_value(answer)?)
    }
}

/// The phases of a deployment, from its report.
#[must_use]
pub fn phases(report: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(report["phases_ms"].clone()).unwrap_or_default()
}

/// Long enough for a guest on an emulated processor.
const DEPLOYED_WITHIN: Duration = Duration::from_secs(240);

const SAMPLE: &str = include_str!("../../examples/route-planner/tamarack.toml");
