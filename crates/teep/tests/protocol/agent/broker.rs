//! What the Broker asks, and what is remembered.

use super::*;

fn wanted(name: &str) -> RequestedTc {
    RequestedTc { component: component(name), present: Present::Nothing }
}

/// A QueryRequest with neither token nor challenge, as a TAM sends that reads passports.
fn bare() -> QueryRequest<'static> {
    let both = vec![FreshnessMechanism::TIMESTAMP, FreshnessMechanism::NONCE];
    QueryRequest { challenge: None, supported_freshness_mechanisms: Some(both), ..attest() }
}

/// A scene in which the last QueryRequest of the TAM had neither token nor challenge.
fn after_bare_request() -> (Scene, Handle) {
    let mut scene = Scene::with(|config| config.lenient_challenge = true);
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(bare()));
    scene.receive(handle, &bytes).unwrap();
    let evidence = Some(AttestationPayload::new(CMW, &b"evidence"[..]));
    let found = Collected { evidence, ..Collected::default() };
    scene.agent.collected(NOW, handle, found).unwrap();
    (scene, handle)
}

//= teep 14.71 (M): RequestTA for what is installed gives no data
#[test]
fn a_component_that_is_installed_is_not_asked_for() {
    let mut scene = Scene::new();

    assert_eq!(scene.agent.request_ta(NOW, wanted("planner"), None, true), Ok(Vec::new()));
    assert_eq!(scene.agent.unrequest_ta(NOW, component("old.suit"), None, false), Ok(Vec::new()));
    let (_, tam, message) =
        contact(scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap());
    assert_eq!((tam, message), (uri("https://tam.example/teep"), None));
}

#[test]
fn a_wish_that_is_withdrawn_is_reported_no_more() {
    let mut scene = Scene::new();
    scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();

    assert!(matches!(scene.agent.withdraw(&component("planner"))[..], [Effect::Persist(_)]));
    assert_eq!(scene.agent.withdraw(&component("planner")), []);
}

#[test]
fn the_callers_tam_is_contacted_if_it_names_one() {
    let mut scene = Scene::new();
    let other = uri("https://other.example/teep");

    let effects = scene.agent.request_ta(NOW, wanted("a"), Some(other.clone()), false).unwrap();

    assert_eq!(contact(effects).1, other);
    let mut nowhere = Agent::new(Config { tams: Vec::new(), ..config() }).unwrap();
    assert_eq!(nowhere.request_ta(NOW, wanted("a"), None, false), Err(Declined::NoTam));
}

//= teep 14.72 (M): an unsolicited QueryResponse is sent under three conditions only
#[test]
fn an_unsolicited_response_is_sent_after_a_bare_request() {
    let (mut scene, _) = after_bare_request();

    let effects = scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();

    let (handle, _, message) = contact(effects);
    let message = message.unwrap();
    assert_eq!(message.protection, Protection::Sign1(Suite::Esp256));
    let Message::QueryResponse(response) = message.message else { panic!("no QueryResponse") };
    assert_eq!(response.requested_tc_list, [wanted("planner")]);
    assert_eq!(response.token, None);
    let update = Message::Update(Update { token: token(2), ..Update::default() });
    assert!(matches!(scene.answer(handle, update).message, Message::Success(_)));
}

#[test]
fn a_request_with_token_or_challenge_a_failure_or_an_expired_key_forbids_it() {
    let silent = |scene: &mut Scene| {
        let effects = scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();
        contact(effects).2.is_none()
    };

    let (mut scene, _) = after_bare_request();
    scene.answered();
    assert!(silent(&mut scene), "the last request had a token");

    let (mut scene, handle) = after_bare_request();
    let failed = scene.agent.process_error(NOW, handle, Cause::Unreachable);
    assert!(matches!(failed[..], [Effect::Persist(_)]));
    assert!(silent(&mut scene), "the TAM was not reached");

    let mut scene = Scene::with(|config| config.lenient_challenge = true);
    scene.valid_until = Some(NOW.after(10));
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(bare()));
    scene.receive(handle, &bytes).unwrap();
    let evidence = Some(AttestationPayload::new(CMW, &b"evidence"[..]));
    scene.agent.collected(NOW, handle, Collected { evidence, ..Collected::default() }).unwrap();
    let later = NOW.after(11);
    let effects = scene.agent.request_ta(later, wanted("planner"), None, false).unwrap();
    assert!(contact(effects).2.is_none(), "the key has expired");

    let mut stranger = Scene::new();
    assert!(silent(&mut stranger), "the TAM was never met");
}

//= teep 14.73 (M): RequestPolicyCheck enumerates the TAMs and then gives nothing
#[test]
fn a_policy_check_names_each_tam_once_and_begins_anew() {
    let tams = [uri("https://a.example"), uri("https://b.example")];
    let mut scene = Scene::with(|config| config.tams = tams.to_vec());
    for _ in 0..2 {
        for tam in &tams {
            assert_eq!(contact(scene.agent.request_policy_check(NOW)).1, *tam);
        }
        assert_eq!(scene.agent.request_policy_check(NOW), []);
    }
}

