//! What is encrypted to the TAM: Evidence and SUIT reports.

use api::{DeviceState, DeviceView, PackageName, State};
use cose::{Agreement as _, Curve};
use keys::AgreementKey;
use rats::evidence::AGENT_PROFILE;

use crate::{
    bench::Bench,
    case3::{Owner, attest, enrolled, names, placed, view},
    sim::Sim,
};

#[tokio::test]
async fn evidence_for_the_tam_alone_is_appraised_and_for_another_key_dropped() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::new(&bench, &added);
    let owner = Owner::new();

    device.confidant = Some(AgreementKey::generate(Curve::P256).unwrap().key().clone());
    device.work().await;
    assert_eq!(state(&bench, "edge").await, DeviceState::Enrolled);

    device.confidant = Some(bench.moc.tam().keys().encryption().clone());
    let handle = device.policy_check();
    device.session(handle, &api::path::tam_ticket(&added.enrolment_ticket)).await;
    assert_eq!(state(&bench, "edge").await, DeviceState::Attested);
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let attestation = attest(&user, &id).await;
    device.work().await;

    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess", "att:TEEP-Agent"]);
    // The Network User gets the Evidence in the clear; the way to the TAM saw none of it.
    let result = user.get(&api::path::attestation(&id, &attestation)).await;
    assert_eq!(result.status, 200);
    let profile = AGENT_PROFILE.as_bytes();
    let shows = |bytes: &[u8]| bytes.windows(profile.len()).any(|window| window == profile);
    assert!(shows(&result.body));
    assert!(device.sent.len() >= 4 && !device.sent.iter().any(|sent| shows(sent)));
}

/// Whoever signed it, the TAM cannot tell to which exchange it belongs.
#[tokio::test]
async fn a_report_for_another_key_tells_nothing_and_the_device_is_asked_again() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;

    device.confidant = Some(AgreementKey::generate(Curve::P256).unwrap().key().clone());
    device.work().await;

    let told = view(&user, &id).await;
    assert_eq!((names(&told), told.state == State::Failed), (Vec::new(), false));
    device.confidant = Some(bench.moc.tam().keys().encryption().clone());
    bench.clock.advance_ms(60_000);
    device.work().await;
    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess"]);
}

async fn state(bench: &Bench, device: &str) -> DeviceState {
    let view: DeviceView = bench.operator.get(&format!("/v1/devices/{device}")).await.expect(200);
    view.state
}
