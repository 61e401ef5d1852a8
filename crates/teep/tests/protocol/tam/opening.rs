//! What a TAM opens an exchange with, and how long and how often an answer counts.

use super::*;

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
    assert_eq!(outgoing.protection, Protection::Sign(Suite::MANDATORY.to_vec()));
    let Message::QueryRequest(request) = outgoing.message else { panic!("not a QueryRequest") };
    assert_eq!(request.supported_teep_cipher_suites, CipherSuite::offers(&Suite::MANDATORY));
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
    let purpose = Purpose::Attest {
        agent: None,
        numbering: Numbering::V26,
        user_nonce: Some(user_nonce.clone()),
        renewal: true,
    };

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
