//! The agent as the Broker meets it: one loop over the TEEP machine.
//!
//! Protocol knowledge is in `teep`, manifests in `suit`, keys in the identity and in the
//! workers. What is left for here is to run effects in their order: take from the attester,
//! install, make durable, sign, answer.

mod collect;
mod describe;
mod tam;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use channel::release::Role;
use cose::Thumbprint;
use device::broker::{Cause, Piece, Reply, Request, Session};
use device::{ComponentId, FailureCode};
use keys::SystemEntropy;
use teep::agent::{self, Agent, Effect, Handle, TamUri, Wanted};
use teep::envelope::Signers;
use teep::{Fresh, Numbering, Present, RequestedTc, Suite, SystemProperties, Timestamp};
use tracing::{debug, info, warn};

use self::collect::{Answered, Asked};
use crate::attester::{Attester, Economy, Quoted, Unavailable};
use crate::backend::{Failed, Holds, Progress, Refusal};
use crate::evidence::{NoEvidence, Prepared};
use crate::exchanges::Exchanges;
use crate::identity::Identity;
use crate::install::{self, Installation, NotAsked, Place, Reader, Reporter, Step, Unlinking};
use crate::serve::Answer;
use crate::settings::{self, Settings};
use crate::store::{Change, Damaged, Store};
use crate::ta::Applications;

/// A running TEEP Agent.
#[derive(Debug)]
pub struct TeepAgent {
    core: Mutex<Core>,
    quotes: Arc<Economy>,
    applications: Arc<Applications>,
}

/// What one request at a time may change.
struct Core {
    teep: Agent,
    store: Store,
    identity: Identity,
    settings: Settings,
    quotes: Arc<Economy>,
    applications: Arc<Applications>,
    /// The receivers of releases to the agent itself.
    exchanges: Exchanges,
    /// The Evidence of the last challenge.
    answered: Option<Answered>,
    /// What waits for the Broker, by session.
    errands: BTreeMap<Handle, Errand>,
    next_action: u64,
}

/// What a request has come to.
enum Turn<'b> {
    /// Its answer.
    Over(Reply),
    /// It goes on with a quote, for which nobody else has to wait.
    Quote(Box<Wait<'b>>),
}

/// A request that waits for a quote.
struct Wait<'b> {
    prepared: Prepared,
    wanted: Wanted,
    answer: Session,
    effects: VecDeque<Effect<'b>>,
}

/// Work of a session that waits for the Broker.
#[derive(Debug)]
struct Errand {
    work: Work,
    /// The TAM that it is for.
    tam: Thumbprint,
    since: Instant,
}

impl Errand {
    /// Whether it installs something of what the other one would.
    fn is_about(&self, other: &Installation) -> bool {
        match &self.work {
            Work::Install(installation) => installation.shares_with(other),
            Work::Unlink(_) => false,
        }
    }
}

#[derive(Debug)]
enum Work {
    Install(Installation),
    Unlink(Unlinking),
}

