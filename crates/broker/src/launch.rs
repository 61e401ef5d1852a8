//! The last steps before a UA's program runs: it must not outlive the Broker, gain rights, or read
//! what belongs to the Broker and to other UAs. Under a Broker that is root, each UA is a user of
//! its own.
//!
//! This is hygiene of the REE. Nobody's secret rests on it, and a machine whose kernel lacks
//! Landlock runs UAs without that fence and says so in their logs.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{PermissionsExt as _, chown},
            process::CommandExt as _,
        },
    },
    path::Path,
    process::{Command, id},
};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The command that the Broker gives a UA's program and arguments to: itself, as [`launch`].
#[must_use]
pub fn launcher() -> Vec<OsString> {
    let parent = id().to_string();
    ["/proc/self/exe", "launch", "--parent", &parent, "--"].map(OsString::from).to_vec()
}

/// Turns this process into the program. Returns only when that fails.
pub fn launch(parent: u32, program: &Path, arguments: &[OsString]) -> io::Error {
    if let Err(error) = restrict(parent, program) {
        return error;
    }
    // The program lies where only the Broker may look; the open file is its way in.
    let own = match as_user(parent, program) {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut command = match &own {
        Some(open) => Command::new(format!("/proc/self/fd/{}", open.as_raw_fd())),
        None => Command::new(program),
    };
    command.arg0(program).args(arguments).env_clear().exec()
}

/// Becomes the UA's own user, where the Broker may choose users; gives the program, open.
fn as_user(parent: u32, program: &Path) -> io::Result<Option<File>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let user = user(program);
    chown(env::current_dir()?, Some(user), Some(user))?;
    fs::set_permissions(program, Permissions::from_mode(0o755))?;
    let open = File::open(program)?;
    // A script's interpreter opens it again, so it stays open in the program.
    fcntl_setfd(&open, FdFlags::empty())?;
    let (group, user) = (Gid::from_raw(user), Uid::from_raw(user));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    // Another user than before: the kernel has forgotten whom this must not outlive.
    die_with(parent)?;
    Ok(Some(open))
}

/// The user of a UA, from its owner and name: two UAs never share one but by a collision of 24
/// bits of SHA-256, and none is a user of the machine's people and services.
fn user(program: &Path) -> u32 {
    let stem = program.file_stem().unwrap_or_default();
    let [a, b, c, ..] = cose::sha256(stem.as_encoded_bytes());
    USERS | u32::from_be_bytes([0, a, b, c])
}

fn restrict(parent: u32, program: &Path) -> io::Result<()> {
    die_with(parent)?;
    rustix::thread::set_no_new_privs(true)?;
    for (resource, limit) in LIMITS {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    match fence(program, &env::current_dir()?) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("no Landlock here: this UA can read what the Broker can");
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Ends this process when the Broker ends.
fn die_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The Broker may have ended before the signal was asked for.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return Err(io::Error::other("the Broker that started this is gone"));
    }
    Ok(())
}

/// Lets the process read the system's programs and libraries, and use its own directory.
fn fence(program: &Path, room: &Path) -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(LANDLOCK);
    let read = AccessFs::from_read(LANDLOCK);
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut rules: Vec<(&Path, BitFlags<AccessFs>)> =
        vec![(room, all), (program, AccessFs::ReadFile | AccessFs::Execute)];
    rules.extend(SYSTEM.map(|path| (Path::new(path), read)));
    rules.extend(DEVICES.map(|path| (Path::new(path), device)));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for (path, access) in rules {
        // What this system does not have needs no rule.
        if let Ok(parent) = PathFd::new(path) {
            let access =
                if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
            ruleset = ruleset.add_rule(PathBeneath::new(parent, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// The first of the users that UAs have, far above those of people and services.
const USERS: u32 = 0x6100_0000;

/// What one UA may use: no core dumps, a file of 256 MiB, 1024 descriptors, 512 processes and
/// threads of its user, 4 GiB of memory of its own.
const LIMITS: [(Resource, u64); 5] = [
    (Resource::Core, 0),
    (Resource::Data, 4 << 30),
    (Resource::Fsize, 256 << 20),
    (Resource::Nofile, 1024),
    (Resource::Nproc, 512),
];

const LANDLOCK: ABI = ABI::V6;

/// What a program needs to start, to find names and to check certificates.
const SYSTEM: [&str; 19] = [
    "/bin",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run/systemd/resolve",
    "/sbin",
    "/sys/devices/system/cpu",
    "/usr",
];

const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];
