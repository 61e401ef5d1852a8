//! Receipts of releases that went past the M/OC, live to the device.

use api::{Actor, PackageName, State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Algorithm, Header, Payload, Signer, cbor};
use keys::SigningKey;
use serde_json::json;

use crate::{
    audience::Caller,
    bench::Bench,
    case3::{Owner, attest, enrolled, names, placed, view},
    sim::Sim,
};

#[tokio::test]
async fn a_receipt_that_came_back_live_is_the_step_and_counts_once() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = waiting_for_data(&user, &mut device).await;
    let receipt = signed(&device.keys.receipt, &id);

    for _ in 0..2 {
        let posted = json!({ "receipt": STANDARD.encode(&receipt) });
        assert_eq!(user.post(&api::path::receipts(&id), &posted).await.status, 204);
    }

    let shown = view(&user, &id).await;
    assert_eq!(shown.state, State::Running);
    assert_eq!(names(&shown), ["TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"]);
    let last = shown.events.last().unwrap();
    assert_eq!(last.actor, Actor::TrustedApplication);
    let digest: String = cose::sha256(&receipt).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(last.digest, digest);
    let kept: Vec<String> = user.get(&api::path::receipts(&id)).await.expect(200);
    assert_eq!(kept, [STANDARD.encode(&receipt)]);
}

#[tokio::test]
async fn a_receipt_of_another_key_deployment_or_kind_is_refused_and_changes_nothing() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = waiting_for_data(&user, &mut device).await;
    let thief = SigningKey::generate(Algorithm::Esp256).unwrap();
    let other = payload("tamarack-call-v1", &id);

    for (receipt, seen) in [
        (signed(&thief, &id), "the signature of another key"),
        (signed(&device.keys.receipt, "another"), "a receipt about another deployment"),
        (cose(&device.keys.receipt, &other), "no receipt"),
        (b"none".to_vec(), "no COSE_Sign1"),
    ] {
        let posted = json!({ "receipt": STANDARD.encode(receipt) });
        let answer = user.post(&api::path::receipts(&id), &posted).await;
        let problem = answer.refused(403, "untrusted");
        assert_eq!(problem.check.as_deref(), Some("receipt"));
        assert_eq!(problem.seen.as_deref(), Some(seen));
    }
    assert_eq!(names(&view(&user, &id).await).len(), 2);
    let stranger = bench.tenant("other").await;
    let posted = json!({ "receipt": STANDARD.encode(signed(&device.keys.receipt, &id)) });
    stranger.post(&api::path::receipts(&id), &posted).await.refused(404, "not-found");
    assert_eq!(user.post(&api::path::receipts(&id), &posted).await.status, 204);
}

#[tokio::test]
async fn a_receipt_before_the_attestation_is_out_of_order() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;

    let posted = json!({ "receipt": STANDARD.encode(signed(&device.keys.receipt, &id)) });
    let answer = user.post(&api::path::receipts(&id), &posted).await;

    let problem = answer.refused(409, "conflict");
    assert_eq!(problem.expected.as_deref(), Some("att:TEEP-Agent first"));
}

/// A deployment of which only the data is missing.
async fn waiting_for_data(user: &Caller, device: &mut Sim) -> String {
    let id = placed(user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;
    attest(user, &id).await;
    device.work().await;
    id
}

pub(crate) fn signed(key: &dyn Signer, deployment: &str) -> Vec<u8> {
    cose(key, &payload("tamarack-receipt-v1", deployment))
}

fn payload(label: &str, deployment: &str) -> Vec<u8> {
    cbor::encode(|e| e.array(6)?.str(label)?.str(deployment)?.ok())
}

fn cose(key: &dyn Signer, payload: &[u8]) -> Vec<u8> {
    let none = Header::default;
    cose::sign1(key, none(), none(), &[], Payload::Attached(payload)).unwrap()
}
