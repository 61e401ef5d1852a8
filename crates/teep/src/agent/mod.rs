//! The Agent's side of its sessions (section 7.2 and RFC 9397 section 6.2.1), without clock,
//! randomness, store or network.
//!
//! One [`Agent`] serves all its sessions with all its TAMs. The shell around it owns the keys, the
//! attester, the SUIT processor and the sealed store; it makes one call, runs the effects in order,
//! and calls back where an effect asks for it. TAM keys come in at every message, as
//! [`crate::envelope::Keys`].
//!
//! The REE is the adversary here: it may replay, reorder, drop and invent. What it asks for by
//! [`Agent::request_ta`] and [`Agent::unrequest_ta`] is only remembered and reported; what changes
//! the device is an Update by a TAM whose key is anchored.

mod effect;
mod memory;
mod query;
mod question;
mod session;
mod update;

pub use effect::{Attest, Collected, Effect, NotUnlinked, Outcome, Wanted};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rats::Timestamp;
use suit::ComponentId;

use crate::cipher_suite::Suite;
use crate::component::{RequestedTc, SystemProperties};
use crate::envelope::{Dialect, Outgoing, Protection};
use crate::limits;
use crate::malformed::Malformed;
use crate::message::{Message, QueryResponse};
use crate::misuse::Misuse;
use crate::report;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::token::Token;
use memory::{Memory, TamFacts, Wish};
use session::{Session, State, Tam};

/// A TEEP Agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    memory: Memory,
    sessions: BTreeMap<Handle, Session>,
    next_handle: u64,
    /// The first of [`Config::tams`] that the running policy check has not named.
    next_tam: usize,
    strangers: Window,
}

/// The settings of an Agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The suites that this Agent signs in, the preferred one first.
    pub suites: Vec<Suite>,
    /// How TAMs speak.
    pub dialect: Dialect,
    /// The Agent itself, as it stands in every tc-list.
    pub component: SystemProperties<'static>,
    /// The TAMs of the policy check, the default one first.
    pub tams: Vec<TamUri>,
    /// SUIT COSE profiles of reports about TAMs that can be read here.
    pub profiles: Vec<SuitCoseProfile>,
    /// Extensions that are supported here.
    pub extensions: Vec<u32>,
    /// Whether a TAM has to attest itself first.
    pub attest_tam: bool,
    /// Whether Evidence without nonce is given to a TAM that sends neither challenge nor token.
    pub lenient_challenge: bool,
    /// Whether senders that cannot be authenticated get no Error.
    pub silent_to_strangers: bool,
    /// Whether the REE cannot set the clock: only then is the latest time seen a lower bound of
    /// the time that is.
    pub trusted_clock: bool,
}

impl Config {
    /// The defaults, with what has none.
    pub fn new(component: SystemProperties<'static>, tams: Vec<TamUri>) -> Self {
        Self {
            suites: Suite::MANDATORY.to_vec(),
            dialect: Dialect::default(),
            component,
            tams,
            profiles: SuitCoseProfile::MANDATORY.to_vec(),
            extensions: Vec::new(),
            attest_tam: false,
            lenient_challenge: false,
            silent_to_strangers: false,
            trusted_clock: false,
        }
    }
}

/// What a Broker keeps next to its outstanding request. It means nothing to the Broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// Where a TAM is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TamUri(String);

impl TamUri {
    /// A URI of 1 to [`limits::TAM_URI_BYTES`] bytes.
    pub fn new(uri: impl Into<String>) -> Result<Self, Malformed> {
        let uri = uri.into();
        if uri.is_empty() || uri.len() > limits::TAM_URI_BYTES {
            return Err(Malformed::Length { what: "TAM URI", got: uri.len() });
        }
        Ok(Self(uri))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TamUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the Agent does not take a request of the REE.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Neither the caller nor the configuration names a TAM.
    #[error("no TAM is configured")]
    NoTam,
    /// The list is full.
    #[error("too many requests are open")]
    TooMany,
}

/// Who failed to reach a TAM, as the Broker reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The TAM could not be reached.
    Unreachable,
    /// The TAM answered with an error of the transport.
    Status(u16),
}