/// Why a request got no answer of its kind.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the store cannot be used")]
    Store(#[from] Damaged),
    #[error("the TEEP machine was not asked for this")]
    Misuse(#[from] teep::Misuse),
    #[error("the session does not take this")]
    Misbehaved(#[from] teep::Misbehaved),
    #[error("nobody waits for this action")]
    NotAsked(#[from] NotAsked),
    #[error("the request is declined")]
    Declined(#[from] agent::Declined),
    #[error("the component identifier is not usable")]
    Component(#[from] suit::Malformed),
    #[error("the URI is not usable")]
    Malformed(#[from] teep::Malformed),
    #[error("payloads are offered to the relay of a Broker")]
    OfTheRelay,
    #[error("no such application runs here")]
    NoApplication,
    #[error("the application did not answer")]
    Application(#[source] Failed),
    #[error("a package of the Network M/OC holds no Personalization Data (draft section 2.1)")]
    DataOfTheTam,
    #[error("the receipt cannot be signed")]
    Receipt(#[from] cose::KeyUnusable),
}

impl TeepAgent {
    /// An agent over what is stored, with the applications that are installed.
    pub fn new(
        settings: Settings,
        identity: Identity,
        store: Store,
        attester: Arc<dyn Attester>,
        applications: Arc<Applications>,
        own_digest: [u8; 32],
    ) -> anyhow::Result<Self> {
        let config = config(&settings, own_digest)?;
        let teep = match store.memory() {
            Some(memory) => Agent::recall(config, memory)?,
            None => Agent::new(config)?,
        };
        let register = applications.register(&attester);
        let quotes = Arc::new(Economy::new(attester, register));
        let core = Core {
            teep,
            store,
            identity,
            settings,
            quotes: Arc::clone(&quotes),
            answered: None,
            applications: Arc::clone(&applications),
            exchanges: Exchanges::new(Role::Agent),
            errands: BTreeMap::new(),
            next_action: 0,
        };
        core.start_installed();
        Ok(Self { core: Mutex::new(core), quotes, applications })
    }

    fn try_answer(&self, request: Request) -> Result<Reply, Fault> {
        match request {
            // These two need no session, and one long call must not hold up the others.
            Request::CallTa { component, request } => {
                let component = named(&component)?;
                let ta = self.applications.component(&component).ok_or(Fault::NoApplication)?;
                ta.call(request).map(Reply::TaAnswer).map_err(Fault::Application)
            }
            Request::TakeRelease { component, piece } => self.take_release(&component, piece),
            Request::RequestTa { component, tam_uri } => {
                let turn = self.core().request_ta(&component, tam_uri)?;
                self.conclude(turn)
            }
            Request::UnrequestTa { component, tam_uri } => {
                let turn = self.core().unrequest_ta(&component, tam_uri)?;
                self.conclude(turn)
            }
            Request::ProcessTeepMessage { session, message } => {
                let turn = self.core().process_teep_message(Handle(session), &message)?;
                self.conclude(turn)
            }
            Request::RequestPolicyCheck => {
                let turn = self.core().request_policy_check()?;
                self.conclude(turn)
            }
            Request::ProcessError { session, cause } => {
                let turn = self.core().process_error(Handle(session), cause)?;
                self.conclude(turn)
            }
            Request::ActionDone { session, action, outcome } => {
                let turn = self.core().action_done(Handle(session), action, outcome)?;
                self.conclude(turn)
            }
            Request::Describe => Ok(Reply::Description(self.core().describe())),
            Request::OfferPayload { .. } | Request::GivePayload { .. } => Err(Fault::OfTheRelay),
        }
    }

    /// Gets the quotes that a request needs. Meanwhile others are served: a renewal needs none, and
    /// waits for nobody's.
    fn conclude(&self, mut turn: Turn<'_>) -> Result<Reply, Fault> {
        loop {
            match turn {
                Turn::Over(reply) => return Ok(reply),
                Turn::Quote(wait) => {
                    let quote = self.quotes.quote(wait.prepared.report_data());
                    turn = self.core().quoted(*wait, quote)?;
                }
            }
        }
    }

    /// A release of Personalization Data that the Broker carries live (its other carrier is a SUIT
    /// component). It is for an application that runs, from the application's owner.
    fn take_release(&self, component: &ComponentId, piece: Piece) -> Result<Reply, Fault> {
        let component = named(component)?;
        let ta = self.applications.component(&component).ok_or(Fault::NoApplication)?;
        let owner = ta.facts().owner;
        if self.core().settings.tam_of(owner).is_some() {
            return Err(Fault::DataOfTheTam);
        }
        match ta.take(owner, piece, Holds::Data).map_err(Fault::Application)? {
            Progress::Until(offset) => Ok(Reply::Taken(offset)),
            Progress::Opened(receipt) | Progress::OpenedBundle(receipt, _) => {
                let core = self.core();
                Ok(Reply::Received(receipt.sign(core.identity.receipt.as_ref())?))
            }
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A thread that panicked inside has not answered its request; stored state is changed
        // by whole commits, and a session in an odd state refuses what does not fit.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer for TeepAgent {
    fn answer(&self, request: Request) -> Reply {
        self.try_answer(request).unwrap_or_else(|fault| fault.reply())
    }

    fn ended(&self, sessions: &BTreeSet<u64>) {
        let mut core = self.core();
        for session in sessions {
            if core.errands.remove(&Handle(*session)).is_some() {
                warn!(session, "the Broker left a session while it had something to do");
            }
        }
    }

    fn tend(&self) {
        self.applications.tend();
        let mut core = self.core();
        core.teep.handle_timeout(now());
        core.errands.retain(|_, errand| errand.since.elapsed() < ERRAND_WAIT);
    }
}

impl Core {
    /// Starts what is installed. One that does not start is reported and tried again later.
    fn start_installed(&self) {
        for installed in self.store.installed() {
            if let Err(error) = install::restore(
                installed,
                &self.store,
                &self.applications,
                &self.settings.instances,
            ) {
                let error = install::chain(&*error);
                warn!(manifest = %installed.manifest, error, "an application is not restored");
            }
        }
    }

    /// RFC 9397 section 6.2.1 RequestTA.
    fn request_ta(
        &mut self,
        component: &ComponentId,
        tam_uri: Option<String>,
    ) -> Result<Turn<'static>, Fault> {
        let component = named(component)?;
        let installed = self.applications.component(&component).is_some();
        let manifest = component.manifest()?;
        let binary = self.store.manifest(&manifest);
        let binary = binary.is_some_and(|has| has.contents.contains_key(&component));
        let present = match self.store.sequence_number(&manifest) {
            Some(sequence_number) if binary => Present::Binary { sequence_number },
            Some(sequence_number) => Present::Manifest { sequence_number },
            None => Present::Nothing,
        };
        let wanted = RequestedTc { component, present };
        let tam = tam_uri.map(TamUri::new).transpose()?;
        let effects = self.teep.request_ta(now(), wanted, tam, installed)?;
        self.run(None, effects)
    }

    /// RFC 9397 section 6.2.1 UnrequestTA: only remembered, for the TAM to decide.
    fn unrequest_ta(
        &mut self,
        component: &ComponentId,
        tam_uri: Option<String>,
    ) -> Result<Turn<'static>, Fault> {
        let manifest = named(component)?.manifest()?;
        let installed = self.store.manifest(&manifest).is_some();
        let tam = tam_uri.map(TamUri::new).transpose()?;
        let effects = self.teep.unrequest_ta(now(), manifest, tam, installed)?;
        self.run(None, effects)
    }

    fn request_policy_check(&mut self) -> Result<Turn<'static>, Fault> {
        let effects = self.teep.request_policy_check(now());
        self.run(None, effects)
    }

    fn process_teep_message<'b>(
        &mut self,
        handle: Handle,
        message: &'b [u8],
    ) -> Result<Turn<'b>, Fault> {
        let keys = tam::Anchors::new(&self.settings, now());
        let fresh = Fresh::draw(&mut SystemEntropy);
        let effects = self.teep.process_teep_message(now(), fresh, handle, message, &keys)?;
        for (tam, key) in keys.into_certified() {
            self.settings.tams[tam].learn(key);
        }
        self.run(Some(handle), effects)
    }

    fn process_error(&mut self, handle: Handle, cause: Cause) -> Result<Turn<'static>, Fault> {
        warn!(session = handle.0, ?cause, "the TAM was not reached");
        self.errands.remove(&handle);
        let effects = self.teep.process_error(now(), handle, tam::cause(cause));
        self.run(None, effects)
    }

    fn action_done(
        &mut self,
        handle: Handle,
        action: u64,
        outcome: Result<Vec<u8>, String>,
    ) -> Result<Turn<'static>, Fault> {
        let errand = self.errands.get_mut(&handle).ok_or(NotAsked)?;
        match &mut errand.work {
            Work::Install(installation) => installation.done(action, outcome)?,
            Work::Unlink(unlinking) => unlinking.done(action, outcome)?,
        }
        let Some(errand) = self.errands.remove(&handle) else {
            return Err(NotAsked.into());
        };
        let mut answer = Session { session: handle.0, ..Session::default() };
        let effects = self.work(handle, errand.work, errand.tam, &mut answer)?;
        self.run_into(answer, effects)
    }

    /// Runs the effects of a call that may open a session.
    fn run<'b>(
        &mut self,
        handle: Option<Handle>,
        effects: Vec<Effect<'b>>,
    ) -> Result<Turn<'b>, Fault> {
        let session = handle.unwrap_or(Handle(0)).0;
        self.run_into(Session { session, ..Session::default() }, effects)
    }

    /// Runs effects in their order, and those that follow from them.
    fn run_into<'b>(
        &mut self,
        mut answer: Session,
        effects: Vec<Effect<'b>>,
    ) -> Result<Turn<'b>, Fault> {
        let handle = Handle(answer.session);
        let mut waiting: VecDeque<Effect<'b>> = effects.into();
        while let Some(effect) = waiting.pop_front() {
            let more: Vec<Effect<'b>> = match effect {
                Effect::Persist(memory) => {
                    self.store.commit(Change { memory: Some(memory), ..Change::default() })?;
                    Vec::new()
                }
                Effect::Contact { handle, tam, message } => {
                    answer.session = handle.0;
                    answer.uri = Some(tam.as_str().to_owned());
                    answer.message =
                        message.map(|message| message.seal(&Key(&self.identity))).transpose()?;
                    Vec::new()
                }
                Effect::AppraiseTam { payload, challenge: _, tam } => {
                    let found = tam::appraise(&self.settings, &payload, tam);
                    let fresh = Fresh::draw(&mut SystemEntropy);
                    self.teep.tam_appraised(now(), fresh, handle, found)?
                }
                Effect::Collect(wanted) => match self.ask_evidence(&wanted) {
                    Asked::Answered(evidence) => {
                        let collected = self.collect(&wanted, evidence);
                        self.teep.collected(now(), handle, collected)?
                    }
                    Asked::Prepared(prepared) => {
                        let wait = Wait { prepared, wanted, answer, effects: waiting };
                        return Ok(Turn::Quote(Box::new(wait)));
                    }
                },
                Effect::Unlink { manifests, tam } => {
                    let work = Work::Unlink(Unlinking::new(manifests));
                    self.work(handle, work, tam, &mut answer)?
                }
                Effect::Install { manifests, nonce, tam, profile } => {
                    let nonce = nonce.map(|nonce| nonce.as_bytes().to_vec());
                    let reader = self.reader(tam, profile);
                    let installation = Installation::new(manifests, nonce, reader);
                    if self.errands.values().any(|errand| errand.is_about(&installation)) {
                        // What it opens, opens once: the other session is not to lose it.
                        warn!(session = handle.0, "another session installs the same manifest");
                        self.teep.postponed(now(), handle, UNDER_WAY)?
                    } else {
                        self.work(handle, Work::Install(installation), tam, &mut answer)?
                    }
                }
                Effect::Passport(payload) => {
                    debug!(format = ?payload.format, "the TAM gives an Attestation Result");
                    Vec::new()
                }
                Effect::Failed { code, msg } => {
                    let msg = msg.as_ref().map(teep::Msg::as_str);
                    warn!(%code, msg, "the TAM ends the exchange");
                    Vec::new()
                }
                Effect::Send(outgoing) => {
                    answer.message = Some(outgoing.seal(&Key(&self.identity))?);
                    Vec::new()
                }
            };
            waiting.extend(more);
        }
        let nothing = answer.uri.is_none() && answer.message.is_none() && answer.actions.is_empty();
        Ok(Turn::Over(if nothing { Reply::Nothing } else { Reply::Session(answer) }))
    }

    /// Goes on with what waited for a quote. A session that has ended meanwhile says so.
    fn quoted<'b>(
        &mut self,
        wait: Wait<'b>,
        quote: Result<Quoted, Unavailable>,
    ) -> Result<Turn<'b>, Fault> {
        let Wait { prepared, wanted, answer, effects } = wait;
        let evidence = quote.map(|quote| prepared.with(quote)).map_err(NoEvidence::from);
        let collected = self.collect(&wanted, collect::payload(evidence));
        let mut more = self.teep.collected(now(), Handle(answer.session), collected)?;
        // What follows from an effect comes after those that were there.
        let mut all: Vec<_> = effects.into();
        all.append(&mut more);
        self.run_into(answer, all)
    }

    /// Goes on with work until the Broker has to do something, or the TEEP machine is told.
    fn work(
        &mut self,
        handle: Handle,
        mut work: Work,
        tam: Thumbprint,
        answer: &mut Session,
    ) -> Result<Vec<Effect<'static>>, Fault> {
        // What was said of the device before is not so any more.
        self.answered = None;
        let reader = match &work {
            Work::Install(installation) => installation.reader().clone(),
            Work::Unlink(_) => Reader::Anybody,
        };
        let mut place = Place {
            store: &mut self.store,
            applications: &self.applications,
            identity: &self.identity,
            reporter: Reporter { identity: &self.identity, reader: &reader },
            settings: &self.settings,
            tam,
            exchanges: &mut self.exchanges,
            ua_loads_ta: self.quotes.description().family.eq_ignore_ascii_case(UA_LOADS_TA),
            next_action: &mut self.next_action,
        };
        let actions = match &mut work {
            Work::Install(installation) => match installation.advance(&mut place) {
                Step::Over(outcomes) => {
                    let installed = outcomes.iter().filter(|outcome| outcome.installed).count();
                    info!(installed, of = outcomes.len(), "an Update is over");
                    return Ok(self.teep.installed(now(), handle, outcomes)?);
                }
                Step::Actions(actions) => actions,
            },
            Work::Unlink(unlinking) => match unlinking.advance(&mut place) {
                Step::Over(unlinked) => return Ok(self.teep.unlinked(now(), handle, unlinked)?),
                Step::Actions(actions) => actions,
            },
        };
        answer.actions = actions;
        self.errands.insert(handle, Errand { work, tam, since: Instant::now() });
        Ok(Vec::new())
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The one key for TEEP messages.
struct Key<'a>(&'a Identity);

