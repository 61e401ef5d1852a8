//! What is emitted satisfies the documents' CDDL, as `spec/cddl` has it.

use cddl::validate_cbor_from_slice;
use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient, encrypt, encrypt0, other};
use cose::mac::{mac, mac0};
use cose::{Agreement as _, Algorithm, Curve, Header, Payload, Secret, Signer as _};
use keys::{AgreementKey, SigningKey, SystemEntropy};
use proptest::prelude::*;
use rats::eat::{Manifest, OemId, Ueid, Version};
use rats::result::AttestationResult;
use teep::confidential::Confidentiality;
use teep::envelope::{Outgoing, Protection};
use teep::message::{Message, QueryResponse, Success};
use teep::{AttestationPayload, Numbering, SuitCoseProfile, Suite, Timestamp, Token};

use crate::pair::{AgentShell, STRANGER, TamShell, session};
use crate::properties::message;
use crate::support::{CMW, MessageKeys, evidence, new_key, payload, report, signed_report, ta};

const TEEP: &str = include_str!("../../../../spec/cddl/teep.cddl");
const V26: &str = include_str!("../../../../spec/cddl/teep-26.cddl");
const LEGACY: &str = include_str!("../../../../spec/cddl/teep-18.cddl");
const COSE: &str = include_str!("../../../../spec/cddl/cose.cddl");
const SUIT: &str = include_str!("../../../../spec/cddl/suit.cddl");
const RATS: &str = include_str!("../../../../spec/cddl/rats.cddl");

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 32,
        ..ProptestConfig::default()
    })]

    //= teep 14.5 (M): every message, with all its options, in both numberings
    #[test]
    fn every_message_that_is_written_satisfies_the_cddl((numbering, message) in message()) {
        // The machines never write an empty list of components: the Agent itself is in it.
        let unlisted = matches!(
            &message,
            Message::QueryResponse(QueryResponse { tc_list: Some(list), .. }) if list.is_empty()
        );
        prop_assume!(!unlisted);

        let checked = is("teep-message", &teep(numbering), &message.encode(numbering));

        prop_assert_eq!(checked, Ok(()));
    }
}

/// Whole sessions as they go over the wire: wrapper, message, manifest, report.
#[test]
fn what_goes_over_the_wire_in_a_session_satisfies_the_cddl() {
    for suite in Suite::MANDATORY {
        let mut tam = TamShell::new();
        let mut agent = AgentShell::new(suite, &mut tam);

        let wire = session(&mut tam, &mut agent, STRANGER);

        assert_eq!(wire.len(), 4);
        for (number, bytes) in wire.iter().enumerate() {
            let wrapper = if number == 0 { "COSE_Sign_Tagged" } else { "COSE_Sign1_Tagged" };
            assert_eq!(is(wrapper, COSE, bytes), Ok(()), "message {number}");
            let payload = payload(bytes);
            assert_eq!(is("teep-message", &teep(Numbering::V26), &payload), Ok(()));
            match Message::decode(&payload, Numbering::V26).unwrap() {
                Message::Update(update) => {
                    assert_eq!(is("SUIT_Envelope", SUIT, &update.manifest_list[0]), Ok(()));
                }
                Message::Success(success) => {
                    assert_eq!(is("COSE_Sign1_Tagged", COSE, &success.suit_reports[0]), Ok(()));
                }
                Message::QueryResponse(response) => {
                    let evidence = response.attestation_payload.unwrap().bytes;
                    assert_eq!(is("cmw-record", RATS, &evidence), Ok(()));
                }
                Message::QueryRequest(_) | Message::Error(_) => {}
            }
        }
    }
}

