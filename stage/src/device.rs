//! Confidential Computing Devices: a software TEE with its Agent, and a Broker.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Stage, User,
    layout::{Layout, Programs},
    moc::{Moc, write_secret},
    party::{Party, free_port},
};

/// Which device plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name at the M/OC.
    pub name: String,
    /// What it is made of.
    pub hardware: Hardware,
    /// The instance types that its operator says it can start.
    pub instances: Vec<Instance>,
    /// Whether it is a confidential VM of its own, with the Agent as its first program, or one
    /// program.
    pub machine: bool,
    /// What is wrong with it.
    pub misbehaviour: Option<Misbehaviour>,
}

/// A hardware family, as the figures of the draft name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hardware {
    /// Arm CCA.
    Cca,
    /// AMD SEV-ES, which attests at launch, to the Network User whose guest it is.
    Sev,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel SGX.
    Sgx,
    /// Intel TDX.
    Tdx,
    /// Arm TrustZone.
    TrustZone,
}

/// An instance type of a Trusted Application.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Instance {
    /// Confidential process.
    Process,
    /// Confidential container.
    Container,
    /// Confidential VM.
    Vm,
}

/// What a software TEE can be told to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// The Agent runs with the debug attribute.
    Debug,
    /// Another vendor certified the device.
    ForeignRoot,
    /// A key that nobody vouched for signs the evidence.
    OtherKey,
    /// The device answers with evidence that it made earlier.
    Replay,
    /// The vendor has revoked the device's certificate.
    Revoked,
    /// The platform's TCB is older than the vendor's newest level.
    TcbOutOfDate,
    /// Another program than the Agent seems to run.
    WrongMeasurement,
}

impl Spec {
    /// A device of a family without a fault, which starts the least instance type that exists
    /// there: confidential processes, or confidential containers in its VM.
    #[must_use]
    pub fn new(name: &str, hardware: Hardware) -> Self {
        let instances = match hardware {
            Hardware::Sgx | Hardware::TrustZone => vec![Instance::Process],
            Hardware::Cca | Hardware::SevSnp | Hardware::Tdx => vec![Instance::Container],
            Hardware::Sev => vec![Instance::Vm],
        };
        Self { name: name.to_owned(), hardware, instances, machine: false, misbehaviour: None }
    }

    /// An SGX device without a fault.
    #[must_use]
    pub fn sgx(name: &str) -> Self {
        Self::new(name, Hardware::Sgx)
    }

    /// A confidential VM of a family without a fault, which starts TAs in containers and as the
    /// VM's own.
    #[must_use]
    pub fn vm(name: &str, hardware: Hardware) -> Self {
        let instances = vec![Instance::Container, Instance::Vm];
        Self { instances, machine: true, ..Self::new(name, hardware) }
    }

    /// With these instance types.
    #[must_use]
    pub fn with_instances(self, instances: &[Instance]) -> Self {
        Self { instances: instances.to_vec(), ..self }
    }

    /// With a fault.
    #[must_use]
    pub fn misbehaving(self, misbehaviour: Misbehaviour) -> Self {
        Self { misbehaviour: Some(misbehaviour), ..self }
    }
}

impl Hardware {
    /// Every family that attests when it is asked.
    pub const ALL: [Self; 5] = [Self::Cca, Self::SevSnp, Self::Sgx, Self::Tdx, Self::TrustZone];

    /// As the M/OC spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cca => "CCA",
            Self::Sev => "SEV",
            Self::SevSnp => "SEV-SNP",
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
            Self::TrustZone => "TrustZone",
        }
    }

    /// The processor of the family's confidential VMs; SGX and TrustZone have none.
    #[must_use]
    pub const fn processor(self) -> Option<&'static str> {
        match self {
            Self::Cca => Some("aarch64"),
            Self::Sev | Self::SevSnp | Self::Tdx => Some("x86_64"),
            Self::Sgx | Self::TrustZone => None,
        }
    }

    /// The image of the family's confidential VMs, if it was built.
    #[must_use]
    pub fn image(self, programs: &Programs) -> Option<PathBuf> {
        programs.guest(self.processor()?)
    }

    /// As `tamarack-tee` spells it.
    #[must_use]
    pub const fn family(self) -> &'static str {
        match self {
            Self::Cca => "cca",
            Self::Sev => "sev",
            Self::SevSnp => "sev-snp",
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
            Self::TrustZone => "trustzone",
        }
    }
}