impl Signers for Key<'_> {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        let key: &dyn cose::Signer = self.0.teep.as_ref();
        (key.algorithm() == suite.algorithm()).then_some(key)
    }
}

impl Fault {
    /// What the Broker is told. The cause is for the log of the agent.
    fn reply(&self) -> Reply {
        let code = match self {
            Self::Store(_) | Self::Misuse(_) | Self::Receipt(_) => FailureCode::Broken,
            Self::Misbehaved(_) | Self::NotAsked(_) => FailureCode::Misbehaved,
            Self::Declined(agent::Declined::TooMany) => FailureCode::Busy,
            Self::Declined(_) | Self::NoApplication => FailureCode::Absent,
            Self::Component(_) | Self::Malformed(_) => FailureCode::Malformed,
            Self::Application(Failed::Crashed(_) | Failed::Runtime(_)) => FailureCode::Busy,
            Self::Application(Failed::NoRoom { .. } | Failed::NotMeasured(_)) => FailureCode::Busy,
            Self::OfTheRelay => FailureCode::Unsupported,
            Self::Application(Failed::NoBackend(_) | Failed::Image(_) | Failed::TooLong { .. }) => {
                FailureCode::Unsupported
            }
            Self::Application(Failed::Refused(refusal)) => code(*refusal),
            Self::DataOfTheTam => FailureCode::Untrusted,
        };
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        debug!(text, "a request is refused");
        Reply::failed(code, text)
    }
}

