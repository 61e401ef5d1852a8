//! The session machine of a TAM.

use std::borrow::Cow;

use rats::Timestamp;

use super::check;
use super::effect::{Appraise, Effect, Inventory, Record, Spent};
use super::exchange::{Asked, Exchange, Query, Waiting};
use super::work::{Decision, Manifest, Work};
use super::{Peer, Tam};
use crate::appraisal::{Appraisal, Freshness, NotAttested, Verdict};
use crate::challenge::{Challenge, Issued};
use crate::envelope::{Opened, Outgoing, Protection, Signer, Standing};
use crate::err_code::ErrCode;
use crate::limits;
use crate::message::{DataItems, Error, Message, QueryResponse, Success, Update};
use crate::misbehaved::Misbehaved;
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::text::{ErrLang, Msg};
use crate::token::{Fresh, Token};

/// One exchange, from a message that came in to the effects that answer it.
#[derive(Debug)]
pub struct Session {
    pub(super) state: State,
    pub(super) common: Common,
}

/// What every state has.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) numbering: Numbering,
    /// What the next [`Record`] uses up.
    pub(super) spends: Option<Spent>,
    pub(super) retried: bool,
    pub(super) tam_attested: bool,
    pub(super) note: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum State {
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
    /// Evidence about the TAM is being obtained; nothing from the peer is acceptable.
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
        let state = match exchange.waiting {
            Waiting::Query { agent, query } => State::Querying { agent, query },
            Waiting::Update { agent, token, repair } => State::Updating { agent, token, repair },
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
    //= teep 15.116: a Broker that drops, delays, duplicates and reorders leads to no wrong state
    //= teep 14.29 (M): a response with a bad signature does not consume the token
    //= teep 14.32 (M): an invalid message is dropped with an empty answer
    //= teep 15.107: a message in the wrong direction is refused
    pub fn process_teep_message<'b>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        opened: Opened<'b>,
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let numbering = opened.numbering();
        let (message, signer) = opened.into_parts();
        if signer.has_expired(now) {
            return Err(Misbehaved::KeyExpired);
        }
        let receiver = tam.config().receiver.as_ref();
        match (&self.state, message) {
            (State::Querying { agent, query }, Message::QueryResponse(response)) => {
                check::sender(agent.as_ref(), &signer, numbering)?;
                check::token(&query.asked, response.token)?;
                let query = query.clone();
                self.common.numbering = numbering;
                Ok(self.answered(tam, query, response, signer))
            }
            (State::Querying { agent, query }, Message::Error(error)) => {
                check::sender(agent.as_ref(), &signer, numbering)?;
                check::token(&query.asked, error.token)?;
                check::reports(&error.suit_reports, error.token.as_ref(), &signer, receiver)?;
                let (agent, query) = (*agent, query.clone());
                Ok(self.refused(tam, now, fresh, agent, query, error))
            }
            (State::Updating { agent, token, repair }, Message::Success(success)) => {
                check::sender(Some(agent), &signer, numbering)?;
                check::outcome(token, success.token, &success.suit_reports, &signer, receiver)?;
                let (agent, repair) = (*agent, *repair);
                let Success { msg, suit_reports: reports, .. } = success;
                Ok(self.carried_out(agent, repair, Effect::Installed { reports, msg }))
            }
            (State::Updating { agent, token, repair }, Message::Error(error)) => {
                check::sender(Some(agent), &signer, numbering)?;
                check::outcome(token, error.token, &error.suit_reports, &signer, receiver)?;
                let (agent, repair) = (*agent, *repair);
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

    /// A QueryResponse to our QueryRequest. From here on a token is used up.
    fn answered<'b>(
        &mut self,
        tam: &Tam,
        query: Query,
        response: QueryResponse<'b>,
        signer: Signer,
    ) -> Vec<Effect<'b>> {
        if let Err(fault) = check::complete(tam.config(), &query, &response, &signer) {
            return self.drop_answer(&signer, fault);
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
            self.state = State::Deciding { agent: self.peer(&signer) };
            return vec![Effect::Decide(Some(Box::new(inventory)))];
        };
        let (challenge, tam_nonce) = match &query.asked {
            Asked::Challenge { challenge, tam_nonce } => {
                (Some(challenge.clone()), Some(tam_nonce.clone()))
            }
            Asked::Token(_) | Asked::Result { .. } => (None, None),
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
    //= teep 15.108: an Agent that forwards another's result is refused
    pub fn appraised(
        &mut self,
        tam: &Tam,
        outcome: Result<Appraisal, NotAttested>,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let State::Appraising { signer, asked, inventory } = state else {
            return self.put_back(state, "an appraisal");
        };
        let freshness = match &asked {
            Asked::Challenge { challenge, .. } => Freshness::Nonce(challenge.as_bytes()),
            Asked::Token(token) => Freshness::Nonce(token.as_bytes()),
            Asked::Result { .. } => Freshness::Timestamp,
        };
        let unbound = tam.config().unbound_results;
        let verdict = outcome.and_then(|a| a.check(freshness, signer.thumbprint, unbound));
        let agent = self.peer(&signer);
        let why = match verdict {
            Ok(Verdict::Passed) => {
                self.state = State::Deciding { agent };
                return Ok(vec![
                    Effect::Attested { signer, agent },
                    Effect::Decide(Some(inventory)),
                ]);
            }
            Ok(Verdict::Repairable) => {
                self.state = State::Repairing { agent };
                let why = NotAttested::Verdict(Verdict::Repairable);
                return Ok(vec![Effect::NotAttested(why), Effect::Repair(inventory)]);
            }
            Ok(Verdict::Failed) => NotAttested::Verdict(Verdict::Failed),
            Err(why) => why,
        };
        let mut effects = vec![Effect::NotAttested(why)];
        effects.extend(self.spend_if_anchored(&signer));
        effects.push(self.tell(agent, ErrCode::AttestationRequired, FAILED.into()));
        Ok(effects)
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
                let spend = self.spend();
                let tell = self.tell(agent, code, msg);
                Ok(spend.into_iter().chain([tell]).collect())
            }
        }
    }

    /// Continues after [`Effect::Repair`]; no manifests mean that there is no repair.
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
            let spend = self.spend();
            let tell = self.tell(agent, ErrCode::AttestationRequired, FAILED.into());
            return Ok(spend.into_iter().chain([tell]).collect());
        }
        let work = Work { manifests, ..Work::default() };
        self.update(tam, now, fresh, agent, work, true)
    }

    //= teep 14.45 (S): an Update may bring nothing but an Attestation Result
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
        let waiting = Waiting::Update { agent, token, repair };
        let note = self.common.note.clone();
        let opens = Some(tam.exchange(now, agent.numbering, waiting, note));
        let persist = Effect::Persist(Record { spends: self.common.spends.take(), opens });
        let update = Update {
            token: Some(token),
            unneeded_manifest_list: work.unneeded,
            manifest_list: work.manifests.into_iter().map(Manifest::into_envelope).collect(),
            attestation_payload: work.result,
            ..Update::default()
        };
        self.state = State::Updating { agent, token, repair };
        Ok(vec![persist, send(agent, Message::Update(update))])
    }

    /// An Update was answered, and its token is used up. More work may follow; but a device that
    /// was repaired has to attest itself first.
    fn carried_out<'b>(
        &mut self,
        agent: Peer,
        repair: bool,
        outcome: Effect<'b>,
    ) -> Vec<Effect<'b>> {
        if !repair {
            self.state = State::Deciding { agent };
            return vec![outcome, Effect::Decide(None)];
        }
        self.state = State::Closed;
        let spend = self.spend();
        [outcome].into_iter().chain(spend).chain([Effect::Connect(Some(agent))]).collect()
    }

    /// Drops a QueryResponse and tells the Agent why.
    //= teep 14.33 (M): an answer without what was asked for is dropped, and an Update tells why
    fn drop_answer(&mut self, signer: &Signer, fault: &'static str) -> Vec<Effect<'static>> {
        let spend = self.spend_if_anchored(signer);
        let tell = self.tell(self.peer(signer), ErrCode::PermanentError, fault.into());
        [Effect::Dropped(fault)].into_iter().chain(spend).chain([tell]).collect()
    }

    /// Ends the exchange with an Update that has nothing but an error. It has no token, as nothing
    /// is expected back.
    fn tell<'m>(&mut self, agent: Peer, code: ErrCode, msg: Cow<'m, str>) -> Effect<'m> {
        self.state = State::Closed;
        let err_msg = Msg::new(msg);
        let update = Update {
            err_code: Some(code),
            err_lang: err_msg.is_some().then_some(ErrLang::EN),
            err_msg,
            ..Update::default()
        };
        send(agent, Message::Update(update))
    }

    pub(super) fn spend(&mut self) -> Option<Effect<'static>> {
        let spends = self.common.spends.take()?;
        Some(Effect::Persist(Record { spends: Some(spends), opens: None }))
    }

    /// Uses up the request of an Agent that is known.
    ///
    /// A stranger's answer that is worth nothing uses up nothing: it leaves no row behind where
    /// none was, and no one who saw a challenge pass by can end an exchange with it.
    fn spend_if_anchored(&mut self, signer: &Signer) -> Option<Effect<'static>> {
        if signer.standing == Standing::Anchored { self.spend_stored() } else { None }
    }

    /// Uses up a request that is stored; one that is not needs no row to be forgotten.
    pub(super) fn spend_stored(&mut self) -> Option<Effect<'static>> {
        let stored = matches!(self.common.spends, Some(Spent::Stored(_)));
        if stored { self.spend() } else { None }
    }

    fn peer(&self, signer: &Signer) -> Peer {
        Peer { key: signer.thumbprint, suite: signer.suite, numbering: self.common.numbering }
    }

    pub(super) fn put_back<T>(&mut self, state: State, what: &'static str) -> Result<T, Misuse> {
        self.state = state;
        Err(Misuse::NotAskedFor(what))
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

/// A QueryResponse that answers nothing: a hint, as nothing shows that it is fresh.
//= teep 14.46 (M): an Agent outside the anchors gets no Update
fn hinted<'b>(
    numbering: Numbering,
    signer: &Signer,
    response: QueryResponse<'b>,
) -> Result<Vec<Effect<'b>>, Misbehaved> {
    if signer.standing != Standing::Anchored {
        return Err(Misbehaved::UnknownSigner);
    }
    let agent = Peer { key: signer.thumbprint, suite: signer.suite, numbering };
    Ok(vec![
        Effect::Requested {
            components: response.requested_tc_list,
            unneeded: response.unneeded_manifest_list,
        },
        Effect::Connect(Some(agent)),
    ])
}

pub(super) fn refusal(error: Error<'_>) -> Effect<'_> {
    Effect::Refused { code: error.err_code, msg: error.err_msg, reports: error.suit_reports }
}

fn send(agent: Peer, message: Message<'_>) -> Effect<'_> {
    let protection = Protection::Sign1(agent.suite);
    Effect::Send(Outgoing { message, numbering: agent.numbering, protection })
}

/// What an Agent is told whose attestation failed; the reason goes to the audit log.
const FAILED: &str = "attestation failed";
