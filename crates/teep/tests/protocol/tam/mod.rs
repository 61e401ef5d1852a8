//! The TAM's machine, row by row of section 7.1.

mod attestation;
mod error;
mod opening;
mod response;
mod update;

use std::borrow::Cow;

use cose::Signer as _;
use keys::SigningKey;
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{self, Dialect, NoKey, Opened, Outgoing, PeerKey, Protection, Standing};
use teep::message::{
    DataItems, Error, FreshnessMechanism, QueryRequest, QueryResponse, Success, Update,
};
use teep::tam::{
    Appraise, Config, Correlation, Decision, Effect, Exchange, Exchanges, Inventory, PayloadKind,
    Peer, Purpose, Record, Session, Spent, Tam, Work, correlate,
};
use teep::{
    AttestationPayload, Challenge, ChallengeKey, CipherSuite, ComponentId, ErrCode, MediaType,
    Message, Misbehaved, Misuse, Numbering, Present, RequestedTc, Stale, SuitCoseProfile, Suite,
    SystemProperties, Timestamp, Token, UserNonce, limits,
};

use crate::support::{
    CMW, Draws, MessageKeys, NOW, evidence, new_key, relayed, report, sealed, signed_report, ta,
};

/// A TAM, an Agent's keys, and the exchanges between them.
struct Scene {
    tam: Tam,
    agent: MessageKeys,
    attester: SigningKey,
    exchanges: Exchanges,
    draws: Draws,
    now: Timestamp,
    standing: Standing,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(ChallengeKey::new([1; 32]));
        change(&mut config);
        Self {
            tam: Tam::new(config),
            agent: MessageKeys::generate(),
            attester: new_key(),
            exchanges: Exchanges::default(),
            draws: Draws::new(),
            now: NOW,
            standing: Standing::Anchored,
        }
    }

    fn peer(&self) -> Peer {
        let key = self.agent.esp256.key().thumbprint();
        Peer { key, suite: Suite::Esp256, numbering: Numbering::V26 }
    }

    fn connect(&mut self, purpose: Purpose) -> QueryRequest<'static> {
        let fresh = self.draws.draw();
        let effects = self.tam.process_connect(self.now, fresh, purpose, b"note".to_vec()).unwrap();
        query_request(self.settle(effects).unwrap().pop().unwrap())
    }

    fn manage(&mut self) -> QueryRequest<'static> {
        let agent = self.peer();
        self.connect(Purpose::Manage { agent })
    }

    /// Carries out what changes the store and gives the other effects back.
    fn settle<'b>(&mut self, effects: Vec<Effect<'b>>) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let mut others = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.exchanges.apply(stored(record))?,
                other => others.push(other),
            }
        }
        Ok(others)
    }

    fn open<'b>(&self, bytes: &'b [u8]) -> Opened<'b> {
        let keys = |hint: &envelope::Hint<'_>| {
            let key = self.agent.public().into_iter();
            let key = key.chain([self.attester.key().clone()]);
            let mut key = key.filter(|key| Some(key.thumbprint()) == hint.thumbprint());
            let key = key.next().ok_or(NoKey::Unknown)?;
            Ok(PeerKey { key, standing: self.standing, valid_until: None })
        };
        envelope::open(bytes, &Dialect::default(), &keys).unwrap()
    }

    /// A message of the Agent comes in: what the machine says to it.
    fn receive<'b>(&mut self, bytes: &'b [u8]) -> Result<(Session, Vec<Effect<'b>>), Misbehaved> {
        let opened = self.open(bytes);
        let correlation = correlate(&opened);
        let stored = self.exchanges.find(&correlation).cloned();
        let mut session = self.tam.resume(self.now, &correlation, stored)?;
        let fresh = self.draws.draw();
        let effects = session.process_teep_message(&self.tam, self.now, fresh, opened)?;
        Ok((session, effects))
    }

    fn sealed(&self, message: Message<'_>) -> Vec<u8> {
        sealed(message, Suite::Esp256, &self.agent)
    }

    fn evidence(&self, challenge: &Challenge) -> Vec<u8> {
        evidence(challenge.as_bytes(), self.agent.esp256.key(), &self.attester)
    }

    /// A whole answer to a QueryRequest.
    fn response<'m>(&self, request: &QueryRequest<'_>) -> QueryResponse<'m> {
        let attestation_payload = request
            .challenge
            .as_ref()
            .map(|challenge| AttestationPayload::new(CMW, self.evidence(challenge)));
        QueryResponse {
            token: request.token,
            selected_version: Some(0),
            attestation_payload,
            tc_list: Some(vec![agent_itself()]),
            ..QueryResponse::default()
        }
    }

    fn answer(&self, request: &QueryRequest<'_>) -> Vec<u8> {
        self.sealed(Message::QueryResponse(self.response(request)))
    }

    fn appraisal(&self, challenge: &Challenge) -> Appraisal {
        Appraisal {
            nonce: Some(challenge.as_bytes().to_vec()),
            recent: true,
            confirmation: Some(self.agent.esp256.key().thumbprint()),
            verdict: Verdict::Passed,
        }
    }

    fn attest(&mut self) -> (QueryRequest<'static>, Challenge) {
        let agent = Some(self.peer());
        let purpose =
            Purpose::Attest { agent, numbering: Numbering::V26, user_nonce: None, renewal: false };
        let request = self.connect(purpose);
        let challenge = request.challenge.clone().unwrap();
        (request, challenge)
    }

    /// Goes through an exchange up to the Update, which places one manifest.
    fn update(&mut self) -> Update<'static> {
        let request = self.manage();
        let answer = self.answer(&request);
        let (mut session, _) = self.receive(&answer).unwrap();
        let owner = new_key();
        let built = ta("planner", 1, &owner);
        let work = Work { manifests: vec![relayed(&built, &owner)], ..Work::default() };
        let fresh = self.draws.draw();
        let effects = session.decide(&self.tam, self.now, fresh, Decision::Update(work)).unwrap();
        let sent = update(self.settle(effects).unwrap().pop().unwrap());
        Update { token: sent.token, ..Update::default() }
    }
}

/// A record as it comes out of a store.
fn stored(record: Record) -> Record {
    let opens = record.opens.map(|exchange| Exchange::decode(&exchange.encode()).unwrap());
    Record { opens, ..record }
}

fn agent_itself() -> SystemProperties<'static> {
    SystemProperties::measured(ComponentId::new([b"TEEP-Agent"]).unwrap(), b"digest")
}

fn outgoing<'b>(effect: Effect<'b>) -> Outgoing<'b> {
    match effect {
        Effect::Send(outgoing) => outgoing,
        other => panic!("nothing is sent: {other:?}"),
    }
}

fn query_request(effect: Effect<'_>) -> QueryRequest<'_> {
    match outgoing(effect).message {
        Message::QueryRequest(request) => request,
        other => panic!("not a QueryRequest: {other:?}"),
    }
}

fn update(effect: Effect<'_>) -> Update<'_> {
    match outgoing(effect).message {
        Message::Update(update) => update,
        other => panic!("not an Update: {other:?}"),
    }
}

fn other_token() -> Option<Token> {
    Some(Token::new(&[0xee; 32]).unwrap())
}

const STRANGER: Purpose = Purpose::Stranger { numbering: Numbering::V26 };
