//! Agents and a TAM that go by authorities: x5chain beside their signatures.

use api::{DeviceState, DeviceView, PackageName};
use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use moc::{
    app::NotOpened,
    tam::{TamFailed, Unusable},
};
use teep::{
    Suite, Timestamp,
    envelope::{Dialect, Hint, NoKey, Sealed},
};

use crate::{
    bench::{Bench, START_MS},
    case3::{Owner, names, placed, view},
    certificate::{Authority, EXPIRED, VALID, pem},
    sim::Sim,
};

//= teep 14.46 (M): an Agent key outside the device trust anchors gets no Update
#[tokio::test]
async fn a_device_whose_key_is_certified_is_served_and_any_other_is_not_even_enrolled() {
    let bench = Bench::start_with(ROOTS).await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::new(&bench, &added);
    let (key, other) = (device.keys.teep.key().clone(), Authority::new());
    let stranger = Sim::new(&bench, &bench.device("other").await).keys.teep.key().clone();

    for chain in [
        vec![],
        vec![other.certify(&key, VALID)],
        vec![bench.authority.certify(&key, EXPIRED)],
        vec![bench.authority.certify(&stranger, VALID)],
        vec![bench.authority.anchor()],
    ] {
        device.keys.chain = chain;
        let handle = device.policy_check();
        device.session(handle, &api::path::tam_ticket(&added.enrolment_ticket)).await;
        assert_eq!(state(&bench, "edge").await, DeviceState::Enrolled);
    }

    device.keys.chain = vec![bench.authority.certify(&key, VALID)];
    bench.clock.advance_ms(60_000);
    device.work().await;
    assert_eq!(state(&bench, "edge").await, DeviceState::Attested);
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;

    // Every message counts by its certificate, not by what an earlier one had.
    let chain = std::mem::take(&mut device.keys.chain);
    device.work().await;
    assert_eq!(names(&view(&user, &id).await), Vec::<String>::new());
    device.keys.chain = chain;
    bench.clock.advance_ms(60_000);
    device.work().await;
    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess"]);
}

/// The appraisal decides all the same.
#[tokio::test]
async fn a_certificate_does_not_take_the_place_of_evidence() {
    let bench = Bench::start_with(ROOTS).await;
    let added = bench.device("edge").await;
    let misbehaviour = emulator::Misbehaviour::WrongMeasurement;
    let mut device = Sim::with(&bench, &added, misbehaviour, Algorithm::Esp256);
    device.keys.chain = vec![bench.authority.certify(device.keys.teep.key(), VALID)];

    device.work().await;

    assert_eq!(state(&bench, "edge").await, DeviceState::Quarantined);
}

#[tokio::test]
async fn the_tam_shows_the_certificates_of_its_keys() {
    let bench = Bench::start().await;
    let key = bench.moc.tam().keys().public()[0].clone();
    let chain = pem("CERTIFICATE", &bench.authority.certify(&key, VALID));
    std::fs::write(bench.dir.path().join("tam.pem"), chain).unwrap();

    let moc = bench.replica_with(CERTIFICATES).await.unwrap();
    let opening = moc.process_connect(None).await.unwrap().unwrap();

    let sealed = Sealed::decode(&opening, &Dialect::default()).unwrap();
    let certified = |anchor: Vec<u8>| {
        let keys = |hint: &Hint<'_>| hint.certified(std::slice::from_ref(&anchor), NOW);
        sealed.open(&Dialect::default(), &keys).map(|opened| opened.signer().clone())
    };
    let signer = certified(bench.authority.anchor()).unwrap();
    assert_eq!((signer.key, signer.suite), (key, Suite::Esp256));
    let other = certified(Authority::new().anchor()).unwrap_err();
    assert_eq!(other, teep::envelope::Rejected::Key(NoKey::Unknown));
}

#[tokio::test]
async fn certificates_of_another_key_than_the_tam_s_are_not_shown() {
    let bench = Bench::start().await;
    let path = bench.dir.path().join("tam.pem");
    let other = SigningKey::generate(Algorithm::Esp256).unwrap();
    let chain = pem("CERTIFICATE", &bench.authority.certify(other.key(), VALID));
    std::fs::write(&path, chain).unwrap();

    let failed = bench.replica_with(CERTIFICATES).await.unwrap_err();

    let NotOpened::Tam(TamFailed::Certificates(Unusable::AnotherKey(named))) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(named, path);
}

async fn state(bench: &Bench, device: &str) -> DeviceState {
    let view: DeviceView = bench.operator.get(&format!("/v1/devices/{device}")).await.expect(200);
    view.state
}

#[expect(clippy::cast_possible_wrap, reason = "a time in this century")]
const NOW: Timestamp = Timestamp((START_MS / 1000) as i64);
const ROOTS: &str = "\n[tam]\ndevice_roots = 'agents.pem'\n";
const CERTIFICATES: &str = "\n[tam.certificates]\nesp256 = 'tam.pem'\n";
