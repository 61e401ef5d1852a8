//! The worker: the process that runs one Trusted Application and keeps its keys.
//!
//! It knows the agent's frames, the keys of its one application, and the sandbox. It does not
//! know TEEP, SUIT, other applications, or where it is. It ends when the agent does, and it ends
//! after a fault: memory of unknown content is not asked again.

use std::os::unix::net::UnixStream;

use cose::Thumbprint;
use device::frame;

use super::custody::{self, Custody};
use super::lockdown::{self, Limits};
use super::sandbox::{Application, Budget, Fault};
use super::wire::{FaultCode, Load, Refusal, Reply, Request};

/// Runs a worker on its standard input until the agent closes it.
///
/// The first words of the agent are on the command line, because the kernel's limits have to
/// stand before anything is read.
pub fn run(limits: Limits) -> Result<(), Ended> {
    crate::sys::close_all_others()?;
    lockdown::check_bare()?;
    let stdin = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
    let mut agent = UnixStream::from(stdin);
    let enforced = lockdown::enter(limits)?;
    let enforced = enforced.0.iter().map(|name| (*name).to_owned()).collect();
    frame::send(&mut agent, &Reply::Ready { enforced })?;

    let Some(first) = frame::receive(&mut agent)? else {
        return Ok(());
    };
    let Request::Load(load) = first else {
        return Ok(frame::send(&mut agent, &Reply::Refused(Refusal::Misuse))?);
    };
    let mut worker = match Worker::load(load) {
        Ok(worker) => worker,
        Err(fault) => return Ok(frame::send(&mut agent, &Reply::Faulted(fault))?),
    };
    frame::send(&mut agent, &Reply::Loaded { service_key: worker.custody.service_key() })?;

    while let Some(request) = frame::receive(&mut agent)? {
        let reply = worker.answer(request);
        frame::send(&mut agent, &reply)?;
        if matches!(reply, Reply::Faulted(_)) {
            break;
        }
    }
    Ok(())
}

/// Why a worker ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It could not be locked down.
    #[error("the worker could not be locked down")]
    Unprotected(#[from] lockdown::Unprotected),
    /// Its connection to the agent broke.
    #[error("the connection to the agent broke")]
    Broken(#[from] frame::Broken),
    /// It has no connection to the agent.
    #[error("there is no agent on the standard input")]
    NoAgent(#[from] std::io::Error),
}

/// One application and its keys.
struct Worker {
    application: Application,
    custody: Custody,
}

impl Worker {
    fn load(load: Load) -> Result<Self, FaultCode> {
        let budget = Budget {
            memory_bytes_max: usize::try_from(load.memory_bytes_max)
                .map_err(|_| FaultCode::NotStarted)?,
            call_ms_max: load.call_ms_max,
        };
        let application = Application::start(&load.module, budget).map_err(code)?;
        let custody = Custody::new(Thumbprint(load.owner), load.manifest_digest);
        Ok(Self { application, custody })
    }

    fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Load(_) => Reply::Refused(Refusal::Misuse),
            Request::NewReceiver => Reply::Receiver { key: self.custody.new_receiver() },
            Request::Bind { receiver, eat_digest } => {
                match self.custody.bind(Thumbprint(receiver), eat_digest) {
                    Ok(()) => Reply::Bound,
                    Err(refusal) => Reply::Refused(refusal),
                }
            }
            Request::Open { release } => self.open(&release),
            Request::Call { request } => self.call(&request),
        }
    }

    fn open(&mut self, release: &[u8]) -> Reply {
        let opened = match self.custody.open(release) {
            Ok(opened) => opened,
            Err(refusal) => return Reply::Refused(refusal),
        };
        match self.application.personalize(opened.data.expose()) {
            Ok(Ok(())) => {
                self.custody.admit(opened.callers);
                Reply::Opened(opened.receipt)
            }
            Ok(Err(_)) => Reply::Refused(Refusal::Application),
            Err(fault) => Reply::Faulted(code(fault)),
        }
    }

    fn call(&mut self, request: &[u8]) -> Reply {
        let received = match self.custody.open_request(request) {
            Ok(received) => received,
            Err(refusal) => return Reply::Refused(refusal),
        };
        match self.application.serve(received.payload.expose()) {
            Ok(Ok(plain)) => match custody::answer(received, &plain) {
                Ok(sealed) => Reply::Answer(sealed),
                Err(refusal) => Reply::Refused(refusal),
            },
            Ok(Err(_)) => Reply::Refused(Refusal::Application),
            Err(fault) => Reply::Faulted(code(fault)),
        }
    }
}

fn code(fault: Fault) -> FaultCode {
    match fault {
        Fault::NotAComponent => FaultCode::NotAComponent,
        Fault::Imports(_) => FaultCode::Imports,
        Fault::Exports => FaultCode::Exports,
        Fault::NotStarted => FaultCode::NotStarted,
        Fault::Deadline => FaultCode::Deadline,
        Fault::Trapped => FaultCode::Trapped,
    }
}
