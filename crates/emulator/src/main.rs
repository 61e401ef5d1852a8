//! `tamarack-tee`: the software TEE as a program.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use emulator::Misbehaviour;
use emulator::family::intel::Freshness;
use emulator::family::{FamilyName, Software, Start, sev};
use emulator::launch::{self, Launch};
use emulator::serve::Device;
use emulator::vendor::{self, Endorser};
use emulator::vm::accelerator::{self, Wish};
use emulator::vm::qemu::{Accelerator, Protection, Resources};
use emulator::vm::{self, Ended, Guest, Image};
use jiff::Timestamp;
use serde::Serialize;
use tracing::{error, info};
use tracing_subscriber::filter::LevelFilter;

/// Software TEE for development: emulated hardware, and the vendor of that hardware.
///
/// It makes the same bytes as real hardware, but protects nothing: whoever controls this machine
/// can read all that runs inside. Verifiers tell it from real hardware by its trust anchor, which
/// is made for this installation alone.
#[derive(Parser)]
#[command(name = "tamarack-tee", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the emulated vendors, or renew their lists, and print their trust anchors.
    ///
    /// Prints JSON: `anchor` is the SHA-256 of the root's SubjectPublicKeyInfo, which a Verifier
    /// pins; `collateral` is the directory with certificates, revocation and TCB lists. Both are
    /// those of SGX; `families` has them for each family, and `anchors.toml` in the directory lists
    /// them as a Verifier's configuration does, with each device of CCA and TrustZone once it has
    /// started. Lists live 30 days; this command, and a device when it makes a quote, renew them in
    /// time.
    Vendor(VendorArguments),
    /// Measure a program and its settings as the hardware would, and print the values as JSON.
    Measure(MeasureArguments),
    /// Start a program inside the emulated hardware, and serve it until it ends.
    ///
    /// The program is started from the very bytes that were measured, with descriptors 3 (the TEE
    /// interface), 4 (the socket for the TEEP Broker) and 5 (the settings), and ends when this
    /// command ends. Exits with the program's status.
    Run(RunArguments),
    /// Show what this machine offers to confidential VMs: QEMU, KVM, hardware.
    Probe {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Boot the kernel of a VM's image with nothing in it, and print how long that takes to its
    /// first byte: the floor of what `run --vm` can reach.
    BareBoot(BareBootArguments),
    #[command(name = launch::GUARD, hide = true)]
    Guard {
        parent: u32,
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(name = launch::ENTER, hide = true)]
    Enter {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
struct VendorArguments {
    /// The vendor's directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Make the vendor of this family as well, which takes a while for SEV-SNP; can be repeated.
    /// Those of SGX and TDX, and those that are there already, need not be named.
    #[arg(long, value_enum)]
    family: Vec<FamilyName>,
    /// Publish lists that expired long ago, so that the refusal can be shown; `false` ends it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    expired: Option<bool>,
}

#[derive(Args)]
struct MeasureArguments {
    #[command(flatten)]
    program: ProgramArguments,
    /// The hardware that measures.
    #[arg(long, value_enum, default_value_t = FamilyName::Sgx)]
    family: FamilyName,
}

#[derive(Args)]
struct ProgramArguments {
    /// The program that runs inside.
    #[arg(long, value_name = "FILE", required_unless_present = "vm")]
    agent: Option<PathBuf>,
    /// Instead of a program, a virtual machine from this image, with the program in it.
    #[arg(long, value_name = "DIR", conflicts_with = "agent")]
    vm: Option<PathBuf>,
    /// The settings that are measured with it.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

#[derive(Args)]
struct BareBootArguments {
    /// The image.
    #[arg(long, value_name = "DIR")]
    vm: PathBuf,
    /// Use KVM, if it works here.
    #[arg(long)]
    kvm: bool,
}

#[derive(Args)]
struct RunArguments {
    /// The vendor's directory; made if absent.
    #[arg(long, value_name = "DIR")]
    vendor: PathBuf,
    /// The device's own directory: fuses, counter, certificate; made at the first start.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    program: ProgramArguments,
    /// Where the TEEP Broker connects.
    #[arg(long, value_name = "PATH")]
    broker_socket: PathBuf,
    /// Disk space of the REE that the program may use; it must not trust what it finds there.
    #[arg(long, value_name = "DIR")]
    storage: PathBuf,
    /// The hardware to emulate.
    #[arg(long, value_enum, default_value_t = FamilyName::Sgx)]
    family: FamilyName,
    /// Make the device misbehave, so that the refusal can be shown; it goes on to do so at
    /// later starts until it is told otherwise.
    #[arg(long, value_enum)]
    misbehave: Option<Misbehaviour>,
    #[command(flatten)]
    machine: MachineArguments,
}

/// What concerns virtual machines alone.
#[derive(Args)]
struct MachineArguments {
    /// Memory of the machine, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u32,
    /// Virtual processors of the machine.
    #[arg(long, value_name = "N", default_value_t = 2)]
    processors: u32,
    /// How the machine's instructions are run; `auto` tries KVM for some seconds and remembers.
    #[arg(long, value_enum, default_value_t = Wish::Auto)]
    accelerator: Wish,
    /// How long the guest may take to greet, in seconds.
    #[arg(long, value_name = "S", default_value_t = 60)]
    boot_within: u32,
    /// SEV: where the guest's owner connects, who launches it.
    #[arg(long, value_name = "HOST:PORT")]
    launch_listen: Option<SocketAddr>,
    /// Where it is remembered whether KVM works. Default: the user's cache directory.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).init();
    let done = match arguments.command {
        Command::Vendor(arguments) => vendor(&arguments),
        Command::Measure(arguments) => measure(&arguments),
        Command::Run(arguments) => run(&arguments),
        Command::Probe { json } => probe(json),
        Command::BareBoot(arguments) => bare_boot(&arguments),
        Command::Guard { parent, program, arguments } => {
            Err(launch::guard(parent, &program, &arguments).into())
        }
        Command::Enter { parent, arguments } => Err(launch::enter(parent, &arguments).into()),
    };
    done.unwrap_or_else(|error| {
        error!("{error:#}");
        ExitCode::from(UNUSABLE)
    })
}

fn vendor(arguments: &VendorArguments) -> anyhow::Result<ExitCode> {
    let freshness = arguments.expired.map(|expired| match expired {
        true => Freshness::Expired,
        false => Freshness::Recent,
    });
    let now = Timestamp::now();
    let families = vendor::endorsers(&arguments.dir, &arguments.family, freshness, now);
    let families = families.context("opening the vendors")?;
    vendor::publish(&arguments.dir, now).context("listing the anchors")?;
    let sgx = families.first().context("the vendor of SGX is always there")?;
    let (anchor, collateral) = (hex::encode(sgx.anchor), sgx.collateral.clone());
    print(&VendorReport { anchor, collateral, families })
}

fn measure(arguments: &MeasureArguments) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::read(&arguments.program)?;
    let measurement = arguments.family.measure(loaded.software(), &loaded.settings);
    print(&measurement.context("measuring the program")?)
}

fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mut loaded = Loaded::read(&arguments.program)?;
    if arguments.family == FamilyName::Sev {
        loaded.bind_settings();
    }
    let _held = launch::hold(&arguments.state).context("holding the device")?;
    arguments.family.can_misbehave(arguments.misbehave.unwrap_or_default())?;
    // The measurement would say so, too, but a machine boots while it is measured.
    arguments.family.fits(loaded.software()).context("starting the device")?;
    let misbehaviour = Misbehaviour::recall(&arguments.state, arguments.misbehave)
        .context("finding out how the device misbehaves")?;
    if arguments.family == FamilyName::Sev {
        return run_sev(arguments, &loaded, misbehaviour);
    }
    let start = || {
        let machine = arguments.family.start(Start {
            vendor_dir: &arguments.vendor,
            state_dir: &arguments.state,
            software: loaded.software(),
            settings: &loaded.settings,
            misbehaviour,
            now: Timestamp::now(),
        })?;
        vendor::publish(&arguments.vendor, Timestamp::now())?;
        Device::new(machine, &arguments.state)
    };
    let launch = || {
        let device = start()?;
        info!(?misbehaviour, "the device is ready");
        Ok(device)
    };
    match &loaded.software {
        LoadedSoftware::Program(program) => {
            let device = launch().context("starting the device")?;
            run_program(arguments, program, &loaded.settings, device)
        }
        LoadedSoftware::Machine(image) => run_machine(arguments, image, &loaded.settings, launch),
    }
}

/// A guest that its owner launches: once, since a launch takes one secret.
fn run_sev(
    arguments: &RunArguments,
    loaded: &Loaded,
    misbehaviour: Misbehaviour,
) -> anyhow::Result<ExitCode> {
    let LoadedSoftware::Machine(image) = &loaded.software else {
        return Err(emulator::Error::OnlyVm { family: "SEV" }.into());
    };
    let address = arguments.machine.launch_listen.ok_or(emulator::Error::NoOwner)?;
    let listener = TcpListener::bind(address).with_context(|| format!("listening at {address}"))?;
    let platform = sev::Platform::start(&arguments.vendor, &arguments.state, misbehaviour)
        .context("starting the platform")?;
    vendor::publish(&arguments.vendor, Timestamp::now())?;
    info!(?misbehaviour, "the device is ready");
    let machine = sev::Machine::await_owner(platform, image, &listener)?;
    drop(listener);
    let mut launched = Some(Device::new(Box::new(machine), &arguments.state)?);
    let launch = || launched.take().ok_or(emulator::Error::LaunchedOnce);
    run_machine(arguments, image, &loaded.settings, launch)
}

fn run_program(
    arguments: &RunArguments,
    program: &[u8],
    settings: &[u8],
    mut device: Device,
) -> anyhow::Result<ExitCode> {
    let (tee, program_end) = UnixStream::pair().context("making the TEE interface")?;
    let launch = Launch {
        program,
        settings,
        arguments: &program_arguments(&arguments.storage)?,
        tee: program_end,
        broker: launch::listen(&arguments.broker_socket)?,
    };
    let mut child = launch.spawn(Path::new("/proc/self/exe"))?;
    info!(pid = child.id(), "the program runs");

    thread::spawn(move || {
        if let Err(error) = device.serve(tee) {
            error!(%error, "the TEE interface ended");
        }
    });
    let status = child.wait().context("waiting for the program")?;
    info!(%status, "the program ended");
    Ok(exit_code(status))
}

fn run_machine(
    arguments: &RunArguments,
    image: &Image,
    settings: &[u8],
    launch: impl FnMut() -> Result<Device, emulator::Error>,
) -> anyhow::Result<ExitCode> {
    let MachineArguments { memory, processors, accelerator, boot_within, cache, .. } =
        &arguments.machine;
    let guest = Guest {
        image,
        settings,
        protection: Protection::Emulated,
        resources: Resources { memory_mib: *memory, processors: *processors },
        wish: *accelerator,
        boot_within: Duration::from_secs(u64::from(*boot_within)),
        cache: &cache.clone().unwrap_or_else(accelerator::default_cache),
        broker_socket: &arguments.broker_socket,
        storage: &prepared(&arguments.storage)?,
    };
    let ended = vm::run(&guest, launch).context("running the machine")?;
    info!(?ended, "the machine ended");
    Ok(match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::Agent(status) => ExitCode::from(status),
    })
}

