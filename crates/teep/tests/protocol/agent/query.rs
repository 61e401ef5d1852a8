//! How QueryRequests are answered.

use super::*;

fn collected<'e>(scene: &mut Scene, handle: Handle, found: Collected<'e>) -> QueryResponse<'e> {
    let mut effects = scene.agent.collected(NOW, handle, found).unwrap();
    response(effects.pop().unwrap())
}

fn ask(scene: &mut Scene, request: QueryRequest<'_>) -> (Handle, Wanted) {
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(request));
    let mut effects = scene.receive(handle, &bytes).unwrap();
    match effects.pop() {
        Some(Effect::Collect(wanted)) => (handle, wanted),
        other => panic!("nothing is obtained: {other:?}"),
    }
}

fn evidence() -> Option<AttestationPayload<'static>> {
    Some(AttestationPayload::new(CMW, &b"evidence"[..]))
}

//= teep 14.54 (M): nonce is supported
//= teep 14.55 (M): the challenge is copied into eat_nonce bit for bit
//= teep 14.57 (M): attestation-payload is given iff attestation is asked for
#[test]
fn evidence_is_obtained_for_the_very_challenge_and_given_if_asked_for() {
    let mut scene = Scene::new();

    let (handle, wanted) = ask(&mut scene, QueryRequest { renewal: true, ..attest() });

    assert_eq!(wanted.attestation, Some(Attest { challenge: Some(vec![4; 64]), renewal: true }));
    assert!(wanted.components && !wanted.reports);
    assert_eq!(wanted.tam, scene.tam.esp256.key().thumbprint());
    let found = Collected { evidence: evidence(), ..Collected::default() };
    let response = collected(&mut scene, handle, found.clone());
    assert_eq!(response.attestation_payload, evidence());
    assert_eq!(response.token, None);

    let (handle, wanted) = ask(&mut scene, manage());
    assert_eq!(wanted.attestation, None);
    assert_eq!(collected(&mut scene, handle, found).attestation_payload, None);
}

//= teep 14.56 (M): the token is echoed iff there is one
//= teep 14.59 (M): the nonce of a report is the token where there is one
#[test]
fn the_token_comes_back_and_is_the_nonce_of_every_report() {
    let mut scene = Scene::new();
    let (handle, wanted) = ask(&mut scene, manage());
    assert_eq!(wanted.report_nonce, token(1));
    assert!(wanted.reports);

    for stale in [None, token(9).as_ref()] {
        let found = Collected { reports: vec![report(stale).into()], ..Collected::default() };
        let outcome = scene.agent.collected(NOW, handle, found);
        assert_eq!(outcome.unwrap_err(), Misuse::ReportNonce);
    }
    let reports: Vec<Cow<'_, [u8]>> = vec![report(token(1).as_ref()).into()];
    let found = Collected { reports: reports.clone(), ..Collected::default() };
    let response = collected(&mut scene, handle, found);

    assert_eq!(response.token, token(1));
    assert_eq!(response.suit_reports, reports);
    assert_eq!(response.selected_version, Some(0));
}

//= teep 14.58 (M): tc-list and ext-list are given when they are asked for
#[test]
fn the_list_of_components_always_has_the_agent_itself() {
    let mut scene = Scene::new();
    let (handle, _) = ask(&mut scene, manage());
    let response = collected(&mut scene, handle, Collected::default());
    assert_eq!(response.tc_list, Some(vec![agent_itself()]));
    assert_eq!(response.ext_list, None);

    let (handle, _) = ask(&mut scene, manage());
    let planner = SystemProperties::measured(component("planner"), b"digest");
    let components = vec![planner.clone(), agent_itself()];
    let found = Collected { components: components.clone(), ..Collected::default() };
    assert_eq!(collected(&mut scene, handle, found).tc_list, Some(components));
}

#[test]
fn extensions_are_listed_even_if_there_are_none() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(extensions()));

    let mut effects = scene.receive(handle, &bytes).unwrap();

    let response = response(effects.pop().unwrap());
    assert_eq!(response.ext_list, Some(Vec::new()));
    assert_eq!(response.tc_list, None);
}