impl Agent {
    /// An Agent that remembers nothing.
    //= teep 14.49 (M): an Agent has at least one suite
    pub fn new(mut config: Config) -> Result<Self, Misuse> {
        if config.suites.is_empty() {
            return Err(Misuse::Config("suites is empty"));
        }
        if config.tams.len() > limits::TAMS {
            return Err(Misuse::Config("tams has too many entries"));
        }
        let preferred = &config.suites;
        let known = &mut config.dialect.suites;
        // What is signed here is verified here as well.
        known.extend(preferred.iter().filter(|suite| !known.contains(suite)).collect::<Vec<_>>());
        config.dialect.suites.sort_by_key(|suite| {
            preferred.iter().position(|ours| ours == suite).unwrap_or(preferred.len())
        });
        Ok(Self {
            config,
            memory: Memory::new(),
            sessions: BTreeMap::new(),
            next_handle: 1,
            next_tam: 0,
            strangers: Window { start: Timestamp(0), errors: 0 },
        })
    }

    /// An Agent that remembers what [`Effect::Persist`] gave out.
    pub fn recall(config: Config, memory: &[u8]) -> Result<Self, Malformed> {
        let memory = Memory::decode(memory)?;
        let agent = Self::new(config).map_err(|_| Malformed::Expected("a usable configuration"))?;
        Ok(Self { memory, ..agent })
    }

    /// RFC 9397 section 6.2.1 RequestTA: the REE wants a component.
    ///
    /// `installed` says whether it is installed already. No [`Effect::Contact`] means no data.
    //= teep 14.71 (M): RequestTA for what is installed gives no data
    pub fn request_ta(
        &mut self,
        now: Timestamp,
        wanted: RequestedTc,
        tam: Option<TamUri>,
        installed: bool,
    ) -> Result<Vec<Effect<'static>>, Declined> {
        let now = self.advance(now);
        if installed {
            return Ok(self.withdraw(&wanted.component));
        }
        let tam = self.tam(tam)?;
        let RequestedTc { component, present } = wanted;
        let wish = Wish { tam: tam.clone(), present };
        let full = self.memory.requested.len() >= limits::REMEMBERED;
        if full && !self.memory.requested.contains_key(&component) {
            return Err(Declined::TooMany);
        }
        self.memory.requested.insert(component, wish);
        Ok(vec![self.persist(), self.contact(now, tam)])
    }

    /// RFC 9397 section 6.2.1 UnrequestTA: the REE needs a manifest's components no longer.
    ///
    /// `installed` says whether the manifest is installed. The wish is
    /// reported to the TAM, by manifest component identifier; nothing is deleted.
    //= teep 14.70 (M): unneeded-manifest-list names manifest component identifiers
    //= teep 15.117: UnrequestTA deletes nothing without an Update of a TAM
    pub fn unrequest_ta(
        &mut self,
        now: Timestamp,
        manifest: ComponentId,
        tam: Option<TamUri>,
        installed: bool,
    ) -> Result<Vec<Effect<'static>>, Declined> {
        let now = self.advance(now);
        if !installed {
            return Ok(Vec::new());
        }
        let tam = self.tam(tam)?;
        let full = self.memory.unneeded.len() >= limits::REMEMBERED;
        if full && !self.memory.unneeded.contains_key(&manifest) {
            return Err(Declined::TooMany);
        }
        self.memory.unneeded.insert(manifest, tam.clone());
        Ok(vec![self.persist(), self.contact(now, tam)])
    }

    /// Takes back [`Agent::request_ta`].
    pub fn withdraw(&mut self, component: &ComponentId) -> Vec<Effect<'static>> {
        match self.memory.requested.remove(component) {
            Some(_) => vec![self.persist()],
            None => Vec::new(),
        }
    }

    /// RFC 9397 section 6.2.1 RequestPolicyCheck: names one TAM at each call, then none.
    //= teep 14.73 (M): RequestPolicyCheck enumerates the TAMs and then gives nothing
    pub fn request_policy_check(&mut self, now: Timestamp) -> Vec<Effect<'static>> {
        let now = self.advance(now);
        match self.config.tams.get(self.next_tam).cloned() {
            Some(tam) => {
                self.next_tam += 1;
                vec![self.contact(now, tam)]
            }
            None => {
                self.next_tam = 0;
                Vec::new()
            }
        }
    }

    /// RFC 9397 section 6.2.1 ProcessError: the Broker could not reach the TAM.
    pub fn process_error(
        &mut self,
        now: Timestamp,
        handle: Handle,
        _cause: Cause,
    ) -> Vec<Effect<'static>> {
        self.advance(now);
        let Some(session) = self.sessions.remove(&handle) else { return Vec::new() };
        match self.memory.tams.get_mut(&session.tam) {
            Some(facts) if !facts.failed => {
                facts.failed = true;
                vec![self.persist()]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Forgets a session that the Broker has ended.
    pub fn close(&mut self, handle: Handle) {
        self.sessions.remove(&handle);
    }

    /// When to call [`Agent::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let oldest = self.sessions.values().map(|session| session.touched).min()?;
        Some(oldest.after(limits::AGENT_SESSION_WAIT_S))
    }

    /// Forgets sessions in which nothing happens.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.sessions
            .retain(|_, session| now.since(session.touched) < limits::AGENT_SESSION_WAIT_S);
    }

    /// The time, which does not run backwards where the clock can be trusted.
    ///
    /// Where it cannot, a REE that moves it forwards must not be able to leave it there.
    //= teep 15.120: time moved back does not make valid what has expired
    fn advance(&mut self, now: Timestamp) -> Timestamp {
        if !self.config.trusted_clock {
            return now;
        }
        self.memory.clock = self.memory.clock.max(now);
        self.memory.clock
    }

    fn tam(&self, asked: Option<TamUri>) -> Result<TamUri, Declined> {
        asked.or_else(|| self.config.tams.first().cloned()).ok_or(Declined::NoTam)
    }

    fn persist(&self) -> Effect<'static> {
        Effect::Persist(self.memory.encode())
    }

    /// Opens a session with a TAM.
    fn contact(&mut self, now: Timestamp, tam: TamUri) -> Effect<'static> {
        if self.sessions.len() >= limits::AGENT_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(handle, s)| (s.touched, **handle));
            if let Some(oldest) = oldest.map(|(handle, _)| *handle) {
                self.sessions.remove(&oldest);
            }
        }
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        let (state, message) = match self.unsolicited(now, &tam) {
            Some((peer, message)) => (State::Answered { tam: peer }, Some(Box::new(message))),
            None => (State::Idle, None),
        };
        self.sessions.insert(handle, Session { tam: tam.clone(), touched: now, state });
        Effect::Contact { handle, tam, message }
    }

    /// The QueryResponse that answers no QueryRequest, if it may be sent: the TAM's last
    /// QueryRequest had neither token nor challenge, the TAM was reached since, and its key is
    /// known and good.
    //= teep 14.72 (M): an unsolicited QueryResponse is sent under three conditions only
    fn unsolicited(&self, now: Timestamp, uri: &TamUri) -> Option<(Tam, Outgoing<'static>)> {
        let facts = self.memory.tams.get(uri)?;
        let TamFacts { key, suite, bare, failed, valid_until } = *facts;
        if !bare || failed || valid_until.is_some_and(|until| until < now) {
            return None;
        }
        let response = QueryResponse {
            selected_version: Some(0),
            requested_tc_list: self.memory.requested_of(uri),
            unneeded_manifest_list: self.memory.unneeded_of(uri),
            ..QueryResponse::default()
        };
        let numbering = self.config.dialect.numbering;
        let outgoing = Outgoing {
            message: Message::QueryResponse(response),
            numbering,
            protection: Protection::Sign1(suite),
        };
        Some((Tam { key, key_suite: suite, suite, numbering, profile: None }, outgoing))
    }

    fn configured_tams(&self) -> BTreeSet<TamUri> {
        self.config.tams.iter().cloned().collect()
    }
}

