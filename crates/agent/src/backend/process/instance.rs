//! A worker, seen from the agent.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use channel::{Suite, Suites};
use cose::{Key, Secret, Thumbprint};
use device::broker::Piece;
use device::frame::{self, Broken};
use rats::eat::{ImageId, Instance as InstanceClaim, InstanceType};
use rustix::fs::{MemfdFlags, SealFlags};

use super::module_cache::ModuleCache;
use super::wire::{Load, Reply, Request};
use super::{Form, Limits};
use crate::backend::{
    Backend, Crash, FRAME_CONTENT_BYTES_MAX, Failed, Holds, Instance, Program, Progress,
};

/// Starts workers: the agent's own program with the argument `ta-worker`.
#[derive(Clone, Debug)]
pub struct ProcessBackend {
    program: PathBuf,
    limits: Limits,
    kind: InstanceType,
    cache: Arc<ModuleCache>,
}

impl ProcessBackend {
    /// Workers from this program; a running agent names `/proc/self/exe`, so that the worker is
    /// the same measured bytes.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { program: program.into(), limits, kind: InstanceType::Process, cache: Arc::default() }
    }

    /// Workers of a virtual machine that is itself the instance: the agent inside it is the
    /// machine's first process, and what is enforced inside stands in the claim beside it.
    pub fn of_vm(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { program: program.into(), limits, kind: InstanceType::Vm, cache: Arc::default() }
    }

    /// The same with another place for compiled modules than its own memory.
    pub fn with_cache(self, cache: Arc<ModuleCache>) -> Self {
        Self { cache, ..self }
    }

    fn spawn(&self, form: Form, content: &[u8]) -> Result<Worker, Crash> {
        let mut command = Command::new(&self.program);
        self.limits.arguments(command.arg("ta-worker"), form);
        match form {
            Form::Component | Form::Container | Form::Started => command.stdout(Stdio::null()),
            Form::Program => command.stdout(sealed(content).map_err(|_| Crash::NotStarted)?),
        };
        Worker::spawn(command, self.limits)
    }
}

impl Backend for ProcessBackend {
    fn start(&self, program: Program<'_>) -> Result<Box<dyn Instance>, Failed> {
        let form = Form::of(program.module);
        let (length, max) = (program.module.len() as u64, FRAME_CONTENT_BYTES_MAX);
        if form != Form::Program && length > max {
            return Err(Failed::TooLong { length, max });
        }
        let worker = self.spawn(form, program.module)?;
        let (code, submodule) = match form {
            Form::Program => (None, "native"),
            Form::Component | Form::Container | Form::Started => {
                let (digest, module) = (cose::sha256(program.module), program.module);
                (Some(Code { cache: &self.cache, digest, module }), self.limits.submodule())
            }
        };
        let (kind, isolation) = (self.kind, Vec::new());
        load(worker, program, code, Claimed { kind, isolation, submodule, image: None })
    }
}

/// A file without a name that nobody can change any more.
fn sealed(content: &[u8]) -> std::io::Result<Stdio> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("application", flags)?);
    file.write_all(content)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(Stdio::from(OwnedFd::from(file)))
}

/// How an instance runs, as far as who starts it knows; the custodian adds what it enforces.
#[derive(Debug)]
pub(in crate::backend) struct Claimed {
    pub(in crate::backend) kind: InstanceType,
    pub(in crate::backend) isolation: Vec<String>,
    pub(in crate::backend) submodule: &'static str,
    pub(in crate::backend) image: Option<ImageId>,
}

/// A component that a custodian runs itself.
#[derive(Debug)]
pub(in crate::backend) struct Code<'a> {
    /// Where its machine code may be.
    pub(in crate::backend) cache: &'a ModuleCache,
    /// SHA-256 of the component.
    pub(in crate::backend) digest: [u8; 32],
    /// The component; empty where the custodian has it already.
    pub(in crate::backend) module: &'a [u8],
}

