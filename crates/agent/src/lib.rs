//! The TEEP Agent: the program inside the TEE.
//!
//! ```text
//!            TEE (fd 3)          settings (fd 5)
//!               │ attester          │ settings
//! Broker ── serve ── session ── install ── ta ── backend ══ worker processes
//! (fd 4)                │            └── store (sealed, on the REE's disk)
//!                    evidence ── identity
//! ```
//!
//! It verifies what TAMs carry, runs Trusted Applications each in an isolation of its own, and
//! proves to who asks what it is and what it runs. It deliberately does not know: which hardware
//! it is on (a name in evidence), how TEEP travels (the Broker's business), and any
//! Personalization Data (that is opened in the worker, by a key that never leaves it).

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

pub mod attester;
pub mod backend;
pub mod evidence;
mod exchanges;
pub mod identity;
pub mod init;
pub mod install;
pub mod probe;
pub mod seal;
pub mod serve;
pub mod session;
pub mod settings;
pub mod store;
pub mod sys;
pub mod ta;

#[cfg(test)]
mod testing;

use attester::{Attester, Channel, RuntimeRegister};
use backend::Backend;
use backend::container::ContainerBackend;
use backend::process::{ModuleCache, ProcessBackend};
use identity::Identity;
use rats::eat::InstanceType;
use seal::Sealer;
use session::TeepAgent;
use settings::Settings;
use store::{Disk, Folder, Remote, Store};
use ta::{Applications, Backends};

/// Runs the agent on the descriptors that a TEE hands down, with its sealed state in the folder
/// `storage`, or where there is none on the disk behind [`device::STORAGE_FD`].
///
/// `own_digest` is the SHA-256 of this program, where who started it knows it: the image of a guest
/// is measured with it, and an interpreted processor takes long to compute it.
pub fn run(storage: Option<&Path>, own_digest: Option<[u8; 32]>) -> anyhow::Result<()> {
    let inherited = sys::Inherited::take(storage.is_none());
    let inherited = inherited.context("taking over what the TEE hands down")?;
    log();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("keeping debuggers out")?;

    let mut text = Vec::new();
    std::fs::File::from(inherited.settings)
        .take(SETTINGS_BYTES_MAX)
        .read_to_end(&mut text)
        .context("reading the settings")?;
    let settings = Settings::parse(&text).context("reading the settings")?;
    let channel = UnixStream::from(inherited.tee);
    let (storage, attester): (_, Box<dyn Attester>) = match (storage, inherited.storage) {
        (Some(folder), _) => {
            let channel = Channel::open(channel).context("reaching the TEE")?;
            (Storage::Folder(folder.to_owned()), Box::new(channel))
        }
        (None, Some(stream)) => {
            let tee =
                attester::reach(Path::new("/"), channel, &text).context("reaching the TEE")?;
            (Storage::Remote(Remote::new(UnixStream::from(stream))), tee)
        }
        (None, None) => anyhow::bail!("no storage was handed down"),
    };
    let own = own_digest.map_or_else(own_program, Ok)?;
    up(settings, storage, Arc::from(attester), inherited.listener, own)
}

/// Where the agent's sealed state lies.
enum Storage {
    /// A folder of the REE.
    Folder(PathBuf),
    /// A disk at the other end of a socket.
    Remote(Remote),
}

/// What an agent on real hardware is started with.
#[derive(Clone, Debug)]
pub struct OnHardware {
    /// Disk space of the REE.
    pub storage: PathBuf,
    /// The settings, which whoever measures the agent has to measure with it: the initrd of a
    /// virtual machine, the manifest of Gramine.
    pub settings: PathBuf,
    /// Where the Broker connects.
    pub socket: PathBuf,
    /// The VMPL that an SEV-SNP guest asks for reports with.
    pub privilege_level: Option<u8>,
}

/// Runs the agent on the hardware that this machine has.
///
/// Without any the agent stays up, for the Broker to hear why it cannot attest.
pub fn run_on_hardware(on: &OnHardware) -> anyhow::Result<()> {
    sys::close_all_others().context("closing what was left open")?;
    log();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("keeping debuggers out")?;
    let text = std::fs::read(&on.settings)
        .with_context(|| format!("reading the settings `{}`", on.settings.display()))?;
    let settings = Settings::parse(&text).context("reading the settings")?;
    let attester = attester::detect(Path::new("/"), on.privilege_level).unwrap_or_else(|none| {
        for fault in &none.tried {
            tracing::error!(%fault, "not a TEE");
        }
        none
    });
    let described = attester.description();
    tracing::info!(family = described.family, interface = described.interface, "the TEE");
    let listener = serve::listen(&on.socket)
        .with_context(|| format!("listening on `{}`", on.socket.display()))?;
    let storage = Storage::Folder(on.storage.clone());
    up(settings, storage, Arc::from(attester), listener.into(), own_program()?)
}

/// The SHA-256 of the program that runs.
fn own_program() -> anyhow::Result<[u8; 32]> {
    let own = std::fs::read(OWN_PROGRAM).context("reading the agent's own program")?;
    Ok(cose::sha256(&own))
}