impl Instance {
    /// As the M/OC spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Vm => "vm",
        }
    }
}

impl Misbehaviour {
    /// As `tamarack-tee` is told; without being told it goes on as before.
    const fn told(misbehaviour: Option<Self>) -> &'static str {
        match misbehaviour {
            None => "none",
            Some(Self::Debug) => "debug",
            Some(Self::ForeignRoot) => "foreign-root",
            Some(Self::OtherKey) => "other-key",
            Some(Self::Replay) => "replay",
            Some(Self::Revoked) => "revoked",
            Some(Self::TcbOutOfDate) => "tcb-out-of-date",
            Some(Self::WrongMeasurement) => "wrong-measurement",
        }
    }
}

/// A device that runs until it is dropped.
#[derive(Debug)]
pub struct Device {
    /// Its name at the M/OC.
    pub name: String,
    /// The TEEP Broker.
    pub broker: Party,
    /// The software TEE, parent of the TEEP Agent.
    pub tee: Party,
    /// Where its Broker takes releases that flow live.
    pub relay: String,
    /// The ticket that the M/OC gave when the device was added.
    pub enrolment_ticket: String,
    layout: Layout,
    programs: Programs,
    spec: Spec,
}

impl Device {
    /// `owner` launches the guest, where the hardware attests at launch.
    pub(crate) fn start(stage: &Stage, spec: &Spec, owner: Option<&User>) -> Result<Self> {
        let name = spec.name.as_str();
        let directory = stage.layout.device(name);
        fs::create_dir_all(directory.join("storage"))?;
        let settings = directory.join("agent.toml");
        let published = if spec.machine { "agent-vm.toml" } else { "agent.toml" };
        fs::copy(stage.layout.release().join(published), settings)
            .context("copying the Agent's settings")?;
        let mut arguments = vec!["device", "add", name, "--hardware", spec.hardware.as_str()];
        for instance in &spec.instances {
            arguments.extend(["--instance", instance.as_str()]);
        }
        let added = stage.moc.operator(&stage.programs, &arguments)?;
        let token = added["token"].as_str().context("the M/OC gave the device no token")?;
        write_secret(&directory.join("device.token"), token)?;
        let ticket = added["enrolment_ticket"].as_str().context("no ticket for the enrolment")?;
        let relay = format!("127.0.0.1:{}", free_port()?);
        let settings = broker_settings(&stage.moc.url, name, &relay);
        fs::write(directory.join("broker.toml"), settings)?;
        let anchors = fs::read(stage.layout.anchors())?;
        let tee = match owner {
            Some(owner) => launched_tee(stage, spec, owner)?,
            None => start_tee(&stage.layout, &stage.programs, spec)?,
        };
        // The operator enrols a device whose family has no common root before it is appraised.
        if fs::read(stage.layout.anchors())? != anchors {
            stage.moc.read_again()?;
        }
        let broker = start_broker(&stage.layout, &stage.programs, name)?;
        Ok(Self {
            name: name.to_owned(),
            broker,
            tee,
            relay,
            enrolment_ticket: ticket.to_owned(),
            layout: stage.layout.clone(),
            programs: stage.programs.clone(),
            spec: spec.clone(),
        })
    }

    pub(crate) fn await_enrolment(&mut self, stage: &Stage) -> Result<()> {
        let name = self.name.clone();
        self.broker.until("enrolled device", || {
            let shown = stage.moc.operator(&stage.programs, &["device", "show", &name]);
            shown.is_ok_and(|shown| shown["state"] != "enrolled")
        })
    }

