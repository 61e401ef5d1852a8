//! What a QueryResponse has to be.

use super::*;

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
