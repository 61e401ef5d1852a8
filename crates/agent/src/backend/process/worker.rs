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
use crate::backend::{Holds, container};
use crate::exchanges::{Reached, Whole};

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
    gathered: Gathered,
}

/// Data that waits for its end before the application gets it.
#[derive(Default)]
struct Gathered {
    /// The release that it is of.
    stream: [u8; 32],
    chunks: Vec<Secret>,
}

impl Gathered {
    fn add(&mut self, stream: [u8; 32], chunks: Vec<Secret>) {
        if self.stream != stream {
            *self = Self { stream, chunks: Vec::new() };
        }
        self.chunks.extend(chunks);
    }

    fn length(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.expose().len()).sum()
    }

    /// All of it, and nothing stays.
    fn take(&mut self, stream: [u8; 32]) -> Secret {
        self.add(stream, Vec::new());
        // Never grown, so that no unwiped copy stays behind.
        let mut data = Vec::with_capacity(self.length());
        for chunk in self.chunks.drain(..) {
            data.extend_from_slice(chunk.expose());
        }
        Secret::new(data)
    }

    /// A release was refused: what came of it is none.
    fn forget(&mut self, stream: [u8; 32]) {
        if self.stream == stream {
            *self = Self::default();
        }
    }
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
        let (data_bytes_max, gathered) = (budget.memory_bytes_max, Gathered::default());
        Ok(Self { application, custody, data_bytes_max, gathered })
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
            Request::Call { request } => self.call(&request),
            Request::Take { owner, piece, holds } => self.take(Thumbprint(owner), &piece, holds),
            Request::Personalize { owner, stream, data, callers } => {
                self.gather(Thumbprint(owner), stream, data, callers)
            }
        }
    }

    /// Data that the agent opened.
    fn gather(
        &mut self,
        owner: Thumbprint,
        stream: [u8; 32],
        data: Secret,
        callers: Option<Vec<Key>>,
    ) -> Reply {
        if let Err(refusal) = self.custody.claim(owner) {
            return Reply::Refused(refusal);
        }
        self.gathered.add(stream, vec![data]);
        let length = self.gathered.length();
        if length > self.data_bytes_max {
            self.gathered.forget(stream);
            return Reply::Refused(Refusal::TooLarge);
        }
        let Some(callers) = callers else { return Reply::Taken { offset: length as u64 } };
        let data = self.gathered.take(stream);
        self.personalize(owner, &data, callers, Reply::Personalized)
    }

    fn take(&mut self, owner: Thumbprint, piece: &Piece, holds: Holds) -> Reply {
        let taken = match self.custody.take(owner, piece, self.data_bytes_max) {
            Ok(Arrived::Now(taken)) => taken,
            Ok(Arrived::Before(receipt)) => return Reply::Opened(receipt),
            Err(refusal) => {
                self.gathered.forget(piece.stream);
                return Reply::Refused(refusal);
            }
        };
        self.gathered.add(piece.stream, taken.chunks);
        let ended = match taken.reached {
            Reached::Until(offset) => return Reply::Taken { offset },
            Reached::End(ended) => *ended,
        };
        let data = self.gathered.take(piece.stream);
        self.end(owner, data, ended, holds)
    }

    fn end(&mut self, owner: Thumbprint, data: Secret, ended: Whole, holds: Holds) -> Reply {
        let Whole { callers, receipt } = ended;
        if holds == Holds::Data {
            return self.personalize(owner, &data, callers, Reply::Opened(receipt));
        }
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
