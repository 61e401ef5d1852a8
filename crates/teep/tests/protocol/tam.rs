//! The TAM's machine, row by row of section 7.1.

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
        let purpose = Purpose::Attest { agent, user_nonce: None, renewal: false };
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

//= teep 14.21 (M): ProcessConnect yields a QueryRequest
//= teep 14.22 (M): the first QueryRequest without knowledge has a signature for each suite listed
//= teep 14.23 (M): both TEEP suites and the four mandatory profiles are listed
#[test]
fn a_stranger_gets_an_opening_in_both_suites_and_nothing_is_stored() {
    let mut scene = Scene::new();
    let fresh = scene.draws.draw();

    let mut effects = scene.tam.process_connect(NOW, fresh, STRANGER, Vec::new()).unwrap();

    assert_eq!(effects.len(), 1);
    let outgoing = outgoing(effects.pop().unwrap());
    assert_eq!(outgoing.protection, Protection::Sign(Suite::ALL.to_vec()));
    let Message::QueryRequest(request) = outgoing.message else { panic!("not a QueryRequest") };
    assert_eq!(request.supported_teep_cipher_suites, CipherSuite::offers(&Suite::ALL));
    assert_eq!(request.supported_suit_cose_profiles, SuitCoseProfile::MANDATORY);
    assert!(request.data_item_requested.contains(DataItems::ATTESTATION));
    assert_eq!(request.challenge.unwrap().as_bytes().len(), 64);
    assert_eq!(request.token, None);
    assert!(scene.exchanges.is_empty());
}

//= teep 14.24 (M): token is present iff the attestation bit is clear
//= teep 14.25 (M): freshness mechanisms and challenge are absent if the attestation bit is clear
//= teep 14.26 (M): challenge is absent where a result is asked for that exists already
#[test]
fn token_challenge_and_freshness_follow_the_attestation_bit() {
    let mut scene = Scene::new();
    let agent = scene.peer();

    let manage = scene.manage();
    let (attest, _) = scene.attest();
    let passport = scene.connect(Purpose::Passport { agent });

    let attestation = DataItems::ATTESTATION;
    assert!(!manage.data_item_requested.contains(attestation));
    assert!(manage.token.is_some() && manage.challenge.is_none());
    assert_eq!(manage.supported_freshness_mechanisms, None);
    assert!(manage.data_item_requested.contains(DataItems::SUIT_REPORTS));
    assert!(attest.data_item_requested.contains(attestation));
    assert!(attest.token.is_none() && attest.challenge.is_some());
    assert!(passport.data_item_requested.contains(attestation));
    assert!(passport.token.is_none() && passport.challenge.is_none());
    let timestamp = Some(vec![FreshnessMechanism::TIMESTAMP]);
    assert_eq!(passport.supported_freshness_mechanisms, timestamp);
}

//= teep 14.13 (M): the suite chosen is used for every later message
#[test]
fn a_known_agent_is_asked_in_its_own_suite() {
    let mut scene = Scene::new();
    let agent = Peer { suite: Suite::Ed25519, ..scene.peer() };
    let fresh = scene.draws.draw();

    let effects =
        scene.tam.process_connect(NOW, fresh, Purpose::Manage { agent }, Vec::new()).unwrap();

    let sent = outgoing(scene.settle(effects).unwrap().pop().unwrap());
    assert_eq!(sent.protection, Protection::Sign1(Suite::Ed25519));
}

//= teep 14.27 (M): the first token is random and all tokens are distinct
#[test]
fn every_token_and_challenge_is_another_one() {
    let mut scene = Scene::new();
    let tokens: Vec<Token> = (0..4).map(|_| scene.manage().token.unwrap()).collect();
    let challenges: Vec<Challenge> = (0..4).map(|_| scene.attest().1).collect();

    for (i, token) in tokens.iter().enumerate() {
        assert!(!tokens[..i].contains(token));
    }
    for (i, challenge) in challenges.iter().enumerate() {
        assert!(!challenges[..i].contains(challenge));
    }
}

#[test]
fn the_network_users_nonce_is_folded_into_the_challenge_and_the_tams_part_comes_back() {
    let mut scene = Scene::new();
    let user_nonce = UserNonce::new([5; 32]).unwrap();
    let purpose =
        Purpose::Attest { agent: None, user_nonce: Some(user_nonce.clone()), renewal: true };

    let request = scene.connect(purpose);

    assert!(request.renewal);
    let answer = scene.answer(&request);
    let (session, effects) = scene.receive(&answer).unwrap();
    let [Effect::Appraise(appraise)] = &effects[..] else { panic!("{effects:?}") };
    let tam_nonce = appraise.tam_nonce.clone().unwrap();
    assert_eq!(request.challenge, Some(Challenge::combined(&tam_nonce, &user_nonce)));
    assert_eq!(appraise.challenge, request.challenge);
    assert_eq!(session.note(), b"note");
}

//= teep 14.28 (M): a response with an unknown, expired or used token is ignored
//= teep 15.103: a replayed QueryResponse, Success or Error is ignored
#[test]
fn a_token_that_is_unknown_used_or_expired_counts_for_nothing() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let answer = scene.answer(&request);
    let foreign = QueryResponse { token: other_token(), ..scene.response(&request) };
    let foreign = scene.sealed(Message::QueryResponse(foreign));

    assert_eq!(scene.receive(&foreign).unwrap_err(), Misbehaved::UnknownExchange);
    scene.now = NOW.after(limits::REPLY_WAIT_S);
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::Expired);
    scene.now = NOW.after(limits::REPLY_WAIT_S - 1);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let fresh = scene.draws.draw();
    let effects = session.decide(&scene.tam, NOW, fresh, Decision::Nothing).unwrap();
    assert_eq!(scene.settle(effects), Ok(Vec::new()));
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::UnknownExchange);
}