fn probe(json: bool) -> anyhow::Result<ExitCode> {
    let findings = vm::probe::probe(&accelerator::default_cache());
    if json {
        return print(&findings);
    }
    io::stdout().write_all(vm::probe::text(&findings).as_bytes()).context("printing")?;
    Ok(ExitCode::SUCCESS)
}

fn bare_boot(arguments: &BareBootArguments) -> anyhow::Result<ExitCode> {
    let image = Image::read(&arguments.vm).context("reading the image")?;
    let nowhere = Path::new("/nonexistent");
    let guest = Guest {
        image: &image,
        settings: &[],
        protection: Protection::Emulated,
        resources: Resources { memory_mib: 512, processors: 2 },
        wish: Wish::Auto,
        boot_within: Duration::from_secs(60),
        cache: nowhere,
        broker_socket: nowhere,
        storage: nowhere,
    };
    let accelerator = if arguments.kvm { Accelerator::Kvm } else { Accelerator::Tcg };
    let took = vm::bare::boot(&guest, accelerator).context("booting")?;
    print(&serde_json::json!({ "ms": took.as_secs_f64() * 1e3 }))
}

/// What was read once: it is measured, and it is what runs.
struct Loaded {
    software: LoadedSoftware,
    settings: Vec<u8>,
}

