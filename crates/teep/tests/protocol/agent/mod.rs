//! The Agent's machine, row by row of section 7.2.

mod broker;
mod query;
mod refusal;
mod update;

use std::borrow::Cow;

use cose::{Key, Signer as _};
use teep::agent::{
    Agent, Attest, Cause, Collected, Config, Declined, Effect, Handle, NotUnlinked, Outcome,
    TamUri, Wanted,
};
use teep::appraisal::{Appraisal, NotAttested, Verdict};
use teep::envelope::{Hint, Outgoing, PeerKey, Protection, Standing};
use teep::message::{
    DataItems, Error, FreshnessMechanism, QueryRequest, QueryResponse, Success, Update,
};
use teep::{
    AttestationPayload, Challenge, CipherSuite, ComponentId, ErrCode, Message, Misbehaved, Misuse,
    Numbering, Operation, Present, RequestedTc, SuitCoseProfile, Suite, SystemProperties,
    Timestamp, Token, limits,
};

use crate::support::{
    CMW, Draws, MessageKeys, NOW, anchors, new_key, report, sealed, signed_report, vector,
    vector_key,
};

/// An Agent and a TAM that it anchors.
struct Scene {
    agent: Agent,
    tam: MessageKeys,
    anchored: Vec<Key>,
    valid_until: Option<Timestamp>,
    draws: Draws,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let tam = MessageKeys::generate();
        Self {
            agent: Agent::new(config).unwrap(),
            anchored: tam.public(),
            tam,
            valid_until: None,
            draws: Draws::new(),
            now: NOW,
        }
    }

    /// A session with the configured TAM.
    fn session(&mut self) -> Handle {
        let mut effects = self.agent.request_policy_check(self.now);
        if effects.is_empty() {
            effects = self.agent.request_policy_check(self.now);
        }
        contact(effects).0
    }

    fn receive<'b>(
        &mut self,
        handle: Handle,
        bytes: &'b [u8],
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let (anchored, valid_until) = (self.anchored.clone(), self.valid_until);
        let known = anchors(anchored);
        let keys = move |hint: &Hint<'_>| Ok(PeerKey { valid_until, ..known(hint)? });
        let fresh = self.draws.draw();
        self.agent.process_teep_message(self.now, fresh, handle, bytes, &keys)
    }

    /// What the Agent answers to a message of the TAM, where it has to obtain nothing for it.
    fn answer(&mut self, handle: Handle, message: Message<'_>) -> Outgoing<'static> {
        let bytes = self.sealed(message);
        answer_to(self, handle, &bytes)
    }

    fn sealed(&self, message: Message<'_>) -> Vec<u8> {
        sealed(message, Suite::Esp256, &self.tam)
    }

    /// Goes through the QueryRequest, so that an Update may come.
    fn answered(&mut self) -> Handle {
        let handle = self.session();
        let bytes = self.sealed(Message::QueryRequest(manage()));
        self.receive(handle, &bytes).unwrap();
        self.agent.collected(self.now, handle, Collected::default()).unwrap();
        handle
    }

    /// An Update that installs these envelopes, up to the point where the shell installs them.
    fn installing(&mut self, handle: Handle, token: Option<Token>, manifests: usize) {
        let manifest_list = vec![Cow::Borrowed(&[0xa0][..]); manifests];
        let update = Update { token, manifest_list, ..Update::default() };
        let bytes = self.sealed(Message::Update(update));
        let effects = self.receive(handle, &bytes).unwrap();
        assert!(matches!(effects.last(), Some(Effect::Install { .. })), "{effects:?}");
    }
}

fn answer_to(scene: &mut Scene, handle: Handle, bytes: &[u8]) -> Outgoing<'static> {
    let mut effects = scene.receive(handle, bytes).unwrap();
    let outgoing = sent(effects.pop().unwrap());
    let message = match outgoing.message {
        Message::Error(error) => Message::Error(owned(error)),
        Message::Success(Success { token, .. }) => {
            Message::Success(Success { token, ..Success::default() })
        }
        other => panic!("more than an Error or Success: {other:?}"),
    };
    Outgoing { message, numbering: outgoing.numbering, protection: outgoing.protection }
}

fn owned(error: Error<'_>) -> Error<'static> {
    Error {
        err_msg: error.err_msg.map(teep::Msg::into_owned),
        err_lang: error.err_lang.map(|_| teep::ErrLang::EN),
        suit_reports: Vec::new(),
        ..Error {
            token: error.token,
            err_msg: None,
            err_lang: None,
            supported_teep_cipher_suites: error.supported_teep_cipher_suites,
            supported_freshness_mechanisms: error.supported_freshness_mechanisms,
            supported_suit_cose_profiles: error.supported_suit_cose_profiles,
            challenge: error.challenge,
            versions: error.versions,
            suit_reports: Vec::new(),
            request_challenge: error.request_challenge,
            err_code: error.err_code,
        }
    }
}

fn config() -> Config {
    Config::new(agent_itself(), vec![uri("https://tam.example/teep")])
}

fn agent_itself() -> SystemProperties<'static> {
    SystemProperties::measured(component("TEEP-Agent"), b"digest")
}

fn component(name: &str) -> ComponentId {
    ComponentId::new([name.as_bytes()]).unwrap()
}

fn uri(uri: &str) -> TamUri {
    TamUri::new(uri).unwrap()
}

fn token(byte: u8) -> Option<Token> {
    Some(Token::new(&[byte; 32]).unwrap())
}

fn sent<'b>(effect: Effect<'b>) -> Outgoing<'b> {
    match effect {
        Effect::Send(outgoing) => *outgoing,
        other => panic!("nothing is sent: {other:?}"),
    }
}

fn error(outgoing: Outgoing<'_>) -> Error<'_> {
    match outgoing.message {
        Message::Error(error) => error,
        other => panic!("not an Error: {other:?}"),
    }
}

fn response(effect: Effect<'_>) -> QueryResponse<'_> {
    match sent(effect).message {
        Message::QueryResponse(response) => response,
        other => panic!("not a QueryResponse: {other:?}"),
    }
}

/// The handle, URI and message of the last effect.
fn contact(effects: Vec<Effect<'_>>) -> (Handle, TamUri, Option<Outgoing<'static>>) {
    match effects.into_iter().last() {
        Some(Effect::Contact { handle, tam, message }) => (handle, tam, message.map(|m| *m)),
        other => panic!("no contact: {other:?}"),
    }
}

/// The QueryRequest of a TAM that manages.
fn manage() -> QueryRequest<'static> {
    QueryRequest {
        token: token(1),
        supported_freshness_mechanisms: None,
        challenge: None,
        versions: Some(vec![0]),
        attestation_payload: None,
        suit_reports: Vec::new(),
        supported_teep_cipher_suites: CipherSuite::offers(&Suite::MANDATORY),
        supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
        data_item_requested: DataItems::TRUSTED_COMPONENTS.and(DataItems::SUIT_REPORTS),
        renewal: false,
    }
}

/// The QueryRequest of a TAM that wants Evidence.
fn attest() -> QueryRequest<'static> {
    QueryRequest {
        token: None,
        challenge: Some(Challenge::new([4; 64]).unwrap()),
        data_item_requested: DataItems::ATTESTATION.and(DataItems::TRUSTED_COMPONENTS),
        ..manage()
    }
}

/// A QueryRequest that asks for nothing that has to be obtained.
fn extensions() -> QueryRequest<'static> {
    QueryRequest { data_item_requested: DataItems::EXTENSIONS, ..manage() }
}