#[test]
fn two_replicas_that_take_the_same_answer_act_on_it_once() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let answer = scene.answer(&request);
    let decide = |scene: &mut Scene, mut session: Session| {
        let fresh = scene.draws.draw();
        let decision = Decision::Update(Work::default());
        session.decide(&scene.tam, NOW, fresh, decision).unwrap()
    };

    let (first, _) = scene.receive(&answer).unwrap();
    let (second, _) = scene.receive(&answer).unwrap();
    let first = decide(&mut scene, first);
    let second = decide(&mut scene, second);

    assert!(scene.settle(first).is_ok());
    assert_eq!(scene.settle(second).unwrap_err(), Misbehaved::UnknownExchange);
    assert_eq!(scene.exchanges.updating(), 1);
}

//= teep 14.29 (M): a response with a bad signature does not consume the token
//= teep 14.32 (M): an invalid message is dropped with an empty answer
#[test]
fn a_bad_signature_stops_before_the_machine_and_the_good_answer_still_counts() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let answer = scene.answer(&request);
    let mut bad = answer.clone();
    *bad.last_mut().unwrap() ^= 1;

    let key = scene.agent.esp256.key().clone();
    let keys = |_: &envelope::Hint<'_>| {
        let key = key.clone();
        Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
    };
    assert!(envelope::open(&bad, &Dialect::default(), &keys).is_err());

    assert!(scene.receive(&answer).is_ok());
}

//= teep 14.30 (M): unanswered requests time out, after hours unless configured
#[test]
fn a_request_without_answer_is_forgotten_at_its_time() {
    const { assert!(limits::REPLY_WAIT_S >= 2 * 3600) };
    let mut scene = Scene::with(|config| config.reply_wait_s = 100);
    let request = scene.manage();
    let correlation = Correlation::Token(request.token.unwrap());
    let exchange = scene.exchanges.find(&correlation).cloned().unwrap();

    assert_eq!(exchange.next_timeout(), NOW.after(100));
    assert_eq!(exchange.handle_timeout(NOW.after(99)), []);
    let effects = exchange.handle_timeout(NOW.after(100));

    assert_eq!(scene.settle(effects), Ok(vec![Effect::TimedOut]));
    assert!(scene.exchanges.is_empty());
}

//= teep 14.31 (S): open requests per device are capped, and the oldest is dropped
//= teep 15.115: cap and timeout bound the table of tokens
#[test]
fn the_oldest_request_of_an_agent_makes_room_for_the_newest() {
    let mut scene = Scene::new();
    let mut tokens = Vec::new();
    for second in 0..=limits::EXCHANGES_PER_AGENT {
        scene.now = NOW.after(i64::try_from(second).unwrap());
        tokens.push(scene.manage().token.unwrap());
    }

    assert_eq!(scene.exchanges.len(), limits::EXCHANGES_PER_AGENT);
    assert_eq!(scene.exchanges.find(&Correlation::Token(tokens[0])), None);
    assert!(scene.exchanges.find(&Correlation::Token(tokens[1])).is_some());
    scene.exchanges.forget(NOW.after(limits::REPLY_WAIT_S + 100));
    assert!(scene.exchanges.is_empty());
}

/// What the Agent is told when its answer lacks something.
fn dropped(scene: &mut Scene, response: QueryResponse<'_>) -> (&'static str, Option<ErrCode>) {
    let bytes = scene.sealed(Message::QueryResponse(response));
    let (_, effects) = scene.receive(&bytes).unwrap();
    let mut effects = scene.settle(effects).unwrap();
    let told = update(effects.pop().unwrap());
    let Some(Effect::Dropped(fault)) = effects.pop() else { panic!("{effects:?}") };
    assert_eq!(told.err_msg.unwrap().as_str(), fault);
    assert_eq!(told.token, None);
    (fault, told.err_code)
}

//= teep 14.33 (M): an answer without what was asked for is dropped, and an Update tells why
#[test]
fn each_missing_item_is_told_by_an_update() {
    let permanent = Some(ErrCode::PermanentError);
    let mut scene = Scene::with(|config| config.ask_extensions = true);

    let (request, _) = scene.attest();
    let response = QueryResponse { attestation_payload: None, ..scene.response(&request) };
    let bytes = scene.sealed(Message::QueryResponse(response));
    let correlation = Correlation::Challenge(request.challenge.clone().unwrap());
    let stored = scene.exchanges.find(&correlation).cloned();
    let mut session = scene.tam.resume(NOW, &correlation, stored).unwrap();
    let opened = scene.open(&bytes);
    let effects = session.process_teep_message(&scene.tam, NOW, scene.draws.draw(), opened);
    assert_eq!(effects.unwrap()[0], Effect::Dropped("attestation-payload is missing"));

    let request = scene.manage();
    let response = QueryResponse { tc_list: None, ..scene.response(&request) };
    assert_eq!(dropped(&mut scene, response), ("tc-list is missing", permanent));

    let request = scene.manage();
    let response = scene.response(&request);
    assert_eq!(dropped(&mut scene, response), ("ext-list is missing", permanent));

    let request = scene.manage();
    let response = QueryResponse { selected_version: Some(1), ..scene.response(&request) };
    let told = dropped(&mut scene, response);
    assert_eq!(told, ("selected-version was not offered", permanent));
}

//= teep 14.15 (M): empty arrays are refused, except ext-list and tc-list in lenient mode
#[test]
fn a_lenient_tam_takes_lists_that_are_empty_or_absent() {
    let mut scene = Scene::with(|config| {
        config.ask_extensions = true;
        config.lenient_lists = true;
    });
    for tc_list in [None, Some(Vec::new())] {
        let request = scene.manage();
        let response = QueryResponse { tc_list, ..scene.response(&request) };
        let bytes = scene.sealed(Message::QueryResponse(response));

        let (_, effects) = scene.receive(&bytes).unwrap();

        assert!(matches!(effects[..], [Effect::Decide(Some(_))]), "{effects:?}");
    }
}