enum LoadedSoftware {
    Program(Vec<u8>),
    Machine(Image),
}

impl Loaded {
    fn read(arguments: &ProgramArguments) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("reading {}", path.display()))
        };
        let software = match (&arguments.agent, &arguments.vm) {
            (_, Some(dir)) => {
                LoadedSoftware::Machine(Image::read(dir).context("reading the image")?)
            }
            (Some(agent), None) => LoadedSoftware::Program(read(agent)?),
            (None, None) => anyhow::bail!("neither `--agent` nor `--vm` is there"),
        };
        Ok(Self { software, settings: read(&arguments.settings)? })
    }

    /// Puts the settings' digest where the launch measures it.
    fn bind_settings(&mut self) {
        if let LoadedSoftware::Machine(image) = &mut self.software {
            *image = image.with_settings(&self.settings);
        }
    }

    fn software(&self) -> Software<'_> {
        match &self.software {
            LoadedSoftware::Program(bytes) => Software::Program(bytes),
            LoadedSoftware::Machine(image) => Software::Machine(image),
        }
    }
}

fn program_arguments(storage: &Path) -> anyhow::Result<[OsString; 3]> {
    Ok(["run".into(), "--storage".into(), prepared(storage)?.into()])
}

fn prepared(storage: &Path) -> anyhow::Result<PathBuf> {
    let make = || format!("preparing the storage {}", storage.display());
    std::fs::create_dir_all(storage).with_context(make)?;
    storage.canonicalize().with_context(make)
}

/// The program's status, as a shell shows it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(UNUSABLE))
}

fn print(report: &impl Serialize) -> anyhow::Result<ExitCode> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    io::stdout().write_all(&json).context("printing")?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct VendorReport {
    anchor: String,
    collateral: PathBuf,
    families: Vec<Endorser>,
}

const UNUSABLE: u8 = 2;
