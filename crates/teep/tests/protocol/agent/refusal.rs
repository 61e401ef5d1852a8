//! What gets an Error, and which.

use super::*;

/// The Error that a QueryRequest gets.
#[track_caller]
fn refused(scene: &mut Scene, request: QueryRequest<'_>) -> Error<'static> {
    let handle = scene.session();
    let error = error(scene.answer(handle, Message::QueryRequest(request)));
    assert!(error.err_msg.is_some());
    error
}

//= teep 14.49 (M): no common suite gives Error 5 with the own list
#[test]
fn no_common_suite_is_error_5_with_the_own_list() {
    let mut scene = Scene::with(|config| config.suites = vec![Suite::Ed25519]);
    let es384 = CipherSuite(vec![Operation { cose_type: 18, algorithm: -35 }]);

    let error =
        refused(&mut scene, QueryRequest { supported_teep_cipher_suites: vec![es384], ..manage() });

    assert_eq!(error.err_code, ErrCode::UnsupportedCipherSuites);
    assert_eq!(error.supported_teep_cipher_suites, CipherSuite::offers(&[Suite::Ed25519]));
    assert_eq!(error.token, token(1));
    assert!(Agent::new(Config { suites: Vec::new(), ..config() }).is_err());
}

//= teep 14.50 (M): a message without any supported signature gives Error 5
#[test]
fn an_opening_that_cannot_be_verified_at_all_is_error_5_under_a_mandatory_suite() {
    let mut scene = Scene::with(|config| {
        config.suites = vec![Suite::Ed25519];
        config.dialect.suites = vec![Suite::Ed25519];
    });
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(manage()));

    let outgoing = answer_to(&mut scene, handle, &bytes);

    assert_eq!(outgoing.protection, Protection::Sign1(Suite::Ed25519));
    let error = error(outgoing);
    assert_eq!(error.err_code, ErrCode::UnsupportedCipherSuites);
    assert_eq!(error.supported_teep_cipher_suites, CipherSuite::offers(&[Suite::Ed25519]));
}

//= teep 15.105: a signature by an algorithm outside the signed list is refused
#[test]
fn a_signature_outside_its_own_list_is_refused() {
    let mut scene = Scene::new();
    let only_ed25519 = CipherSuite::offers(&[Suite::Ed25519]);

    let error = refused(
        &mut scene,
        QueryRequest { supported_teep_cipher_suites: only_ed25519, ..manage() },
    );

    assert_eq!(error.err_code, ErrCode::PermanentError);
}

//= teep 15.105: ES256 in the place of ESP256 is refused unless configured
#[test]
fn an_older_algorithm_identifier_is_refused_unless_configured() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let mut bytes = scene.sealed(Message::QueryRequest(manage()));
    let at = bytes.windows(4).position(|w| w == [0x43, 0xa1, 0x01, 0x28]).unwrap();
    bytes[at + 3] = 0x26;

    let error = error(answer_to(&mut scene, handle, &bytes));

    assert_eq!(error.err_code, ErrCode::PermanentError);
    assert_eq!(error.err_msg.unwrap().as_str(), "signature is not acceptable");
}

//= teep 14.51 (M): a TAM whose key is not anchored or expired gets Error 6 or 9, nothing else
//= rats 11.31 (M): no evidence goes to an unauthenticated or unauthorised TAM
//= teep 15.119: nothing that identifies the device goes to an unknown TAM
#[test]
fn an_unknown_or_expired_tam_learns_nothing_but_that() {
    let mut scene = Scene::new();
    scene.agent.request_ta(NOW, wanted("planner"), None, false).unwrap();
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(attest()));

    let anchored = std::mem::take(&mut scene.anchored);
    let unknown = error(answer_to(&mut scene, handle, &bytes));
    scene.anchored = anchored;
    scene.valid_until = Some(NOW.after(-1));
    let expired = error(answer_to(&mut scene, handle, &bytes));

    let bare = |error: &Error<'static>| {
        let said = Error::new(error.err_code, None, error.err_msg.clone().unwrap().to_string());
        assert_eq!(*error, said);
        error.err_code
    };
    assert_eq!(bare(&unknown), ErrCode::BadCertificate);
    assert_eq!(bare(&expired), ErrCode::CertificateExpired);
}

