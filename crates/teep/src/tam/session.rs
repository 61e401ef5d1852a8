//! The session machine of a TAM.

use std::borrow::Cow;

use super::effect::{Appraise, Effect, Inventory, Record, Spent};
use super::exchange::{Asked, Exchange, Query, Waiting};
use super::request::{self, Extra};
use super::work::{Decision, Manifest, Work};
use super::{Peer, Tam};
use crate::appraisal::{Appraisal, Freshness, NotAttested, Verdict};
use crate::attestation::AttestationPayload;
use crate::challenge::{Challenge, Issued};
use crate::cipher_suite::Suite;
use crate::envelope::{Opened, Outgoing, Protection, Signer, Standing};
use crate::err_code::ErrCode;
use crate::limits;
use crate::message::{DataItems, Error, Message, QueryResponse, Success, Update};
use crate::misbehaved::Misbehaved;
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::report;
use crate::text::{ErrLang, Msg};
use crate::time::Timestamp;
use crate::token::{Fresh, Token};

/// One exchange, from a message that came in to the effects that answer it.
#[derive(Debug)]
pub struct Session {
    state: State,
    common: Common,
}

/// What every state has.
#[derive(Debug)]
struct Common {
    numbering: Numbering,
    /// What the next [`Record`] uses up.
    spends: Option<Spent>,
    retried: bool,
    tam_attested: bool,
    note: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// QueryRequest sent; only a QueryResponse or Error may follow.
    Querying {
        agent: Option<Peer>,
        query: Query,
    },
    /// Attestation payload handed out; nothing from the peer is acceptable.
    Appraising {
        signer: Box<Signer>,
        asked: Asked,
        inventory: Box<Inventory<'static>>,
    },
    /// Inventory handed out; nothing from the peer is acceptable.
    Deciding {
        agent: Peer,
    },
    /// The same after a failed attestation: only repairs may be chosen.
    Repairing {
        agent: Peer,
    },
    /// Evidence about the TAM is being obtained.
    Attesting {
        agent: Option<Peer>,
        query: Query,
    },
    /// Update sent; only Success or Error may follow.
    Updating {
        agent: Peer,
        token: Token,
        repair: bool,
    },
    /// No exchange is known; hints may follow.
    Unsolicited,
    Closed,
}

impl Session {
    pub(super) fn resumed(now: Timestamp, exchange: Exchange) -> Result<Self, Misbehaved> {
        if now >= exchange.deadline {
            return Err(Misbehaved::Expired);
        }
        let common = Common {
            numbering: exchange.numbering,
            spends: Some(Spent::Stored(exchange.correlation())),
            retried: exchange.retried,
            tam_attested: exchange.tam_attested,
            note: exchange.note,
        };
        let state = match (exchange.waiting, exchange.agent) {
            (Waiting::Query(query), agent) => State::Querying { agent, query },
            (Waiting::Update { token, repair }, Some(agent)) => {
                State::Updating { agent, token, repair }
            }
            (Waiting::Update { .. }, None) => return Err(Misbehaved::UnknownExchange),
        };
        Ok(Self { state, common })
    }

    pub(super) fn stranger(query: Query, challenge: Challenge, issued: Issued) -> Self {
        let spends = Spent::SelfDescribing { challenge, until: issued.until };
        let common = Common { spends: Some(spends), ..Common::default() };
        Self { state: State::Querying { agent: None, query }, common }
    }

    pub(super) fn unsolicited() -> Self {
        Self { state: State::Unsolicited, common: Common::default() }
    }

    /// What the shell left with the exchange.
    pub fn note(&self) -> &[u8] {
        &self.common.note
    }