    /// What the M/OC says of the device.
    ///
    /// # Errors
    /// The M/OC does not answer.
    pub fn shown(&self, stage: &Stage) -> Result<Value> {
        stage.moc.operator(&stage.programs, &["device", "show", &self.name])
    }

    /// Cuts the TEE's power.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill_tee(&mut self) -> Result<()> {
        self.tee.kill()
    }

    /// Starts the TEE again.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_tee(&mut self) -> Result<()> {
        self.tee = start_tee(&self.layout, &self.programs, &self.spec)?;
        Ok(())
    }

    /// Waits until what the launcher of its confidential VM says of it holds.
    ///
    /// # Errors
    /// It does not hold in time.
    pub fn until_machine(&mut self, holds: impl Fn(&Value) -> bool) -> Result<()> {
        let path = self.layout.device(&self.name).join("agent.machine.json");
        let told = || serde_json::from_slice(&fs::read(&path).ok()?).ok();
        let deadline = Instant::now() + MACHINE_WITHIN;
        while !told().is_some_and(|machine| holds(&machine)) {
            ensure!(Instant::now() < deadline, "the machine is {:?}", told());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sets the TEE up anew, without its misbehaviour, and has it appraised again. What an
    /// instance of other attributes sealed is lost, as it is in hardware.
    ///
    /// # Errors
    /// It does not start, or is not enrolled.
    pub fn mend(&mut self, stage: &Stage) -> Result<()> {
        self.kill_tee()?;
        self.spec.misbehaviour = None;
        let storage = self.layout.device(&self.name).join("storage");
        fs::remove_dir_all(&storage)?;
        fs::create_dir(&storage)?;
        self.start_tee()?;
        let path = format!("/v1/devices/{}/enrolments", self.name);
        let token = fs::read_to_string(&stage.moc.operator_token)?;
        let opened = stage.moc.api(&token, "POST", &path, &Value::Null)?;
        ensure!(opened.status == 201, "no new enrolment: {}", opened.json());
        self.await_enrolment(stage)
    }

    /// Cuts the power of the whole device.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn cut_power(&mut self) -> Result<()> {
        self.tee.kill()?;
        self.broker.kill()
    }

    /// Starts the whole device again.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.start_tee()?;
        self.broker = start_broker(&self.layout, &self.programs, &self.name)?;
        Ok(())
    }

    /// Kills the Broker and starts it again.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_broker(&mut self) -> Result<()> {
        self.broker.kill()?;
        self.broker = start_broker(&self.layout, &self.programs, &self.name)?;
        Ok(())
    }

    /// Has another operator's M/OC enrol the same TEE: a device of that operator as well, with a
    /// Broker of its own over the same Agent.
    ///
    /// # Errors
    /// A program failed, or the M/OC does not take the device.
    pub fn enrol_at(&self, moc: &Moc) -> Result<Party> {
        let (name, hardware) = (self.name.as_str(), self.spec.hardware.as_str());
        let directory = self.layout.device(name);
        let mut arguments = vec!["device", "add", name, "--hardware", hardware];
        for instance in &self.spec.instances {
            arguments.extend(["--instance", instance.as_str()]);
        }
        let added = moc.operator(&self.programs, &arguments)?;
        let token = added["token"].as_str().context("the M/OC gave the device no token")?;
        write_secret(&directory.join("device-2.token"), token)?;
        let settings = format!(
            "device = {}\n\
             moc = {}\n\
             token_file = \"device-2.token\"\n\
             agent_socket = \"agent.sock\"\n\
             state_dir = \"ree-2\"\n",
            json!(name),
            json!(moc.url),
        );
        let config = directory.join("broker-2.toml");
        fs::write(&config, settings)?;
        let mut command = self.programs.command("tamarack-broker");
        command.arg("run").arg("--config").arg(config);
        let log = self.layout.log(&format!("{name}-broker-2"));
        let mut broker = Party::start("tamarack-broker", &mut command, &log)?;
        broker.until("enrolled device", || {
            let shown = moc.operator(&self.programs, &["device", "show", name]);
            shown.is_ok_and(|shown| shown["state"] == "attested")
        })?;
        Ok(broker)
    }

    /// The bearer token of its Broker.
    ///
    /// # Errors
    /// The file does not read.
    pub fn token(&self) -> Result<String> {
        let path = self.layout.device(&self.name).join("device.token");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// The TEEP messages that passed the Broker, in order.
    #[must_use]
    pub fn captured(&self) -> Vec<PathBuf> {
        let directory = self.layout.device(&self.name).join("captured");
        let mut messages: Vec<PathBuf> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path()).collect();
        messages.sort();
        messages
    }
}

