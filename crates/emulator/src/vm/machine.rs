//! One machine: starts QEMU, joins the serial port with the host's side, and watches how it ends.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use link::{Broken, Ending, Goodbye, Handle, Notice, Relay, Service, Side};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::MemfdFlags;
use tracing::{info, warn};

use super::accelerator::{self, Choice, TRIAL, Verdict, Wish};
use super::console::LastWords;
use super::image::Image;
use super::qemu::{self, Accelerator, Parts, Protection, Resources};
use super::status::{State, Status};
use super::storage;
use crate::Error;
use crate::launch;
use crate::serve::Device;

/// A guest to be run.
#[derive(Clone)]
pub struct Guest<'a> {
    /// What it starts from.
    pub image: &'a Image,
    /// The settings that are measured with it.
    pub settings: &'a [u8],
    /// What keeps it confidential.
    pub protection: Protection,
    /// What it has.
    pub resources: Resources,
    /// How its instructions should be run.
    pub wish: Wish,
    /// How long the guest may take to greet. Under TCG, on a machine with much else to do, that is
    /// many times what it takes on a quiet one.
    pub boot_within: Duration,
    /// Where the verdict about KVM is kept.
    pub cache: &'a Path,
    /// Where the TEEP Broker connects.
    pub broker_socket: &'a Path,
    /// Disk space of the REE.
    pub storage: &'a Path,
}

/// How a machine ended that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The agent in it ended, with this status.
    Agent(u8),
}

/// Runs a guest until it ends; SIGTERM and SIGINT stop it, SIGHUP starts it anew.
///
/// `launch` makes the emulated hardware for each boot: registers start at what the launch measured.
/// The guest dies with the thread that calls this.
pub fn run(
    guest: &Guest<'_>,
    mut launch: impl FnMut() -> Result<Device, Error>,
) -> Result<Ended, Error> {
    let program = find(qemu::program(guest.image.architecture))?;
    let (tell, events) = mpsc::channel();
    watch_signals(tell.clone())?;
    let mut listener = None;
    let mut hardware = || {
        let device = launch()?;
        // Whoever finds the socket finds what the device has published, too.
        let listener = match &mut listener {
            Some(listener) => listener,
            none => none.insert(launch::listen(guest.broker_socket)?),
        };
        let listener = listener.try_clone().map_err(|error| Error::launch("listen", error))?;
        Ok((device, listener))
    };
    let mut status = Status::beside(guest.broker_socket);
    loop {
        let ended = one_boot(guest, &program, &mut hardware, (&tell, &events), &mut status);
        let (state, detail) = match &ended {
            Ok(Some(Ended::Stopped)) => (State::Stopped, None),
            Ok(Some(Ended::Agent(_))) => (State::Ended, None),
            Ok(None) => (State::Rebooting, None),
            Err(error) => (State::Crashed, Some(error.to_string())),
        };
        status.say(state, None, detail.as_deref());
        match ended? {
            Some(ended) => return Ok(ended),
            None => info!("the machine starts again"),
        }
    }
}

/// Boots once, and gives how it ended; `None` when it shall start again.
fn one_boot(
    guest: &Guest<'_>,
    program: &Path,
    hardware: &mut impl FnMut() -> Result<(Device, UnixListener), Error>,
    (tell, events): (&Sender<Event>, &Receiver<Event>),
    status: &mut Status,
) -> Result<Option<Ended>, Error> {
    let mut boot = |accelerator, status: &mut Status| {
        // What an earlier boot still had to say is about another guest.
        events.try_iter().filter(|event| !matches!(event, Event::Signal(_))).for_each(drop);
        status.booting(accelerator);
        Machine::boot(guest, program, accelerator, hardware, tell.clone())
    };
    let choice = accelerator::choose(guest.wish, guest.image.architecture, program, guest.cache);
    let (mut machine, accelerator) = match choice {
        Choice::Known(accelerator) => {
            let mut machine = boot(accelerator, status)?;
            machine.await_greeting(events, guest.boot_within)?;
            (machine, accelerator)
        }
        Choice::Trial => {
            let mut machine = boot(Accelerator::Kvm, status)?;
            let greeted = machine.await_greeting(events, TRIAL);
            Verdict::remember(greeted.is_ok(), program, guest.cache);
            match greeted {
                Ok(()) => (machine, Accelerator::Kvm),
                Err(error) => {
                    warn!(%error, "no guest comes up with KVM here; QEMU interprets instead");
                    drop(machine);
                    let mut machine = boot(Accelerator::Tcg, status)?;
                    machine.await_greeting(events, guest.boot_within)?;
                    (machine, Accelerator::Tcg)
                }
            }
        }
    };
    status.say(State::Running, Some(accelerator), None);
    let ms = machine.started.elapsed().as_millis();
    info!(pid = machine.qemu.0.id(), accelerator = accelerator.name(), ms, "the guest greeted");
    machine.await_end(events)
}

