//! The first process of a confidential VM: sets the guest up, starts the agent, and ends it well.
//!
//! ```text
//! kernel ── /init (this) ── tamarack-agent run --storage-fd ── TA workers
//!             │ relay: serial port ══ descriptors 3, 4 and 6 of the agent
//! ```
//!
//! It is the same measured program as the agent, started by the kernel. It mounts what Linux
//! programs expect, inserts the drivers of the serial port, joins the port's channels with the
//! descriptors that `device` defines, collects ended processes, and powers off when the agent
//! ends, when the host asks, or when the host is gone. It deliberately does not know what passes
//! through the channels.

mod guest;
mod port;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use anyhow::Context as _;
use command_fds::{CommandFdExt as _, FdMapping};
use device::{AGENT_LISTENER_FD, SETTINGS_FD, STORAGE_FD, TEE_FD};
use link::{Goodbye, Handle, Notice, Relay, Service, Side};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

/// Whether this process is the first one of a guest.
///
/// A worker in a container is number one as well, but nobody starts it under this name.
pub fn is_first() -> bool {
    std::process::id() == 1 && std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Does the work of the first process, and powers off.
pub fn run() -> ! {
    // A first process that ends is a kernel that panics, so whatever happens ends below.
    let own_digest = fs::read_to_string(DIGEST).ok();
    let ended = guest::set_up().context("setting up the guest");
    let ended = ended.and_then(|()| serve(own_digest.as_deref()));
    if let Err(error) = ended {
        eprintln!("error: {error:#}");
    }
    guest::power_off()
}

fn serve(own_digest: Option<&str>) -> anyhow::Result<()> {
    let port = port::open().context("opening the serial port")?;
    if guest::is_bare() {
        return (&port).write_all(b"!").context("writing the first byte");
    }
    let listener = UnixListener::bind(AGENT_SOCKET).context("listening for the relay")?;
    let agent = Arc::new(Agent::default());
    let told = Arc::clone(&agent);
    let connect = |_| UnixStream::connect(AGENT_SOCKET);
    let notify = move |notice| match notice {
        Notice::Greeted => {}
        Notice::Stop => told.stop(),
    };
    let (relay, handle) = Relay::new(Side::Guest, port, None, connect, notify)?;
    let hosted = Arc::clone(&agent);
    let relaying = thread::Builder::new().name("relay".to_owned()).spawn(move || {
        let ended = relay.run();
        // Without a host there is nobody to serve.
        hosted.stop();
        ended
    });
    let relaying = relaying.context("starting the relay")?;
    let goodbye = match start(&handle, listener, own_digest) {
        Ok(pid) => agent.collect(pid),
        Err(error) => {
            eprintln!("error: {error:#}");
            Goodbye::Failed
        }
    };
    handle.goodbye(goodbye);
    drop(relaying.join());
    Ok(())
}

/// Starts the agent, with the descriptors that `device` defines.
fn start(relay: &Handle, listener: UnixListener, own_digest: Option<&str>) -> anyhow::Result<Pid> {
    let settings = settings(relay).context("getting the settings")?;
    let attach = |service| -> anyhow::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair().context("making a channel")?;
        relay.attach(service, ours);
        Ok(theirs.into())
    };
    let descriptors = [
        (attach(Service::Tee)?, TEE_FD),
        (listener.into(), AGENT_LISTENER_FD),
        (settings.into(), SETTINGS_FD),
        (attach(Service::Storage)?, STORAGE_FD),
    ];
    let mapping = |(parent_fd, child_fd)| FdMapping { parent_fd, child_fd };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tamarack-agent").args(["run", "--storage-fd"]);
    if let Some(digest) = own_digest {
        command.args(["--own-digest", digest]);
    }
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.fd_mappings(descriptors.map(mapping).into()).expect("the numbers differ");
    let child = command.spawn().context("starting the agent")?;
    Ok(Pid::from_raw(i32::try_from(child.id()).context("a process number")?))
}

/// Reads the settings from the host, which measured them, into memory.
fn settings(relay: &Handle) -> anyhow::Result<File> {
    let (ours, theirs) = UnixStream::pair()?;
    relay.attach(Service::Settings, ours);
    let mut text = Vec::new();
    theirs.take(SETTINGS_BYTES_MAX).read_to_end(&mut text)?;
    let memory = rustix::fs::memfd_create("settings", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut memory = File::from(memory);
    memory.write_all(&text)?;
    memory.rewind()?;
    Ok(memory)
}

/// The agent's process, as the first process knows it.
#[derive(Default)]
struct Agent {
    /// Zero until it runs.
    pid: AtomicI32,
    stopping: AtomicBool,
}

impl Agent {
    /// Ends the agent, now or as soon as it runs. It may be cut off anywhere: what it keeps
    /// changes whole or not at all.
    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let pid = self.pid.load(Ordering::SeqCst);
        if pid != 0 {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Collects every process that ends, until the agent is one of them.
    fn collect(&self, pid: Pid) -> Goodbye {
        self.pid.store(pid.as_raw(), Ordering::SeqCst);
        if self.stopping.load(Ordering::SeqCst) {
            self.stop();
        }
        let status = loop {
            match wait() {
                Ok(WaitStatus::Exited(ended, status)) if ended == pid => break status,
                Ok(WaitStatus::Signaled(ended, signal, _)) if ended == pid => {
                    break 128 + signal as i32;
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Goodbye::Failed,
            }
        };
        if self.stopping.load(Ordering::SeqCst) {
            return Goodbye::Stopped;
        }
        Goodbye::AgentEnded(u8::try_from(status).unwrap_or(u8::MAX))
    }
}

/// How the kernel calls the program of an initial RAM disk.
const NAME: &str = "/init";

/// The SHA-256 of that program, in hexadecimal, beside it in the measured image.
const DIGEST: &str = "/init.sha256";

/// Where the agent listens, inside the guest alone.
const AGENT_SOCKET: &str = "/run/agent.sock";

/// The longest settings that are read.
const SETTINGS_BYTES_MAX: u64 = 1024 * 1024;
