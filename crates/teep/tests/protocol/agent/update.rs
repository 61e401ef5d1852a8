//! How Updates are carried out.

use teep::envelope::Signers as _;

use super::*;

fn unneeded(token: Option<Token>, manifests: usize) -> Update<'static> {
    Update {
        token,
        unneeded_manifest_list: vec![component("old.suit"), component("older.suit")],
        manifest_list: vec![Cow::Borrowed(&[0xa0][..]); manifests],
        ..Update::default()
    }
}

fn outcome(installed: bool, nonce: Option<&Token>) -> Outcome<'static> {
    let report = Some(Cow::Owned(report(nonce)));
    let components = if installed { vec![component("planner")] } else { Vec::new() };
    Outcome { installed, report, components }
}

fn success(effect: Effect<'_>) -> Success<'_> {
    match sent(effect).message {
        Message::Success(success) => success,
        other => panic!("not a Success: {other:?}"),
    }
}

//= teep 14.63 (M): unlinking precedes installing, and its failure stops the Update
#[test]
fn unlinking_comes_first_and_installing_follows_when_all_of_it_worked() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let bytes = scene.sealed(Message::Update(unneeded(token(2), 1)));

    let effects = scene.receive(handle, &bytes).unwrap();

    let [Effect::Persist(_), Effect::Unlink { manifests, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*manifests, [component("old.suit"), component("older.suit")]);
    let effects = scene.agent.unlinked(NOW, handle, Ok(())).unwrap();
    let [Effect::Install { manifests, nonce, tam, profile }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((manifests.len(), *nonce), (1, token(2)));
    assert_eq!(*tam, scene.tam.signer(Suite::Esp256).unwrap().key().thumbprint());
    assert_eq!(*profile, Some(SuitCoseProfile::MANDATORY[0]));
}

#[test]
fn a_failed_unlinking_is_error_11_and_nothing_is_installed() {
    let mut scene = Scene::new();
    scene.agent.unrequest_ta(NOW, component("old.suit"), None, true).unwrap();
    scene.agent.unrequest_ta(NOW, component("older.suit"), None, true).unwrap();
    let handle = scene.answered();
    let bytes = scene.sealed(Message::Update(unneeded(token(2), 1)));
    scene.receive(handle, &bytes).unwrap();

    let failure = NotUnlinked {
        unlinked: 1,
        msg: "older.suit is not installed".into(),
        reports: vec![report(token(2).as_ref()).into()],
    };
    let effects = scene.agent.unlinked(NOW, handle, Err(failure)).unwrap();

    assert!(matches!(effects[..], [Effect::Persist(_), Effect::Send(_)]), "{effects:?}");
    let error = error(sent(effects.into_iter().last().unwrap()));
    assert_eq!((error.err_code, error.token), (ErrCode::ManifestProcessingFailed, token(2)));
    assert_eq!(error.suit_reports.len(), 1);
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(extensions()));
    let mut effects = scene.receive(handle, &bytes).unwrap();
    let left = response(effects.pop().unwrap()).unneeded_manifest_list;
    assert_eq!(left, [component("older.suit")]);
}

#[test]
fn unlinking_alone_is_a_success_and_the_wish_is_forgotten() {
    let mut scene = Scene::new();
    scene.agent.unrequest_ta(NOW, component("old.suit"), None, true).unwrap();
    let handle = scene.answered();
    let bytes = scene.sealed(Message::Update(unneeded(token(2), 0)));
    scene.receive(handle, &bytes).unwrap();

    let effects = scene.agent.unlinked(NOW, handle, Ok(())).unwrap();

    assert!(matches!(effects[..], [Effect::Persist(_), Effect::Send(_)]), "{effects:?}");
    assert_eq!(success(effects.into_iter().last().unwrap()).token, token(2));
}

//= teep 14.64 (M): Success only after every manifest and dependency is installed
//= teep 14.59 (M): the nonce of a report is the token where there is one
#[test]
fn success_is_said_when_every_manifest_is_installed() {
    let mut scene = Scene::new();
    let wanted = RequestedTc { component: component("planner"), present: Present::Nothing };
    scene.agent.request_ta(NOW, wanted, None, false).unwrap();
    let handle = scene.answered();
    scene.installing(handle, token(2), 2);

    let stale = vec![outcome(true, token(9).as_ref()), outcome(true, token(2).as_ref())];
    assert_eq!(scene.agent.installed(NOW, handle, stale).unwrap_err(), Misuse::ReportNonce);
    let short = vec![outcome(true, token(2).as_ref())];
    assert_eq!(
        scene.agent.installed(NOW, handle, short).unwrap_err(),
        Misuse::Outcomes { expected: 2, got: 1 }
    );
    let outcomes = vec![outcome(true, token(2).as_ref()); 2];
    let effects = scene.agent.installed(NOW, handle, outcomes).unwrap();

    assert!(matches!(effects[..], [Effect::Persist(_), Effect::Send(_)]), "{effects:?}");
    let success = success(effects.into_iter().last().unwrap());
    assert_eq!((success.token, success.suit_reports.len()), (token(2), 2));
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(extensions()));
    let mut effects = scene.receive(handle, &bytes).unwrap();
    assert_eq!(response(effects.pop().unwrap()).requested_tc_list, []);
}