#[test]
fn a_key_that_a_message_brings_along_is_no_tams_key() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(attest()));
    let known = anchors(scene.anchored.clone());
    let claimed = |hint: &Hint<'_>| Ok(PeerKey { standing: Standing::Claimed, ..known(hint)? });

    let fresh = scene.draws.draw();
    let mut effects =
        scene.agent.process_teep_message(NOW, fresh, handle, &bytes, &claimed).unwrap();

    assert_eq!(error(sent(effects.pop().unwrap())).err_code, ErrCode::BadCertificate);
}

fn wanted(name: &str) -> RequestedTc {
    RequestedTc { component: component(name), present: Present::Nothing }
}

//= teep 15.120: time moved back does not make valid what has expired
#[test]
fn a_clock_that_can_be_trusted_does_not_run_backwards() {
    for (trusted_clock, code) in [(true, Some(ErrCode::CertificateExpired)), (false, None)] {
        let mut scene = Scene::with(|config| config.trusted_clock = trusted_clock);
        scene.valid_until = Some(NOW.after(10));
        scene.now = NOW.after(11);
        let handle = scene.session();
        scene.now = NOW;
        let bytes = scene.sealed(Message::QueryRequest(extensions()));

        let mut effects = scene.receive(handle, &bytes).unwrap();

        let found = match sent(effects.pop().unwrap()).message {
            Message::Error(error) => Some(error.err_code),
            Message::QueryResponse(_) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, code);
    }
}

//= teep 14.52 (M): no common version gives Error 4 with versions
#[test]
fn no_common_version_is_error_4_with_versions() {
    let mut scene = Scene::new();

    let error = refused(&mut scene, QueryRequest { versions: Some(vec![1, 2]), ..manage() });

    assert_eq!(error.err_code, ErrCode::UnsupportedMsgVersion);
    assert_eq!(error.versions, [0]);
}

//= teep 14.53 (M): no common freshness mechanism gives Error 3 with the own list
#[test]
fn no_common_freshness_mechanism_is_error_3_with_the_list() {
    let mut scene = Scene::new();
    let timestamp = Some(vec![FreshnessMechanism::TIMESTAMP]);

    let error =
        refused(&mut scene, QueryRequest { supported_freshness_mechanisms: timestamp, ..attest() });

    assert_eq!(error.err_code, ErrCode::UnsupportedFreshnessMechanisms);
    assert_eq!(error.supported_freshness_mechanisms, [FreshnessMechanism::NONCE]);
    assert_eq!((error.token, error.request_challenge), (None, attest().challenge));
}

#[test]
fn a_challenge_that_is_missing_or_too_long_for_an_eat_is_error_1() {
    let mut scene = Scene::new();
    let long = Some(Challenge::new([4; 65]).unwrap());

    let missing = refused(&mut scene, QueryRequest { challenge: None, ..attest() });
    let long = refused(&mut scene, QueryRequest { challenge: long, ..attest() });

    assert_eq!(missing.err_msg.unwrap().as_str(), "challenge is missing");
    assert_eq!(missing.err_code, ErrCode::PermanentError);
    assert_eq!(long.err_code, ErrCode::PermanentError);
}

