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
    path::{Path, PathBuf},
    process::{Command, id},
};

use landlock::RulesetStatus;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Gid, Pid, Signal, Uid, getppid, set_parent_process_death_signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

use crate::{
    contain, fence,
    ua::rights::{Folder, Form, Limits, Network},
};

/// The command that the Broker gives a UA's program and arguments to: itself, as [`launch`].
#[must_use]
pub fn launcher() -> Vec<OsString> {
    let parent = id().to_string();
    ["/proc/self/exe", "launch", "--parent", &parent].map(OsString::from).to_vec()
}

/// What the launcher is told about a UA, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    pub(crate) instance: Form,
    pub(crate) network: Network,
    pub(crate) folders: Vec<Folder>,
    pub(crate) limits: Limits,
    /// The OCI runtime, for a container.
    pub(crate) runtime: Option<PathBuf>,
}

/// Turns this process into the program, or into the keeper of its container. Returns only when
/// that fails, or when the container has ended.
pub fn launch(parent: u32, terms: &str, program: &Path, arguments: &[OsString]) -> io::Error {
    let terms: Terms = match serde_json::from_str(terms) {
        Ok(terms) => terms,
        Err(error) => return error.into(),
    };
    if terms.instance == Form::Container {
        return match contain::keep(parent, &terms, program, arguments) {
            Ok(code) => std::process::exit(code),
            Err(error) => error,
        };
    }
    if let Err(error) = restrict(parent, &terms, program) {
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
pub(crate) fn user(program: &Path) -> u32 {
    let stem = program.file_stem().unwrap_or_default();
    let [a, b, c, ..] = cose::sha256(stem.as_encoded_bytes());
    USERS | u32::from_be_bytes([0, a, b, c])
}

fn restrict(parent: u32, terms: &Terms, program: &Path) -> io::Result<()> {
    die_with(parent)?;
    rustix::thread::set_no_new_privs(true)?;
    fence::limit(&terms.limits)?;
    fence::real(&terms.folders)?;
    match fence::files(program, &env::current_dir()?, &terms.folders) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {}
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("no Landlock here: this UA can read what the Broker can");
        }
        Err(error) => return Err(io::Error::other(error)),
    }
    fence::ports(&terms.network).map_err(io::Error::other)?;
    fence::sockets(&terms.network)
}

/// Ends this process when the Broker ends.
fn die_with(parent: u32) -> io::Result<()> {
    hear_of(parent, Signal::KILL)
}

/// Sends this signal to this process when the Broker ends.
pub(crate) fn hear_of(parent: u32, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // The Broker may have ended before the signal was asked for.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return Err(io::Error::other("the Broker that started this is gone"));
    }
    Ok(())
}

/// The first of the users that UAs have, far above those of people and services.
const USERS: u32 = 0x6100_0000;