/// Gives a custodian its application.
pub(in crate::backend) fn load(
    mut worker: Worker,
    program: Program<'_>,
    code: Option<Code<'_>>,
    claimed: Claimed,
) -> Result<Box<dyn Instance>, Failed> {
    let Reply::Ready { enforced } = worker.reply(START_WAIT)? else {
        return Err(Crash::Unexpected.into());
    };
    let cached = code.as_ref().and_then(|code| code.cache.get(code.digest));
    let module = match (&cached, &code) {
        (Some(compiled), _) => compiled.to_vec(),
        (None, Some(code)) => code.module.to_vec(),
        (None, None) => Vec::new(),
    };
    let load = Request::Load(Load {
        manifest_digest: program.manifest_digest,
        memory_bytes_max: worker.limits.memory_bytes_max,
        call_ms_max: worker.limits.call_ms_max,
        compiled: cached.is_some(),
        module,
    });
    let mut reply = worker.ask(&load, COMPILE_WAIT);
    if let (Ok(Reply::Compiled { code: compiled }), Some(code), None) = (&mut reply, &code, &cached)
    {
        code.cache.put(code.digest, std::mem::take(compiled));
        reply = worker.reply(START_WAIT);
    }
    if let (Err(_), Some(code), Some(_)) = (&reply, &code, &cached) {
        // The next start compiles again: the engine may not be the one that made it.
        code.cache.forget(code.digest);
    }
    let Reply::Loaded { service_key } = reply? else {
        return Err(Crash::Unexpected.into());
    };
    let Claimed { kind, mut isolation, submodule, image } = claimed;
    isolation.extend(enforced);
    let submodule = Some(submodule.to_owned());
    let claim = InstanceClaim { kind, isolation, submodule, image };
    Ok(Box::new(Process { worker, claim, service_key }))
}

/// A running Trusted Application with its custodian in a process of its own.
#[derive(Debug)]
struct Process {
    worker: Worker,
    claim: InstanceClaim,
    service_key: Key,
}

impl Instance for Process {
    fn claim(&self) -> InstanceClaim {
        self.claim.clone()
    }

    fn service_key(&self) -> &Key {
        &self.service_key
    }

    fn new_receiver(&mut self, suites: &Suites) -> Result<Vec<Key>, Failed> {
        let ask = Request::NewReceiver { suites: suites.clone() };
        let Reply::Receiver { keys } = self.worker.ask_now(&ask)? else {
            return Err(Crash::Unexpected.into());
        };
        // What goes into evidence is what was asked for.
        if !suites.iter().map(Some).eq(keys.iter().map(Suite::of)) {
            return Err(Crash::Unexpected.into());
        }
        Ok(keys)
    }

    fn bind(&mut self, receiver: Thumbprint, eat_digest: [u8; 32]) -> Result<(), Failed> {
        let Reply::Bound =
            self.worker.ask_now(&Request::Bind { receiver: receiver.0, eat_digest })?
        else {
            return Err(Crash::Unexpected.into());
        };
        Ok(())
    }

    fn take(&mut self, owner: Thumbprint, piece: Piece, holds: Holds) -> Result<Progress, Failed> {
        match self.worker.ask_now(&Request::Take { owner: owner.0, piece, holds })? {
            Reply::Taken { offset } => Ok(Progress::Until(offset)),
            Reply::Opened(receipt) => Ok(Progress::Opened(receipt)),
            Reply::OpenedBundle { receipt, ua } => Ok(Progress::OpenedBundle(receipt, ua)),
            Reply::Answer(_)
            | Reply::Bound
            | Reply::Compiled { .. }
            | Reply::Faulted(_)
            | Reply::Loaded { .. }
            | Reply::Personalized
            | Reply::Ready { .. }
            | Reply::Receiver { .. }
            | Reply::Refused(_) => Err(Crash::Unexpected.into()),
        }
    }