#[test]
fn a_lenient_agent_gives_evidence_without_nonce_and_takes_a_token_for_one() {
    let mut scene = Scene::with(|config| config.lenient_challenge = true);
    for (token, nonce) in [(None, None), (token(3), Some(vec![3; 32]))] {
        let handle = scene.session();
        let request = QueryRequest { challenge: None, token, ..attest() };
        let bytes = scene.sealed(Message::QueryRequest(request));

        let effects = scene.receive(handle, &bytes).unwrap();

        let [Effect::Collect(wanted)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(wanted.attestation.as_ref().unwrap().challenge, nonce);
    }
}

//= teep 15.113: integers at their limits do not wrap
#[test]
fn unknown_data_items_are_named() {
    let mut scene = Scene::new();
    let items = DataItems(!1);

    let error = refused(&mut scene, QueryRequest { data_item_requested: items, ..manage() });

    assert_eq!(error.err_code, ErrCode::UnsupportedExtension);
    let msg = error.err_msg.unwrap();
    assert_eq!(msg.as_str(), "data-item-requested has unknown bits 0xfffffffffffffff0");
}

//= teep 14.62 (M): an unsupported report profile gives Error 8 with the list
//= teep 14.14 (M): the key of an embedded report differs from the key of the message
#[test]
fn reports_about_the_tam_have_to_be_readable_and_of_another_key() {
    let mut scene =
        Scene::with(|config| config.profiles = vec![SuitCoseProfile::ED25519_CHACHA_POLY]);
    let with = |report: Vec<u8>| QueryRequest { suit_reports: vec![report.into()], ..manage() };
    let other_profile = signed_report(None, &new_key());
    let own_key = signed_report(None, &scene.tam.ed25519);

    let unreadable = refused(&mut scene, with(vec![0x80]));
    let unsupported = refused(&mut scene, with(other_profile));

    for error in [unreadable, unsupported] {
        assert_eq!(error.err_code, ErrCode::UnsupportedSuitReport);
        let profiles = [SuitCoseProfile::ED25519_CHACHA_POLY];
        assert_eq!(error.supported_suit_cose_profiles, profiles);
    }
    let handle = scene.session();
    let message = Message::QueryRequest(with(own_key));
    let bytes = sealed(message, Suite::Ed25519, &scene.tam);
    let same_key = error(answer_to(&mut scene, handle, &bytes));
    assert_eq!(same_key.err_code, ErrCode::PermanentError);
    let handle = scene.session();
    let bytes = scene.sealed(Message::QueryRequest(with(report(None))));
    assert!(matches!(scene.receive(handle, &bytes).unwrap()[..], [Effect::Collect(_)]));
}

//= teep 15.107: a message in the wrong direction is refused
#[test]
fn messages_of_agents_are_refused() {
    let mut scene = Scene::new();
    let own = MessageKeys::generate();
    let handle = scene.session();
    let messages = [
        Message::QueryResponse(QueryResponse { token: token(1), ..QueryResponse::default() }),
        Message::Success(Success { token: token(1), ..Success::default() }),
        Message::Error(Error::new(ErrCode::TemporaryError, token(1), "later")),
    ];
    for message in messages {
        let reflected = sealed(message.clone(), Suite::Esp256, &own);
        let refused = error(answer_to(&mut scene, handle, &reflected));
        assert_eq!((refused.err_code, refused.token), (ErrCode::BadCertificate, None));

        let refused = error(scene.answer(handle, message));
        assert_eq!((refused.err_code, refused.token), (ErrCode::PermanentError, token(1)));
    }
}

//= teep 15.114: Errors to senders that are not authenticated are limited in rate
#[test]
fn strangers_get_so_many_errors_in_a_given_time() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let junk = [0x80];
    for _ in 0..limits::STRANGER_ERRORS {
        assert_eq!(scene.receive(handle, &junk).unwrap().len(), 1);
    }

    assert_eq!(scene.receive(handle, &junk).unwrap(), []);
    let request = scene.sealed(Message::QueryRequest(extensions()));
    assert!(!scene.receive(handle, &request).unwrap().is_empty());
    scene.now = NOW.after(limits::STRANGER_WINDOW_S);
    assert_eq!(scene.receive(handle, &junk).unwrap().len(), 1);
    scene.now = NOW.after(-1_000);
    assert_eq!(scene.receive(handle, &junk).unwrap().len(), 1);
}

#[test]
fn silence_to_strangers_is_a_setting() {
    let mut scene = Scene::with(|config| config.silent_to_strangers = true);
    let handle = scene.session();

    assert_eq!(scene.receive(handle, &[0x80]).unwrap(), []);
    let malformed = refused(&mut scene, QueryRequest { versions: Some(vec![9]), ..manage() });
    assert_eq!(malformed.err_code, ErrCode::UnsupportedMsgVersion);
}

#[test]
fn the_token_of_an_unproven_message_is_not_signed_back() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let mut bytes = scene.sealed(Message::QueryRequest(manage()));
    *bytes.last_mut().unwrap() ^= 1;

    let error = error(answer_to(&mut scene, handle, &bytes));

    assert_eq!((error.err_code, error.token), (ErrCode::PermanentError, None));
}

