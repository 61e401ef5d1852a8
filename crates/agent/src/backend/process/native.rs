//! A native Trusted Application, seen from its custodian: one socket, one question at a time.
//!
//! The application is a process beside the custodian, in the same isolation and with stricter
//! limits. It never sees a key: what reaches it was opened by the custodian, what it answers is
//! sealed by the custodian. The interface is on its standard input:
//!
//! ```text
//! frame    = length (4 bytes, big-endian) || kind (1 byte) || body
//! question = kind 1, Personalization Data / kind 2, request
//! answer   = kind 0, answer (empty for Personalization Data) / kind 1, text of a refusal
//! ```

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use device::frame::{FRAME_BYTES_MAX, HEADER_BYTES};
use rustix::event::{PollFd, PollFlags, Timespec};
use zeroize::Zeroizing;

use super::lockdown::{self, Limits, Profile};
use super::sandbox::Fault;

/// A native application that runs.
#[derive(Debug)]
pub(crate) struct Native {
    stream: UnixStream,
    call: Duration,
}

/// A program to be started as an application.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
}

impl Native {
    /// Starts a static program from a file without a name.
    pub(crate) fn of_file(file: OwnedFd, limits: Limits) -> Result<Self, Fault> {
        let file = File::from(file);
        check(&file)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let start = Start { path, folder: PathBuf::from("/"), ..Start::default() };
        Self::start(start, limits, Profile::Program)
    }

    /// Starts a program, locked down before its first instruction.
    pub(crate) fn start(start: Start, limits: Limits, profile: Profile) -> Result<Self, Fault> {
        let not_executed = |_| Fault::NotExecuted;
        let (ours, theirs) = UnixStream::pair().map_err(not_executed)?;
        ours.set_nonblocking(true).map_err(not_executed)?;
        let mut command = Command::new(&start.path);
        command
            .args(&start.arguments)
            .env_clear()
            .envs(start.environment)
            .current_dir(&start.folder)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        crate::sys::before_exec(&mut command, move || {
            let kill = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(kill)?;
            lockdown::enter(limits, profile).map(drop).map_err(std::io::Error::other)
        })
        .map_err(not_executed)?;
        // The custodian does not wait for it: the end of its socket tells, and it is killed with
        // its custodian.
        command.spawn().map_err(not_executed)?;
        Ok(Self { stream: ours, call: Duration::MAX })
    }

    /// A program that runs already, at the other end of this socket.
    pub(crate) fn of_socket(socket: OwnedFd) -> Result<Self, Fault> {
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(true).map_err(|_| Fault::NotExecuted)?;
        Ok(Self { stream, call: Duration::MAX })
    }

    /// The time for one call.
    pub(crate) fn limit(&mut self, call: Duration) {
        self.call = call;
    }

    /// Hands over Personalization Data. The inner error is the application's own refusal.
    pub(crate) fn personalize(&mut self, pd: &[u8]) -> Result<Result<(), String>, Fault> {
        Ok(self.ask(PERSONALIZE, pd)?.map(drop))
    }

    /// Asks for an answer. The inner error is the application's own refusal.
    pub(crate) fn serve(
        &mut self,
        request: &[u8],
    ) -> Result<Result<Zeroizing<Vec<u8>>, String>, Fault> {
        self.ask(SERVE, request)
    }

    fn ask(&mut self, kind: u8, body: &[u8]) -> Result<Result<Zeroizing<Vec<u8>>, String>, Fault> {
        let until = Instant::now().checked_add(self.call);
        let length = u32::try_from(body.len() + 1).map_err(|_| Fault::Trapped)?;
        let mut question = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + 1 + body.len()));
        question.extend_from_slice(&length.to_be_bytes());
        question.push(kind);
        question.extend_from_slice(body);
        let mut rest = question.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(Fault::Trapped),
                Ok(count) => rest = &rest[count..],
                Err(error) => self.wait(&error, PollFlags::OUT, until)?,
            }
        }
        let header = self.read(HEADER_BYTES, until)?;
        let length = u32::from_be_bytes(header.as_slice().try_into().map_err(|_| Fault::Trapped)?);
        let length = usize::try_from(length).map_err(|_| Fault::Trapped)?;
        if !(1..=FRAME_BYTES_MAX).contains(&length) {
            return Err(Fault::Trapped);
        }
        let answer = self.read(length, until)?;
        match answer.split_first() {
            Some((&DONE, body)) => Ok(Ok(Zeroizing::new(body.to_vec()))),
            Some((&REFUSED, text)) => Ok(Err(String::from_utf8_lossy(text).into_owned())),
            Some(_) | None => Err(Fault::Trapped),
        }
    }

    /// Reads exactly so many bytes; memory grows with what really arrives.
    fn read(&mut self, length: usize, until: Option<Instant>) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut bytes = Zeroizing::new(Vec::new());
        let mut chunk = Zeroizing::new([0; 16 * 1024]);
        while bytes.len() < length {
            let most = chunk.len().min(length - bytes.len());
            match self.stream.read(&mut chunk[..most]) {
                Ok(0) => return Err(Fault::Trapped),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) => self.wait(&error, PollFlags::IN, until)?,
            }
        }
        Ok(bytes)
    }

    fn wait(
        &self,
        error: &std::io::Error,
        flags: PollFlags,
        until: Option<Instant>,
    ) -> Result<(), Fault> {
        if error.kind() == ErrorKind::Interrupted {
            return Ok(());
        }
        if error.kind() != ErrorKind::WouldBlock {
            return Err(Fault::Trapped);
        }
        let left = match until {
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Fault::Deadline);
                }
                Some(Timespec::try_from(left).map_err(|_| Fault::Trapped)?)
            }
            None => None,
        };
        match rustix::event::poll(&mut [PollFd::new(&self.stream, flags)], left.as_ref()) {
            Ok(0) => Err(Fault::Deadline),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(_) => Err(Fault::Trapped),
        }
    }
}

/// Checks that the file is a program which needs no other file: 64 bits, this machine, static.
fn check(file: &File) -> Result<(), Fault> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).map_err(|_| Fault::NotAProgram)?;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let machine = match std::env::consts::ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        _ => return Err(Fault::NotAProgram),
    };
    let little_64 = header.starts_with(b"\x7fELF\x02\x01");
    if !little_64 || ![2, 3].contains(&half(16)) || half(18) != machine || half(54) != 56 {
        return Err(Fault::NotAProgram);
    }
    let table =
        header[32..40].try_into().map(u64::from_le_bytes).map_err(|_| Fault::NotAProgram)?;
    for index in 0..u64::from(half(56)) {
        let mut kind = [0; 4];
        let at = table.checked_add(index * 56).ok_or(Fault::NotAProgram)?;
        file.read_exact_at(&mut kind, at).map_err(|_| Fault::NotAProgram)?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Err(Fault::NotAProgram);
        }
    }
    Ok(())
}

const DONE: u8 = 0;
/// The kind of a program header that asks for a dynamic linker.
const INTERPRETER: u32 = 3;
const PERSONALIZE: u8 = 1;
const REFUSED: u8 = 1;
const SERVE: u8 = 2;