//= teep 14.34 (M): report nonces in a QueryResponse are compared with the token
//= teep 14.14 (M): the key of an embedded report differs from the key of the message
#[test]
fn reports_need_the_token_as_nonce_and_a_key_of_their_own() {
    let mut scene = Scene::new();
    let permanent = Some(ErrCode::PermanentError);
    let own_key = new_key();
    let fault_of = |scene: &mut Scene, make: &dyn Fn(&Scene, &Token) -> Vec<u8>| {
        let request = scene.manage();
        let report = make(scene, &request.token.unwrap());
        let response =
            QueryResponse { suit_reports: vec![report.into()], ..scene.response(&request) };
        dropped(scene, response)
    };

    let nonce = ("nonce of a SUIT report is not the token", permanent);
    assert_eq!(fault_of(&mut scene, &|_, _| report(None)), nonce);
    assert_eq!(fault_of(&mut scene, &|_, _| report(other_token().as_ref())), nonce);
    assert_eq!(
        fault_of(&mut scene, &|scene, token| signed_report(Some(token), &scene.agent.esp256)),
        ("a SUIT report is protected by the key of the message", permanent)
    );
    assert_eq!(
        fault_of(&mut scene, &|_, _| vec![0x80]),
        ("a SUIT report is not readable", permanent)
    );
    let request = scene.manage();
    let good = signed_report(request.token.as_ref(), &own_key);
    let response = QueryResponse { suit_reports: vec![good.into()], ..scene.response(&request) };
    let bytes = scene.sealed(Message::QueryResponse(response));
    assert!(matches!(scene.receive(&bytes).unwrap().1[..], [Effect::Decide(Some(_))]));
}

#[test]
fn a_known_agents_answer_leads_to_a_decision_with_its_inventory() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let requested = RequestedTc {
        component: ComponentId::new([b"planner"]).unwrap(),
        present: Present::Binary { sequence_number: 3 },
    };
    let unneeded = ComponentId::new([b"old.suit"]).unwrap();
    let response = QueryResponse {
        suit_reports: vec![report(request.token.as_ref()).into()],
        requested_tc_list: vec![requested.clone()],
        unneeded_manifest_list: vec![unneeded.clone()],
        ..scene.response(&request)
    };
    let bytes = scene.sealed(Message::QueryResponse(response));

    let (session, mut effects) = scene.receive(&bytes).unwrap();

    let Some(Effect::Decide(Some(inventory))) = effects.pop() else { panic!("{effects:?}") };
    assert_eq!(effects, []);
    let Inventory { components, reports, requested: wanted, unneeded: gone, extensions } =
        *inventory;
    assert_eq!(components, Some(vec![agent_itself()]));
    assert_eq!(reports.len(), 1);
    assert_eq!((wanted, gone), (vec![requested], vec![unneeded]));
    assert_eq!(extensions, None);
    assert_eq!(session.note(), b"note");
}