fn up(
    settings: Settings,
    storage: Storage,
    attester: Arc<dyn Attester>,
    listener: OwnedFd,
    own: [u8; 32],
) -> anyhow::Result<()> {
    let cache = modules(&storage, attester.as_ref())?;
    let register = Arc::new(RuntimeRegister::new(Arc::clone(&attester)));
    let applications = Applications::new(backends(&settings, &Arc::new(cache), &register));
    let applications = Arc::new(applications.with_room(settings.room).with_register(register));
    let agent = match storage {
        Storage::Folder(folder) => {
            let disk = Folder::open(&folder)
                .with_context(|| format!("opening the storage `{}`", folder.display()))?;
            start(settings, disk, attester, applications, own)?
        }
        Storage::Remote(remote) => start(settings, remote, attester, applications, own)?,
    };
    serve::serve(listener, Arc::new(agent)).context("listening for the Broker")
}

/// Brings up an agent over its sealed state; a first start makes the state.
///
/// Where the hardware derives no sealing key, nothing can be kept for the next start: the key is
/// this start's own, so the agent has a new identity and nothing is installed. A TAM meets a device
/// that it does not know, and enrols it again.
pub fn start(
    settings: Settings,
    mut disk: impl Disk + Clone + 'static,
    attester: Arc<dyn Attester>,
    applications: Arc<Applications>,
    own_digest: [u8; 32],
) -> anyhow::Result<TeepAgent> {
    let (key, kept) = match attester.sealing_key(SEALING_LABEL) {
        Ok(key) => (key, true),
        Err(lack) if lack.is_lack() => {
            tracing::warn!("no sealing key: this start has an identity of its own");
            (attester::key_of_this_start(), false)
        }
        Err(error) => return Err(error).context("getting the sealing key"),
    };
    let sealer = Arc::new(Sealer::new(&key));
    let loaded = match kept {
        true => {
            Identity::load(&mut disk, &sealer, settings.suite).context("reading the identity")?
        }
        false => None,
    };
    let (store, identity) = match loaded {
        Some(identity) => {
            let store = Store::open(disk, sealer, Arc::clone(&attester), identity.store)
                .context("opening the store")?;
            (store, identity)
        }
        None => {
            // The store first: an identity without its store counts as set back.
            let store = Store::create(disk.clone(), Arc::clone(&sealer), Arc::clone(&attester))
                .context("making the store")?;
            let identity = Identity::generate(store.id(), settings.suite)?;
            identity.save(&mut disk, &sealer).context("saving the identity")?;
            (store, identity)
        }
    };
    TeepAgent::new(settings, identity, store, attester, applications, own_digest)
}

/// The compiled modules of this device, sealed: in a folder of its storage, or, at the other end
/// of a socket, among what is installed.
fn modules(storage: &Storage, attester: &dyn Attester) -> anyhow::Result<ModuleCache> {
    let key = match attester.sealing_key(MODULES_LABEL) {
        Err(lack) if lack.is_lack() => return Ok(ModuleCache::default()),
        key => key.context("getting the key for compiled code")?,
    };
    let disk: Box<dyn Disk> = match storage {
        Storage::Folder(folder) => {
            let folder = folder.join(MODULES);
            let opened = Folder::open(&folder);
            Box::new(opened.with_context(|| format!("opening the folder `{}`", folder.display()))?)
        }
        Storage::Remote(remote) => Box::new(remote.clone()),
    };
    Ok(ModuleCache::on(disk, Sealer::new(&key)))
}

/// The backends of the instance types that the settings name.
fn backends(
    settings: &Settings,
    cache: &Arc<ModuleCache>,
    register: &Arc<RuntimeRegister>,
) -> Backends {
    let limits = settings.limits;
    let backend = |instance: &InstanceType| -> Arc<dyn Backend> {
        let cache = Arc::clone(cache);
        let process = |backend: ProcessBackend, cache| Arc::new(backend.with_cache(cache));
        match instance {
            InstanceType::Process => process(ProcessBackend::new(OWN_PROGRAM, limits), cache),
            InstanceType::Vm => process(ProcessBackend::of_vm(OWN_PROGRAM, limits), cache),
            InstanceType::Container => {
                let backend = ContainerBackend::new(OWN_PROGRAM, limits)
                    .with_cache(cache)
                    .with_register(Arc::clone(register));
                Arc::new(match &settings.container_runtime {
                    Some(runtime) => backend.with_runtime(runtime),
                    None => backend,
                })
            }
        }
    };
    settings.instances.iter().map(|instance| (*instance, backend(instance))).collect()
}

fn log() {
    // Everything that is written here leaves the TEE: events and names, never contents.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .init();
}

/// The program that runs, from the bytes that were measured.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Where compiled modules are kept, in the storage.
const MODULES: &str = "modules";

/// What the key for compiled modules is derived for.
const MODULES_LABEL: &str = "tamarack-agent-modules-v1";

/// What the key for the agent's own state is derived for.
const SEALING_LABEL: &str = "tamarack-agent-state-v1";

/// The longest settings that are read.
const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;
