//! The measured launch: what was measured is what runs.
//!
//! The program's bytes are copied into sealed memory and executed from there, so nobody can change
//! them between measurement and start. It is started in two steps, because only the new process
//! itself can ask the kernel to be killed when its parent dies:
//!
//! ```text
//! tamarack-tee run   --spawn-->  tamarack-tee enter   --exec-->  the program
//!                                stdin: the program's bytes       stdin: /dev/null
//!                                3, 4, 5: as `device` defines     3, 4, 5: the same
//! ```
//!
//! The program gets no environment but `RUST_LOG`, which is not measured: it may change what the
//! program logs, and nothing else.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use device::{AGENT_LISTENER_FD, SETTINGS_FD, TEE_FD};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::Error;
use crate::disk::{self, Access};

/// Name of the sub-command that runs [`enter`].
pub const ENTER: &str = "enter";

/// Name of the sub-command that runs [`guard`].
pub const GUARD: &str = "guard";

/// A program about to be started.
pub struct Launch<'a> {
    /// The program's file.
    pub program: &'a [u8],
    /// The settings that are measured with it.
    pub settings: &'a [u8],
    /// The program's arguments.
    pub arguments: &'a [OsString],
    /// The program's end of the TEE interface.
    pub tee: UnixStream,
    /// Where the TEEP Broker connects.
    pub broker: UnixListener,
}

impl Launch<'_> {
    /// Starts the program by way of `entrance`, a program that calls [`enter`] when its first
    /// argument is [`ENTER`].
    ///
    /// The program dies with the thread that calls this.
    pub fn spawn(self, entrance: &Path) -> Result<Child, Error> {
        let program = sealed("program", self.program, MemfdFlags::EXEC)?;
        let settings = sealed("settings", self.settings, MemfdFlags::empty())?;
        let descriptors = [
            (self.tee.into(), TEE_FD),
            (self.broker.into(), AGENT_LISTENER_FD),
            (settings, SETTINGS_FD),
        ];
        let descriptors = descriptors.map(|(fd, number)| mapping(fd, number)).into();

        let mut command = Command::new(entrance);
        command.arg(ENTER).arg(process::id().to_string()).args(self.arguments);
        command.stdin(Stdio::from(program));
        command.fd_mappings(descriptors).expect("the numbers differ");
        let child = command.spawn();
        child.map_err(|error| Error::launch("start the program", error))
    }
}

/// Becomes the program whose bytes are on standard input; comes back only with an error.
///
/// `parent` is the process that started this one.
pub fn enter(parent: u32, arguments: &[OsString]) -> Error {
    let kill = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(error) = kill {
        return Error::launch("bind the program's life to its parent's", error);
    }
    if std::os::unix::process::parent_id() != parent {
        return Error::launch("stay with a parent that is gone", Errno::SRCH);
    }
    if let Err(error) = close_leaked() {
        return Error::launch("close what was inherited by accident", error);
    }
    let program = match File::open("/proc/self/fd/0") {
        Ok(program) => program,
        Err(error) => return Error::launch("open the measured program", error),
    };
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0("tamarack-agent").args(arguments).stdin(Stdio::null());
    command.env_clear().current_dir("/");
    if let Some(filter) = env::var_os("RUST_LOG") {
        command.env("RUST_LOG", filter);
    }
    Error::launch("execute the measured program", command.exec())
}

/// Becomes a program of this machine that must not outlive `parent`; comes back only with an
/// error.
pub fn guard(parent: u32, program: &OsStr, arguments: &[OsString]) -> Error {
    let kill = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(error) = kill {
        return Error::launch("bind the program's life to its parent's", error);
    }
    if std::os::unix::process::parent_id() != parent {
        return Error::launch("stay with a parent that is gone", Errno::SRCH);
    }
    if let Err(error) = nix::sys::signal::SigSet::all().thread_unblock() {
        return Error::launch("hear signals again", error);
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    Error::launch("execute the program", command.exec())
}

/// Closes the descriptors that came from whoever started the device, so that the program has no
/// authority but what `device` defines.
fn close_leaked() -> std::io::Result<()> {
    let mut leaked = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        leaked.extend(number.filter(|number| *number > SETTINGS_FD));
    }
    for number in leaked {
        match nix::unistd::close(number) {
            // The directory that was just read had a descriptor, too.
            Ok(()) | Err(nix::errno::Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Holds the device in this directory, so that it runs once only, until the file is dropped.
pub fn hold(dir: &Path) -> Result<File, Error> {
    disk::create_dir(dir, Access::Private)?;
    disk::try_lock_dir(dir)
}

/// Listens on a Unix socket for the owner and the group of the file; a socket that nobody listens
/// on any more is replaced.
pub fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |doing| move |error| Error::disk(doing, path, &error);
    if !falls_silent(path) {
        return Err(Error::InUse { path: path.to_owned() });
    }
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        fs::remove_file(path).map_err(failed("replace socket"))?;
    }
    if let Some(dir) = path.parent() {
        disk::create_dir(dir, Access::Public)?;
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed("protect"))?;
    Ok(listener)
}

/// Waits a moment for the program of a device that was just stopped to be gone.
fn falls_silent(socket: &Path) -> bool {
    for _ in 0..SILENCE_CHECKS {
        if UnixStream::connect(socket).is_err() {
            return true;
        }
        thread::sleep(SILENCE_CHECK_INTERVAL);
    }
    false
}

/// Copies bytes into memory that nobody can change any more.
pub(crate) fn sealed(name: &str, bytes: &[u8], flags: MemfdFlags) -> Result<OwnedFd, Error> {
    let failed = |error: std::io::Error| Error::launch("copy the program into memory", error);
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match rustix::fs::memfd_create(name, base | flags) {
        // Kernels before 6.3 do not know `EXEC`, and need none.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, base),
        memory => memory,
    };
    let mut memory = File::from(memory.map_err(|error| failed(error.into()))?);
    memory.write_all(bytes).map_err(failed)?;
    memory.rewind().map_err(failed)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals).map_err(|error| failed(error.into()))?;
    Ok(memory.into())
}

fn mapping(parent_fd: OwnedFd, child_fd: i32) -> FdMapping {
    FdMapping { parent_fd, child_fd }
}

const SILENCE_CHECKS: u32 = 50;
const SILENCE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