#[test]
fn an_older_dialect_is_answered_in_its_own_code_points() {
    let mut scene = Scene::new();
    let handle = scene.session();
    let old = Outgoing {
        message: Message::QueryRequest(manage()),
        numbering: Numbering::Legacy18,
        protection: Protection::Sign1(Suite::Esp256),
    };
    let bytes = old.seal(&scene.tam).unwrap();

    let outgoing = answer_to(&mut scene, handle, &bytes);

    assert_eq!(outgoing.numbering, Numbering::Legacy18);
    let payload = outgoing.message.encode(Numbering::Legacy18);
    assert_eq!(payload[1], 6);
    let error = error(outgoing);
    assert_eq!((error.err_code, error.token), (ErrCode::PermanentError, token(1)));
}

/// What the Agent says to one of the negative vectors.
fn negative(name: &str) -> Option<Error<'static>> {
    let bytes = vector(&format!("negative/{name}"))?;
    let mut scene = Scene::new();
    scene.anchored = vec![vector_key("K2")];
    let handle = scene.session();
    Some(error(answer_to(&mut scene, handle, &bytes)))
}

//= teep 14.5 (M): each message is validated against its shape
#[test]
fn each_negative_vector_gets_the_error_that_is_meant_for_it() {
    let vector_token = Token::new(&(0xa0..=0xaf).collect::<Vec<u8>>()).ok();
    let cases = [
        ("unknown_type_99.cbor", ErrCode::PermanentError, None),
        ("map_instead_of_array.cbor", ErrCode::PermanentError, None),
        ("only_unknown_freshness.cbor", ErrCode::UnsupportedFreshnessMechanisms, None),
        ("only_version_5.cbor", ErrCode::UnsupportedMsgVersion, vector_token),
        ("no_common_cipher_suite.cbor", ErrCode::UnsupportedCipherSuites, vector_token),
        ("token_7_bytes.cbor", ErrCode::PermanentError, None),
        ("token_65_bytes.cbor", ErrCode::PermanentError, None),
        ("challenge_7_bytes.cbor", ErrCode::PermanentError, None),
        ("no_token_no_attestation.cbor", ErrCode::PermanentError, None),
        ("challenge_without_attestation_bit.cbor", ErrCode::PermanentError, vector_token),
        ("freshness_without_attestation_bit.cbor", ErrCode::PermanentError, vector_token),
        ("duplicate_option_label.cbor", ErrCode::PermanentError, None),
        ("depth_bomb_2000.cbor.bin", ErrCode::PermanentError, None),
        ("depth_bomb_100k_unsigned.cbor.bin", ErrCode::PermanentError, None),
        ("length_bomb.cbor.bin", ErrCode::PermanentError, None),
        ("bad_signature.cbor", ErrCode::PermanentError, None),
        ("trailing_byte.cbor.bin", ErrCode::PermanentError, None),
        ("truncated.cbor.bin", ErrCode::PermanentError, None),
        ("bare_payload_unsigned.cbor", ErrCode::PermanentError, None),
        ("alg_in_unprotected_only.cbor", ErrCode::PermanentError, None),
        ("unknown_crit_header.cbor", ErrCode::PermanentError, None),
        ("error_code_0.cbor", ErrCode::BadCertificate, None),
    ];
    for (name, code, token) in cases {
        let Some(error) = negative(name) else { return };
        assert_eq!((error.err_code, error.token), (code, token), "{name}");
    }
}

//= teep 14.12 (S): an unknown option label is ignored and the message processed
#[test]
fn odd_but_fine_vectors_are_answered() {
    for name in ["unknown_option_label.cbor", "indefinite_length_payload.cbor"] {
        let Some(bytes) = vector(&format!("negative/{name}")) else { return };
        let mut scene = Scene::new();
        scene.anchored = vec![vector_key("K2")];
        let handle = scene.session();

        let effects = scene.receive(handle, &bytes).unwrap();

        assert!(matches!(effects[..], [Effect::Collect(_)]), "{name}: {effects:?}");
    }
}

//= teep 15.121: errors reveal neither keys nor plaintext
#[test]
fn an_error_says_why_in_a_known_language_and_no_more() {
    let mut scene = Scene::new();
    let handle = scene.session();

    let effects = scene.receive(handle, &[0xff]).unwrap();

    let error = error(sent(effects.into_iter().next().unwrap()));
    assert_eq!(error.err_lang.unwrap().as_str(), "en");
    assert_eq!(error.err_msg.unwrap().as_str(), "malformed");
}