    /// RFC 9397 section 6.2.1 ProcessTeepMessage.
    ///
    /// A message that does not belong here is an error and changes nothing; the answer to it is
    /// empty.
    //= teep 14.29 (M): a response with a bad signature does not consume the token
    //= teep 14.32 (M): an invalid message is dropped with an empty answer
    pub fn process_teep_message<'b>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        opened: Opened<'b>,
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let numbering = opened.numbering();
        let (message, signer) = opened.into_parts();
        match (&self.state, message) {
            (State::Querying { agent, query }, Message::QueryResponse(response)) => {
                same_peer(agent.as_ref(), &signer)?;
                query.asked.matches(response.token)?;
                let query = query.clone();
                self.common.numbering = numbering;
                Ok(self.answered(tam, query, response, signer))
            }
            (State::Querying { agent, query }, Message::Error(error)) => {
                same_peer(agent.as_ref(), &signer)?;
                query.asked.matches(error.token)?;
                let (agent, query) = (*agent, query.clone());
                Ok(self.refused(tam, now, fresh, agent, query, error))
            }
            (State::Updating { agent, token, repair }, Message::Success(success)) => {
                let (agent, repair) = (*agent, *repair);
                expect_answer(&agent, token, success.token, &success.suit_reports, &signer)?;
                let Success { msg, suit_reports: reports, .. } = success;
                Ok(self.carried_out(agent, repair, Effect::Installed { reports, msg }))
            }
            (State::Updating { agent, token, repair }, Message::Error(error)) => {
                let (agent, repair) = (*agent, *repair);
                expect_answer(&agent, token, error.token, &error.suit_reports, &signer)?;
                Ok(self.carried_out(agent, repair, refusal(error)))
            }
            (State::Unsolicited, Message::QueryResponse(response)) => {
                hinted(numbering, &signer, response)
            }
            (State::Unsolicited, Message::Error(error)) => {
                self.common.numbering = numbering;
                Ok(self.refused_by_stranger(tam, fresh, now, error))
            }
            (_, message) => Err(Misbehaved::UnexpectedMessage(message.kind())),
        }
    }

    /// A QueryResponse to our QueryRequest. From here on the request is used up.
    fn answered<'b>(
        &mut self,
        tam: &Tam,
        query: Query,
        response: QueryResponse<'b>,
        signer: Signer,
    ) -> Vec<Effect<'b>> {
        let agent = self.peer(&signer);
        if let Err(fault) = complete(tam, &query, &response, &signer) {
            return self.drop_answer(agent, fault);
        }
        let QueryResponse { attestation_payload, .. } = response;
        let inventory = Inventory {
            components: response.tc_list,
            reports: response.suit_reports,
            requested: response.requested_tc_list,
            unneeded: response.unneeded_manifest_list,
            extensions: response.ext_list,
        };
        let asked = query.items.contains(DataItems::ATTESTATION);
        let Some(payload) = attestation_payload.filter(|_| asked) else {
            self.state = State::Deciding { agent };
            return vec![Effect::Decide(Some(Box::new(inventory)))];
        };
        let (challenge, tam_nonce) = match &query.asked {
            Asked::Challenge { challenge, tam_nonce } => {
                (Some(challenge.clone()), Some(tam_nonce.clone()))
            }
            Asked::Token(_) | Asked::Result => (None, None),
        };
        let kind = tam.payload_kind(&payload);
        let signer = Box::new(signer);
        let inventory = Box::new(inventory.into_owned());
        self.state = State::Appraising { signer: signer.clone(), asked: query.asked, inventory };
        vec![Effect::Appraise(Appraise { payload, kind, challenge, tam_nonce, signer })]
    }

    /// Continues after [`Effect::Appraise`].
    //= teep 14.35 (M): Evidence goes to the Verifier, and its result is handled only after that
    //= teep 14.36 (M): a result from an untrusted Verifier is refused
    //= teep 14.40 (M): a failed attestation without repair is answered by err-code 7
    pub fn appraised(
        &mut self,
        tam: &Tam,
        outcome: Result<Appraisal, NotAttested>,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        let State::Appraising { signer, asked, inventory } =
            std::mem::replace(&mut self.state, State::Closed)
        else {
            return Err(Misuse::NotAskedFor("an appraisal"));
        };
        let freshness = match &asked {
            Asked::Challenge { challenge, .. } => Freshness::Nonce(challenge.as_bytes()),
            Asked::Token(token) => Freshness::Nonce(token.as_bytes()),
            Asked::Result => Freshness::Timestamp,
        };
        let unbound = tam.config().unbound_results;
        let verdict = outcome.and_then(|a| a.check(freshness, signer.thumbprint, unbound));
        let agent = self.peer(&signer);
        match verdict {
            Ok(Verdict::Passed) => {
                self.state = State::Deciding { agent };
                Ok(vec![Effect::Attested { signer, agent }, Effect::Decide(Some(inventory))])
            }
            Ok(Verdict::Repairable) => {
                self.state = State::Repairing { agent };
                let why = NotAttested::Verdict(Verdict::Repairable);
                Ok(vec![Effect::NotAttested(why), Effect::Repair(inventory)])
            }
            Ok(Verdict::Failed) => {
                Ok(self.not_attested(agent, NotAttested::Verdict(Verdict::Failed)))
            }
            Err(why) => Ok(self.not_attested(agent, why)),
        }
    }

    fn not_attested(&mut self, agent: Peer, why: NotAttested) -> Vec<Effect<'static>> {
        let mut effects = vec![Effect::NotAttested(why)];
        effects.extend(self.tell(agent, ErrCode::AttestationRequired, "attestation failed".into()));
        effects
    }

    /// Continues after [`Effect::Decide`].
    pub fn decide<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        decision: Decision<'m>,
    ) -> Result<Vec<Effect<'m>>, Misuse> {
        let State::Deciding { agent } = self.state else {
            return Err(Misuse::NotAskedFor("a decision"));
        };
        match decision {
            Decision::Nothing => {
                self.state = State::Closed;
                Ok(self.spend().into_iter().collect())
            }
            Decision::Update(work) => self.update(tam, now, fresh, agent, work, false),
            Decision::Refuse { code, msg } => {
                let mut effects: Vec<_> = self.spend().into_iter().collect();
                effects.push(self.error_update(agent, code, msg));
                Ok(effects)
            }
        }
    }

    /// Continues after [`Effect::Repair`]; no manifests means that there is no repair.
    //= teep 14.41 (S): a repair brings no Personalization Data
    pub fn repair<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        manifests: Vec<Manifest<'m>>,
    ) -> Result<Vec<Effect<'m>>, Misuse> {
        let State::Repairing { agent } = self.state else {
            return Err(Misuse::NotAskedFor("a repair"));
        };
        if manifests.iter().any(Manifest::has_personalization_data) {
            return Err(Misuse::RepairWithPersonalizationData);
        }
        if manifests.is_empty() {
            let msg = "attestation failed".into();
            return Ok(self.tell(agent, ErrCode::AttestationRequired, msg));
        }
        let work = Work { manifests, ..Work::default() };
        self.update(tam, now, fresh, agent, work, true)
    }

    fn update<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        agent: Peer,
        work: Work<'m>,
        repair: bool,
    ) -> Result<Vec<Effect<'m>>, Misuse> {
        if work.manifests.len() > limits::MANIFESTS {
            return Err(Misuse::TooMany("manifest-list"));
        }
        if work.unneeded.len() > limits::REQUESTS {
            return Err(Misuse::TooMany("unneeded-manifest-list"));
        }
        let token = fresh.into_token();
        let waiting = Waiting::Update { token, repair };
        let note = self.common.note.clone();
        let opens = Some(tam.exchange(now, Some(agent), agent.numbering, waiting, note));
        let persist = Effect::Persist(Record { spends: self.common.spends.take(), opens });
        let update = Update {
            token: Some(token),
            unneeded_manifest_list: work.unneeded,
            manifest_list: work.manifests.into_iter().map(Manifest::into_envelope).collect(),
            attestation_payload: work.result,
            ..Update::default()
        };
        self.state = State::Updating { agent, token, repair };
        Ok(vec![persist, Effect::Send(to(agent, Message::Update(update)))])
    }

    /// An Update was answered. Its token is used up; more work may follow.
    fn carried_out<'b>(
        &mut self,
        agent: Peer,
        repair: bool,
        outcome: Effect<'b>,
    ) -> Vec<Effect<'b>> {
        if repair {
            self.state = State::Closed;
            return [outcome]
                .into_iter()
                .chain(self.spend())
                .chain([Effect::Connect(agent)])
                .collect();
        }
        self.state = State::Deciding { agent };
        vec![outcome, Effect::Decide(None)]
    }

    /// An Error in answer to our QueryRequest.
    //= teep 14.42 (M): Error 7 is answered by a QueryRequest with attestation-payload
    //= teep 14.44 (S): Error 3, 4, 5 and 8 are answered once, with a choice both sides have
    fn refused<'b>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        agent: Option<Peer>,
        query: Query,
        error: Error<'b>,
    ) -> Vec<Effect<'b>> {
        if error.err_code == ErrCode::AttestationRequired && !self.common.tam_attested {
            self.state = State::Attesting { agent, query };
            return vec![Effect::Attest(error.challenge)];
        }
        if let Some((agent, extra)) = (!self.common.retried).then(|| retry(agent, &error)).flatten()
        {
            self.common.retried = true;
            return self.ask_again(tam, now, fresh, agent, query, extra);
        }
        let bound = matches!(query.asked, Asked::Token(_));
        let mut effects = vec![refusal(error)];
        if bound {
            self.state = State::Closed;
            effects.extend(self.spend());
        }
        effects
    }

    /// An Error that no exchange waits for, as that of a stranger whom we asked statelessly.
    fn refused_by_stranger<'b>(
        &mut self,
        tam: &Tam,
        fresh: Fresh,
        now: Timestamp,
        error: Error<'b>,
    ) -> Vec<Effect<'b>> {
        if error.err_code != ErrCode::AttestationRequired || error.token.is_some() {
            return vec![refusal(error)];
        }
        let challenge = Challenge::issue(&tam.config().challenge_key, now, fresh);
        let query = tam.attestation(challenge.clone(), challenge, false);
        self.state = State::Attesting { agent: None, query };
        vec![Effect::Attest(error.challenge)]
    }

    /// Continues after [`Effect::Attest`], with Evidence or a result about this TAM and boot-time
    /// reports about it, or nothing if there is none to give.
    pub fn attested<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        attestation: Option<AttestationPayload<'m>>,
        reports: Vec<Cow<'m, [u8]>>,
    ) -> Result<Vec<Effect<'m>>, Misuse> {
        let State::Attesting { agent, query } = std::mem::replace(&mut self.state, State::Closed)
        else {
            return Err(Misuse::NotAskedFor("an attestation"));
        };
        let Some(attestation) = attestation else {
            let bound = matches!(query.asked, Asked::Token(_));
            return Ok(if bound { self.spend().into_iter().collect() } else { Vec::new() });
        };
        self.common.tam_attested = true;
        let extra = Extra { attestation: Some(attestation), reports, explicit_freshness: false };
        Ok(self.ask_again(tam, now, fresh, agent, query, extra))
    }

    /// Sends the QueryRequest again; a token is used up and replaced, a challenge is not.
    fn ask_again<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        agent: Option<Peer>,
        mut query: Query,
        extra: Extra<'m>,
    ) -> Vec<Effect<'m>> {
        if let Asked::Token(_) = query.asked {
            query.asked = Asked::Token(fresh.into_token());
        }
        let numbering = self.common.numbering;
        let outgoing = request::outgoing(&query, agent, numbering, extra);
        let mut effects = Vec::new();
        if let Some(Spent::Stored(_)) = self.common.spends {
            let note = self.common.note.clone();
            let waiting = Waiting::Query(query.clone());
            let exchange = Exchange {
                retried: self.common.retried,
                tam_attested: self.common.tam_attested,
                ..tam.exchange(now, agent, numbering, waiting, note)
            };
            let spends = self.common.spends.replace(Spent::Stored(exchange.correlation()));
            effects.push(Effect::Persist(Record { spends, opens: Some(exchange) }));
        }
        self.state = State::Querying { agent, query };
        effects.push(Effect::Send(outgoing));
        effects
    }

    /// Drops a QueryResponse and tells the Agent why.
    //= teep 14.33 (M): an answer without what was asked for is dropped, and an Update tells why
    fn drop_answer(&mut self, agent: Peer, fault: &'static str) -> Vec<Effect<'static>> {
        let mut effects = vec![Effect::Dropped(fault)];
        effects.extend(self.tell(agent, ErrCode::PermanentError, fault.into()));
        effects
    }

    /// Ends the exchange with an Update that has nothing but an error.
    ///
    /// It has no token, as nothing is expected back; and what cost nothing to store so far leaves
    /// nothing behind.
    fn tell<'m>(&mut self, agent: Peer, code: ErrCode, msg: Cow<'m, str>) -> Vec<Effect<'m>> {
        let stored = matches!(self.common.spends, Some(Spent::Stored(_)));
        let spend = if stored { self.spend() } else { None };
        spend.into_iter().chain([self.error_update(agent, code, msg)]).collect()
    }

    fn error_update<'m>(&mut self, agent: Peer, code: ErrCode, msg: Cow<'m, str>) -> Effect<'m> {
        self.state = State::Closed;
        let err_msg = Msg::new(msg);
        let update = Update {
            err_code: Some(code),
            err_lang: err_msg.is_some().then_some(ErrLang::EN),
            err_msg,
            ..Update::default()
        };
        Effect::Send(to(agent, Message::Update(update)))
    }

    fn spend(&mut self) -> Option<Effect<'static>> {
        let spends = self.common.spends.take()?;
        Some(Effect::Persist(Record { spends: Some(spends), opens: None }))
    }

    fn peer(&self, signer: &Signer) -> Peer {
        Peer { key: signer.thumbprint, suite: signer.suite, numbering: self.common.numbering }
    }
}

