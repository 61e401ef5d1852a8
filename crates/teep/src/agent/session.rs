//! The session machine of an Agent.

use std::borrow::Cow;

use cose::Thumbprint;

use super::effect::{Collected, Effect, NotUnlinked, Outcome, Wanted};
use super::memory::TamFacts;
use super::question::{self, Question};
use super::{Agent, Handle, TamUri};
use crate::appraisal::{Appraisal, Freshness, NotAttested, Unbound, Verdict};
use crate::challenge::Challenge;
use crate::cipher_suite::Suite;
use crate::component::SystemProperties;
use crate::envelope::{Keys, NoKey, Opened, Outgoing, Protection, Rejected, Sealed, Signer};
use crate::err_code::ErrCode;
use crate::limits;
use crate::message::{
    DataItems, Error, FreshnessMechanism, Message, QueryRequest, QueryResponse, Success, Update,
};
use crate::misbehaved::Misbehaved;
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::report;
use crate::text::Msg;
use crate::time::Timestamp;
use crate::token::{Fresh, Token};

/// One session with one TAM.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tam: TamUri,
    pub(super) touched: Timestamp,
    pub(super) state: State,
}

/// Who a session is with, and how it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tam {
    pub(super) key: Thumbprint,
    pub(super) suite: Suite,
    pub(super) numbering: Numbering,
}

#[derive(Debug)]
pub(super) enum State {
    /// Nothing was answered yet; a QueryRequest may come.
    Idle,
    /// Error 7 sent; a QueryRequest with attestation-payload may come.
    Challenging { challenge: Challenge },
    /// The TAM's attestation handed out; nothing from the TAM is acceptable.
    AppraisingTam { question: Question, challenge: Challenge, valid_until: Option<Timestamp> },
    /// Evidence and inventory are being obtained; nothing from the TAM is acceptable.
    Collecting { question: Question, valid_until: Option<Timestamp> },
    /// QueryResponse, Success or Error sent; an Update or QueryRequest may come.
    Answered { tam: Tam },
    /// Manifests are being unlinked; nothing from the TAM is acceptable.
    Unlinking { tam: Tam, token: Option<Token>, manifests: Vec<Vec<u8>> },
    /// Manifests are being installed; nothing from the TAM is acceptable.
    Installing { tam: Tam, token: Option<Token>, manifests: usize },
}

impl State {
    const fn is_busy(&self) -> bool {
        match self {
            Self::Idle | Self::Challenging { .. } | Self::Answered { .. } => false,
            Self::AppraisingTam { .. }
            | Self::Collecting { .. }
            | Self::Unlinking { .. }
            | Self::Installing { .. } => true,
        }
    }
}

