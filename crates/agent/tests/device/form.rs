//! What the agent sends satisfies the documents' CDDL, as `spec/cddl` has it.

use cddl::validate_cbor_from_slice;
use teep::message::{DataItems, QueryResponse};
use teep::{Message, Numbering};

use crate::component;
use crate::support::*;

const COSE: &str = include_str!("../../../../spec/cddl/cose.cddl");
const EVIDENCE: &str = include_str!("../../../../spec/cddl/evidence.cddl");
const SUIT: &str = include_str!("../../../../spec/cddl/suit.cddl");

//= teep 14.5 (M): Evidence has the form of its profile, with and without applications and quote
#[test]
fn evidence_of_every_kind_satisfies_the_cddl() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);

    let bare = evidence(&device, tam.query(DataItems::ATTESTATION, Some(&CHALLENGE)).1);
    let ta = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &to, &[&ta.envelope]).is_success());
    let running = evidence(&device, tam.query(DataItems::ATTESTATION, Some(&CHALLENGE)).1);
    let renewed = evidence(&device, tam.renewal(&CHALLENGE).1);

    for (what, bytes) in [("bare", bare), ("running", running), ("renewed", renewed)] {
        assert_eq!(is("evidence", &bytes), Ok(()), "{what}");
        let evidence = rats::evidence::Evidence::decode(&bytes).unwrap();
        assert_eq!(is("cwt", &evidence.eat), Ok(()), "{what}");
        let claims = rats::eat::peek(&evidence.eat).unwrap();
        assert_eq!(is("agent-claims", &claims.encode()), Ok(()), "{what}");
        assert_eq!(claims.submods.is_empty(), what == "bare");
        assert_eq!(evidence.hardware.is_none(), what == "renewed");
    }
}

/// The validation can fail: each claim that has to be there, taken away.
#[test]
fn the_cddl_refuses_evidence_without_what_it_has_to_have() {
    let tam = Tam::new();
    let device = Device::new(&tam);
    let bytes = evidence(&device, tam.query(DataItems::ATTESTATION, Some(&CHALLENGE)).1);
    let whole = rats::eat::peek(&rats::evidence::Evidence::decode(&bytes).unwrap().eat).unwrap();

    let without: [fn(&mut rats::eat::Claims); 8] = [
        |claims| claims.cnf = None,
        |claims| claims.eat_nonce = None,
        |claims| claims.ueid = None,
        |claims| claims.oemid = None,
        |claims| claims.hwmodel = None,
        |claims| claims.dbgstat = None,
        |claims| claims.eat_profile = Some("another".to_owned()),
        |claims| claims.session_keys = None,
    ];
    for (at, take) in without.into_iter().enumerate() {
        let mut claims = whole.clone();
        take(&mut claims);
        assert!(is("agent-claims", &claims.encode()).is_err(), "{at}");
    }
    let more = rats::eat::Claims { uptime: Some(1), ..whole.clone() };
    assert!(is("agent-claims", &more.encode()).is_err());
    assert_eq!(is("agent-claims", &whole.encode()), Ok(()));
    assert!(is("evidence", &whole.encode()).is_err());
}

#[test]
fn every_report_of_an_update_and_of_the_inventory_satisfies_the_cddl() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (ta, old) = (owner.ta(2, &component::echo()), owner.ta(1, &component::echo()));

    let installed = deploy(&device, &tam, &to, &[&ta.envelope]);
    let refused = deploy(&device, &tam, &to, &[&old.envelope]);
    let (_, query) = tam.query(DataItems::SUIT_REPORTS, None);
    let answer = device.tell(connect(&device), query).message.unwrap();

    for report in installed.reports().iter().chain(refused.reports()) {
        assert_eq!(validate("SUIT_Report", SUIT, &report.encode()), Ok(()));
    }
    let Message::QueryResponse(response) = open(&answer, &to.teep) else { panic!() };
    let report = to.report(&response.suit_reports[0]);
    assert_eq!(validate("SUIT_Report", SUIT, &report.encode()), Ok(()));
    assert_eq!(validate("COSE_Sign1_Tagged", COSE, &response.suit_reports[0]), Ok(()));
    assert_eq!(validate("COSE_Sign1_Tagged", COSE, &answer), Ok(()));
}

/// The Evidence in the answer to a QueryRequest.
fn evidence(device: &Device, query: Vec<u8>) -> Vec<u8> {
    let answer = device.tell(connect(device), query).message.unwrap();
    let payload = cose::Sign1::decode(&answer, cose::Tagging::Tagged).unwrap().payload.unwrap();
    let message = Message::decode(payload, Numbering::V26).unwrap();
    let Message::QueryResponse(QueryResponse { attestation_payload: Some(payload), .. }) = message
    else {
        panic!("{message:?}")
    };
    payload.bytes.into_owned()
}

/// Whether bytes are one item of this rule of Evidence.
fn is(rule: &str, bytes: &[u8]) -> Result<(), String> {
    validate(rule, &format!("{EVIDENCE}\n{COSE}"), bytes)
}

fn validate(rule: &str, definitions: &str, bytes: &[u8]) -> Result<(), String> {
    let document = format!("start = {rule}\n{definitions}");
    validate_cbor_from_slice(&document, bytes, None).map_err(|error| error.to_string())
}
