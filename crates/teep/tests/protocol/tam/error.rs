//! What follows an Error in answer to a QueryRequest.

use super::*;

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
fn an_error_that_names_the_challenge_of_its_request_ends_the_exchange() {
    let mut scene = Scene::new();
    let (request, challenge) = scene.attest();
    let error = Error {
        request_challenge: Some(challenge),
        ..Error::new(ErrCode::TemporaryError, None, "later")
    };
    let bytes = scene.sealed(Message::Error(error));

    let effects = after_error(&mut scene, &bytes).unwrap_err();

    assert!(matches!(effects[..], [Effect::Refused { .. }]));
    assert!(scene.exchanges.is_empty());
    let answer = scene.answer(&request);
    assert!(scene.receive(&answer).is_err());
    assert!(scene.receive(&bytes).is_err());
}