//= teep 14.70 (M): unneeded-manifest-list names manifest component identifiers
#[test]
fn what_the_ree_asks_for_is_reported_to_its_tam_alone() {
    let mut scene = Scene::new();
    let other = uri("https://other.example/teep");
    let wanted = |name| RequestedTc {
        component: component(name),
        present: Present::Binary { sequence_number: 7 },
    };
    scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();
    scene.agent.request_ta(NOW, wanted("elsewhere"), Some(other), false).unwrap();
    scene.agent.unrequest_ta(NOW, component("old.suit"), None, true).unwrap();

    let (handle, _) = ask(&mut scene, manage());
    let response = collected(&mut scene, handle, Collected::default());

    assert_eq!(response.requested_tc_list, [wanted("planner")]);
    assert_eq!(response.unneeded_manifest_list, [component("old.suit")]);
}

#[test]
fn missing_evidence_is_a_temporary_error() {
    let mut scene = Scene::new();
    let (handle, _) = ask(&mut scene, attest());

    let mut effects = scene.agent.collected(NOW, handle, Collected::default()).unwrap();

    let error = error(sent(effects.pop().unwrap()));
    assert_eq!(error.err_code, ErrCode::TemporaryError);
    assert_eq!(error.request_challenge, attest().challenge);
}

#[test]
fn while_evidence_is_obtained_nothing_else_is_taken() {
    let mut scene = Scene::new();
    let (handle, _) = ask(&mut scene, attest());
    let bytes = scene.sealed(Message::QueryRequest(attest()));

    assert_eq!(scene.receive(handle, &bytes).unwrap_err(), Misbehaved::Busy);
    assert_eq!(
        scene.agent.installed(NOW, handle, Vec::new()).unwrap_err(),
        Misuse::NotAskedFor("an outcome of installing")
    );
    let found = Collected { evidence: evidence(), ..Collected::default() };
    assert!(scene.agent.collected(NOW, handle, found.clone()).is_ok());
    assert_eq!(
        scene.agent.collected(NOW, handle, found).unwrap_err(),
        Misuse::NotAskedFor("an inventory")
    );
    let nobody = Handle(99);
    assert_eq!(scene.receive(nobody, &bytes).unwrap_err(), Misbehaved::UnknownSession);
    assert_eq!(
        scene.agent.collected(NOW, nobody, Collected::default()).unwrap_err(),
        Misuse::UnknownHandle
    );
}

#[test]
fn more_components_than_fit_a_message_are_our_own_fault() {
    let mut scene = Scene::new();
    let (handle, _) = ask(&mut scene, manage());
    let one = SystemProperties::measured(component("one"), b"digest");
    let components = vec![one; limits::COMPONENTS];
    let found = Collected { components, ..Collected::default() };

    let outcome = scene.agent.collected(NOW, handle, found);

    assert_eq!(outcome.unwrap_err(), Misuse::TooMany("tc-list"));
    let reports = vec![Cow::Owned(report(token(1).as_ref())); limits::REPORTS + 1];
    let found = Collected { reports, ..Collected::default() };
    let outcome = scene.agent.collected(NOW, handle, found);
    assert_eq!(outcome.unwrap_err(), Misuse::TooMany("suit-reports"));
    assert!(scene.agent.collected(NOW, handle, Collected::default()).is_ok());
}

/// The suite in which a QueryRequest is answered.
fn answered_in(scene: &mut Scene, protection: Protection) -> Suite {
    let handle = scene.session();
    let message = Message::QueryRequest(extensions());
    let bytes = Outgoing { message, numbering: Numbering::V26, protection };
    let bytes = bytes.seal(&scene.tam).unwrap();
    let mut effects = scene.receive(handle, &bytes).unwrap();
    match sent(effects.pop().unwrap()).protection {
        Protection::Sign1(suite) => suite,
        Protection::Sign(suites) => panic!("an Agent signs once: {suites:?}"),
    }
}

//= teep 14.13 (M): the suite chosen is used for every later message
#[test]
fn an_opening_is_answered_in_the_preferred_suite_and_a_remembered_one_is_kept() {
    let mut scene = Scene::with(|config| config.suites = vec![Suite::Ed25519, Suite::Esp256]);
    let opening = Protection::Sign(Suite::MANDATORY.to_vec());
    assert_eq!(answered_in(&mut scene, opening.clone()), Suite::Ed25519);
    assert_eq!(answered_in(&mut scene, Protection::Sign1(Suite::Esp256)), Suite::Esp256);

    let mut scene = Scene::with(|config| config.suites = vec![Suite::Ed25519]);
    assert_eq!(answered_in(&mut scene, opening), Suite::Ed25519);
    assert_eq!(answered_in(&mut scene, Protection::Sign1(Suite::Esp256)), Suite::Ed25519);
}