impl Default for Common {
    fn default() -> Self {
        Self {
            numbering: Numbering::V26,
            spends: None,
            retried: false,
            tam_attested: false,
            note: Vec::new(),
        }
    }
}

impl Asked {
    /// Whether an answer brings back what was sent with the request.
    fn matches(&self, token: Option<Token>) -> Result<(), Misbehaved> {
        let sent = match self {
            Self::Token(token) => Some(*token),
            Self::Challenge { .. } | Self::Result => None,
        };
        if token == sent { Ok(()) } else { Err(Misbehaved::TokenMismatch) }
    }
}

/// Whether a message comes from the Agent that the exchange is with, in its suite.
//= teep 14.13 (M): the suite chosen is used for every later message
fn same_peer(agent: Option<&Peer>, signer: &Signer) -> Result<(), Misbehaved> {
    match agent {
        Some(agent) if agent.key != signer.thumbprint => Err(Misbehaved::AnotherSigner),
        Some(agent) if agent.suite != signer.suite => Err(Misbehaved::SuiteChanged),
        Some(_) | None => Ok(()),
    }
}

/// Whether a Success or Error answers the Update with this token.
//= teep 14.43 (M): report nonces in Success and Error are compared with the Update's token
fn expect_answer(
    agent: &Peer,
    sent: &Token,
    token: Option<Token>,
    reports: &[Cow<'_, [u8]>],
    signer: &Signer,
) -> Result<(), Misbehaved> {
    same_peer(Some(agent), signer)?;
    if token.as_ref() != Some(sent) {
        return Err(Misbehaved::TokenMismatch);
    }
    reports.iter().try_for_each(|bytes| report::check(bytes, Some(sent), signer))
}

/// Whether a QueryResponse has what was asked for.
//= teep 14.34 (M): report nonces in a QueryResponse are compared with the token
fn complete(
    tam: &Tam,
    query: &Query,
    response: &QueryResponse<'_>,
    signer: &Signer,
) -> Result<(), &'static str> {
    let asked = |items| query.items.contains(items);
    let strict = !tam.config().lenient_lists;
    if response.selected_version.is_some_and(|version| version != 0) {
        return Err("selected-version was not offered");
    }
    if asked(DataItems::ATTESTATION) && response.attestation_payload.is_none() {
        return Err("attestation-payload is missing");
    }
    if asked(DataItems::TRUSTED_COMPONENTS) && strict && response.tc_list.is_none() {
        return Err("tc-list is missing");
    }
    if asked(DataItems::EXTENSIONS) && strict && response.ext_list.is_none() {
        return Err("ext-list is missing");
    }
    let token = match &query.asked {
        Asked::Token(token) => Some(token),
        Asked::Challenge { .. } | Asked::Result => None,
    };
    for bytes in &response.suit_reports {
        report::check(bytes, token, signer).map_err(|fault| match fault {
            Misbehaved::ReportNonce => "nonce of a SUIT report is not the token",
            Misbehaved::ReportKey => "a SUIT report is protected by the key of the message",
            _ => "a SUIT report is not readable",
        })?;
    }
    Ok(())
}