#[test]
fn an_update_is_put_off_with_a_temporary_error_and_may_come_again() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    scene.installing(handle, token(2), 1);

    let effects = scene.agent.postponed(NOW, handle, "later").unwrap();

    let error = error(sent(effects.into_iter().last().unwrap()));
    assert_eq!((error.err_code, error.token), (ErrCode::TemporaryError, token(2)));
    assert_eq!(error.err_msg.unwrap().as_str(), "later");
    let again = scene.agent.postponed(NOW, handle, "later").unwrap_err();
    assert_eq!(again, Misuse::NotAskedFor("an outcome of installing"));
    scene.installing(handle, token(3), 1);
}

//= teep 14.65 (M): any failure gives Error 11 with the reports
#[test]
fn one_failed_manifest_makes_error_11_with_the_reports_of_all() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    scene.installing(handle, token(2), 2);
    let outcomes = vec![outcome(true, token(2).as_ref()), outcome(false, token(2).as_ref())];

    let effects = scene.agent.installed(NOW, handle, outcomes).unwrap();

    let error = error(sent(effects.into_iter().last().unwrap()));
    assert_eq!((error.err_code, error.token), (ErrCode::ManifestProcessingFailed, token(2)));
    assert_eq!(error.err_msg.unwrap().as_str(), "1 of 2 manifests failed");
    assert_eq!(error.suit_reports.len(), 2);
}

//= teep 15.102: an Update that is replayed has no second effect
//= teep 15.104: reordered Updates are refused: each token counts once, each manifest ascends
#[test]
fn an_update_counts_once_in_whatever_session_it_comes_again() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let first = scene.sealed(Message::Update(unneeded(token(2), 0)));
    scene.receive(handle, &first).unwrap();
    scene.agent.unlinked(NOW, handle, Ok(())).unwrap();
    let second = scene.sealed(Message::Update(Update { token: token(3), ..Update::default() }));
    scene.receive(handle, &second).unwrap();

    let later = scene.answered();
    for session in [handle, later] {
        for replayed in [&first, &second] {
            let error = error(answer_to(&mut scene, session, replayed));
            assert_eq!((error.err_code, error.token), (ErrCode::PermanentError, None));
            assert_eq!(error.err_msg.unwrap().as_str(), "Update was seen before");
        }
    }
}

#[test]
fn what_was_carried_out_is_remembered_over_a_restart() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let bytes = scene.sealed(Message::Update(unneeded(token(2), 0)));
    let mut effects = scene.receive(handle, &bytes).unwrap();
    let Effect::Persist(memory) = effects.remove(0) else { panic!("{effects:?}") };

    scene.agent = Agent::recall(config(), &memory).unwrap();
    let handle = scene.answered();

    let error = error(answer_to(&mut scene, handle, &bytes));
    assert_eq!(error.err_msg.unwrap().as_str(), "Update was seen before");
}

