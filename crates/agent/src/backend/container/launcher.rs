//! The launcher: leaves every namespace of the machine, starts the custodian in the new ones, and
//! waits for its end.
//!
//! It is a process of its own because a program with threads can neither leave its user namespace
//! nor become the first process of a new one. It holds nothing: the socket and the image are
//! passed on and closed.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use rustix::thread::UnshareFlags;

use crate::backend::process::lockdown;

/// What went wrong before there was a custodian.
#[derive(Debug, thiserror::Error)]
pub enum NotLaunched {
    /// The process is not as bare as it has to be.
    #[error("the launcher is not bare")]
    NotBare(#[from] lockdown::Unprotected),
    /// A step failed.
    #[error("{what} failed")]
    Step {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Launches a custodian with these arguments; its exit code is the result.
pub fn run(arguments: &[String]) -> Result<u8, NotLaunched> {
    let step = |what| move |source| NotLaunched::Step { what, source };
    crate::sys::close_all_others().map_err(step("closing what is open"))?;
    lockdown::check_bare()?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(step("taking the socket"))?;
    let mut go = [0];
    UnixStream::from(stdin).read_exact(&mut go).map_err(step("waiting for the agent"))?;
    if go != [GO] {
        return Err(step("waiting for the agent")(std::io::ErrorKind::InvalidData.into()));
    }

    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    crate::sys::unshare(NAMESPACES).map_err(step("leaving the namespaces"))?;
    fs::write("/proc/self/setgroups", "deny").map_err(step("giving up groups"))?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(step("mapping the user"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(step("mapping the group"))?;

    let mut custodian = Command::new("/proc/self/exe")
        .arg("ta-worker")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(step("starting the custodian"))?;
    let status = custodian.wait().map_err(step("waiting for the custodian"))?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// What the agent says when the launcher is in its control group.
pub const GO: u8 = 0x67;

/// Everything that a process can share with the machine.
const NAMESPACES: UnshareFlags = UnshareFlags::NEWCGROUP
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWUSER)
    .union(UnshareFlags::NEWUTS);
