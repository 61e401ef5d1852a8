//! Takes over the descriptors that the launcher of the agent hands down by number.
//!
//! This is the one place with `unsafe`: the standard library cannot know that a number is a
//! descriptor which nobody else in the process owns, nor what the structures of an ioctl point to.

pub mod qca;
pub mod sev;
pub mod tdx;
pub mod tee;

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use device::{AGENT_LISTENER_FD, SETTINGS_FD, STORAGE_FD, TEE_FD};
use rustix::io::FdFlags;
use rustix::thread::UnshareFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The descriptors that a running agent starts with.
#[derive(Debug)]
pub struct Inherited {
    /// The channel to the TEE, descriptor 3.
    pub tee: OwnedFd,
    /// The listening socket for the Broker, descriptor 4.
    pub listener: OwnedFd,
    /// The settings, descriptor 5.
    pub settings: OwnedFd,
    /// The REE's disk, descriptor 6, if it was asked for.
    pub storage: Option<OwnedFd>,
}

impl Inherited {
    /// Takes descriptors 3, 4 and 5, and 6 with `storage`; keeps them from every program started
    /// later, and closes
    /// all others beyond the standard three.
    ///
    /// Call it first in `main`, before anything else opens a descriptor. The second call in a
    /// process fails.
    pub fn take(storage: bool) -> io::Result<Self> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(io::Error::other("the inherited descriptors were taken before"));
        }
        let open = open()?;
        let last = if storage { STORAGE_FD } else { SETTINGS_FD };
        let inherited = Self {
            tee: take(TEE_FD)?,
            listener: take(AGENT_LISTENER_FD)?,
            settings: take(SETTINGS_FD)?,
            storage: storage.then(|| take(STORAGE_FD)).transpose()?,
        };
        close(open.into_iter().filter(|number| *number > last));
        Ok(inherited)
    }
}

/// Closes every descriptor beyond the standard three.
///
/// Call it first in `main`, before anything else opens a descriptor: whatever is open then was
/// left open by mistake by who started the process. [`Inherited::take`] cannot follow.
pub fn close_all_others() -> io::Result<()> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("the inherited descriptors were taken before"));
    }
    close(open()?.into_iter().filter(|number| *number > 2));
    Ok(())
}

/// Has the child do something in itself before it becomes its program.
///
/// It fails in a process with more than one thread: another thread could hold a lock that the
/// child would wait for.
#[expect(unsafe_code, reason = "what runs between fork and exec has rules of its own")]
pub fn before_exec(
    command: &mut Command,
    act: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    // The kernel takes this flag, and does nothing, from a process with one thread; from any
    // other it takes it not. A process without `/proc` has no other way to ask.
    unshare(UnshareFlags::from_bits_retain(libc::CLONE_THREAD.unsigned_abs()))?;
    // SAFETY: a child of a process with one thread (checked above) is a whole copy of it: no
    // other thread held a lock of the allocator or of anything else, so what runs in the child
    // is bound by no more rules than what runs here.
    unsafe { command.pre_exec(act) };
    Ok(())
}

/// Leaves the namespaces of the parent for new ones, as far as `flags` say.
#[expect(unsafe_code, reason = "leaving a shared table of descriptors would be unsafe")]
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES), "it is not asked for");
    // SAFETY: the one unsafe flag, `FILES`, is taken out.
    unsafe { rustix::thread::unshare_unsafe(flags - UnshareFlags::FILES) }?;
    Ok(())
}

/// Takes compiled code for a component of this engine.
#[expect(unsafe_code, reason = "compiled code is run as it is")]
pub fn compiled(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the engine checks that its own version and settings made the code. That nobody
    // changed it since is the agent's promise: it gives a worker only what it got from a worker
    // before the module ran, out of its memory or sealed under a key of this TEE. Were the promise
    // broken, the code would run in this locked-down process, which was made to run foreign code.
    unsafe { Component::deserialize(engine, code) }
}

/// The numbers of all open descriptors, and that of the listing itself, which is closed again.
fn open() -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(numbers)
}

/// Takes and drops; a number that is not open any more is left alone.
fn close(numbers: impl Iterator<Item = i32>) {
    for number in numbers {
        let _ = take(number);
    }
}

#[expect(unsafe_code, reason = "a descriptor handed down by number has no safe owner yet")]
fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the borrow ends with this statement, and F_GETFD fails on a number that is not an
    // open descriptor instead of doing anything to it.
    let flags = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: the number is open (checked above). Nobody else owns it: the two public callers
    // exclude each other and themselves (`TAKEN`) and come before this process opens anything,
    // so the number was handed down.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, flags | FdFlags::CLOEXEC)?;
    Ok(fd)
}

static TAKEN: AtomicBool = AtomicBool::new(false);
