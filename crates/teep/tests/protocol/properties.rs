//! What holds for all messages and all bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use teep::agent::{Agent, Config, TamUri};
use teep::envelope::{Dialect, Sealed};
use teep::message::{
    DataItems, Error, FreshnessMechanism, Message, QueryRequest, QueryResponse, Success, Update,
    recover_token,
};
use teep::tam::Exchange;
use teep::{
    AttestationPayload, Challenge, CipherSuite, ComponentId, ErrCode, ErrLang, MediaType, Msg,
    Numbering, Operation, Present, RequestedTc, SuitCoseProfile, SystemProperties, Token,
};

fn numbering() -> impl Strategy<Value = Numbering> {
    prop_oneof![Just(Numbering::V26), Just(Numbering::Legacy18)]
}

fn token() -> impl Strategy<Value = Option<Token>> {
    option::of(vec(any::<u8>(), 8..=64).prop_map(|bytes| Token::new(&bytes).unwrap()))
}

fn challenge() -> impl Strategy<Value = Option<Challenge>> {
    option::of(vec(any::<u8>(), 8..=512).prop_map(|bytes| Challenge::new(bytes).unwrap()))
}

fn payload() -> impl Strategy<Value = Option<AttestationPayload<'static>>> {
    let payload = (option::of("[a-z]{1,9}/[a-z+]{1,9}"), vec(any::<u8>(), 0..99));
    option::of(payload.prop_map(|(format, bytes)| AttestationPayload {
        format: format.map(Cow::Owned),
        bytes: Cow::Owned(bytes),
    }))
}

/// One encoded item.
fn item() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop_oneof![Just(&[0xa0][..]), Just(&[0x81, 0x01][..]), Just(&[0x43, 1, 2, 3][..])]
        .prop_map(Cow::Borrowed)
}

fn items() -> impl Strategy<Value = Vec<Cow<'static, [u8]>>> {
    vec(item(), 0..4)
}

fn component() -> impl Strategy<Value = ComponentId> {
    vec(vec(any::<u8>(), 0..20), 1..5).prop_map(|parts| ComponentId::new(parts).unwrap())
}

fn properties() -> impl Strategy<Value = SystemProperties<'static>> {
    let labels = prop_oneof![1..30_i64, i64::MIN..-256];
    let parameters = proptest::collection::btree_map(labels, item(), 1..4);
    (component(), parameters).prop_map(|(component, parameters)| SystemProperties {
        component,
        parameters: parameters.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

fn requested() -> impl Strategy<Value = RequestedTc> {
    let present = prop_oneof![
        Just(Present::Nothing),
        any::<u64>().prop_map(|sequence_number| Present::Manifest { sequence_number }),
        any::<u64>().prop_map(|sequence_number| Present::Binary { sequence_number }),
    ];
    (component(), present).prop_map(|(component, present)| RequestedTc { component, present })
}

fn suites(least: usize) -> impl Strategy<Value = Vec<CipherSuite>> {
    let operation = (any::<i64>(), any::<i64>())
        .prop_map(|(cose_type, algorithm)| Operation { cose_type, algorithm });
    vec(vec(operation, 1..3).prop_map(CipherSuite), least..4)
}

fn profiles(least: usize) -> impl Strategy<Value = Vec<SuitCoseProfile>> {
    vec(prop::sample::select(SuitCoseProfile::MANDATORY.to_vec()), least..5)
}

fn mechanisms(least: usize) -> impl Strategy<Value = Vec<FreshnessMechanism>> {
    vec(any::<u32>().prop_map(FreshnessMechanism), least..4)
}

fn msg() -> impl Strategy<Value = Option<Msg<'static>>> {
    option::of("\\PC{1,60}").prop_map(|text| text.and_then(Msg::new))
}

fn err_code(numbering: Numbering) -> impl Strategy<Value = ErrCode> {
    (1..=u64::MAX).prop_map(move |number| ErrCode::from_number(number, numbering).unwrap())
}

fn query_request() -> impl Strategy<Value = Message<'static>> {
    let asked = prop_oneof![
        (token(), challenge(), option::of(mechanisms(1))).prop_map(|all| (all, 0b11)),
        token().prop_filter_map("a token", |token| token
            .map(|token| ((Some(token), None, None), 0b1110))),
    ];
    let rest = (option::of(vec(any::<u32>(), 1..4)), payload(), items(), any::<bool>());
    (asked, rest, suites(1), profiles(1)).prop_map(|(asked, rest, suites, profiles)| {
        let ((token, challenge, supported_freshness_mechanisms), items) = asked;
        let (versions, attestation_payload, suit_reports, renewal) = rest;
        Message::QueryRequest(QueryRequest {
            token,
            supported_freshness_mechanisms,
            challenge,
            versions,
            attestation_payload,
            suit_reports,
            supported_teep_cipher_suites: suites,
            supported_suit_cose_profiles: profiles,
            data_item_requested: DataItems(items),
            renewal,
        })
    })
}