//= teep 14.35 (M): Evidence goes to the Verifier, and its result is handled only after that
//= teep 14.39 (M): the nonce is compared with the challenge
#[test]
fn evidence_is_appraised_before_anything_is_decided() {
    let mut scene = Scene::new();
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);

    let (mut session, effects) = scene.receive(&answer).unwrap();

    let [Effect::Appraise(Appraise { payload, kind, challenge: nonce, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(payload.format.as_deref(), Some(CMW));
    assert_eq!((*kind, nonce.as_ref()), (PayloadKind::Evidence, Some(&challenge)));
    let fresh = scene.draws.draw();
    assert_eq!(
        session.decide(&scene.tam, NOW, fresh, Decision::Nothing),
        Err(Misuse::NotAskedFor("a decision"))
    );
    let opened = scene.open(&answer);
    assert!(matches!(
        session.process_teep_message(&scene.tam, NOW, scene.draws.draw(), opened),
        Err(Misbehaved::UnexpectedMessage(_))
    ));
    let appraisal = scene.appraisal(&challenge);
    let effects = session.appraised(&scene.tam, Ok(appraisal.clone())).unwrap();
    let [Effect::Attested { agent, .. }, Effect::Decide(Some(_))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*agent, scene.peer());
    assert_eq!(
        session.appraised(&scene.tam, Ok(appraisal)),
        Err(Misuse::NotAskedFor("an appraisal"))
    );
}

/// What becomes of an answer whose appraisal is this.
fn after_appraisal(
    scene: &mut Scene,
    outcome: impl FnOnce(&Scene, &Challenge) -> Result<Appraisal, NotAttested>,
) -> (NotAttested, Option<ErrCode>) {
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let outcome = outcome(scene, &challenge);
    let effects = session.appraised(&scene.tam, outcome).unwrap();
    let mut effects = scene.settle(effects).unwrap();
    let told = update(effects.pop().unwrap());
    let Some(Effect::NotAttested(why)) = effects.pop() else { panic!("{effects:?}") };
    assert!(told.manifest_list.is_empty() && told.token.is_none());
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::Stale(Stale::NotOurs));
    (why, told.err_code)
}

//= teep 14.36 (M): a result from an untrusted Verifier is refused
//= teep 14.37 (M): a result without cnf, or with cnf for another key, is refused
//= teep 14.38 (M): cnf is compared as an RFC 9679 thumbprint
//= teep 14.39 (M): the nonce is compared with the challenge
//= teep 14.40 (M): a failed attestation without repair is answered by err-code 7
//= teep 15.108: an Agent that forwards another's result is refused
#[test]
fn an_attestation_that_does_not_count_is_answered_by_error_7_alone() {
    let mut scene = Scene::new();
    let required = Some(ErrCode::AttestationRequired);
    let other = new_key().key().thumbprint();

    let untrusted = after_appraisal(&mut scene, |_, _| Err(NotAttested::Untrusted));
    let unbound = after_appraisal(&mut scene, |scene, challenge| {
        Ok(Appraisal { confirmation: None, ..scene.appraisal(challenge) })
    });
    let forwarded = after_appraisal(&mut scene, |scene, challenge| {
        Ok(Appraisal { confirmation: Some(other), ..scene.appraisal(challenge) })
    });
    let stale = after_appraisal(&mut scene, |scene, challenge| {
        Ok(Appraisal { nonce: Some(vec![0; 64]), ..scene.appraisal(challenge) })
    });
    let without_nonce = after_appraisal(&mut scene, |scene, challenge| {
        Ok(Appraisal { nonce: None, ..scene.appraisal(challenge) })
    });
    let failed = after_appraisal(&mut scene, |scene, challenge| {
        Ok(Appraisal { verdict: Verdict::Failed, ..scene.appraisal(challenge) })
    });

    assert_eq!(untrusted, (NotAttested::Untrusted, required));
    assert_eq!(unbound, (NotAttested::Unbound, required));
    assert_eq!(forwarded, (NotAttested::AnotherKey, required));
    assert_eq!(stale, (NotAttested::Nonce, required));
    assert_eq!(without_nonce, (NotAttested::Nonce, required));
    assert_eq!(failed, (NotAttested::Verdict(Verdict::Failed), required));
}

#[test]
fn results_that_name_no_key_count_where_the_configuration_says_so() {
    let mut scene =
        Scene::with(|config| config.unbound_results = teep::appraisal::Unbound::Accepted);
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let unbound = Appraisal { confirmation: None, ..scene.appraisal(&challenge) };

    let effects = session.appraised(&scene.tam, Ok(unbound)).unwrap();

    assert!(matches!(effects[..], [Effect::Attested { .. }, Effect::Decide(_)]));
}

//= teep 14.41 (S): a repair brings no Personalization Data
#[test]
fn a_device_that_failed_may_be_repaired_and_then_attests_anew() {
    let mut scene = Scene::new();
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let repairable = Appraisal { verdict: Verdict::Repairable, ..scene.appraisal(&challenge) };
    let effects = session.appraised(&scene.tam, Ok(repairable)).unwrap();
    assert!(matches!(effects[..], [Effect::NotAttested(_), Effect::Repair(_)]));
    let owner = new_key();
    let built = ta("firmware", 2, &owner);
    let manifest = relayed(&built, &owner);

    let fresh = scene.draws.draw();
    let with_pd = vec![manifest.clone().with_personalization_data()];
    assert_eq!(
        session.repair(&scene.tam, NOW, fresh, with_pd),
        Err(Misuse::RepairWithPersonalizationData)
    );
    let fresh = scene.draws.draw();
    let effects = session.repair(&scene.tam, NOW, fresh, vec![manifest]).unwrap();
    let sent = update(scene.settle(effects).unwrap().pop().unwrap());
    let done = Success { token: sent.token, ..Success::default() };
    let done = scene.sealed(Message::Success(done));
    let (_, effects) = scene.receive(&done).unwrap();

    let effects = scene.settle(effects).unwrap();
    let agent = Some(scene.peer());
    let [Effect::Installed { .. }, Effect::Connect(met)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*met, agent);
    assert!(scene.exchanges.is_empty());
}

#[test]
fn no_repair_at_hand_is_error_7() {
    let mut scene = Scene::new();
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let repairable = Appraisal { verdict: Verdict::Repairable, ..scene.appraisal(&challenge) };
    session.appraised(&scene.tam, Ok(repairable)).unwrap();

    let fresh = scene.draws.draw();
    let effects = session.repair(&scene.tam, NOW, fresh, Vec::new()).unwrap();

    let told = update(scene.settle(effects).unwrap().pop().unwrap());
    assert_eq!(told.err_code, Some(ErrCode::AttestationRequired));
    assert!(scene.exchanges.is_empty());
}

/// A stranger's exchange up to the decision.
fn stranger(scene: &mut Scene) -> (Vec<u8>, Session) {
    scene.standing = Standing::Claimed;
    let request = scene.connect(STRANGER);
    let challenge = request.challenge.clone().unwrap();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let appraisal = scene.appraisal(&challenge);
    session.appraised(&scene.tam, Ok(appraisal)).unwrap();
    (answer, session)
}

#[test]
fn a_strangers_challenge_is_used_once_and_only_when_something_is_decided() {
    let mut scene = Scene::new();
    let (answer, mut session) = stranger(&mut scene);
    assert!(scene.exchanges.is_empty());

    let fresh = scene.draws.draw();
    let decision = Decision::Update(Work::default());
    let effects = session.decide(&scene.tam, NOW, fresh, decision).unwrap();
    let Effect::Persist(Record { spends: Some(Spent::SelfDescribing { until, .. }), opens }) =
        &effects[0]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*until, NOW.after(limits::CHALLENGE_AGE_S));
    assert!(opens.is_some());
    scene.settle(effects).unwrap();

    let (mut replayed, effects) = scene.receive(&answer).unwrap();
    let [Effect::Appraise(appraise)] = &effects[..] else { panic!("{effects:?}") };
    let appraisal = scene.appraisal(appraise.challenge.as_ref().unwrap());
    replayed.appraised(&scene.tam, Ok(appraisal)).unwrap();
    let fresh = scene.draws.draw();
    let effects = replayed.decide(&scene.tam, NOW, fresh, Decision::Nothing).unwrap();
    assert_eq!(scene.settle(effects).unwrap_err(), Misbehaved::UnknownExchange);
}

