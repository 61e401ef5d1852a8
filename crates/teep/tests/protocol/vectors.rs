//! The bytes that the drafts print, the signed messages derived from them, those that have to be
//! refused, and those of an independent implementation.

use crate::support::{anchors, vector, vector_key, vectors};
use cose::cbor::Malformed as Cbor;
use cose::{Key, Thumbprint};
use teep::envelope::{self, Dialect, NoKey, Opened, PeerKey, Rejected, Sealed, Standing};
use teep::message::{self, DataItems, Error, FreshnessMechanism, Message};
use teep::{
    CipherSuite, ComponentId, ErrCode, Malformed, Numbering, Operation, SuitCoseProfile, Suite,
    Token,
};

const TOKEN: [u8; 16] = *b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf";

fn token() -> Option<Token> {
    Some(Token::new(&TOKEN).unwrap())
}

/// Decodes a bare payload, encodes it and decodes that: the value stays, and the second encoding
/// is deterministic.
fn round_trip(payload: &[u8], numbering: Numbering) -> Message<'_> {
    let message = Message::decode(payload, numbering).unwrap();
    let encoded = message.encode(numbering);

    assert_eq!(Message::decode(&encoded, numbering).unwrap(), message);
    assert_eq!(encoded.len(), payload.len());
    cose::cbor::check_deterministic(&encoded, teep::limits::MESSAGE).unwrap();
    message
}

fn example(directory: &str, name: &str, numbering: Numbering) -> Option<Message<'static>> {
    let bytes: &'static [u8] = vector(&format!("{directory}/{name}.cbor"))?.leak();
    Some(round_trip(bytes, numbering))
}

//= teep 14.20 (M): all -26 example payloads decode, re-encode and round-trip
#[test]
fn the_examples_of_every_draft_round_trip_and_say_the_same() {
    let drafts = [
        ("draft-26", Numbering::V26),
        ("repo-a9d2fad", Numbering::Legacy18),
        ("draft-18", Numbering::Legacy18),
    ];
    for (draft, numbering) in drafts {
        let Some(Message::QueryRequest(request)) = example(draft, "query_request", numbering)
        else {
            return;
        };
        assert_eq!(request.token, token());
        assert_eq!(request.versions(), [0]);
        assert_eq!(request.data_item_requested, DataItems(3));
        assert_eq!(request.supported_suit_cose_profiles.len(), 4);

        let Some(Message::QueryResponse(response)) = example(draft, "query_response", numbering)
        else {
            panic!("not a QueryResponse");
        };
        assert_eq!(response.token, token());
        assert_eq!(response.selected_version, Some(0));
        assert_eq!(response.attestation_payload.unwrap().bytes.len(), 0);
        let listed = &response.tc_list.unwrap()[0];
        assert_eq!(listed.component.parts(), [(1..=15).collect::<Vec<u8>>()]);
        assert_eq!(listed.image_digest().unwrap().len(), 36);

        let Some(Message::Update(update)) = example(draft, "update", numbering) else {
            panic!("not an Update");
        };
        let manifest = vector(&format!("{draft}/update.embedded-manifest.cbor")).unwrap();
        assert_eq!(update.manifest_list, [manifest]);
        assert_eq!(update.token, token());

        let Some(Message::Success(success)) = example(draft, "teep_success", numbering) else {
            panic!("not a Success");
        };
        assert_eq!(success.token, token());

        let Some(Message::Error(error)) = example(draft, "teep_error", numbering) else {
            panic!("not an Error");
        };
        assert_eq!(error.err_code, ErrCode::ManifestProcessingFailed);
        assert_eq!(error.err_msg.unwrap().as_str(), "disk-full");
    }
}

#[test]
fn the_suites_and_profiles_of_the_drafts_are_told_apart() {
    let Some(Message::QueryRequest(new)) = example("draft-26", "query_request", Numbering::V26)
    else {
        return;
    };
    let Some(Message::QueryRequest(old)) =
        example("draft-18", "query_request", Numbering::Legacy18)
    else {
        panic!("not a QueryRequest");
    };

    assert_eq!(new.supported_teep_cipher_suites, CipherSuite::offers(&Suite::MANDATORY));
    assert_eq!(new.supported_suit_cose_profiles, SuitCoseProfile::MANDATORY);
    let es256 = CipherSuite(vec![Operation { cose_type: 18, algorithm: -7 }]);
    assert_eq!(old.supported_teep_cipher_suites[0], es256);
    assert_eq!(Suite::common(&Suite::MANDATORY, &old.supported_teep_cipher_suites), []);
}