fn code(refusal: Refusal) -> FailureCode {
    match refusal {
        Refusal::Malformed | Refusal::TooLarge => FailureCode::Malformed,
        Refusal::NoReceiver
        | Refusal::NotOwner
        | Refusal::NotOpened
        | Refusal::NotCaller
        | Refusal::Replay
        | Refusal::Application => FailureCode::Untrusted,
        Refusal::AwaitingRelease => FailureCode::Busy,
        Refusal::Misuse => FailureCode::Misbehaved,
    }
}

/// An identifier of the Broker's as the installer knows identifiers.
fn named(component: &ComponentId) -> Result<suit::ComponentId, suit::Malformed> {
    suit::ComponentId::new(component.elements())
}

fn config(settings: &Settings, own_digest: [u8; 32]) -> anyhow::Result<agent::Config> {
    let own = suit::ComponentId::new([b"TEEP-Agent"])?;
    let digest = suit::Digest::sha256(own_digest).encode();
    let tams = settings.tams.iter().map(|tam| TamUri::new(tam.uri.clone()));
    let mut config = agent::Config::new(
        SystemProperties::measured(own, &digest),
        tams.collect::<Result<_, _>>()?,
    );
    config.suites = vec![match settings.suite {
        settings::Suite::Ed25519 => Suite::Ed25519,
        settings::Suite::Esp256 => Suite::Esp256,
        settings::Suite::MlDsa65 => Suite::MlDsa65,
    }];
    if settings.legacy_numbering {
        config.dialect.numbering = Numbering::Legacy18;
    }
    config.attest_tam = settings.tams.iter().any(|tam| tam.attest);
    Ok(config)
}

/// The time as the REE tells it: good enough to forget old sessions, and for nothing else.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Where a UA loads its TA (use-case draft section 4.2, step 3).
const UA_LOADS_TA: &str = "sgx";

/// How long work waits for the Broker.
const ERRAND_WAIT: Duration = Duration::from_secs(30 * 60);

/// What a TAM is told that asks for what another session is at.
const UNDER_WAY: &str = "another session installs the same manifest";
