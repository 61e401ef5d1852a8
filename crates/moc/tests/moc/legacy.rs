//! Devices whose Agents have the code points of older drafts: a setting by device, never a guess.

use api::{DeviceState, DeviceView, PackageName, State};
use cose::{Agreement as _, Curve};
use keys::AgreementKey;
use teep::{Message, Numbering};

use crate::{
    bench::Bench,
    case3::{Owner, attest, placed, view},
    sim::Sim,
};

/// The numbering is a setting of the device, for all of its messages.
#[tokio::test]
async fn a_device_of_older_drafts_is_enrolled_deployed_to_and_attested() {
    let bench = Bench::start_with(LEGACY).await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::legacy(&bench, &added);
    let owner = Owner::new();

    device.work().await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;

    assert_eq!(view(&user, &id).await.state, State::Running);
    assert!(device.sent.len() >= 6);
    for sent in &device.sent {
        let payload = cose::Sign1::decode(sent, cose::Tagging::Tagged).unwrap().payload.unwrap();
        assert!(Message::decode(payload, Numbering::Legacy18).is_ok());
    }
    let last = device.sent.last().unwrap();
    let success = cose::Sign1::decode(last, cose::Tagging::Tagged).unwrap().payload.unwrap();
    assert!(Message::decode(success, Numbering::V26).is_err());
}

/// What the answer belongs to is inside the Evidence, and so is what tells the device.
#[tokio::test]
async fn a_device_of_older_drafts_may_encrypt_its_evidence() {
    let bench = Bench::start_with(LEGACY).await;
    let added = bench.device("edge").await;
    let mut device = Sim::legacy(&bench, &added);

    device.confidant = Some(AgreementKey::generate(Curve::P256).unwrap().key().clone());
    device.work().await;
    assert_eq!(state(&bench, "edge").await, DeviceState::Enrolled);

    device.confidant = Some(bench.moc.tam().keys().encryption().clone());
    let handle = device.policy_check();
    device.session(handle, &api::path::tam_ticket(&added.enrolment_ticket)).await;
    assert_eq!(state(&bench, "edge").await, DeviceState::Attested);
}

#[tokio::test]
async fn other_devices_of_the_same_operator_speak_as_today() {
    let bench = Bench::start_with(LEGACY).await;
    let added = bench.device("new").await;
    let mut device = Sim::new(&bench, &added);

    device.work().await;

    assert_eq!(state(&bench, "new").await, DeviceState::Attested);
}

#[tokio::test]
async fn a_device_of_older_drafts_that_nobody_listed_is_not_enrolled() {
    let bench = Bench::start_with(LEGACY).await;
    let added = bench.device("other").await;
    let mut device = Sim::legacy(&bench, &added);

    device.work().await;

    assert_eq!(state(&bench, "other").await, DeviceState::Enrolled);
}

/// Its answers about itself are spelt alike in all drafts; those about an Update are not.
#[tokio::test]
async fn a_listed_device_that_speaks_as_today_installs_nothing() {
    let bench = Bench::start_with(LEGACY).await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::new(&bench, &added);
    let owner = Owner::new();

    device.work().await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;

    let view = view(&user, &id).await;
    assert_eq!((view.state, view.events.len()), (State::Failed, 0));
    assert!(device.installed.is_empty());
}

async fn state(bench: &Bench, device: &str) -> DeviceState {
    let view: DeviceView = bench.operator.get(&format!("/v1/devices/{device}")).await.expect(200);
    view.state
}

const LEGACY: &str = "\n[tam]\nlegacy_devices = ['edge']\n";