#[test]
fn a_message_read_by_the_other_numbering_is_refused_or_another_message() {
    let Some(new) = vector("draft-26/query_request.cbor") else { return };
    let old = vector("draft-18/query_request.cbor").unwrap();

    assert!(Message::decode(&new, Numbering::Legacy18).is_err());
    assert!(Message::decode(&old, Numbering::V26).is_err());
    let error = vector("draft-18/teep_error.cbor").unwrap();
    assert_eq!(Message::decode(&error, Numbering::V26), Err(Malformed::UnknownType(6)));
    let success = vector("draft-26/teep_success.cbor").unwrap();
    assert_eq!(Message::decode(&success, Numbering::Legacy18), Err(Malformed::UnknownType(4)));
}

fn keyring() -> Vec<Key> {
    ["K2", "AGENT", "ED-TAM", "ED-AGENT"].map(vector_key).to_vec()
}

fn open<'b>(bytes: &'b [u8], dialect: &Dialect) -> Result<Opened<'b>, Rejected> {
    envelope::open(bytes, dialect, &anchors(keyring()))
}

/// Opens a derived vector, which is deterministic, and checks that it encodes to its own bytes.
fn derived(name: &str, signer: &str) -> Option<Opened<'static>> {
    let bytes: &'static [u8] = vector(&format!("derived/{name}.cbor"))?.leak();
    let opened = open(bytes, &Dialect::default()).unwrap();
    let payload = Sealed::decode(bytes, &Dialect::default()).unwrap().unverified_payload();

    assert_eq!(opened.message().encode(Numbering::V26), payload, "{name}");
    assert_eq!(opened.signer().thumbprint, vector_key(signer).thumbprint(), "{name}");
    Some(opened)
}

//= teep 14.4 (M): the signature is verified over the payload bytes as received
//= teep 14.17 (R): the encoder's output is deterministic
#[test]
fn derived_messages_verify_and_encode_to_the_same_bytes() {
    let names = [
        ("query_request.cose_sign.esp256+ed25519", "K2", Suite::Esp256),
        ("query_request.sign1.esp256", "K2", Suite::Esp256),
        ("query_response.sign1.esp256", "AGENT", Suite::Esp256),
        ("query_response.sign1.ed25519", "ED-AGENT", Suite::Ed25519),
        ("update.sign1.esp256", "K2", Suite::Esp256),
        ("update_err_attestation_required.sign1.esp256", "K2", Suite::Esp256),
        ("success.sign1.esp256", "AGENT", Suite::Esp256),
        ("error_unsupported_suites.sign1.esp256", "AGENT", Suite::Esp256),
        ("error_attestation_required.sign1.ed25519", "ED-AGENT", Suite::Ed25519),
    ];
    for (name, signer, suite) in names {
        let Some(opened) = derived(name, signer) else { return };
        assert_eq!(opened.signer().suite, suite);
    }
}

#[test]
fn derived_messages_say_what_they_were_made_to_say() {
    let Some(update) = derived("update.sign1.esp256", "K2") else { return };
    let Message::Update(update) = update.message() else { panic!("not an Update") };
    let parts: [&[u8]; 3] = [b"TEEP-Device", b"SecureFS", b"config.suit"];
    assert_eq!(update.unneeded_manifest_list, [ComponentId::new(parts).unwrap()]);
    assert_eq!(update.manifest_list, [vector("draft-26/suit_integrated.cbor").unwrap()]);

    let refusal = derived("update_err_attestation_required.sign1.esp256", "K2").unwrap();
    let Message::Update(refusal) = refusal.message() else { panic!("not an Update") };
    assert_eq!(refusal.err_code, Some(ErrCode::AttestationRequired));
    assert_eq!(refusal.err_lang.as_ref().unwrap().as_str(), "en");

    let error = derived("error_attestation_required.sign1.ed25519", "ED-AGENT").unwrap();
    let Message::Error(error) = error.message() else { panic!("not an Error") };
    assert_eq!(error.err_code, ErrCode::AttestationRequired);
    assert_eq!(error.supported_freshness_mechanisms, [FreshnessMechanism::NONCE]);
    assert_eq!(error.challenge.as_ref().unwrap().as_bytes().len(), 32);
}

//= teep 14.50 (M): of a COSE_Sign one supported signature is picked, the others are ignored
#[test]
fn an_agent_of_either_suite_opens_the_first_query_request() {
    let Some(bytes) = vector("derived/query_request.cose_sign.esp256+ed25519.cbor") else {
        return;
    };

    for (suite, key) in [(Suite::Esp256, "K2"), (Suite::Ed25519, "ED-TAM")] {
        let dialect = Dialect { suites: vec![suite], ..Dialect::default() };
        let opened = open(&bytes, &dialect).unwrap();
        assert_eq!(opened.signer().suite, suite);
        assert_eq!(opened.signer().thumbprint, vector_key(key).thumbprint());
    }
    let trusting_one = anchors(vec![vector_key("ED-TAM")]);
    let opened = envelope::open(&bytes, &Dialect::default(), &trusting_one).unwrap();
    assert_eq!(opened.signer().suite, Suite::Ed25519);
    let none = Dialect { suites: Vec::new(), ..Dialect::default() };
    assert_eq!(open(&bytes, &none).unwrap_err(), Rejected::NoSuite);
}