#[test]
fn every_cose_object_satisfies_the_cddl() {
    let header = Header::default;
    let content = Payload::Attached(b"content");
    let key = || Secret::new(vec![1; 32]);
    let draw = || ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
    let wrapping = key();
    let recipients = [
        Recipient::KeyWrap { key: &wrapping, kid: Some(b"kek") },
        Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral },
    ];
    let of = |algorithm| SigningKey::generate(algorithm).unwrap();
    let signers = [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384, Algorithm::MlDsa65];
    let signers = signers.map(of);
    let handles: Vec<&dyn cose::Signer> = signers.iter().map(|key| key as _).collect();
    let chain = Header { x5chain: vec![vec![0x30, 0], vec![0x30, 0]], ..header() };
    let eat = other::EAT;
    let sealed = encrypt(draw(), &recipients, eat, &[], content).unwrap().object;
    let detached = encrypt(draw(), &recipients, eat, &[], Payload::Detached(b"content")).unwrap();
    let sealed0 = encrypt0(draw(), None, &[], content).unwrap().object;

    for (rule, object) in [
        ("COSE_Sign1_Tagged", cose::sign1(handles[0], header(), chain, &[], content).unwrap()),
        ("COSE_Sign_Tagged", cose::sign(&handles, &[], content).unwrap()),
        ("COSE_Encrypt_Tagged", sealed.clone()),
        ("COSE_Encrypt_Tagged", detached.object),
        ("COSE_Encrypt0_Tagged", sealed0),
        ("COSE_Mac_Tagged", mac(key(), &recipients, eat, &[], content).unwrap()),
        ("COSE_Mac0_Tagged", mac0(&key(), header(), header(), &[], content).unwrap()),
    ] {
        assert_eq!(is(rule, COSE, &object), Ok(()), "{rule}");
        assert!(is("COSE_Key", COSE, &object).is_err(), "{rule} passes for a key");
    }
    for signer in &signers {
        assert_eq!(is("COSE_Key", COSE, &signer.key().encode()), Ok(()));
    }
    assert_eq!(is("COSE_Key", COSE, &receiver.key().encode()), Ok(()));
    assert!(is("COSE_Mac0_Tagged", COSE, &sealed).is_err());
}

#[test]
fn manifests_reports_and_results_satisfy_the_cddl() {
    let owner = new_key();
    let token = Token::new(&[7; 16]).unwrap();
    let envelope = ta("planner", 1, &owner).envelope;
    let result = result().sign("urn:ietf:rfc:rfcXXXX", &owner).unwrap();
    let claims = cose::Sign1::decode(&result, cose::Tagging::Untagged).unwrap().payload.unwrap();

    assert_eq!(is("SUIT_Envelope", SUIT, &envelope), Ok(()));
    assert_eq!(is("SUIT_Report", SUIT, &report(Some(&token))), Ok(()));
    assert_eq!(is("SUIT_Report", SUIT, &report(None)), Ok(()));
    assert_eq!(is("COSE_Sign1_Tagged", COSE, &signed_report(None, &owner)), Ok(()));
    assert_eq!(is("teep-result", RATS, claims), Ok(()));
    assert!(is("SUIT_Report", SUIT, &envelope).is_err());
    assert!(is("SUIT_Envelope", SUIT, &report(None)).is_err());
}

#[test]
fn what_is_encrypted_towards_the_tam_satisfies_the_cddl() {
    let (attester, reporter) = (new_key(), new_key());
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
    let plain = AttestationPayload::new(CMW, evidence(&[4; 32], attester.key(), &attester));
    let told = suit::Report::decode(&report(None)).unwrap();
    for profile in SuitCoseProfile::MANDATORY {
        let to_tam = Confidentiality { receiver: receiver.key(), profile };
        let entropy = &mut SystemEntropy;

        let payload = to_tam.payload(&plain, &ephemeral, entropy).unwrap();
        let report = to_tam.report(&told, &reporter, &ephemeral, entropy).unwrap();

        assert_eq!(is("COSE_Encrypt_Tagged", COSE, &payload.bytes), Ok(()));
        assert_eq!(is("COSE_Sign1_Tagged", COSE, &report), Ok(()));
        let sign1 = cose::Sign1::decode(&report, cose::Tagging::Tagged).unwrap();
        assert_eq!(is("COSE_Encrypt_Tagged", COSE, sign1.payload.unwrap()), Ok(()));
    }
}