/// A machine that runs. Dropping it ends it.
struct Machine {
    qemu: Qemu,
    relay: Handle,
    words: LastWords,
    /// Those who hear what QEMU and the guest say.
    heard: Vec<JoinHandle<()>>,
    started: Instant,
    /// What became of a signal that came while the guest booted.
    signal: Option<Signal>,
}

/// What the main loop waits for.
enum Event {
    Greeted,
    LinkEnded(Result<Ending, Broken>),
    Signal(Signal),
}

impl Machine {
    /// Starts QEMU, and measures while it boots: it has the very bytes from memory that nobody can
    /// change, and what the guest asks of its hardware waits until the measurement stands.
    fn boot(
        guest: &Guest<'_>,
        program: &Path,
        accelerator: Accelerator,
        hardware: &mut impl FnMut() -> Result<(Device, UnixListener), Error>,
        tell: Sender<Event>,
    ) -> Result<Self, Error> {
        let started = Instant::now();
        let failed = |doing| move |error: std::io::Error| Error::launch(doing, error);
        let (ours, theirs) = UnixStream::pair().map_err(failed("make the serial port"))?;
        ours.set_nonblocking(true).map_err(failed("make the serial port"))?;

        let (mut command, words) = command(guest, program, accelerator, theirs)?;
        let mut qemu = Qemu(command.spawn().map_err(failed("start QEMU"))?);
        // The command holds the guest's end of the port, which must close when QEMU ends.
        drop(command);
        let (console, errors) = (qemu.0.stdout.take(), qemu.0.stderr.take());
        let console = console.map(|console| words.clone().of("console", console));
        let errors = errors.map(|errors| words.clone().of("qemu", errors));
        let heard = console.into_iter().chain(errors).collect();
        let (device, listener) = hardware()?;
        let port = File::from(OwnedFd::from(ours));
        let (relay, handle) = relay(guest, port, listener, device, tell.clone())?;
        thread::spawn(move || tell.send(Event::LinkEnded(relay.run())));
        Ok(Self { qemu, relay: handle, words, heard, started, signal: None })
    }