#[track_caller]
fn refused(name: &str) -> Option<Rejected> {
    let bytes = vector(&format!("negative/{name}"))?;
    Some(open(&bytes, &Dialect::default()).unwrap_err())
}

/// The payload is validly signed, and malformed in this way.
#[track_caller]
fn malformed(name: &str, expected: Malformed, token: Option<Token>) {
    match refused(name) {
        Some(Rejected::Message { cause, token: found, .. }) => {
            assert_eq!((cause, found), (expected, token), "{name}");
        }
        None => {}
        other => panic!("{name}: {other:?}"),
    }
}

//= teep 14.1 (M): only COSE_Sign1 and COSE_Sign are accepted
//= teep 14.2 (M): CBOR that is not well-formed, or followed by bytes, is refused
//= teep 14.3 (M): an unknown critical header parameter is refused
//= teep 15.105: an algorithm that is not protected is refused
//= teep 15.109: nesting bombs are refused at a fixed depth
//= teep 15.110: a length beyond the input is refused without allocation
#[test]
fn each_bad_wrapper_is_refused_for_its_own_reason() {
    let cbor = |error| Rejected::Malformed(Malformed::Cbor(error));
    let cases = [
        ("bad_signature.cbor", Rejected::Untrusted(cose::Untrusted::Signature)),
        ("trailing_byte.cbor.bin", cbor(Cbor::Trailing)),
        ("truncated.cbor.bin", cbor(Cbor::Truncated)),
        ("bare_payload_unsigned.cbor", Rejected::NotSigned),
        ("alg_in_unprotected_only.cbor", Rejected::AlgorithmUnprotected),
        ("unknown_crit_header.cbor", Rejected::Untrusted(cose::Untrusted::CriticalHeader(-70001))),
        ("depth_bomb_100k_unsigned.cbor.bin", cbor(Cbor::Depth)),
        ("length_bomb.cbor.bin", cbor(Cbor::Truncated)),
    ];
    for (name, expected) in cases {
        let Some(rejected) = refused(name) else { return };
        assert_eq!(rejected, expected, "{name}");
    }
}

//= teep 14.5 (M): each message is validated against its shape
//= teep 14.6 (M): a token shorter than 8 or longer than 64 bytes is refused
//= teep 14.7 (M): a challenge shorter than 8 or longer than 512 bytes is refused
//= teep 14.8 (M): err-msg of more than 128 bytes is refused on receipt
//= teep 14.10 (M): err-code 0 is malformed on receipt
//= teep 14.16 (R): duplicate map keys are refused
//= teep 14.24 (M): token is present iff the attestation bit is clear
//= teep 14.25 (M): freshness mechanisms and challenge are absent if the attestation bit is clear
#[test]
fn each_bad_payload_is_refused_for_its_own_reason() {
    let length = |what, got| Malformed::Length { what, got };
    malformed("map_instead_of_array.cbor", Malformed::Expected("an array as TEEP message"), None);
    malformed("unknown_type_99.cbor", Malformed::UnknownType(99), None);
    malformed("token_7_bytes.cbor", length("token", 7), None);
    malformed("token_65_bytes.cbor", length("token", 65), None);
    malformed("challenge_7_bytes.cbor", length("challenge", 7), None);
    malformed("no_token_no_attestation.cbor", Malformed::Missing("token"), None);
    malformed(
        "challenge_without_attestation_bit.cbor",
        Malformed::MustBeAbsent("challenge"),
        token(),
    );
    malformed(
        "freshness_without_attestation_bit.cbor",
        Malformed::MustBeAbsent("supported-freshness-mechanisms"),
        token(),
    );
    malformed("error_code_0.cbor", Malformed::ErrCodeZero, token());
    malformed("err_msg_129_bytes.cbor", length("err-msg", 129), token());
    malformed("duplicate_option_label.cbor", Malformed::Cbor(Cbor::DuplicateKey), None);
    malformed("depth_bomb_2000.cbor.bin", Malformed::Cbor(Cbor::Depth), None);
}

