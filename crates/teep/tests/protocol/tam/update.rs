//! Updates and their answers.

use super::*;

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