//= teep 15.117: UnrequestTA deletes nothing without an Update of a TAM
#[test]
fn a_storm_of_requests_is_bounded_and_changes_nothing_but_a_list() {
    let mut scene = Scene::new();
    for i in 0..limits::REMEMBERED {
        let manifest = component(&format!("{i}.suit"));
        let effects = scene.agent.unrequest_ta(NOW, manifest, None, true).unwrap();
        assert!(matches!(effects[..], [Effect::Persist(_), Effect::Contact { .. }]));
        scene.agent.request_ta(NOW, wanted(&i.to_string()), None, false).unwrap();
    }

    let more = scene.agent.unrequest_ta(NOW, component("more.suit"), None, true);
    assert_eq!(more, Err(Declined::TooMany));
    let more = scene.agent.request_ta(NOW, wanted("more"), None, false);
    assert_eq!(more, Err(Declined::TooMany));
    assert!(scene.agent.request_ta(NOW, wanted("0"), None, false).is_ok());
}

#[test]
fn the_largest_memory_is_recalled() {
    let mut scene = Scene::new();
    let long_uri = uri(&"u".repeat(limits::TAM_URI_BYTES));
    let long_id = |i: usize| {
        ComponentId::new([vec![0xff; 255], vec![0xff; 255], i.to_be_bytes().to_vec()]).unwrap()
    };
    let mut memory = Vec::new();
    for i in 0..limits::REMEMBERED {
        let present = Present::Binary { sequence_number: u64::MAX };
        let wanted = RequestedTc { component: long_id(i), present };
        scene.agent.request_ta(NOW, wanted, Some(long_uri.clone()), false).unwrap();
        let effects =
            scene.agent.unrequest_ta(NOW, long_id(i), Some(long_uri.clone()), true).unwrap();
        let Some(Effect::Persist(bytes)) = effects.into_iter().next() else {
            panic!("nothing to remember")
        };
        memory = bytes;
    }

    let mut again = Agent::recall(config(), &memory).unwrap();

    let effects = again.withdraw(&long_id(3));
    assert!(matches!(effects[..], [Effect::Persist(_)]));
    assert!(memory.len() < limits::ATTACHMENT.bytes);
    assert!(Agent::recall(config(), &memory[..100]).is_err());
    assert!(Agent::recall(config(), &[0x80]).is_err());
}

#[test]
fn memory_comes_back_as_it_was() {
    let (mut scene, _) = after_bare_request();
    scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();
    let effects = scene.agent.unrequest_ta(NOW, component("old.suit"), None, true).unwrap();
    let Some(Effect::Persist(memory)) = effects.into_iter().next() else { panic!("no memory") };

    let mut again = Agent::recall(config(), &memory).unwrap();

    let effects = again.unrequest_ta(NOW, component("old.suit"), None, true).unwrap();
    assert_eq!(effects[0], Effect::Persist(memory));
    assert!(contact(effects).2.is_some());
}

#[test]
fn sessions_keep_their_own_handle_end_in_time_and_are_bounded() {
    let mut scene = Scene::with(|config| config.tams = vec![uri("https://a.example"); 2]);
    let first = scene.session();
    scene.now = NOW.after(1);
    let second = scene.session();
    assert_ne!(first, second);
    assert_eq!(scene.agent.next_timeout(), Some(NOW.after(limits::AGENT_SESSION_WAIT_S)));

    scene.agent.handle_timeout(NOW.after(limits::AGENT_SESSION_WAIT_S));

    let bytes = scene.sealed(Message::QueryRequest(extensions()));
    assert_eq!(scene.receive(first, &bytes).unwrap_err(), Misbehaved::UnknownSession);
    assert!(scene.receive(second, &bytes).is_ok());
    scene.agent.close(second);
    assert_eq!(scene.agent.next_timeout(), None);
    let handles: Vec<Handle> = (0..=limits::AGENT_SESSIONS)
        .map(|i| {
            let now = NOW.after(i64::try_from(i).unwrap());
            contact(scene.agent.request_ta(now, wanted("a"), None, false).unwrap()).0
        })
        .collect();
    assert_eq!(scene.receive(handles[0], &bytes).unwrap_err(), Misbehaved::UnknownSession);
    assert!(scene.receive(handles[1], &bytes).is_ok());
}

#[test]
fn an_error_of_the_transport_ends_the_session() {
    let mut scene = Scene::new();
    let handle = scene.answered();

    let effects = scene.agent.process_error(NOW, handle, Cause::Status(503));

    assert!(matches!(effects[..], [Effect::Persist(_)]));
    assert_eq!(scene.agent.process_error(NOW, handle, Cause::Status(503)), []);
    let bytes = scene.sealed(Message::QueryRequest(extensions()));
    assert_eq!(scene.receive(handle, &bytes).unwrap_err(), Misbehaved::UnknownSession);
}

#[test]
fn a_uri_has_a_size() {
    assert!(TamUri::new("").is_err());
    assert!(TamUri::new("u".repeat(limits::TAM_URI_BYTES + 1)).is_err());
}
