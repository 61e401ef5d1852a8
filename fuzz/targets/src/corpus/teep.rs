//! Messages of every kind, and scripts of whole sessions.

use std::borrow::Cow;

use cose::Signer as _;
use teep::envelope::{Outgoing, Protection};
use teep::message::{DataItems, Error, QueryRequest, QueryResponse, Success, Update};
use teep::{
    AttestationPayload, Challenge, CipherSuite, ComponentId, ErrCode, Message, Numbering, Present,
    RequestedTc, SuitCoseProfile, Suite, SystemProperties, Token,
};

use super::Seeds;
use crate::known::{ED25519, PEER_ED25519};
use crate::teep::{Theirs, evidence, report, sealed_by};

pub(super) fn seed(seeds: &mut Seeds) {
    for (name, message) in messages() {
        seeds.put("teep_message", name, message.encode(Numbering::V26));
        if matches!(name, "query-response" | "success" | "error") {
            let legacy = message.encode(Numbering::Legacy18);
            seeds.put("teep_message", format!("{name}-legacy"), legacy);
        }
    }
    let (_, message) = messages().swap_remove(0);
    let protection = Protection::Sign(Suite::MANDATORY.to_vec());
    let opening = Outgoing { message, numbering: Numbering::V26, protection };
    seeds.put("teep_message", "sealed", opening.seal(&Theirs).unwrap());
    tam(seeds);
    agent(seeds);
}

/// What `teep_tam` reads as steps: connect 0, raw 1, signed 2, honest 3, time 4, replay 5.
fn tam(seeds: &mut Seeds) {
    const STRANGER: [u8; 2] = [0, 0];
    const RESPONSE: [u8; 3] = [3, 0, 0];
    const SUCCESS: [u8; 3] = [3, 0, 1];
    const PASSED_UPDATE: [u8; 2] = [0, 0];
    let script = |parts: &[&[u8]]| [&[0][..], &parts.concat()].concat();
    let whole = [&STRANGER[..], &RESPONSE, &PASSED_UPDATE, &SUCCESS];
    seeds.put("teep_tam", "whole", script(&whole));
    seeds.put("teep_tam", "whole-legacy", [&[8][..], &whole.concat()].concat());
    seeds.put("teep_tam", "replayed", script(&[&whole.concat(), &[5, 0], &[5, 1], &[5, 1]]));
    seeds.put("teep_tam", "failed", script(&[&STRANGER, &RESPONSE, &[1], &SUCCESS]));
    seeds.put("teep_tam", "repaired", script(&[&STRANGER, &RESPONSE, &[2, 0], &SUCCESS]));
    seeds.put("teep_tam", "refused", script(&[&STRANGER, &RESPONSE, &[0, 2]]));
    seeds.put("teep_tam", "late", script(&[&STRANGER, &[4, 0xff, 0xff], &RESPONSE]));
    seeds.put(
        "teep_tam",
        "managed",
        script(&[&whole.concat(), &[0, 3], &RESPONSE, &[0], &[3, 0, 12]]),
    );
    seeds.put(
        "teep_tam",
        "attested-again",
        script(&[&whole.concat(), &[0, 1, 1], &RESPONSE, &[0, 1], &[0, 2], &RESPONSE]),
    );
    for code in [3, 5, 6, 8, 9] {
        let refused = script(&[&STRANGER, &[3, 0, code], &[0, 1], &RESPONSE, &PASSED_UPDATE]);
        seeds.put("teep_tam", format!("error-{}", code - 1), refused);
    }
    let payload = Message::QueryResponse(response()).encode(Numbering::V26);
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let signed = [&[2, 0, 1][..], &length, &payload].concat();
    seeds.put("teep_tam", "payload", script(&[&whole.concat(), &[0, 3], &signed]));
    let raw = sealed_by(&PEER_ED25519, &payload);
    let length = u16::try_from(raw.len()).unwrap().to_be_bytes();
    seeds.put("teep_tam", "raw", script(&[&STRANGER, &[1], &length, &raw]));
}