#[test]
fn an_update_needs_its_query_request_its_tam_and_its_suite() {
    let mut scene = Scene::new();
    let update = |byte| Message::Update(Update { token: token(byte), ..Update::default() });
    let idle = scene.session();
    let early = error(scene.answer(idle, update(2)));
    assert_eq!(early.err_msg.unwrap().as_str(), "Update without QueryRequest");

    let handle = scene.answered();
    let other = MessageKeys::generate();
    scene.anchored.extend(other.public());
    let foreign = sealed(update(3), Suite::Esp256, &other);
    let foreign = error(answer_to(&mut scene, handle, &foreign));
    assert_eq!(foreign.err_msg.unwrap().as_str(), "Update of another TAM");
    assert_eq!(foreign.token, token(3));

    let bytes = sealed(update(4), Suite::Ed25519, &scene.tam);
    let suite = error(answer_to(&mut scene, handle, &bytes));
    assert_eq!(suite.err_msg.unwrap().as_str(), "Update in another cipher suite");

    let fine = scene.answer(handle, update(5));
    assert!(matches!(fine.message, Message::Success(_)));
}

//= teep 15.116: a Broker that duplicates leads to no wrong state
#[test]
fn no_session_refuses_by_its_token_what_another_carries_out() {
    let mut scene = Scene::new();
    let (first, second) = (scene.answered(), scene.session());
    let update = |byte| Message::Update(Update { token: token(byte), ..Update::default() });

    let refused = error(scene.answer(second, update(2)));
    assert_eq!(refused.token, token(2));
    let late = error(scene.answer(first, update(2)));
    assert_eq!(late.token, None);

    let done = scene.answer(first, update(3));
    assert!(matches!(done.message, Message::Success(_)));
    let refused = error(scene.answer(second, update(3)));
    assert_eq!(refused.token, None);
}

#[test]
fn an_update_that_only_brings_a_result_is_a_success() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let result = AttestationPayload::new(CMW, &b"result"[..]);
    let update =
        Update { token: token(2), attestation_payload: Some(result.clone()), ..Update::default() };
    let bytes = scene.sealed(Message::Update(update));

    let effects = scene.receive(handle, &bytes).unwrap();

    let [Effect::Persist(_), Effect::Passport(passport), Effect::Send(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*passport, result);
}

#[test]
fn an_update_that_only_brings_an_error_has_no_answer() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let update = Update {
        err_code: Some(ErrCode::AttestationRequired),
        err_msg: teep::Msg::new("attestation failed"),
        ..Update::default()
    };
    let bytes = scene.sealed(Message::Update(update));

    let effects = scene.receive(handle, &bytes).unwrap();

    let [Effect::Failed { code, msg }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*code, ErrCode::AttestationRequired);
    assert_eq!(msg.as_ref().unwrap().as_str(), "attestation failed");
}

#[test]
fn updates_follow_each_other_in_one_session() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    for byte in 2..5 {
        scene.installing(handle, token(byte), 1);
        let outcomes = vec![outcome(true, token(byte).as_ref())];
        let effects = scene.agent.installed(NOW, handle, outcomes).unwrap();
        assert_eq!(success(effects.into_iter().last().unwrap()).token, token(byte));
    }
}

#[test]
fn manifests_are_handed_on_without_a_copy() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let update = Update {
        token: token(2),
        manifest_list: vec![Cow::Borrowed(&[0xa0][..])],
        ..Update::default()
    };
    let bytes = scene.sealed(Message::Update(update));

    let effects = scene.receive(handle, &bytes).unwrap();

    let Some(Effect::Install { manifests, .. }) = effects.last() else { panic!("{effects:?}") };
    assert!(matches!(manifests[0], Cow::Borrowed(_)));
}

#[test]
fn outcomes_that_nobody_asked_for_are_our_own_fault() {
    let mut scene = Scene::new();
    let handle = scene.answered();
    let not_asked = |what| Misuse::NotAskedFor(what);

    let unlinked = scene.agent.unlinked(NOW, handle, Ok(())).unwrap_err();
    let installed = scene.agent.installed(NOW, handle, Vec::new()).unwrap_err();
    let fresh = scene.draws.draw();
    let appraised =
        scene.agent.tam_appraised(NOW, fresh, handle, Err(NotAttested::Untrusted)).unwrap_err();

    assert_eq!(unlinked, not_asked("an outcome of unlinking"));
    assert_eq!(installed, not_asked("an outcome of installing"));
    assert_eq!(appraised, not_asked("an appraisal of the TAM"));
    assert!(matches!(
        scene.answer(handle, Message::Update(Update::default())).message,
        Message::Success(_)
    ));
}