/// What to ask differently after an Error, if both sides have it.
fn retry(agent: Option<Peer>, error: &Error<'_>) -> Option<(Option<Peer>, Extra<'static>)> {
    use crate::message::FreshnessMechanism;
    use crate::suit_cose_profile::SuitCoseProfile;

    let same = |explicit_freshness| Some((agent, Extra { explicit_freshness, ..Extra::default() }));
    match error.err_code {
        ErrCode::UnsupportedFreshnessMechanisms
            if error.supported_freshness_mechanisms.contains(&FreshnessMechanism::NONCE) =>
        {
            same(true)
        }
        ErrCode::UnsupportedMsgVersion if error.versions.contains(&0) => same(false),
        ErrCode::UnsupportedCipherSuites => {
            let suite = *Suite::common(&Suite::ALL, &error.supported_teep_cipher_suites).first()?;
            agent.map(|agent| (Some(Peer { suite, ..agent }), Extra::default()))
        }
        ErrCode::UnsupportedSuitReport
            if SuitCoseProfile::MANDATORY
                .iter()
                .any(|ours| error.supported_suit_cose_profiles.contains(ours)) =>
        {
            same(false)
        }
        _ => None,
    }
}

/// A QueryResponse that answers nothing: a hint, as nothing shows that it is fresh.
fn hinted<'b>(
    numbering: Numbering,
    signer: &Signer,
    response: QueryResponse<'b>,
) -> Result<Vec<Effect<'b>>, Misbehaved> {
    if signer.standing != Standing::Anchored {
        return Err(Misbehaved::UnknownSigner);
    }
    if response.token.is_some() {
        return Err(Misbehaved::UnknownExchange);
    }
    let agent = Peer { key: signer.thumbprint, suite: signer.suite, numbering };
    Ok(vec![
        Effect::Requested {
            components: response.requested_tc_list,
            unneeded: response.unneeded_manifest_list,
        },
        Effect::Connect(agent),
    ])
}

fn refusal(error: Error<'_>) -> Effect<'_> {
    Effect::Refused { code: error.err_code, msg: error.err_msg, reports: error.suit_reports }
}

fn to(agent: Peer, message: Message<'_>) -> Outgoing<'_> {
    Outgoing { message, numbering: agent.numbering, protection: Protection::Sign1(agent.suite) }
}