/// What `teep_agent` reads as steps: policy check 0, request 1, unrequest 2, raw 3, signed 4,
/// honest 5, error 6, time 7, close 8, restart 9, replay 10.
fn agent(seeds: &mut Seeds) {
    const POLICY: [u8; 1] = [0];
    const ATTEST: [u8; 7] = [5, 0, 1, 0, 0, 0, 0];
    const MANAGE: [u8; 7] = [5, 1, 2, 2, 0, 0, 0];
    const UPDATE: [u8; 6] = [5, 0x54, 3, 2, 0, 0];
    let script = |choices: u8, parts: &[&[u8]]| [&[choices][..], &parts.concat()].concat();
    let whole = [&POLICY[..], &MANAGE, &UPDATE, &[0, 0]].concat();
    for (name, choices) in [
        ("whole", 0),
        ("whole-attested-tam", 1),
        ("whole-silent", 4),
        ("whole-clock", 8),
        ("whole-legacy", 16),
        ("whole-one-suite", 128),
    ] {
        seeds.put("teep_agent", name, script(choices, &[&whole]));
    }
    seeds.put("teep_agent", "replayed", script(0, &[&whole, &[10, 1, 0], &[9], &POLICY, &MANAGE]));
    seeds.put("teep_agent", "attested", script(0, &[&POLICY, &ATTEST, &UPDATE]));
    seeds.put("teep_agent", "wanted", script(0, &[&[1, 1, 5, 0, 0, 0], &ATTEST, &UPDATE]));
    seeds.put("teep_agent", "unwanted", script(0, &[&[2, 0, 1, 0], &MANAGE, &UPDATE, &[9]]));
    seeds.put(
        "teep_agent",
        "unreached",
        script(0, &[&whole, &[6, 0, 0], &[7, 0xff, 0xff], &[8, 0]]),
    );
    let payload = Message::Update(update()).encode(Numbering::V26);
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let signed = [&[4, 0][..], &length, &payload, &[0, 0, 0]].concat();
    seeds.put("teep_agent", "payload", script(0, &[&POLICY, &MANAGE, &signed]));
    let foreign = [&[4, 3][..], &length, &payload, &[0]].concat();
    seeds.put("teep_agent", "foreign", script(0, &[&POLICY, &MANAGE, &foreign]));
}

fn messages() -> Vec<(&'static str, Message<'static>)> {
    let error = Error {
        supported_teep_cipher_suites: CipherSuite::offers(&Suite::MANDATORY),
        supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
        versions: vec![0],
        challenge: Challenge::new([5; 32]).ok(),
        suit_reports: vec![report(token().as_ref())],
        ..Error::new(ErrCode::AttestationRequired, token(), "attest first")
    };
    let success =
        Success { token: token(), suit_reports: vec![report(None)], ..Success::default() };
    vec![
        ("query-request", Message::QueryRequest(request())),
        ("query-response", Message::QueryResponse(response())),
        ("update", Message::Update(update())),
        ("success", Message::Success(success)),
        ("error", Message::Error(error)),
    ]
}

fn request() -> QueryRequest<'static> {
    QueryRequest {
        token: None,
        supported_freshness_mechanisms: None,
        challenge: Challenge::new([4; 64]).ok(),
        versions: Some(vec![0]),
        attestation_payload: None,
        suit_reports: Vec::new(),
        supported_teep_cipher_suites: CipherSuite::offers(&Suite::MANDATORY),
        supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
        data_item_requested: DataItems::ATTESTATION.and(DataItems::TRUSTED_COMPONENTS),
        renewal: false,
    }
}

fn response() -> QueryResponse<'static> {
    QueryResponse {
        token: token(),
        selected_version: Some(0),
        attestation_payload: Some(evidence(&[4; 64], ED25519.key())),
        suit_reports: vec![report(token().as_ref())],
        tc_list: Some(vec![SystemProperties::measured(component("TEEP-Agent"), b"digest")]),
        requested_tc_list: vec![RequestedTc {
            component: component("a"),
            present: Present::Manifest { sequence_number: 3 },
        }],
        unneeded_manifest_list: vec![component("b.suit")],
        ext_list: Some(vec![1]),
    }
}

fn update() -> Update<'static> {
    Update {
        token: token(),
        unneeded_manifest_list: vec![component("a.suit")],
        manifest_list: vec![Cow::Borrowed(&[0xa0])],
        attestation_payload: Some(AttestationPayload::new("application/eat+cwt", vec![1; 20])),
        ..Update::default()
    }
}

fn token() -> Option<Token> {
    Token::new(&[9; 16]).ok()
}

fn component(name: &str) -> ComponentId {
    ComponentId::new([name.as_bytes()]).unwrap()
}