impl Agent {
    /// RFC 9397 section 6.2.1 ProcessTeepMessage.
    ///
    /// Whatever is wrong with the bytes becomes an Error message for the TAM and changes nothing.
    /// Only a call that the session cannot take at all is an error here.
    pub fn process_teep_message<'b>(
        &mut self,
        now: Timestamp,
        fresh: Fresh,
        handle: Handle,
        bytes: &'b [u8],
        keys: &dyn Keys,
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let now = self.advance(now);
        let session = self.sessions.get_mut(&handle).ok_or(Misbehaved::UnknownSession)?;
        if session.state.is_busy() {
            return Err(Misbehaved::Busy);
        }
        session.touched = now;
        let sealed = match Sealed::decode(bytes, &self.config.dialect) {
            Ok(sealed) => sealed,
            Err(rejected) => return Ok(self.reject(now, rejected, None)),
        };
        match sealed.open(&self.config.dialect, keys) {
            Ok(opened) => match opened.signer().check(now) {
                Ok(()) => Ok(self.process(fresh, handle, opened)),
                Err(no_key) => Ok(self.reject(now, no_key.into(), Some(&sealed))),
            },
            Err(rejected) => Ok(self.reject(now, rejected, Some(&sealed))),
        }
    }

    /// A message whose signer is a TAM that this Agent knows.
    fn process<'b>(&mut self, fresh: Fresh, handle: Handle, opened: Opened<'b>) -> Vec<Effect<'b>> {
        let numbering = opened.numbering();
        let (message, signer) = opened.into_parts();
        let sender =
            Tam { key: signer.thumbprint, suite: self.reply_suite(signer.suite), numbering };
        match message {
            Message::QueryRequest(request) => {
                match Question::new(&self.config, &request, &signer, numbering) {
                    Ok(question) => self.asked(fresh, handle, question, request, &signer),
                    Err(error) => vec![send(sender, Message::Error(*error))],
                }
            }
            Message::Update(update) => self.updated(handle, update, &signer, sender),
            Message::QueryResponse(_) | Message::Success(_) | Message::Error(_) => {
                let msg = "not a message for an Agent";
                let error = Error::new(ErrCode::PermanentError, message.token(), msg);
                vec![send(sender, Message::Error(error))]
            }
        }
    }

    /// Answers bytes that are no message of a TAM.
    ///
    /// A sender whose signature holds gets its token back. Any other could put somebody else's
    /// token there and have this Agent sign that the exchange has failed, so it gets none, and
    /// only so many Errors in a given time.
    //= teep 14.51 (M): a TAM whose key is not anchored or expired gets Error 6 or 9, nothing else
    //= teep 15.119: nothing that identifies the device goes to an unknown TAM
    fn reject<'b>(
        &mut self,
        now: Timestamp,
        rejected: Rejected,
        sealed: Option<&Sealed<'_>>,
    ) -> Vec<Effect<'b>> {
        let numbering = sealed.map_or(self.config.dialect.numbering, |s| self.spoken(s));
        let older = numbering != self.config.dialect.numbering;
        let (token, key, suite) = match &rejected {
            Rejected::Message { token, signer, .. } => {
                (*token, signer.thumbprint, self.reply_suite(signer.suite))
            }
            _ if self.config.silent_to_strangers || !self.strangers.admit(now) => {
                return Vec::new();
            }
            _ => (None, Thumbprint([0; 32]), self.config.suites[0]),
        };
        let error = match &rejected {
            Rejected::NoSuite => question::no_common_suite(&self.config, token),
            Rejected::Message { .. } if older => {
                let token = sealed.and_then(|sealed| {
                    crate::message::recover_token(sealed.unverified_payload(), numbering)
                });
                Error::new(ErrCode::PermanentError, token, "code points of an older draft")
            }
            _ => Error::new(rejected.err_code(), token, reason(&rejected)),
        };
        vec![send(Tam { key, suite, numbering }, Message::Error(error))]
    }

    /// The code points in which a sender can read an Error.
    fn spoken(&self, sealed: &Sealed<'_>) -> Numbering {
        let configured = self.config.dialect.numbering;
        let reads = |numbering| Message::decode(sealed.unverified_payload(), numbering).is_ok();
        if !reads(configured) && reads(Numbering::Legacy18) {
            Numbering::Legacy18
        } else {
            configured
        }
    }

    /// The suite of the sender if this Agent has it.
    fn reply_suite(&self, theirs: Suite) -> Suite {
        if self.config.suites.contains(&theirs) { theirs } else { self.config.suites[0] }
    }

    /// A QueryRequest that can be answered, once the TAM is attested where that is asked.
    //= teep 14.60 (M): without the TAM's attestation Error 7 is sent, with freshness and challenge
    fn asked<'b>(
        &mut self,
        fresh: Fresh,
        handle: Handle,
        question: Question,
        request: QueryRequest<'b>,
        signer: &Signer,
    ) -> Vec<Effect<'b>> {
        let valid_until = signer.valid_until;
        if !self.config.attest_tam {
            return self.collect(handle, question, valid_until);
        }
        let state = match self.sessions.get_mut(&handle) {
            Some(session) => std::mem::replace(&mut session.state, State::Idle),
            None => return Vec::new(),
        };
        match (state, request.attestation_payload) {
            (State::Challenging { challenge }, Some(payload)) => {
                let tam = question.tam.key;
                let sent = challenge.clone();
                self.set(handle, State::AppraisingTam { question, challenge, valid_until });
                vec![Effect::AppraiseTam { payload, challenge: sent, tam }]
            }
            (_, _) => vec![self.challenge_tam(fresh, handle, &question)],
        }
    }

    /// Asks the TAM to attest itself.
    fn challenge_tam<'b>(
        &mut self,
        fresh: Fresh,
        handle: Handle,
        question: &Question,
    ) -> Effect<'b> {
        let challenge = Challenge::new(fresh.into_bytes()).expect("32 bytes are an allowed length");
        let msg = "attestation of the TAM is required";
        let error = Error {
            supported_freshness_mechanisms: vec![FreshnessMechanism::NONCE],
            challenge: Some(challenge.clone()),
            ..Error::new(ErrCode::AttestationRequired, question.token, msg)
        };
        self.set(handle, State::Challenging { challenge });
        send(question.tam, Message::Error(error))
    }

    /// Continues after [`Effect::AppraiseTam`].
    //= teep 14.61 (M): a result about the TAM is from a trusted Verifier and names the TAM's key
    pub fn tam_appraised(
        &mut self,
        now: Timestamp,
        fresh: Fresh,
        handle: Handle,
        outcome: Result<Appraisal, NotAttested>,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        self.advance(now);
        let (question, challenge, valid_until) = match self.take(handle)? {
            State::AppraisingTam { question, challenge, valid_until } => {
                (question, challenge, valid_until)
            }
            state => return self.put_back(handle, state, "an appraisal of the TAM"),
        };
        let freshness = Freshness::Nonce(challenge.as_bytes());
        let verdict =
            outcome.and_then(|found| found.check(freshness, question.tam.key, Unbound::Refused));
        Ok(match verdict {
            Ok(Verdict::Passed) => self.collect(handle, question, valid_until),
            Ok(Verdict::Repairable | Verdict::Failed) | Err(_) => {
                vec![self.challenge_tam(fresh, handle, &question)]
            }
        })
    }

    /// Obtains what the TAM asks for, if it asks for anything.
    fn collect<'b>(
        &mut self,
        handle: Handle,
        question: Question,
        valid_until: Option<Timestamp>,
    ) -> Vec<Effect<'b>> {
        let wanted = question.wanted();
        let Wanted { attestation, components, reports, .. } = &wanted;
        if attestation.is_none() && !components && !reports {
            return self.answer(handle, question, valid_until, Collected::default());
        }
        self.set(handle, State::Collecting { question, valid_until });
        vec![Effect::Collect(wanted)]
    }

    /// Continues after [`Effect::Collect`].
    pub fn collected<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        collected: Collected<'e>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let (question, valid_until) = match self.take(handle)? {
            State::Collecting { question, valid_until } => (question, valid_until),
            state => return self.put_back(handle, state, "an inventory"),
        };
        let checked = bounded(&collected.reports, question.token.as_ref())
            .and_then(|()| within("tc-list", collected.components.len(), limits::COMPONENTS - 1));
        if let Err(misuse) = checked {
            self.set(handle, State::Collecting { question, valid_until });
            return Err(misuse);
        }
        if question.asks(DataItems::ATTESTATION) && collected.evidence.is_none() {
            let msg = "Evidence is not available";
            let error = Error::new(ErrCode::TemporaryError, question.token, msg);
            return Ok(vec![send(question.tam, Message::Error(error))]);
        }
        Ok(self.answer(handle, question, valid_until, collected))
    }

    /// Sends the QueryResponse.
    //= teep 14.56 (M): the token is echoed iff there is one
    //= teep 14.58 (M): tc-list and ext-list are given when they are asked for
    fn answer<'e>(
        &mut self,
        handle: Handle,
        question: Question,
        valid_until: Option<Timestamp>,
        collected: Collected<'e>,
    ) -> Vec<Effect<'e>> {
        let Some(session) = self.sessions.get_mut(&handle) else { return Vec::new() };
        let tam = question.tam;
        session.state = State::Answered { tam };
        let uri = session.tam.clone();
        let asks = |items| question.asks(items);
        let tc_list = asks(DataItems::TRUSTED_COMPONENTS)
            .then(|| with_agent(self.config.component.clone(), collected.components));
        let response = QueryResponse {
            token: question.token,
            selected_version: Some(0),
            attestation_payload: collected.evidence.filter(|_| asks(DataItems::ATTESTATION)),
            suit_reports: collected.reports,
            tc_list,
            requested_tc_list: self.memory.requested_of(&uri),
            unneeded_manifest_list: self.memory.unneeded_of(&uri),
            ext_list: asks(DataItems::EXTENSIONS).then(|| self.config.extensions.clone()),
        };
        let facts = TamFacts {
            key: tam.key,
            suite: tam.suite,
            bare: question.is_bare(),
            failed: false,
            valid_until,
        };
        let mut effects = Vec::new();
        if self.memory.tams.get(&uri) != Some(&facts) {
            let keep = self.configured_tams();
            self.memory.learn(&uri, facts, &keep);
            effects.push(self.persist());
        }
        effects.push(send(tam, Message::QueryResponse(response)));
        effects
    }

    /// An Update. It counts from the TAM whose QueryRequest was answered, in the suite chosen
    /// then, and once.
    //= teep 14.13 (M): the suite chosen is used for every later message
    //= teep 15.102: an Update that is replayed has no second effect
    fn updated<'b>(
        &mut self,
        handle: Handle,
        update: Update<'b>,
        signer: &Signer,
        sender: Tam,
    ) -> Vec<Effect<'b>> {
        let token = update.token;
        let refuse = |msg| {
            let error = Error::new(ErrCode::PermanentError, token, msg);
            vec![send(sender, Message::Error(error))]
        };
        let tam = match self.sessions.get(&handle).map(|session| &session.state) {
            Some(State::Answered { tam }) => *tam,
            Some(_) | None => return refuse("Update without QueryRequest"),
        };
        if tam.key != signer.thumbprint {
            return refuse("Update of another TAM");
        }
        if tam.suite != signer.suite {
            return refuse("Update in another cipher suite");
        }
        if token.is_some_and(|token| self.memory.is_spent(tam.key, &token)) {
            return refuse("Update was carried out before");
        }
        let mut effects = Vec::new();
        if let Some(token) = &token {
            self.memory.spend(tam.key, token);
            effects.push(self.persist());
        }
        effects.extend(update.attestation_payload.map(Effect::Passport));
        let failed = update.err_code.is_some();
        effects.extend(update.err_code.map(|code| Effect::Failed { code, msg: update.err_msg }));
        let (unneeded, manifests) = (update.unneeded_manifest_list, update.manifest_list);
        if !unneeded.is_empty() {
            let manifests = manifests.into_iter().map(Cow::into_owned).collect();
            self.set(handle, State::Unlinking { tam, token, manifests });
            effects.push(Effect::Unlink(unneeded));
        } else if !manifests.is_empty() {
            effects.push(self.install(handle, tam, token, manifests));
        } else if !failed {
            effects.push(send(tam, Message::Success(Success { token, ..Success::default() })));
        }
        effects
    }

    fn install<'b>(
        &mut self,
        handle: Handle,
        tam: Tam,
        token: Option<Token>,
        manifests: Vec<Cow<'b, [u8]>>,
    ) -> Effect<'b> {
        self.set(handle, State::Installing { tam, token, manifests: manifests.len() });
        Effect::Install { manifests, nonce: token }
    }

    /// Continues after [`Effect::Unlink`].
    //= teep 14.63 (M): unlinking precedes installing, and its failure stops the Update
    pub fn unlinked<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        unlinked: Result<&[crate::component::ComponentId], NotUnlinked<'e>>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let (tam, token, manifests) = match self.take(handle)? {
            State::Unlinking { tam, token, manifests } => (tam, token, manifests),
            state => return self.put_back(handle, state, "an outcome of unlinking"),
        };
        if let Err(failure) = &unlinked
            && let Err(misuse) = bounded(&failure.reports, token.as_ref())
        {
            self.set(handle, State::Unlinking { tam, token, manifests });
            return Err(misuse);
        }
        self.set(handle, State::Answered { tam });
        match unlinked {
            Err(NotUnlinked { msg, reports }) => {
                let error = Error {
                    err_msg: Msg::new(msg),
                    suit_reports: reports,
                    ..Error::new(ErrCode::ManifestProcessingFailed, token, "")
                };
                Ok(vec![send(tam, Message::Error(error))])
            }
            Ok(gone) => {
                let before = self.memory.unneeded.len();
                gone.iter().for_each(|manifest| {
                    self.memory.unneeded.remove(manifest);
                });
                let changed = self.memory.unneeded.len() != before;
                let mut effects: Vec<_> = changed.then(|| self.persist()).into_iter().collect();
                if manifests.is_empty() {
                    let success = Success { token, ..Success::default() };
                    effects.push(send(tam, Message::Success(success)));
                } else {
                    let manifests = manifests.into_iter().map(Cow::Owned).collect();
                    effects.push(self.install(handle, tam, token, manifests));
                }
                Ok(effects)
            }
        }
    }

    /// Continues after [`Effect::Install`], with one outcome for each manifest, in order.
    //= teep 14.64 (M): Success only after every manifest and dependency is installed
    //= teep 14.65 (M): any failure gives Error 11 with the reports
    pub fn installed<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        outcomes: Vec<Outcome<'e>>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let (tam, token, manifests) = match self.take(handle)? {
            State::Installing { tam, token, manifests } => (tam, token, manifests),
            state => return self.put_back(handle, state, "an outcome of installing"),
        };
        let reports: Vec<_> = outcomes.iter().filter_map(|o| o.report.clone()).collect();
        let checked = bounded(&reports, token.as_ref()).and_then(|()| {
            let got = outcomes.len();
            let expected = manifests;
            if got == expected { Ok(()) } else { Err(Misuse::Outcomes { expected, got }) }
        });
        if let Err(misuse) = checked {
            self.set(handle, State::Installing { tam, token, manifests });
            return Err(misuse);
        }
        self.set(handle, State::Answered { tam });
        let before = self.memory.requested.len();
        for component in outcomes.iter().flat_map(|outcome| &outcome.components) {
            self.memory.requested.remove(component);
        }
        let changed = self.memory.requested.len() != before;
        let mut effects: Vec<_> = changed.then(|| self.persist()).into_iter().collect();
        let failed = outcomes.iter().filter(|outcome| !outcome.installed).count();
        let message = if failed == 0 {
            Message::Success(Success { token, msg: None, suit_reports: reports })
        } else {
            let error = Error::new(ErrCode::ManifestProcessingFailed, token, "");
            let err_msg = Msg::new(format!("{failed} of {manifests} manifests failed"));
            Message::Error(Error { err_msg, suit_reports: reports, ..error })
        };
        effects.push(send(tam, message));
        Ok(effects)
    }

    fn take(&mut self, handle: Handle) -> Result<State, Misuse> {
        let session = self.sessions.get_mut(&handle).ok_or(Misuse::UnknownHandle)?;
        Ok(std::mem::replace(&mut session.state, State::Idle))
    }

    fn put_back<T>(
        &mut self,
        handle: Handle,
        state: State,
        what: &'static str,
    ) -> Result<T, Misuse> {
        self.set(handle, state);
        Err(Misuse::NotAskedFor(what))
    }

    fn set(&mut self, handle: Handle, state: State) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.state = state;
        }
    }
}