#[test]
fn a_strangers_challenge_has_its_time_and_its_maker() {
    let mut scene = Scene::new();
    scene.standing = Standing::Claimed;
    let request = scene.connect(STRANGER);
    let answer = scene.answer(&request);

    scene.now = NOW.after(limits::CHALLENGE_AGE_S + 1);
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::Stale(Stale::Expired));

    let another = Tam::new(Config::new(ChallengeKey::new([2; 32])));
    let opened = scene.open(&answer);
    let outcome = another.resume(NOW, &correlate(&opened), None).unwrap_err();
    assert_eq!(outcome, Misbehaved::Stale(Stale::NotOurs));
    let mut config = Config::new(ChallengeKey::new([2; 32]));
    config.former_challenge_keys.push(ChallengeKey::new([1; 32]));
    assert!(Tam::new(config).resume(NOW, &correlate(&opened), None).is_ok());
}

#[test]
fn a_stranger_whose_attestation_fails_leaves_nothing_behind() {
    let mut scene = Scene::new();
    scene.standing = Standing::Claimed;
    let request = scene.connect(STRANGER);
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();

    let effects = session.appraised(&scene.tam, Err(NotAttested::Untrusted)).unwrap();

    assert!(matches!(effects[..], [Effect::NotAttested(_), Effect::Send(_)]), "{effects:?}");
    assert!(scene.receive(&answer).is_ok());
}

#[test]
fn nobody_who_saw_a_challenge_pass_by_ends_the_exchange_with_it() {
    let mut scene = Scene::new();
    let user_nonce = Some(UserNonce::new([5; 32]).unwrap());
    let request = scene.connect(Purpose::Attest { agent: None, user_nonce, renewal: false });
    let challenge = request.challenge.clone().unwrap();
    scene.standing = Standing::Claimed;
    let junk = scene.answer(&request);
    let (mut session, _) = scene.receive(&junk).unwrap();
    let effects = session.appraised(&scene.tam, Err(NotAttested::Untrusted)).unwrap();
    scene.settle(effects).unwrap();

    let (mut session, _) = scene.receive(&junk).unwrap();
    let appraisal = scene.appraisal(&challenge);

    let effects = session.appraised(&scene.tam, Ok(appraisal)).unwrap();
    assert!(matches!(effects[..], [Effect::Attested { .. }, Effect::Decide(_)]));
}

//= teep 14.46 (M): an Agent outside the anchors gets no Update
#[test]
fn an_unknown_key_gets_no_further_than_its_evidence() {
    let mut scene = Scene::new();
    scene.standing = Standing::Claimed;
    let hint = QueryResponse { tc_list: Some(vec![agent_itself()]), ..QueryResponse::default() };
    let hint = scene.sealed(Message::QueryResponse(hint));
    let done = scene.sealed(Message::Success(Success::default()));

    assert_eq!(scene.receive(&hint).unwrap_err(), Misbehaved::UnknownSigner);
    assert!(matches!(scene.receive(&done), Err(Misbehaved::UnexpectedMessage(_))));
    let blocked = |_: &envelope::Hint<'_>| Err(NoKey::Unknown);
    assert_eq!(
        envelope::open(&hint, &Dialect::default(), &blocked).unwrap_err(),
        envelope::Rejected::Key(NoKey::Unknown)
    );
}

#[test]
fn a_known_agent_that_comes_by_itself_is_taken_as_a_hint() {
    let mut scene = Scene::new();
    let wanted = RequestedTc {
        component: ComponentId::new([b"planner"]).unwrap(),
        present: Present::Nothing,
    };
    let hint =
        QueryResponse { requested_tc_list: vec![wanted.clone()], ..QueryResponse::default() };
    let hint = scene.sealed(Message::QueryResponse(hint));

    let (_, effects) = scene.receive(&hint).unwrap();

    let connect = Effect::Connect(Some(scene.peer()));
    let requested = Effect::Requested { components: vec![wanted], unneeded: Vec::new() };
    assert_eq!(effects, [requested, connect]);
}

//= teep 14.42 (M): Error 7 is answered by a QueryRequest with attestation-payload
#[test]
fn an_agent_that_wants_the_tam_attested_gets_that_once() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let challenge = Challenge::new([9; 32]).unwrap();
    let wanted = |token| Error {
        challenge: Some(challenge.clone()),
        ..Error::new(ErrCode::AttestationRequired, token, "attest first")
    };
    let bytes = scene.sealed(Message::Error(wanted(request.token)));
    let (mut session, effects) = scene.receive(&bytes).unwrap();
    assert_eq!(effects, [Effect::Attest(Some(challenge.clone()))]);

    let own = AttestationPayload::new(CMW, &b"evidence of the TAM"[..]);
    let fresh = scene.draws.draw();
    let effects = session.attested(&scene.tam, NOW, fresh, Some(own.clone()), Vec::new()).unwrap();
    let again = query_request(scene.settle(effects).unwrap().pop().unwrap());

    assert_eq!(again.attestation_payload, Some(own));
    assert_ne!(again.token, request.token);
    let bytes = scene.sealed(Message::Error(wanted(again.token)));
    let (_, effects) = scene.receive(&bytes).unwrap();
    let [Effect::Refused { code, .. }] = scene.settle(effects).unwrap()[..] else {
        panic!("not refused")
    };
    assert_eq!(code, ErrCode::AttestationRequired);
    assert!(scene.exchanges.is_empty());
}