#[test]
fn a_tam_with_a_key_for_each_suite_goes_on_with_that_of_the_suite_chosen() {
    let opening = Protection::Sign(Suite::MANDATORY.to_vec());
    let by_esp256 = Protection::Sign1(Suite::Esp256);
    for protection in [opening, by_esp256] {
        let mut scene = Scene::with(|config| config.suites = vec![Suite::Ed25519]);
        let handle = scene.session();
        let message = Message::QueryRequest(extensions());
        let bytes = Outgoing { message, numbering: Numbering::V26, protection };
        let bytes = bytes.seal(&scene.tam).unwrap();
        scene.receive(handle, &bytes).unwrap();

        let update = Message::Update(Update { token: token(2), ..Update::default() });
        let bytes = sealed(update, Suite::Ed25519, &scene.tam);

        let answer = answer_to(&mut scene, handle, &bytes);
        assert!(matches!(answer.message, Message::Success(_)), "{answer:?}");
        assert_eq!(answer.protection, Protection::Sign1(Suite::Ed25519));
    }
}

/// A TAM that has to attest itself: its Error 7, and the QueryRequest that follows.
fn challenged(scene: &mut Scene, handle: Handle) -> Error<'static> {
    error(scene.answer(handle, Message::QueryRequest(manage())))
}

fn with_attestation() -> QueryRequest<'static> {
    let attestation_payload = Some(AttestationPayload::new(CMW, &b"about the TAM"[..]));
    QueryRequest { attestation_payload, ..manage() }
}

//= teep 14.60 (M): without the TAM's attestation Error 7 is sent, with freshness and challenge
#[test]
fn a_tam_that_does_not_attest_itself_is_asked_to() {
    let mut scene = Scene::with(|config| config.attest_tam = true);
    let handle = scene.session();

    let first = challenged(&mut scene, handle);
    let second = challenged(&mut scene, handle);

    assert_eq!(first.err_code, ErrCode::AttestationRequired);
    assert_eq!(first.supported_freshness_mechanisms, [FreshnessMechanism::NONCE]);
    assert_eq!(first.token, token(1));
    assert!(first.challenge.is_some());
    assert_ne!(first.challenge, second.challenge);
}

//= teep 14.61 (M): a result about the TAM is from a trusted Verifier and names the TAM's key
#[test]
fn a_tam_counts_as_attested_for_its_own_key_and_the_challenge_sent() {
    let mut scene = Scene::with(|config| config.attest_tam = true);
    let key = scene.tam.esp256.key().thumbprint();
    let cases = [
        (Ok((key, true, Verdict::Passed)), true),
        (Ok((new_key().key().thumbprint(), true, Verdict::Passed)), false),
        (Ok((key, false, Verdict::Passed)), false),
        (Ok((key, true, Verdict::Failed)), false),
        (Err(NotAttested::Untrusted), false),
    ];
    for (case, passes) in cases {
        let handle = scene.session();
        let sent_challenge = challenged(&mut scene, handle).challenge.unwrap();
        let bytes = scene.sealed(Message::QueryRequest(with_attestation()));
        let effects = scene.receive(handle, &bytes).unwrap();
        let [Effect::AppraiseTam { challenge, tam, .. }] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((challenge, *tam), (&sent_challenge, key));

        let outcome = case.map(|(confirmed, same, verdict)| Appraisal {
            nonce: Some(if same { challenge.as_bytes().to_vec() } else { vec![0; 32] }),
            recent: true,
            confirmation: Some(confirmed),
            verdict,
        });
        let fresh = scene.draws.draw();
        let mut effects = scene.agent.tam_appraised(NOW, fresh, handle, outcome).unwrap();

        match (passes, effects.pop().unwrap()) {
            (true, Effect::Collect(_)) => {}
            (false, effect @ Effect::Send(_)) => {
                let refused = error(sent(effect));
                assert_eq!(refused.err_code, ErrCode::AttestationRequired);
                assert_ne!(refused.challenge, Some(sent_challenge));
            }
            (_, effect) => panic!("{effect:?}"),
        }
    }
}

#[test]
fn an_attestation_of_the_tam_for_no_challenge_of_ours_is_not_even_appraised() {
    let mut scene = Scene::with(|config| config.attest_tam = true);
    let handle = scene.session();

    let error = error(scene.answer(handle, Message::QueryRequest(with_attestation())));

    assert_eq!(error.err_code, ErrCode::AttestationRequired);
}
