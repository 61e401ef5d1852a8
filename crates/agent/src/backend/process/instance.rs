//! A worker, seen from the agent.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use channel::receipt::Receipt;
use cose::{Key, Thumbprint};
use device::frame::{self, Broken};
use rats::eat::{Instance as InstanceClaim, InstanceType};

use super::Limits;
use super::wire::{Load, Reply, Request};
use crate::backend::{Backend, Crash, Failed, Instance, Program};

/// Starts workers: the agent's own program with the argument `ta-worker`.
#[derive(Clone, Debug)]
pub struct ProcessBackend {
    program: PathBuf,
    limits: Limits,
}

impl ProcessBackend {
    /// Workers from this program; a running agent names `/proc/self/exe`, so that the worker is
    /// the same measured bytes.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { program: program.into(), limits }
    }

    fn spawn(&self) -> Result<Worker, Crash> {
        let not_started = |_| Crash::NotStarted;
        let (ours, theirs) = UnixStream::pair().map_err(not_started)?;
        let child = Command::new(&self.program)
            .arg("ta-worker")
            .arg(self.limits.cpu_s_max.to_string())
            .arg(self.limits.memory_bytes_max.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        Ok(Worker { agent: ours, child, limits: self.limits })
    }
}

impl Backend for ProcessBackend {
    fn start(&self, program: Program<'_>) -> Result<Box<dyn Instance>, Failed> {
        let mut worker = self.spawn()?;
        let Reply::Ready { enforced } = worker.reply(START_WAIT)? else {
            return Err(Crash::Unexpected.into());
        };
        let load = Request::Load(Load {
            owner: program.owner.0,
            manifest_digest: program.manifest_digest,
            memory_bytes_max: self.limits.memory_bytes_max,
            call_ms_max: self.limits.call_ms_max,
            module: program.module.to_vec(),
        });
        let Reply::Loaded { service_key } = worker.ask(&load, COMPILE_WAIT)? else {
            return Err(Crash::Unexpected.into());
        };
        Ok(Box::new(Process { worker, isolation: enforced, service_key }))
    }
}

/// A running Trusted Application in a process of its own.
#[derive(Debug)]
struct Process {
    worker: Worker,
    isolation: Vec<String>,
    service_key: Key,
}

impl Instance for Process {
    fn claim(&self) -> InstanceClaim {
        InstanceClaim {
            kind: InstanceType::Process,
            isolation: self.isolation.clone(),
            submodule: Some("wasmtime".to_owned()),
        }
    }

    fn service_key(&self) -> &Key {
        &self.service_key
    }

    fn new_receiver(&mut self) -> Result<Key, Failed> {
        let Reply::Receiver { key } = self.worker.ask_now(&Request::NewReceiver)? else {
            return Err(Crash::Unexpected.into());
        };
        Ok(key)
    }

    fn bind(&mut self, receiver: Thumbprint, eat_digest: [u8; 32]) -> Result<(), Failed> {
        let Reply::Bound =
            self.worker.ask_now(&Request::Bind { receiver: receiver.0, eat_digest })?
        else {
            return Err(Crash::Unexpected.into());
        };
        Ok(())
    }

    fn open(&mut self, release: Vec<u8>) -> Result<Receipt, Failed> {
        let Reply::Opened(receipt) = self.worker.ask_now(&Request::Open { release })? else {
            return Err(Crash::Unexpected.into());
        };
        Ok(receipt)
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
struct Worker {
    agent: UnixStream,
    child: Child,
    limits: Limits,
}

impl Worker {
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time for a worker to lock itself down.
const START_WAIT: Duration = Duration::from_secs(20);

/// The time to compile and start a component.
const COMPILE_WAIT: Duration = Duration::from_secs(120);

/// What a reply may take beyond the budget of the call itself.
const MARGIN: Duration = Duration::from_secs(5);