#[test]
fn a_tam_that_cannot_attest_itself_says_nothing() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let error = Error::new(ErrCode::AttestationRequired, request.token, "attest first");
    let bytes = scene.sealed(Message::Error(error));
    let (mut session, _) = scene.receive(&bytes).unwrap();

    let fresh = scene.draws.draw();
    let effects = session.attested(&scene.tam, NOW, fresh, None, Vec::new()).unwrap();

    assert_eq!(scene.settle(effects), Ok(Vec::new()));
    assert!(scene.exchanges.is_empty());
}

#[test]
fn a_stranger_that_wants_the_tam_attested_gets_that_without_a_row() {
    let mut scene = Scene::new();
    scene.standing = Standing::Claimed;
    let error = Error::new(ErrCode::AttestationRequired, None, "attest first");
    let bytes = scene.sealed(Message::Error(error));
    let (mut session, effects) = scene.receive(&bytes).unwrap();
    assert_eq!(effects, [Effect::Attest(None)]);

    let own = AttestationPayload::new(CMW, &b"evidence of the TAM"[..]);
    let fresh = scene.draws.draw();
    let mut effects = session.attested(&scene.tam, NOW, fresh, Some(own), Vec::new()).unwrap();

    let request = query_request(effects.pop().unwrap());
    assert_eq!(effects, []);
    assert!(request.attestation_payload.is_some());
    let answer = scene.answer(&request);
    assert!(matches!(scene.receive(&answer).unwrap().1[..], [Effect::Appraise(_)]));
}

/// The QueryRequest that follows an Error, if one does, or the effects.
fn after_error<'b>(
    scene: &mut Scene,
    bytes: &'b [u8],
) -> Result<QueryRequest<'b>, Vec<Effect<'b>>> {
    let (_, effects) = scene.receive(bytes).unwrap();
    let mut effects = scene.settle(effects).unwrap();
    match effects.pop() {
        Some(Effect::Send(outgoing)) => match outgoing.message {
            Message::QueryRequest(request) => Ok(request),
            other => panic!("{other:?}"),
        },
        Some(other) => {
            effects.push(other);
            Err(effects)
        }
        None => Err(effects),
    }
}

//= teep 14.44 (S): Error 3, 4, 5 and 8 are answered once, with a choice both sides have
#[test]
fn a_choice_that_both_sides_have_is_tried_once() {
    let common: [Error<'_>; 2] = [
        Error {
            versions: vec![0, 3],
            ..Error::new(ErrCode::UnsupportedMsgVersion, None, "version")
        },
        Error {
            supported_suit_cose_profiles: vec![SuitCoseProfile::ESP256_A128GCM],
            ..Error::new(ErrCode::UnsupportedSuitReport, None, "profile")
        },
    ];
    for error in common {
        let mut scene = Scene::new();
        let request = scene.manage();
        let first = Error { token: request.token, ..error.clone() };
        let first = scene.sealed(Message::Error(first));

        let again = after_error(&mut scene, &first).unwrap();

        assert_ne!(again.token, request.token);
        assert_eq!(scene.receive(&first).unwrap_err(), Misbehaved::UnknownExchange);
        let second = Error { token: again.token, ..error };
        let second = scene.sealed(Message::Error(second));
        let effects = after_error(&mut scene, &second).unwrap_err();
        assert!(matches!(effects[..], [Effect::Refused { .. }]), "{effects:?}");
        assert!(scene.exchanges.is_empty());
    }
}

#[test]
fn nothing_in_common_ends_the_exchange() {
    let apart: [Error<'_>; 4] = [
        Error { versions: vec![7], ..Error::new(ErrCode::UnsupportedMsgVersion, None, "version") },
        Error::new(ErrCode::UnsupportedSuitReport, None, "profile"),
        Error::new(ErrCode::UnsupportedCipherSuites, None, "suite"),
        Error::new(ErrCode::TemporaryError, None, "later"),
    ];
    for error in apart {
        let mut scene = Scene::new();
        let request = scene.manage();
        let bytes = scene.sealed(Message::Error(Error { token: request.token, ..error }));

        let effects = after_error(&mut scene, &bytes).unwrap_err();

        assert!(matches!(effects[..], [Effect::Refused { .. }]), "{effects:?}");
        assert!(scene.exchanges.is_empty());
    }
}

#[test]
fn an_agent_in_another_suite_has_another_key_and_is_met_anew() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let error = Error {
        supported_teep_cipher_suites: CipherSuite::offers(&[Suite::Ed25519]),
        ..Error::new(ErrCode::UnsupportedCipherSuites, request.token, "suite")
    };
    let bytes = scene.sealed(Message::Error(error));

    let effects = after_error(&mut scene, &bytes).unwrap_err();

    assert!(matches!(effects[..], [Effect::Refused { .. }, Effect::Connect(None)]));
    assert!(scene.exchanges.is_empty());
}

#[test]
fn an_agent_that_knows_nonces_only_is_asked_for_evidence_in_place_of_a_passport() {
    let mut scene = Scene::new();
    let agent = scene.peer();
    scene.connect(Purpose::Passport { agent });
    let error = Error {
        supported_freshness_mechanisms: vec![FreshnessMechanism::NONCE],
        ..Error::new(ErrCode::UnsupportedFreshnessMechanisms, None, "nonce")
    };
    let bytes = scene.sealed(Message::Error(error));

    let again = after_error(&mut scene, &bytes).unwrap();

    assert_eq!(again.supported_freshness_mechanisms, Some(vec![FreshnessMechanism::NONCE]));
    assert!(again.challenge.is_some());
    let answer = scene.answer(&again);
    assert!(matches!(scene.receive(&answer).unwrap().1[..], [Effect::Appraise(_)]));
}

