//! What becomes of Evidence and results.

use super::*;

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
    let request = scene.connect(Purpose::Attest {
        agent: None,
        numbering: Numbering::V26,
        user_nonce,
        renewal: false,
    });
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