//= teep 14.11 (S): an unknown err-code is an unknown error
//= teep 14.12 (S): an unknown option label is ignored and the message processed
#[test]
fn what_looks_odd_and_is_fine_is_accepted() {
    let Some(bytes) = vector("negative/unknown_option_label.cbor") else { return };
    let opened = open(&bytes, &Dialect::default()).unwrap();
    assert_eq!(opened.message().token(), token());

    let bytes = vector("negative/indefinite_length_payload.cbor").unwrap();
    let opened = open(&bytes, &Dialect::default()).unwrap();
    assert_eq!(opened.message().kind(), message::Kind::QueryRequest);

    let bytes = vector("negative/error_code_77.cbor").unwrap();
    let opened = open(&bytes, &Dialect::default()).unwrap();
    let Message::Error(Error { err_code, .. }) = opened.message() else { panic!("not an Error") };
    assert_eq!(err_code.number(Numbering::V26), 77);
    assert!(matches!(err_code, ErrCode::Other(_)));
}

fn demo(name: &str) -> Option<Vec<u8>> {
    vector(&format!("thirdparty-ietf126-demo/{name}.cbor"))
}

/// The keys of the demo, found without kid where the demo leaves it out.
fn demo_key(name: &'static str) -> impl Fn(&envelope::Hint<'_>) -> Result<PeerKey, NoKey> {
    move |hint| {
        let key = vector_key(name);
        match hint.thumbprint() {
            Some(thumbprint) if thumbprint != key.thumbprint() => Err(NoKey::Unknown),
            _ => Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None }),
        }
    }
}

#[test]
fn the_messages_of_an_independent_implementation_verify_and_decode() {
    let cases = [
        ("query_request.tam.esp256.cose", "K2"),
        ("query_response_eat.agent.esp256.cose", "AGENT"),
        ("query_response_psa.agent.esp256.cose", "AGENT"),
        ("teep_success.agent.esp256.cose", "AGENT"),
        ("teep_error.agent.esp256.cose", "AGENT"),
        ("update0.tam.esp256.cose", "K2"),
    ];
    for (name, key) in cases {
        let Some(bytes) = demo(name) else { return };
        let opened = envelope::open(&bytes, &Dialect::default(), &demo_key(key)).unwrap();
        let sealed = Sealed::decode(&bytes, &Dialect::default()).unwrap();
        assert_eq!(opened.message().encode(Numbering::V26), sealed.unverified_payload(), "{name}");
    }
}

#[test]
fn the_stale_message_of_that_implementation_is_neither_numbering() {
    let Some(bytes) = demo("query_response.agent.esp256.cose") else { return };
    let opened = envelope::open(&bytes, &Dialect::default(), &demo_key("RX"));

    assert!(
        matches!(opened, Err(Rejected::Message { cause: Malformed::Expected(_), .. })),
        "{opened:?}"
    );
}

#[test]
fn evidence_tells_its_nonce_and_the_key_that_it_claims() {
    let Some(bytes) = demo("query_response_eat.agent.esp256.cose") else { return };
    let sealed = Sealed::decode(&bytes, &Dialect::default()).unwrap();

    let claimed = sealed.claimed_key(Numbering::V26).unwrap();

    assert_eq!(claimed.thumbprint(), vector_key("AGENT").thumbprint());
    let opened = sealed.open(&Dialect::default(), &anchors(vec![claimed])).unwrap();
    let challenge = b"\x94\x8f\x88\x60\xd1\x3a\x46\x3e\x8e".to_vec();
    assert_eq!(
        teep::tam::correlate(&opened),
        teep::tam::Correlation::Challenge(teep::Challenge::new(challenge).unwrap())
    );
}

#[test]
fn evidence_whose_kid_is_not_the_thumbprint_of_its_key_claims_the_key_itself() {
    let Some(evidence) = demo("eat_evidence.attester.es256.cose") else { return };

    let claimed = teep::evidence::peek(&evidence).key.unwrap();

    assert_eq!(claimed.thumbprint(), vector_key("RX").thumbprint());
    assert_ne!(claimed.thumbprint(), vector_key("AGENT").thumbprint());
}

#[test]
fn reports_without_nonce_are_seen_to_have_none() {
    let Some(bytes) = demo("teep_success.agent.esp256.cose") else { return };
    let opened = envelope::open(&bytes, &Dialect::default(), &demo_key("AGENT")).unwrap();
    let Message::Success(success) = opened.message() else { panic!("not a Success") };

    let report = teep::report::read(&success.suit_reports[0]).unwrap();

    assert_eq!(report.nonce, None);
    assert_eq!(report.protection, teep::report::ReportProtection::None);
}

#[test]
fn the_keys_of_the_vectors_have_the_thumbprints_of_their_table() {
    if vectors().is_none() {
        return;
    }
    let hex = |name| vector_key(name).thumbprint().to_string();
    assert!(hex("K2").starts_with("c770ec535d8c9495"), "{}", hex("K2"));
    assert!(hex("ED-AGENT").starts_with("5c840f7a40230170"));
    assert_ne!(vector_key("K1").thumbprint(), Thumbprint([0; 32]));
}