/// Reports fit a message and have its token as their nonce.
//= teep 14.59 (M): the nonce of a report is the token where there is one
fn bounded(reports: &[Cow<'_, [u8]>], token: Option<&Token>) -> Result<(), Misuse> {
    within("suit-reports", reports.len(), limits::REPORTS)?;
    let Some(token) = token else { return Ok(()) };
    // The nonce inside an encrypted one is for the TAM to compare.
    let of_exchange = |bytes: &Cow<'_, [u8]>| {
        report::read(bytes).is_some_and(|report| {
            report.encrypted || report.nonce.as_deref() == Some(token.as_bytes())
        })
    };
    if reports.iter().all(of_exchange) { Ok(()) } else { Err(Misuse::ReportNonce) }
}

const fn within(what: &'static str, got: usize, max: usize) -> Result<(), Misuse> {
    if got <= max { Ok(()) } else { Err(Misuse::TooMany(what)) }
}

/// How many Errors strangers were given lately.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Timestamp,
    errors: u32,
}

impl Window {
    /// Whether one more is due.
    //= teep 15.114: Errors to senders that are not authenticated are limited in rate
    fn admit(&mut self, now: Timestamp) -> bool {
        if !(0..limits::STRANGER_WINDOW_S).contains(&now.since(self.start)) {
            *self = Self { start: now, errors: 0 };
        }
        self.errors += 1;
        self.errors <= limits::STRANGER_ERRORS
    }
}