#[test]
fn an_error_that_nothing_binds_to_the_request_ends_nothing() {
    let mut scene = Scene::new();
    let (request, _) = scene.attest();
    let error = Error::new(ErrCode::TemporaryError, None, "later");
    let bytes = scene.sealed(Message::Error(error));

    let effects = after_error(&mut scene, &bytes).unwrap_err();

    assert!(matches!(effects[..], [Effect::Refused { .. }]));
    let answer = scene.answer(&request);
    assert!(matches!(scene.receive(&answer).unwrap().1[..], [Effect::Appraise(_)]));
}

#[test]
fn a_recent_result_counts_as_a_passport_and_an_old_one_does_not() {
    for recent in [true, false] {
        let mut scene = Scene::with(|config| {
            let result = "application/eat+cwt; eat_profile=\"tag:ietf.org,2026:rats/ear#03\"";
            config.result_formats.push(MediaType::new(result));
        });
        let agent = scene.peer();
        let request = scene.connect(Purpose::Passport { agent });
        let format = "application/eat+cwt;eat_profile=tag:ietf.org,2026:rats/ear#03";
        let response = QueryResponse {
            attestation_payload: Some(AttestationPayload::new(format, &b"result"[..])),
            ..scene.response(&request)
        };
        let bytes = scene.sealed(Message::QueryResponse(response));
        let (mut session, effects) = scene.receive(&bytes).unwrap();
        let [Effect::Appraise(appraise)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(appraise.kind, PayloadKind::AttestationResult);
        assert_eq!(appraise.challenge, None);

        let nobody = Challenge::new([0; 8]).unwrap();
        let result = Appraisal { nonce: None, recent, ..scene.appraisal(&nobody) };
        let effects = session.appraised(&scene.tam, Ok(result)).unwrap();

        match recent {
            true => assert!(matches!(effects[..], [Effect::Attested { .. }, Effect::Decide(_)])),
            false => assert_eq!(effects[0], Effect::NotAttested(NotAttested::NotRecent)),
        }
    }
}

//= teep 14.43 (M): report nonces in Success and Error are compared with the Update's token
//= teep 15.103: a replayed QueryResponse, Success or Error is ignored
#[test]
fn an_update_is_answered_once_with_its_own_token_and_nonces() {
    let mut scene = Scene::new();
    let sent = scene.update();
    let success = |token: Option<Token>, nonce: Option<&Token>| {
        let suit_reports = vec![Cow::Owned(report(nonce))];
        Message::Success(Success { token, msg: None, suit_reports })
    };
    let token = sent.token;

    let stranger = scene.sealed(success(other_token(), token.as_ref()));
    assert_eq!(scene.receive(&stranger).unwrap_err(), Misbehaved::UnknownExchange);
    for nonce in [None, other_token().as_ref()] {
        let stale = scene.sealed(success(token, nonce));
        assert_eq!(scene.receive(&stale).unwrap_err(), Misbehaved::ReportNonce);
    }
    let error = Error {
        suit_reports: vec![report(None).into()],
        ..Error::new(ErrCode::ManifestProcessingFailed, token, "failed")
    };
    let error = scene.sealed(Message::Error(error));
    assert_eq!(scene.receive(&error).unwrap_err(), Misbehaved::ReportNonce);

    let good = scene.sealed(success(token, token.as_ref()));
    let (mut session, effects) = scene.receive(&good).unwrap();
    assert!(matches!(effects[..], [Effect::Installed { .. }, Effect::Decide(None)]));
    let fresh = scene.draws.draw();
    let effects = session.decide(&scene.tam, NOW, fresh, Decision::Nothing).unwrap();
    scene.settle(effects).unwrap();
    assert_eq!(scene.receive(&good).unwrap_err(), Misbehaved::UnknownExchange);
}

#[test]
fn more_work_follows_a_success_under_a_new_token() {
    let mut scene = Scene::new();
    let sent = scene.update();
    let done = Success { token: sent.token, ..Success::default() };
    let done = scene.sealed(Message::Success(done));
    let (mut session, _) = scene.receive(&done).unwrap();

    let work = Work { unneeded: vec![ComponentId::new([b"old.suit"]).unwrap()], ..Work::default() };
    let fresh = scene.draws.draw();
    let effects = session.decide(&scene.tam, NOW, fresh, Decision::Update(work)).unwrap();

    let next = update(scene.settle(effects).unwrap().pop().unwrap());
    assert_ne!(next.token, sent.token);
    assert_eq!(next.unneeded_manifest_list.len(), 1);
    assert_eq!(scene.exchanges.len(), 1);
}

#[test]
fn a_refused_update_is_told_with_code_and_reports_and_may_be_followed() {
    let mut scene = Scene::new();
    let sent = scene.update();
    let error = Error {
        suit_reports: vec![report(sent.token.as_ref()).into()],
        ..Error::new(ErrCode::ManifestProcessingFailed, sent.token, "1 of 1 failed")
    };
    let bytes = scene.sealed(Message::Error(error));

    let (_, effects) = scene.receive(&bytes).unwrap();

    let [Effect::Refused { code, msg, reports }, Effect::Decide(None)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*code, ErrCode::ManifestProcessingFailed);
    assert_eq!(msg.as_ref().unwrap().as_str(), "1 of 1 failed");
    assert_eq!(reports.len(), 1);
}

//= teep 14.45 (S): an Update may bring nothing but an Attestation Result
#[test]
fn a_result_may_be_given_back_alone() {
    let mut scene = Scene::new();
    let (request, challenge) = scene.attest();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let appraisal = scene.appraisal(&challenge);
    session.appraised(&scene.tam, Ok(appraisal)).unwrap();

    let result = Some(AttestationPayload::new(CMW, &b"result"[..]));
    let work = Work { result: result.clone(), ..Work::default() };
    let fresh = scene.draws.draw();
    let effects = session.decide(&scene.tam, NOW, fresh, Decision::Update(work)).unwrap();

    let sent = update(scene.settle(effects).unwrap().pop().unwrap());
    assert_eq!(sent.attestation_payload, result);
    assert!(sent.manifest_list.is_empty() && sent.err_code.is_none());
}

#[test]
fn a_policy_that_refuses_is_told_by_an_update_with_its_code() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();

    let decision = Decision::Refuse { code: ErrCode::TemporaryError, msg: "later".into() };
    let fresh = scene.draws.draw();
    let effects = session.decide(&scene.tam, NOW, fresh, decision).unwrap();

    let told = update(scene.settle(effects).unwrap().pop().unwrap());
    assert_eq!(told.err_code, Some(ErrCode::TemporaryError));
    assert!(scene.exchanges.is_empty());
}