/// The validation can fail: each rule of a message, broken once.
#[test]
fn the_cddl_refuses_what_breaks_a_rule() {
    let success = |token: &[u8]| [&[0x82, 4, 0xa1, 19, 0x40 + token.len() as u8], token].concat();
    for (why, bytes) in [
        ("a token of 7 bytes", success(&[1; 7])),
        ("an unknown type", vec![0x82, 9, 0xa0]),
        ("another numbering's type", vec![0x82, 6, 0xa0]),
        ("a text for a token", [&[0x82, 4, 0xa1, 19, 0x68][..], b"12345678"].concat()),
        ("an option of another message", vec![0x82, 4, 0xa1, 5, 0]),
        ("an unknown option", vec![0x82, 4, 0xa1, 0x18, 77, 0]),
        ("an element too many", vec![0x83, 4, 0xa0, 0]),
        ("no err-code", vec![0x82, 5, 0xa0]),
        ("err-code 0", vec![0x83, 5, 0xa0, 0]),
        ("an empty msg", vec![0x82, 4, 0xa1, 10, 0x60]),
        ("empty suit-reports", vec![0x82, 4, 0xa1, 18, 0x80]),
        ("a report that is no CBOR", vec![0x82, 4, 0xa1, 18, 0x81, 0x41, 0xff]),
        ("a map", vec![0xa0]),
        ("no suites", vec![0x85, 1, 0xa0, 0x80, 0x81, 0x84, 1, 2, 3, 4, 0]),
        (
            "a profile of three",
            vec![0x85, 1, 0xa0, 0x81, 0x81, 0x82, 18, 0x28, 0x81, 0x83, 1, 2, 3, 0],
        ),
    ] {
        assert!(is("teep-message", &teep(Numbering::V26), &bytes).is_err(), "{why}");
    }
    assert_eq!(is("teep-message", &teep(Numbering::V26), &success(&[1; 8])), Ok(()));
    // A message of one numbering is none of the other, where its number tells.
    let message =
        Message::Success(Success { token: Token::new(&[1; 8]).ok(), ..Success::default() });
    let legacy = message.encode(Numbering::Legacy18);
    assert!(is("teep-message", &teep(Numbering::V26), &legacy).is_err());
    assert_eq!(is("teep-message", &teep(Numbering::Legacy18), &legacy), Ok(()));
    let protection = Protection::Sign1(Suite::Ed25519);
    let sealed = Outgoing { message, numbering: Numbering::V26, protection };
    let mut sealed = sealed.seal(&MessageKeys::generate()).unwrap();
    assert_eq!(is("COSE_Sign1_Tagged", COSE, &sealed), Ok(()));
    assert!(is("COSE_Sign_Tagged", COSE, &sealed).is_err());
    sealed[0] = 0xd1;
    assert!(is("COSE_Sign1_Tagged", COSE, &sealed).is_err());
}

fn result() -> AttestationResult {
    AttestationResult {
        agent: new_key().key().thumbprint(),
        ueid: Ueid::rand(&[7; 16]).unwrap(),
        oemid: OemId::Pen(76_543),
        hwmodel: b"model".to_vec(),
        hwversion: Version::new("1"),
        manifests: vec![Manifest { content_format: 60, content: vec![0xa0] }],
        nonce: None,
        iat: Some(Timestamp(1)),
        exp: Some(Timestamp(2)),
    }
}

/// The messages with the numbers of types and labels in their places: the validator does not look
/// up a name that stands for the key of a map.
fn teep(numbering: Numbering) -> String {
    let numbers = match numbering {
        Numbering::V26 => V26,
        Numbering::Legacy18 => LEGACY,
    };
    let numbers = numbers.lines().chain(TEEP.lines()).filter_map(|line| {
        let (name, number) = line.split_once(" = ")?;
        number.bytes().all(|digit| digit.is_ascii_digit()).then_some((name, number))
    });
    numbers.fold(TEEP.to_owned(), |document, (name, number)| {
        document
            .replace(&format!(" {name} =>"), &format!(" {number} =>"))
            .replace(&format!(" {name},"), &format!(" {number},"))
    })
}

/// Whether bytes are one item of this rule.
fn is(rule: &str, definitions: &str, bytes: &[u8]) -> Result<(), String> {
    let document = format!("start = {rule}\n{definitions}");
    validate_cbor_from_slice(&document, bytes, None).map_err(|error| error.to_string())
}
