//! The last steps before a UA's program runs: it must not outlive the Broker, gain rights, or read
//! what belongs to the Broker and to other UAs.
//!
//! This is hygiene of the REE. Nobody's secret rests on it, and a machine whose kernel lacks
//! Landlock runs UAs without that fence and says so in their logs.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, id},
};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};

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
    Command::new(program).args(arguments).env_clear().exec()
}

fn restrict(parent: u32, program: &Path) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The Broker may have ended before the signal was asked for.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return Err(io::Error::other("the Broker that started this is gone"));
    }
    rustix::thread::set_no_new_privs(true)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    match fence(program, &env::current_dir()?) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("no Landlock here: this UA can read what the Broker can");
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
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