//= teep 14.47 (M): only manifests of authorised signers are relayed, checked before sending
//= teep 15.118: a manifest of a signer without authority is refused
#[test]
fn a_manifest_that_touches_anothers_components_is_not_relayed() {
    use suit::authority::OwnerPrefix;
    use suit::{Anchors, Envelope, Untrusted};

    let (owner, thief) = (new_key(), new_key());
    let built = ta("planner", 1, &owner);
    let anchors = Anchors::none().with_key(thief.key().clone());
    let unknown = Envelope::decode(&built.envelope).unwrap();
    assert!(unknown.authenticate(&anchors, &cose::Accept::CURRENT).is_err());

    struct Nothing;
    impl suit::authority::Authority for Nothing {
        fn permits(&self, _: &suit::Signer, _: &ComponentId) -> bool {
            false
        }
    }
    let anchors = Anchors::none().with_key(owner.key().clone());
    let envelope = Envelope::decode(&built.envelope).unwrap();
    let verified = envelope.authenticate(&anchors, &cose::Accept::CURRENT).unwrap();
    assert!(teep::tam::Manifest::authorised(&verified, &OwnerPrefix).is_ok());
    assert!(matches!(
        teep::tam::Manifest::authorised(&verified, &Nothing),
        Err(Untrusted::Component(_))
    ));
}

#[test]
fn another_key_another_suite_or_other_code_points_do_not_answer_for_the_agent() {
    let mut scene = Scene::new();
    let sent = scene.update();
    let done = || Message::Success(Success { token: sent.token, ..Success::default() });

    let other_suite = sealed(done(), Suite::Ed25519, &scene.agent);
    assert_eq!(scene.receive(&other_suite).unwrap_err(), Misbehaved::AnotherSigner);
    let agent = Peer { suite: Suite::Ed25519, ..scene.peer() };
    let request = scene.connect(Purpose::Manage { agent });
    let answer = scene.answer(&request);
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::SuiteChanged);
    let agent = Peer { numbering: Numbering::Legacy18, ..scene.peer() };
    let request = scene.connect(Purpose::Manage { agent });
    let answer = scene.answer(&request);
    assert_eq!(scene.receive(&answer).unwrap_err(), Misbehaved::NumberingChanged);
}

//= teep 15.107: a message in the wrong direction is refused
#[test]
fn the_tams_own_messages_are_not_taken_back() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let reflected = scene.sealed(Message::QueryRequest(request.clone()));
    let update = Update { token: request.token, ..Update::default() };
    let update = scene.sealed(Message::Update(update));

    for bytes in [&reflected, &update] {
        assert!(matches!(scene.receive(bytes), Err(Misbehaved::UnexpectedMessage(_))));
    }
}

#[test]
fn a_key_whose_time_is_over_signs_nothing() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let bytes = scene.answer(&request);
    let key = scene.agent.esp256.key().clone();
    let expired = |_: &envelope::Hint<'_>| {
        let valid_until = Some(NOW.after(-1));
        Ok(PeerKey { key: key.clone(), standing: Standing::Anchored, valid_until })
    };
    let opened = envelope::open(&bytes, &Dialect::default(), &expired).unwrap();
    let correlation = correlate(&opened);
    let stored = scene.exchanges.find(&correlation).cloned();
    let mut session = scene.tam.resume(NOW, &correlation, stored).unwrap();

    let outcome = session.process_teep_message(&scene.tam, NOW, scene.draws.draw(), opened);

    assert_eq!(outcome.unwrap_err(), Misbehaved::KeyExpired);
}

#[test]
fn limits_hold_on_the_way_out_too() {
    let mut scene = Scene::new();
    let fresh = scene.draws.draw();
    let note = vec![0; limits::NOTE_BYTES + 1];
    assert_eq!(scene.tam.process_connect(NOW, fresh, STRANGER, note), Err(Misuse::TooMany("note")));
    let request = scene.manage();
    let answer = scene.answer(&request);
    let (mut session, _) = scene.receive(&answer).unwrap();
    let owner = new_key();
    let built = ta("planner", 1, &owner);
    let manifests = vec![relayed(&built, &owner); limits::MANIFESTS + 1];
    let work = Work { manifests, ..Work::default() };
    let fresh = scene.draws.draw();

    let outcome = session.decide(&scene.tam, NOW, fresh, Decision::Update(work));

    assert_eq!(outcome, Err(Misuse::TooMany("manifest-list")));
}

#[test]
fn a_stored_exchange_of_another_version_is_refused() {
    let mut scene = Scene::new();
    let request = scene.manage();
    let correlation = Correlation::Token(request.token.unwrap());
    let mut bytes = scene.exchanges.find(&correlation).unwrap().encode();
    bytes[1] = 9;

    assert_eq!(Exchange::decode(&bytes), Err(teep::Malformed::StoredVersion));
    assert!(Exchange::decode(&bytes[..20]).is_err());
}
