//! The worker: the process that runs one Trusted Application and keeps its keys.
//!
//! It knows the agent's frames, the keys of its one application, and the sandbox. It does not
//! know TEEP, SUIT, other applications, or where it is. It ends when the agent does, and it ends
//! after a fault: memory of unknown content is not asked again.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use channel::bundle::Bundle;
use cose::{Key, Secret, Thumbprint};
use device::broker::Piece;
use device::frame;
use zeroize::Zeroizing;

use super::custody::{self, Arrived, Custody};
use super::lockdown::{self, Profile};
use super::native::Native;
use super::sandbox::{Application, Budget, Code, Fault};
use super::wire::{FaultCode, Load, Refusal, Reply, Request};
use super::{Form, Limits};
use crate::backend::container;
use crate::exchanges::{Opened, Taken};

/// Runs a worker on its standard input until the agent closes it.
///
/// The first words of the agent are on the command line, because the kernel's limits have to
/// stand before anything is read.
pub fn run(limits: Limits, form: Form) -> Result<(), Ended> {
    crate::sys::close_all_others()?;
    lockdown::check_bare()?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut agent = UnixStream::from(stdin);
    let (prepared, mut enforced) = match prepare(limits, form) {
        Ok(prepared) => prepared,
        Err(fault) => return Ok(frame::send(&mut agent, &Reply::Faulted(code(fault)))?),
    };
    let profile = if limits.interpret { Profile::Interpreter } else { Profile::Custodian };
    let own = lockdown::enter(limits.of_custodian(), profile)?;
    enforced.extend(own.0.iter().map(|name| (*name).to_owned()));
    frame::send(&mut agent, &Reply::Ready { enforced })?;

    let Some(first) = frame::receive(&mut agent)? else {
        return Ok(());
    };
    let Request::Load(load) = first else {
        return Ok(frame::send(&mut agent, &Reply::Refused(Refusal::Misuse))?);
    };
    let mut keep = |code| frame::send(&mut agent, &Reply::Compiled { code });
    let mut worker = match Worker::load(load, prepared, limits.interpret, &mut keep)? {
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

/// What there is of the application before the custodian locks itself down.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// A component: of the image, or still to come from the agent.
    Component(Option<Vec<u8>>),
    /// A program that waits for its first question.
    Native(Native),
}

/// Starts what has to be started by a process that still may, and tells what separates it.
fn prepare(limits: Limits, form: Form) -> Result<(Prepared, Vec<String>), Fault> {
    let content = || std::io::stdout().as_fd().try_clone_to_owned();
    match form {
        Form::Component => Ok((Prepared::Component(None), Vec::new())),
        Form::Program => {
            let file = content().map_err(|_| Fault::NotExecuted)?;
            let native = Native::of_file(file, limits.of_program())?;
            Ok((Prepared::Native(native), Vec::new()))
        }
        Form::Container => {
            let image = content().map_err(|_| Fault::NotIsolated)?;
            container::prepare(image, limits.of_program())
        }
        Form::Started => {
            let socket = content().map_err(|_| Fault::NotExecuted)?;
            Ok((Prepared::Native(Native::of_socket(socket)?), Vec::new()))
        }
    }
}

/// A Trusted Application, whatever runs it.
enum Running {
    Component(Application),
    Native(Native),
}

impl Running {
    fn personalize(&mut self, pd: &[u8]) -> Result<Result<(), String>, Fault> {
        match self {
            Self::Component(application) => application.personalize(pd),
            Self::Native(native) => native.personalize(pd),
        }
    }

    fn serve(&mut self, request: &[u8]) -> Result<Result<Zeroizing<Vec<u8>>, String>, Fault> {
        match self {
            Self::Component(application) => application.serve(request),
            Self::Native(native) => native.serve(request),
        }
    }
}

/// One application and its keys.
struct Worker {
    application: Running,
    custody: Custody,
    /// Personalization Data that the application could hold at all, bytes.
    data_bytes_max: usize,
}

impl Worker {
    /// The outer error is that of the connection, over which new machine code goes to the agent
    /// before it runs for the first time.
    fn load(
        load: Load,
        prepared: Prepared,
        interpret: bool,
        keep: &mut dyn FnMut(Vec<u8>) -> Result<(), frame::Broken>,
    ) -> Result<Result<Self, FaultCode>, frame::Broken> {
        let mut kept = Ok(());
        let loaded = Self::try_load(load, prepared, interpret, &mut |made| kept = keep(made));
        kept.map(|()| loaded.map_err(code))
    }

    fn try_load(
        load: Load,
        prepared: Prepared,
        interpret: bool,
        keep: &mut dyn FnMut(Vec<u8>),
    ) -> Result<Self, Fault> {
        let budget = Budget {
            memory_bytes_max: usize::try_from(load.memory_bytes_max)
                .map_err(|_| Fault::NotStarted)?,
            call_ms_max: load.call_ms_max,
            interpret,
        };
        let application = match prepared {
            Prepared::Component(own) => {
                let code = if load.compiled {
                    Code::load(&load.module, interpret)?
                } else {
                    let code = Code::compile(&own.unwrap_or(load.module), interpret)?;
                    keep(code.bytes()?);
                    code
                };
                Running::Component(Application::of(&code, budget)?)
            }
            Prepared::Native(mut native) => {
                native.limit(Duration::from_millis(load.call_ms_max));
                Running::Native(native)
            }
        };
        let custody = Custody::new(load.manifest_digest);
        Ok(Self { application, custody, data_bytes_max: budget.memory_bytes_max })
    }

    fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Load(_) => Reply::Refused(Refusal::Misuse),
            Request::NewReceiver { suites } => {
                Reply::Receiver { keys: self.custody.new_receiver(&suites) }
            }
            Request::Bind { receiver, eat_digest } => {
                match self.custody.bind(Thumbprint(receiver), eat_digest) {
                    Ok(()) => Reply::Bound,
                    Err(refusal) => Reply::Refused(refusal),
                }
            }
            Request::Open { owner, release } => self.open(Thumbprint(owner), &release),
            Request::Call { request } => self.call(&request),
            Request::Take { owner, piece } => self.take(Thumbprint(owner), &piece),
            Request::OpenBundle { owner, release } => self.open_bundle(Thumbprint(owner), &release),
            Request::Personalize { owner, data, callers } => {
                let owner = Thumbprint(owner);
                match self.custody.claim(owner) {
                    Ok(()) => self.personalize(owner, &data, callers, Reply::Personalized),
                    Err(refusal) => Reply::Refused(refusal),
                }
            }
        }
    }

    fn open(&mut self, owner: Thumbprint, release: &[u8]) -> Reply {
        match self.custody.open(owner, release) {
            Ok(Opened { data, callers, receipt }) => {
                self.personalize(owner, &data, callers, Reply::Opened(receipt))
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn take(&mut self, owner: Thumbprint, piece: &Piece) -> Reply {
        match self.custody.take(owner, piece, self.data_bytes_max) {
            Ok(Arrived::Now(Taken::Until(offset))) => Reply::Taken { offset },
            Ok(Arrived::Now(Taken::Whole(opened))) => {
                let Opened { data, callers, receipt } = *opened;
                self.personalize(owner, &data, callers, Reply::Opened(receipt))
            }
            Ok(Arrived::Before(receipt)) => Reply::Opened(receipt),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn open_bundle(&mut self, owner: Thumbprint, release: &[u8]) -> Reply {
        let Opened { data, callers, receipt } = match self.custody.open(owner, release) {
            Ok(opened) => opened,
            Err(refusal) => return Reply::Refused(refusal),
        };
        match Bundle::decode(data.expose()) {
            Ok(Bundle { ua, data }) => {
                self.personalize(owner, &data, callers, Reply::OpenedBundle { receipt, ua })
            }
            Err(_) => Reply::Refused(Refusal::Malformed),
        }
    }

    /// Gives the data to the application; `done` is the answer when it takes it.
    fn personalize(
        &mut self,
        owner: Thumbprint,
        data: &Secret,
        callers: Vec<Key>,
        done: Reply,
    ) -> Reply {
        match self.application.personalize(data.expose()) {
            Ok(Ok(())) => {
                self.custody.admit(owner, callers);
                done
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
        Fault::NotAProgram => FaultCode::NotAProgram,
        Fault::NotExecuted => FaultCode::NotExecuted,
        Fault::NotIsolated => FaultCode::NotIsolated,
    }
}