/// The list of components with the Agent in it, so that it is never empty.
fn with_agent<'e>(
    agent: SystemProperties<'static>,
    mut components: Vec<SystemProperties<'e>>,
) -> Vec<SystemProperties<'e>> {
    if !components.iter().any(|listed| listed.component == agent.component) {
        components.insert(0, agent);
    }
    components
}

/// Reports fit the message and have its token as their nonce.
//= teep 14.59 (M): the nonce of a report is the token where there is one
fn bounded(reports: &[Cow<'_, [u8]>], token: Option<&Token>) -> Result<(), Misuse> {
    within("suit-reports", reports.len(), limits::REPORTS)?;
    let Some(token) = token else { return Ok(()) };
    let nonce = |bytes: &Cow<'_, [u8]>| report::read(bytes).and_then(|report| report.nonce);
    if reports.iter().all(|bytes| nonce(bytes).as_deref() == Some(token.as_bytes())) {
        Ok(())
    } else {
        Err(Misuse::ReportNonce)
    }
}

const fn within(what: &'static str, got: usize, max: usize) -> Result<(), Misuse> {
    if got <= max { Ok(()) } else { Err(Misuse::TooMany(what)) }
}

/// What the sender is told. The cause stays inside.
//= teep 15.121: errors reveal neither keys nor plaintext
const fn reason(rejected: &Rejected) -> &'static str {
    match rejected {
        Rejected::NotSigned => "not a signed TEEP message",
        Rejected::Malformed(_) | Rejected::Message { .. } => "malformed",
        Rejected::AlgorithmUnprotected => "alg is not protected",
        Rejected::NoSuite => "no common cipher suite",
        Rejected::Key(NoKey::Expired) => "key has expired",
        Rejected::Key(_) => "key is not trusted",
        Rejected::Untrusted(_) => "signature is not acceptable",
    }
}

fn send(tam: Tam, message: Message<'_>) -> Effect<'_> {
    let protection = Protection::Sign1(tam.suite);
    Effect::Send(Box::new(Outgoing { message, numbering: tam.numbering, protection }))
}
