//! What can go wrong in the software TEE.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A failure of the software TEE, sorted by what its operator must repair.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be used.
    #[error("cannot {doing} {path}: {kind}", path = .path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        kind: ErrorKind,
    },
    /// A state file does not hold what was written there; remove it to start anew.
    #[error("{path} is damaged: {what}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another process uses this directory or socket.
    #[error("{path} is in use by another process", path = .path.display())]
    InUse {
        /// What is in use.
        path: PathBuf,
    },
    /// The program to be launched is empty.
    #[error("the program is empty")]
    EmptyProgram,
    /// The hardware family has no such fault.
    #[error("misbehaviour {misbehaviour} makes no sense here: {why}")]
    Senseless {
        /// What was asked for.
        misbehaviour: &'static str,
        /// Why it cannot be shown.
        why: &'static str,
    },
    /// The image of a VM lacks a part.
    #[error("{path} is missing; `cargo xtask guest` makes images", path = .path.display())]
    NoImage {
        /// What is missing.
        path: PathBuf,
    },
    /// The image's kernel does not fit what the image says of itself.
    #[error("the kernel of the image is none for {expected}")]
    WrongKernel {
        /// The processor that the image names.
        expected: &'static str,
    },
    /// The image is for another processor than the family has.
    #[error("{family} has {expected} guests, and the image is for {seen}")]
    WrongImage {
        /// The family.
        family: &'static str,
        /// Its processor.
        expected: &'static str,
        /// The image's.
        seen: &'static str,
    },
    /// The family protects programs, not machines.
    #[error("{family} has no virtual machines; leave `--vm` out")]
    NoVm {
        /// The family.
        family: &'static str,
    },
    /// The family protects machines, not programs.
    #[error("{family} protects virtual machines alone; name an image with `--vm`")]
    OnlyVm {
        /// The family.
        family: &'static str,
    },
    /// The family attests at launch, to the owner of the guest.
    #[error("this hardware attests at launch: name where the owner connects, `--launch-listen`")]
    NoOwner,
    /// A launch takes one secret, and the guest that got it is gone.
    #[error("a launch is for one start; start this program again, and have the owner launch")]
    LaunchedOnce,
    /// QEMU is not there.
    #[error("{program} is not on this machine; `cargo xtask setup` installs it")]
    NoQemu {
        /// The program.
        program: &'static str,
    },
    /// QEMU ended by itself.
    #[error("QEMU ended ({status}); it said: {words}")]
    QemuEnded {
        /// With which status.
        status: String,
        /// The last lines of QEMU and of the guest's console.
        words: String,
    },
    /// The guest did not greet.
    #[error("the guest did not greet within {seconds} s; its console ends: {words}")]
    GuestSilent {
        /// How long it had.
        seconds: u64,
        /// The last lines of its console.
        words: String,
    },
    /// The guest ended without a word: its kernel panicked, or it was reset.
    #[error("the guest crashed; its console ends: {words}")]
    GuestCrashed {
        /// The last lines of its console.
        words: String,
    },
    /// The guest came up and could not start the agent.
    #[error("the guest could not start the agent; its console ends: {words}")]
    GuestFailed {
        /// The last lines of its console.
        words: String,
    },
    /// The guest broke a rule of the serial port, and was ended.
    #[error("the guest was ended")]
    GuestMisbehaved(#[source] link::Broken),
    /// The operating system refused a step of the launch.
    #[error("cannot {doing}: {kind}")]
    Launch {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        kind: ErrorKind,
    },
    /// The cryptographic library refused an operation.
    #[error("cryptographic library cannot {0}")]
    Crypto(&'static str),
    /// The clock shows a time that certificates cannot carry.
    #[error("the clock is outside the years 2000 to 9000")]
    Clock,
}

impl Error {
    pub(crate) fn disk(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), kind: error.kind() }
    }

    pub(crate) fn damaged(path: &Path, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), what }
    }

    pub(crate) fn launch(doing: &'static str, error: impl Into<std::io::Error>) -> Self {
        Self::Launch { doing, kind: error.into().kind() }
    }
}