    fn personalize(
        &mut self,
        owner: Thumbprint,
        stream: [u8; 32],
        data: Secret,
        callers: Option<Vec<Key>>,
    ) -> Result<(), Failed> {
        let last = callers.is_some();
        let personalize = Request::Personalize { owner: owner.0, stream, data, callers };
        match (self.worker.ask_now(&personalize)?, last) {
            (Reply::Personalized, true) | (Reply::Taken { .. }, false) => Ok(()),
            _ => Err(Crash::Unexpected.into()),
        }
    }

    fn call(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Failed> {
        let Reply::Answer(answer) = self.worker.ask_now(&Request::Call { request })? else {
            return Err(Crash::Unexpected.into());
        };
        Ok(answer)
    }

    fn alive(&mut self) -> bool {
        matches!(self.worker.child.try_wait(), Ok(None))
    }
}

/// The process and the connection to it. Dropping it ends the process.
#[derive(Debug)]
pub(in crate::backend) struct Worker {
    agent: UnixStream,
    child: Child,
    limits: Limits,
    /// What goes away after the process.
    kept: Option<Box<dyn Kept>>,
}

/// Something that has to outlive a process.
pub(in crate::backend) trait Kept: std::fmt::Debug + Send {}

impl<T: std::fmt::Debug + Send> Kept for T {}

impl Worker {
    /// Starts a custodian with its socket on the standard input and nothing else of ours.
    pub(in crate::backend) fn spawn(mut command: Command, limits: Limits) -> Result<Self, Crash> {
        let not_started = |_| Crash::NotStarted;
        let (agent, theirs) = UnixStream::pair().map_err(not_started)?;
        let child = command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        Ok(Self { agent, child, limits, kept: None })
    }

    /// The process that was started.
    pub(in crate::backend) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The connection to it.
    pub(in crate::backend) fn stream(&mut self) -> &mut UnixStream {
        &mut self.agent
    }

    /// Keeps something until the process has ended.
    pub(in crate::backend) fn keep(&mut self, kept: Box<dyn Kept>) {
        self.kept = Some(kept);
    }

    fn ask_now(&mut self, request: &Request) -> Result<Reply, Failed> {
        self.ask(request, Duration::from_millis(self.limits.call_ms_max) + MARGIN)
    }

    /// Asks, and ends the process when it does not answer in time.
    fn ask(&mut self, request: &Request, wait: Duration) -> Result<Reply, Failed> {
        let sent = self
            .agent
            .set_write_timeout(Some(wait))
            .map_err(|error| Broken::Io(error.kind()))
            .and_then(|()| frame::send(&mut self.agent, request));
        if let Err(broken) = sent {
            return Err(self.crashed(&broken).into());
        }
        self.reply(wait)
    }

    fn reply(&mut self, wait: Duration) -> Result<Reply, Failed> {
        let received = self
            .agent
            .set_read_timeout(Some(wait))
            .map_err(|error| Broken::Io(error.kind()))
            .and_then(|()| frame::receive(&mut self.agent)?.ok_or(Broken::Ended));
        match received {
            Ok(Reply::Refused(refusal)) => Err(Failed::Refused(refusal)),
            Ok(Reply::Faulted(fault)) => Err(Crash::Fault(fault).into()),
            Ok(reply) => Ok(reply),
            Err(broken) => Err(self.crashed(&broken).into()),
        }
    }

    fn crashed(&mut self, broken: &Broken) -> Crash {
        // It is killed in any case: a worker that missed one reply has lost its place.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let late = [ErrorKind::WouldBlock, ErrorKind::TimedOut].map(Broken::Io);
        if late.contains(broken) { Crash::Silent } else { Crash::Gone }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its socket ends a custodian that is not the child itself.
        let _ = self.agent.shutdown(std::net::Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.kept.take());
    }
}

/// The time for a worker to lock itself down.
const START_WAIT: Duration = Duration::from_secs(20);

/// The time to compile and start a component.
const COMPILE_WAIT: Duration = Duration::from_secs(120);

/// What a reply may take beyond the budget of the call itself.
const MARGIN: Duration = Duration::from_secs(5);