    /// Waits for the guest's greeting; ends the machine when there is none in time.
    fn await_greeting(&mut self, events: &Receiver<Event>, wait: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + wait;
        loop {
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Greeted) => return Ok(()),
                Ok(Event::Signal(signal)) => self.signal = Some(signal),
                Ok(Event::LinkEnded(ended)) => return Err(self.end_of_link(ended)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let seconds = wait.as_secs();
                    return Err(Error::GuestSilent { seconds, words: self.words.text() });
                }
            }
        }
    }

    /// Waits for the end of a guest that runs.
    fn await_end(&mut self, events: &Receiver<Event>) -> Result<Option<Ended>, Error> {
        let mut stopping = None;
        loop {
            if let Some(signal) = self.signal.take() {
                stopping = Some((signal, Instant::now() + STOP_WAIT));
                self.relay.stop();
            }
            let wait = stopping.map_or(FOREVER, |(_, deadline)| {
                deadline.saturating_duration_since(Instant::now())
            });
            match events.recv_timeout(wait) {
                Ok(Event::Greeted) => {}
                Ok(Event::Signal(signal)) => self.signal = Some(signal),
                Ok(Event::LinkEnded(Ok(Ending::Goodbye(goodbye)))) => {
                    self.wait(POWER_OFF_WAIT);
                    return self.after(goodbye, stopping.map(|(signal, _)| signal));
                }
                Ok(Event::LinkEnded(ended)) => return Err(self.end_of_link(ended)),
                Err(_) if stopping.is_none() => {}
                Err(_) => {
                    warn!("the guest does not stop; it is ended");
                    return Ok(again(stopping.map(|(signal, _)| signal)));
                }
            }
        }
    }

    fn after(&self, goodbye: Goodbye, signal: Option<Signal>) -> Result<Option<Ended>, Error> {
        match goodbye {
            Goodbye::Stopped => Ok(again(signal)),
            Goodbye::Rebooting => Ok(None),
            Goodbye::AgentEnded(status) => Ok(Some(Ended::Agent(status))),
            Goodbye::Failed => Err(Error::GuestFailed { words: self.words.text() }),
        }
    }

    /// Why a link ended without a goodbye.
    fn end_of_link(&mut self, ended: Result<Ending, Broken>) -> Error {
        match ended {
            Err(broken) => Error::GuestMisbehaved(broken),
            Ok(Ending::Goodbye(goodbye)) => match self.after(goodbye, None) {
                Err(error) => error,
                Ok(_) => Error::GuestCrashed { words: self.words.text() },
            },
            Ok(Ending::Closed) => match self.wait(POWER_OFF_WAIT) {
                Some(status) if !status.success() => {
                    Error::QemuEnded { status: status.to_string(), words: self.words.text() }
                }
                _ => Error::GuestCrashed { words: self.words.text() },
            },
        }
    }

    /// Waits a while for QEMU to end by itself.
    fn wait(&mut self, wait: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.qemu.0.try_wait() {
                // Its outputs are closed with it: what it said last is soon read.
                for heard in self.heard.drain(..) {
                    let _ = heard.join();
                }
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

/// A QEMU that runs. Dropping it ends it.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What SIGHUP asks for is another start.
fn again(signal: Option<Signal>) -> Option<Ended> {
    (signal != Some(Signal::SIGHUP)).then_some(Ended::Stopped)
}

/// The host's side of the serial port.
fn relay(
    guest: &Guest<'_>,
    port: File,
    listener: UnixListener,
    device: Device,
    tell: Sender<Event>,
) -> Result<(Relay, Handle), Error> {
    let mut device = Some(device);
    let settings = guest.settings.to_vec();
    let folder = guest.storage.to_owned();
    // A guest that opens a service twice, or one that is not the host's, is refused the channel.
    let (mut storage, mut told) = (Some(folder), Some(settings));
    let connect = move |service| {
        let (ours, theirs) = UnixStream::pair()?;
        let refused = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        match service {
            Service::Tee => {
                let mut device = device.take().ok_or_else(refused)?;
                thread::spawn(move || device.serve(theirs));
            }
            Service::Storage => {
                let storage = storage.take().ok_or_else(refused)?;
                thread::spawn(move || storage::serve(theirs, &storage));
            }
            Service::Settings => {
                let settings = told.take().ok_or_else(refused)?;
                thread::spawn(move || (&theirs).write_all(&settings));
            }
            Service::Agent => return Err(refused()),
        }
        Ok(ours)
    };
    let notify = move |notice| {
        if notice == Notice::Greeted {
            let _ = tell.send(Event::Greeted);
        }
    };
    let relay = Relay::new(Side::Host, port, Some(listener), connect, notify);
    relay.map_err(|error| Error::launch("make the serial port", error))
}

/// QEMU, about to be started from the bytes that were measured.
pub(super) fn command(
    guest: &Guest<'_>,
    program: &Path,
    accelerator: Accelerator,
    port: UnixStream,
) -> Result<(Command, LastWords), Error> {
    let Image { firmware, kernel, initrd, .. } = guest.image;
    let mut descriptors = vec![FdMapping { parent_fd: port.into(), child_fd: PORT_FD }];
    let mut part = |name, bytes: &[u8], child_fd| {
        let parent_fd = launch::sealed(name, bytes, MemfdFlags::empty())?;
        descriptors.push(FdMapping { parent_fd, child_fd });
        Ok(format!("/proc/self/fd/{child_fd}"))
    };
    let parts = Parts {
        firmware: firmware
            .as_ref()
            .map(|bytes| part("firmware", bytes, PORT_FD + 1))
            .transpose()?,
        kernel: part("kernel", kernel, PORT_FD + 2)?,
        initrd: part("initrd", initrd, PORT_FD + 3)?,
    };
    let Guest { image, resources, protection, .. } = guest;
    let arguments = qemu::arguments(image, &parts, *resources, accelerator, protection, PORT_FD);
    let mut command = Command::new("/proc/self/exe");
    command.arg(launch::GUARD).arg(std::process::id().to_string()).arg(program).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.fd_mappings(descriptors).expect("the numbers differ");
    // A signal from the terminal is for this program, which ends the guest well.
    command.process_group(0);
    Ok((command, LastWords::default()))
}

/// Where a program is, among the directories that hold programs.
pub(super) fn find(program: &'static str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file());
    found.ok_or(Error::NoQemu { program })
}

fn watch_signals(tell: Sender<Event>) -> Result<(), Error> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    // Threads that are started from here on inherit this, so that the one below gets them all.
    let blocked = signals.thread_block();
    blocked.map_err(|error| Error::launch("watch for signals", error))?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if tell.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
const PORT_FD: i32 = 9;
const POWER_OFF_WAIT: Duration = Duration::from_secs(5);
const STOP_WAIT: Duration = Duration::from_secs(10);