fn start_tee(layout: &Layout, programs: &Programs, spec: &Spec) -> Result<Party> {
    let mut command = tee(layout, programs, spec)?;
    let name = format!("{}-tee", spec.name);
    let mut tee = Party::start("tamarack-tee", &mut command, &layout.log(&name))?;
    let socket = layout.device(&spec.name).join("agent.sock");
    tee.until("socket of the TEEP Agent", || socket.exists())?;
    Ok(tee)
}

/// A TEE whose guest waits for its owner, who launches it. The operator takes the owner's word.
fn launched_tee(stage: &Stage, spec: &Spec, owner: &User) -> Result<Party> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut command = tee(&stage.layout, &stage.programs, spec)?;
    command.args(["--launch-listen", &address]);
    let log = stage.layout.log(&format!("{}-tee", spec.name));
    let mut tee = Party::start("tamarack-tee", &mut command, &log)?;
    tee.until("guest that waits for its owner", || {
        fs::read_to_string(&log).is_ok_and(|told| told.contains("waits for its owner"))
    })?;
    // The anchors of this family are there now, for whoever pinned the list.
    stage.moc.let_launch(owner.owner())?;
    owner.launch(stage, &address)?;
    let socket = stage.layout.device(&spec.name).join("agent.sock");
    tee.until("socket of the TEEP Agent", || socket.exists())?;
    Ok(tee)
}

fn tee(layout: &Layout, programs: &Programs, spec: &Spec) -> Result<Command> {
    let directory = layout.device(&spec.name);
    let socket = directory.join("agent.sock");
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let mut command = programs.command("tamarack-tee");
    command.args(["run", "--family", spec.hardware.family(), "--vendor"]).arg(layout.vendor());
    command.arg("--state").arg(directory.join("fuses"));
    if spec.machine {
        let image = spec.hardware.image(programs).context("the image of the VM is not built")?;
        command.arg("--vm").arg(image);
    } else {
        command.arg("--agent").arg(programs.path("tamarack-agent"));
    }
    command.arg("--settings").arg(directory.join("agent.toml"));
    command.arg("--broker-socket").arg(&socket);
    command.arg("--storage").arg(directory.join("storage"));
    command.args(["--misbehave", Misbehaviour::told(spec.misbehaviour)]);
    Ok(command)
}

fn start_broker(layout: &Layout, programs: &Programs, name: &str) -> Result<Party> {
    let mut command = programs.command("tamarack-broker");
    // Its memory is measured: an arena for each of its threads would count what none of them holds.
    command.env("MALLOC_ARENA_MAX", "2");
    command.arg("run").arg("--config").arg(layout.device(name).join("broker.toml"));
    Party::start("tamarack-broker", &mut command, &layout.log(&format!("{name}-broker")))
}

fn broker_settings(moc: &str, name: &str, relay: &str) -> String {
    format!(
        "device = {}\n\
         moc = {}\n\
         token_file = \"device.token\"\n\
         agent_socket = \"agent.sock\"\n\
         state_dir = \"ree\"\n\
         capture_dir = \"captured\"\n\
         relay_listen = {}\n",
        json!(name),
        json!(moc),
        json!(relay)
    )
}

/// A boot under an interpreter, on a machine with much else to do.
const MACHINE_WITHIN: Duration = Duration::from_secs(120);