fn query_response() -> impl Strategy<Value = Message<'static>> {
    let first = (token(), option::of(any::<u32>()), payload(), items());
    let lists = (
        option::of(vec(properties(), 0..3)),
        vec(requested(), 0..3),
        vec(component(), 0..3),
        option::of(vec(any::<u32>(), 0..3)),
    );
    (first, lists).prop_map(|(first, lists)| {
        let (token, selected_version, attestation_payload, suit_reports) = first;
        let (tc_list, requested_tc_list, unneeded_manifest_list, ext_list) = lists;
        Message::QueryResponse(QueryResponse {
            token,
            selected_version,
            attestation_payload,
            suit_reports,
            tc_list,
            requested_tc_list,
            unneeded_manifest_list,
            ext_list,
        })
    })
}

fn update(numbering: Numbering) -> impl Strategy<Value = Message<'static>> {
    let lists = (vec(component(), 0..3), items());
    let error = (option::of(err_code(numbering)), msg(), option::of(Just(ErrLang::EN)));
    (token(), lists, payload(), error).prop_map(|(token, lists, attestation_payload, error)| {
        let (unneeded_manifest_list, manifest_list) = lists;
        let (err_code, err_msg, err_lang) = error;
        Message::Update(Update {
            token,
            unneeded_manifest_list,
            manifest_list,
            attestation_payload,
            err_code,
            err_msg,
            err_lang,
        })
    })
}

fn error(numbering: Numbering) -> impl Strategy<Value = Message<'static>> {
    let lists = (suites(0), mechanisms(0), profiles(0), vec(any::<u32>(), 0..3));
    let rest = (token(), msg(), challenge(), items(), challenge());
    (err_code(numbering), lists, rest).prop_map(|(err_code, lists, rest)| {
        let (suites, mechanisms, profiles, versions) = lists;
        let (token, err_msg, challenge, suit_reports, request_challenge) = rest;
        Message::Error(Error {
            token,
            err_lang: err_msg.as_ref().map(|_| ErrLang::EN),
            err_msg,
            supported_teep_cipher_suites: suites,
            supported_freshness_mechanisms: mechanisms,
            supported_suit_cose_profiles: profiles,
            challenge,
            versions,
            suit_reports,
            request_challenge,
            err_code,
        })
    })
}

fn success() -> impl Strategy<Value = Message<'static>> {
    (token(), msg(), items()).prop_map(|(token, msg, suit_reports)| {
        Message::Success(Success { token, msg, suit_reports })
    })
}

pub(crate) fn message() -> impl Strategy<Value = (Numbering, Message<'static>)> {
    numbering().prop_flat_map(|numbering| {
        let message = prop_oneof![
            query_request(),
            query_response(),
            update(numbering),
            success(),
            error(numbering)
        ];
        (Just(numbering), message)
    })
}

/// A message with some of its bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (message(), changes).prop_map(|((numbering, message), changes)| {
        let mut bytes = message.encode(numbering);
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        bytes
    })
}

fn read_everything(bytes: &[u8]) {
    for numbering in [Numbering::V26, Numbering::Legacy18] {
        if let Ok(message) = Message::decode(bytes, numbering) {
            let again = message.encode(numbering);
            assert_eq!(Message::decode(&again, numbering).unwrap(), message);
        }
        recover_token(bytes, numbering);
    }
    if let Ok(exchange) = Exchange::decode(bytes) {
        assert_eq!(Exchange::decode(&exchange.encode()).unwrap(), exchange);
    }
    teep::evidence::peek(bytes);
    teep::report::read(bytes);
    if let Ok(sealed) = Sealed::decode(bytes, &Dialect::default()) {
        sealed.hints();
        sealed.claimed_key(Numbering::V26);
    }
    let own = ComponentId::new([b"TEEP-Agent"]).unwrap();
    let own = SystemProperties::measured(own, b"digest");
    let config = Config::new(own, vec![TamUri::new("https://tam.example").unwrap()]);
    let _ = Agent::recall(config, bytes);
}

proptest! {
    //= teep 14.17 (R): the encoder's output is deterministic
    #[test]
    fn every_message_survives_the_round_trip((numbering, message) in message()) {
        let bytes = message.encode(numbering);

        let decoded = Message::decode(&bytes, numbering);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
        prop_assert_eq!(message.encode(numbering), bytes.clone());
        cose::cbor::check_deterministic(&bytes, teep::limits::MESSAGE).unwrap();
        prop_assert_eq!(recover_token(&bytes, numbering), message.token());
    }

    //= teep 15.112: no input makes a decoder panic
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_damaged_message_makes_a_decoder_panic(bytes in damaged()) {
        read_everything(&bytes);
    }

    #[test]
    fn no_text_makes_the_media_type_panic(text in "\\PC{0,40}") {
        prop_assert_eq!(MediaType::new(&text), MediaType::new(&text));
    }
}
