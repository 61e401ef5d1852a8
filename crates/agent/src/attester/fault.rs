//! What goes wrong at an interface of the operating system, by name and with a remedy.

use std::io;
use std::path::Path;

/// An interface did not give what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{interface}: {problem}; {remedy}")]
pub struct Fault {
    /// Which interface: its path.
    pub interface: String,
    /// What happened.
    pub problem: Problem,
    /// What would help.
    pub remedy: &'static str,
}

/// What happened at an interface.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not there.
    #[error("it is not there")]
    Absent,
    /// The Agent's user may not use it.
    #[error("permission denied")]
    Denied,
    /// No driver of a TEE stands behind it.
    #[error("no TEE provides it")]
    NoProvider,
    /// Another TEE than expected, or one that is not known, stands behind it.
    #[error("its provider is `{0}`")]
    Provider(String),
    /// It was busy, or others used it, each time it was tried.
    #[error("others used it each of {0} times")]
    Busy(u32),
    /// What it gave has another length than it must have.
    #[error("it gave {seen} bytes where {expected} are the least")]
    Length {
        /// The least that makes sense.
        expected: usize,
        /// What came.
        seen: usize,
    },
    /// What it gave covers other user data than the Agent wrote.
    #[error("its evidence covers other user data")]
    OtherData,
    /// What it gave is not what its documentation says.
    #[error("it gave no {0}")]
    Malformed(&'static str),
    /// The secure world has no attestation service.
    #[error("the secure world has no attestation service")]
    NoService,
    /// There is no library that reaches the quoting TA.
    #[error("there is no usable libqca.so")]
    NoLibrary,
    /// The host runs no quoting service at this port of its vsock.
    #[error("the host has no quoting service at port {0}")]
    NoQuotingService(u32),
    /// The host's quoting service failed, with the code that it gives.
    #[error("the host's quoting service failed with code {0:#x}")]
    QuotingService(u32),
    /// The firmware below it failed, with the code that it gives.
    #[error("the firmware failed with code {0:#x}")]
    Firmware(u64),
    /// The privilege level that the Agent is allowed is another one.
    #[error("it allows privilege level {floor} and above, not {asked}")]
    PrivilegeLevel {
        /// What was asked for.
        asked: u8,
        /// The lowest that is allowed.
        floor: u8,
    },
    /// The operating system failed.
    #[error("{0}")]
    Os(io::ErrorKind),
}

impl Fault {
    /// A problem of an interface, with the remedy for it.
    pub fn new(interface: &Path, problem: Problem) -> Self {
        let remedy = problem.remedy();
        Self { interface: interface.display().to_string(), problem, remedy }
    }

    /// An error of the operating system at an interface.
    pub(super) fn os(interface: &Path, error: &io::Error) -> Self {
        // What a kernel without a provider says when a report is to be made.
        const NO_PROVIDER: [i32; 3] = [libc::ENXIO, libc::ENODEV, libc::ENOTTY];
        let kind = error.kind();
        let problem = if kind == io::ErrorKind::NotFound {
            Problem::Absent
        } else if kind == io::ErrorKind::PermissionDenied {
            Problem::Denied
        } else if error.raw_os_error().is_some_and(|code| NO_PROVIDER.contains(&code)) {
            Problem::NoProvider
        } else {
            Problem::Os(kind)
        };
        Self::new(interface, problem)
    }
}

impl Problem {
    const fn remedy(&self) -> &'static str {
        match self {
            Self::Absent => {
                "run the Agent inside the TEE, with a kernel or library OS that has this interface"
            }
            Self::Denied => "give the Agent's user read and write access to it",
            Self::NoProvider => "load the TEE's guest driver inside a confidential VM",
            Self::NoService => "build OP-TEE with CFG_ATTESTATION_PTA=y",
            Self::NoLibrary => "install Huawei's itrustee_sdk, which brings libqca.so",
            Self::NoQuotingService(_) => {
                "start Intel's qgs on the host, or name its port in /etc/tdx-attest.conf"
            }
            Self::QuotingService(_) => "see what qgs says on the host; often it lacks its PCK",
            Self::Provider(_) => "start the Agent again: it was started for another TEE",
            Self::Busy(_) => "leave the interface to the Agent alone",
            Self::Length { .. } | Self::Malformed(_) => {
                "update kernel and firmware: what came is no evidence"
            }
            Self::OtherData => "leave the interface to the Agent alone: it attested another's data",
            Self::Firmware(_) => {
                "look the code up in the vendor's firmware specification, and update the firmware"
            }
            Self::PrivilegeLevel { .. } => "ask for a privilege level that this guest has",
            Self::Os(_) => "see the kernel's log of the guest",
        }
    }
}
