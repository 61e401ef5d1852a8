//! Case 3, figure 4, from the operator's first device to the receipt.

use api::{
    AttestationAccepted, Deployment, DeviceState, DeviceView, EnrolmentOpened, Need, PackageName,
    PackageStored, Receipts, RequestPlaced, State, WakeReason,
};
use cose::{Accept, Algorithm, Signer as _};
use emulator::Misbehaviour;
use keys::SigningKey;
use rats::{cmw::Cmw, ear, nonce};
use serde_json::json;
use suit::{
    Uuid,
    build::{Built, Compatibility, Name, Payload, Pd, Ta, Ua, Uri},
};

use crate::{audience::Caller, bench::Bench, sim::Sim};

const NONCE: [u8; 32] = [9; 32];
/// base64url of [`NONCE`].
pub(crate) const NONCE_TEXT: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

#[tokio::test]
async fn the_whole_of_case_3_runs_in_the_order_of_the_figure() {
    whole(Bench::start().await).await;
}

#[tokio::test]
async fn the_whole_of_case_3_runs_over_tls() {
    whole(Bench::start_tls("").await).await;
}

async fn whole(bench: Bench) {
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();

    let id = placed(&user, true).await.deployment;
    assert_eq!(view(&user, &id).await.needs, [Need::Ua, Need::Ta]);
    user.upload(&id, PackageName::Ua, owner.ua(1)).await;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    assert_eq!(view(&user, &id).await.state, State::Deploying);
    assert_eq!(device.work().await.reason, WakeReason::Deploy);
    let load = device.work().await.load.unwrap();
    assert_eq!(load, owner.component("ta"));
    assert_eq!(view(&user, &id).await.needs, [Need::Nonce]);
    let attestation = attest(&user, &id).await;
    assert_eq!(device.work().await.reason, WakeReason::Attest);
    let cmw = user.get(&api::path::attestation(&id, &attestation)).await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;

    let view = view(&user, &id).await;
    assert_eq!(view.state, State::Running);
    assert_eq!(names(&view), ["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"]);
    let links: Vec<_> = view.events.iter().map(|event| event.cause.clone()).collect();
    let digests: Vec<_> = view.events.iter().map(|event| Some(event.digest.clone())).collect();
    assert_eq!(links[0], None);
    assert_eq!(links[1..], digests[..3]);
    let receipts: Receipts = user.get(&api::path::receipts(&id)).await.expect(200);
    assert_eq!(receipts.len(), 1);
    assert!(view.emulated);
    check_result(&bench, &device, &cmw.body);
    assert_eq!(device.wake().await, None);
}

#[tokio::test]
async fn case_3_without_a_ua_begins_with_the_ta() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();

    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    assert_eq!(device.work().await.load, None);
    attest(&user, &id).await;
    device.work().await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;

    let view = view(&user, &id).await;
    assert_eq!(names(&view), ["TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"]);
    assert_eq!(view.state, State::Running);
}

#[tokio::test]
async fn a_device_may_speak_ed25519() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::with(&bench, &added, Misbehaviour::None, Algorithm::Ed25519);
    device.work().await;
    let owner = Owner::new();

    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;

    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess"]);
}

#[tokio::test]
async fn a_device_may_speak_ml_dsa_65_where_the_operator_offers_it() {
    for offered in [true, false] {
        let setting = if offered { "\n[tam]\nml_dsa_65 = true\n" } else { "" };
        let bench = Bench::start_with(setting).await;
        let added = bench.device("edge").await;
        let mut device = Sim::with(&bench, &added, Misbehaviour::None, Algorithm::MlDsa65);

        device.work().await;

        let view: DeviceView = bench.operator.get("/v1/devices/edge").await.expect(200);
        let state = if offered { DeviceState::Attested } else { DeviceState::Enrolled };
        assert_eq!(view.state, state);
        if !offered {
            continue;
        }
        let user = bench.tenant("acme").await;
        let owner = Owner::new();
        let id = placed(&user, false).await.deployment;
        user.upload(&id, PackageName::Ta, owner.ta(1)).await;
        device.work().await;
        assert_eq!(names(&self::view(&user, &id).await), ["TA->ConfidentialProcess"]);
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_deployment_loses_nothing() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;

    let bench = bench.restart().await;
    let user = user.at(&bench.url);
    device.follow(&bench);

    device.work().await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;
    assert_eq!(view(&user, &id).await.state, State::Running);
    let positions = bench.moc.store().decisions().await.unwrap();
    assert!((0..).zip(&positions).all(|(position, leaf)| leaf.entry.position == position));
}

#[tokio::test]
async fn an_agent_that_comes_by_itself_for_its_ta_is_met_as_a_stranger_and_served() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, true).await.deployment;
    user.upload(&id, PackageName::Ua, owner.ua(1)).await;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;

    let component = suit::ComponentId::in_tee(owner.key.key().thumbprint(), "ta").unwrap();
    let handle = device.request_ta(component);
    device.session(handle, api::path::TAM).await;

    assert_eq!(names(&view(&user, &id).await), ["UA->REE", "TA->ConfidentialProcess"]);
}

#[tokio::test]
async fn a_manifest_that_fails_on_the_device_ends_the_deployment_with_the_reports_words() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.broken = true;

    device.work().await;

    let view = view(&user, &id).await;
    assert_eq!(view.state, State::Failed);
    let failure = view.failure.unwrap();
    assert_eq!(failure.check.as_deref(), Some("suit.condition-failed"));
    assert_eq!(failure.owner, Some(api::Owner::NetworkUser));
    let seen = failure.seen.unwrap();
    assert!(seen.contains("install"), "{seen}");
}

#[tokio::test]
async fn a_device_that_takes_too_long_fails_the_deployment_and_the_attestation() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let attestation = attest(&user, &id).await;

    bench.clock.advance_ms(600_001);
    bench.moc.sweep().await.unwrap();

    let view = view(&user, &id).await;
    let failure = view.failure.unwrap();
    assert_eq!(failure.check.as_deref(), Some("time"));
    assert_eq!(
        failure.expected.as_deref(),
        Some("att:TEEP-Agent (draft section 4.3) within 600 s")
    );
    let refused = user.get(&api::path::attestation(&id, &attestation)).await;
    assert_eq!(refused.refused(403, "refused").check.as_deref(), Some("time"));
}

#[tokio::test]
async fn a_device_is_woken_again_when_it_did_not_come() {
    let bench = Bench::start().await;
    let added = bench.device("edge").await;
    let device = Sim::new(&bench, &added);
    let first = device.wake().await.unwrap();

    assert_eq!(device.wake().await, None);
    bench.clock.advance_ms(60_000);

    let second = device.wake().await.unwrap();
    assert_eq!(second.reason, WakeReason::Enrol);
    assert_ne!(second.ticket, first.ticket);
}

#[tokio::test]
async fn a_device_that_fails_its_appraisal_is_quarantined_and_gets_nothing() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let misbehaviour = Misbehaviour::TcbOutOfDate;
    let mut device = Sim::with(&bench, &added, misbehaviour, Algorithm::Esp256);

    device.work().await;

    let shown: DeviceView = bench.operator.get("/v1/devices/edge").await.expect(200);
    assert_eq!(shown.state, DeviceState::Quarantined);
    assert_eq!(shown.tcb_status.as_deref(), Some("OutOfDate"));
    let verdict = shown.verdict.unwrap();
    assert!(!verdict.accepted);
    let failed: Vec<_> = verdict.checks.iter().filter(|check| check.owner.is_some()).collect();
    assert_eq!(failed[0].check, "dcap.tcb.status");
    let problem = user.post("/v1/requests", &request(true)).await.refused(409, "no-place");
    assert_eq!(problem.candidates[0].constraint, "state");
    assert_eq!(problem.candidates[0].seen, "quarantined");
}

#[tokio::test]
async fn a_device_that_is_quarantined_later_ends_its_deployments_and_may_enrol_again() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let added = bench.device("edge").await;
    let mut device = Sim::new(&bench, &added);
    device.work().await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    let waiting = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;

    device.misbehave(&bench, Misbehaviour::Debug);
    device.work().await;
    bench.moc.sweep().await.unwrap();

    let failure = view(&user, &id).await.failure.unwrap();
    assert_eq!(failure.check.as_deref(), Some("instance.debug"));
    let failure = view(&user, &waiting).await.failure.unwrap();
    assert_eq!(failure.check.as_deref(), Some("device.state"));
    assert_eq!(device.wake().await, None);

    device.misbehave(&bench, Misbehaviour::None);
    let path = api::path::enrolments("edge");
    let opened: EnrolmentOpened = bench.operator.post(&path, &json!({})).await.expect(201);
    assert_eq!(opened.device, "edge");
    assert_eq!(device.work().await.reason, WakeReason::Enrol);
    let shown: DeviceView = bench.operator.get("/v1/devices/edge").await.expect(200);
    assert_eq!(shown.state, DeviceState::Attested);
    placed(&user, false).await;
}

#[tokio::test]
async fn endorsements_that_change_on_disk_are_read_again() {
    let bench = Bench::start().await;
    let added = bench.device("edge").await;
    let config = crate::bench::config(bench.dir.path(), "");
    let verification = bench.moc.verification();
    assert!(!verification.refresh(&config.appraisal, bench.clock.now_ms()).unwrap());

    let mut device = Sim::with(&bench, &added, Misbehaviour::Revoked, Algorithm::Esp256);
    assert!(verification.refresh(&config.appraisal, bench.clock.now_ms()).unwrap());
    device.work().await;

    let shown: DeviceView = bench.operator.get("/v1/devices/edge").await.expect(200);
    assert_eq!(shown.state, DeviceState::Quarantined);
    let checks = shown.verdict.unwrap().checks;
    let failed = checks.iter().find(|check| check.owner.is_some()).unwrap();
    assert_eq!(failed.check, "dcap.pck.revocation");
}

/// Checks the result as its Network User would.
fn check_result(bench: &Bench, device: &Sim, signed: &[u8]) {
    let verifier = [bench.moc.verification().key().clone()];
    let cmw = Cmw::verify(signed, &verifier, &Accept::CURRENT).unwrap().into_inner();
    let Cmw::Collection(collection) = cmw else { panic!("not a collection") };
    let tam_nonce = &collection.record("tam-nonce").unwrap().value;
    let challenge = nonce::combine(tam_nonce, &NONCE);
    let evidence = &collection.record("evidence").unwrap().value;
    let evidence = rats::evidence::Evidence::decode(evidence).unwrap();
    let claims = rats::eat::peek(&evidence.eat).unwrap();
    assert_eq!(claims.eat_nonce.unwrap().as_bytes(), challenge);
    assert!(collection.record("endorsements").is_some());
    let expect = ear::Expect {
        verifiers: &verifier,
        accept: &Accept::CURRENT,
        now: rats::Timestamp(bench.now().as_second()),
        skew_s: 0,
        nonce: Some(&NONCE),
        vector: ear::VectorRule::Required,
    };
    let result = ear::Ear::verify(&collection.record("ear").unwrap().value, &expect).unwrap();
    let result = result.into_inner();
    //= rats 11.35 (S): the lifetime of a result is short
    assert_eq!(result.exp.unwrap().since(result.iat), 600);
    let agent = &result.appraisals()["agent"];
    //= rats 11.36 (S): neither ueid nor location goes to the Network User
    assert_eq!(agent.teep, None);
    assert_eq!(agent.confirmed(), Some(device.keys.teep.key().thumbprint()));
    assert_eq!(agent.policies, ["bench"]);
    assert_eq!(result.appraisals().len(), 2);
}

/// The Network User's key and packages.
pub(crate) struct Owner {
    pub(crate) key: SigningKey,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self { key: SigningKey::generate(Algorithm::Esp256).unwrap() }
    }

    pub(crate) fn ua(&self, sequence: u64) -> Vec<u8> {
        let built = Ua::new(name("ua"), sequence, compatibility(), Payload::integrated(b"ua"));
        built.sign(&self.key).unwrap().envelope
    }

    pub(crate) fn ta(&self, sequence: u64) -> Vec<u8> {
        self.built_ta(sequence).envelope
    }

    /// A Trusted Application whose module is a blob of the M/OC.
    pub(crate) fn ta_at(&self, base: &str, module: &[u8]) -> Vec<u8> {
        let payload = Payload::at(blob_uri(base, module), module);
        let built = Ta::new(name("ta"), 1, compatibility(), payload);
        built.sign(&self.key).unwrap().envelope
    }

    /// An Untrusted Application whose program is a blob of the M/OC.
    pub(crate) fn ua_at(&self, base: &str, program: &[u8]) -> Vec<u8> {
        let payload = Payload::at(blob_uri(base, program), program);
        let built = Ua::new(name("ua"), 1, compatibility(), payload);
        built.sign(&self.key).unwrap().envelope
    }

    /// A Trusted Application whose module travels with it.
    pub(crate) fn ta_of(&self, module: &[u8]) -> Vec<u8> {
        let built = Ta::new(name("ta"), 1, compatibility(), Payload::integrated(module));
        built.sign(&self.key).unwrap().envelope
    }

    fn built_ta(&self, sequence: u64) -> Built {
        let built = Ta::new(name("ta"), sequence, compatibility(), Payload::integrated(b"ta"));
        built.sign(&self.key).unwrap()
    }

    pub(crate) fn pd(&self, sequence: u64) -> Vec<u8> {
        let payload = Payload::integrated(b"ciphertext");
        let built = Pd::new(name("ta.pd"), sequence, compatibility(), payload);
        built.sign(&self.key).unwrap().envelope
    }

    fn component(&self, name: &str) -> Vec<String> {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        vec![hexadecimal(&self.key.key().thumbprint().0), hexadecimal(name.as_bytes())]
    }
}

fn blob_uri(base: &str, content: &[u8]) -> Uri {
    let digest: String = cose::sha256(content).iter().map(|b| format!("{b:02x}")).collect();
    Uri::new(&format!("{base}{}", api::path::blob(&digest))).unwrap()
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(crate) fn compatibility() -> Compatibility {
    let uuid = |filler| {
        let mut bytes = [filler; 16];
        (bytes[6], bytes[8]) = (0x40, 0x80);
        Uuid::new(bytes).unwrap()
    };
    Compatibility { vendor: uuid(1), class: uuid(2) }
}

/// A device that was appraised.
pub(crate) async fn enrolled(bench: &Bench, name: &str) -> Sim {
    let added = bench.device(name).await;
    let mut device = Sim::new(bench, &added);
    assert_eq!(device.work().await.reason, WakeReason::Enrol);
    let path = api::path::device(name);
    let shown: DeviceView = bench.operator.get(&path).await.expect(200);
    assert_eq!(shown.state, DeviceState::Attested, "{:#?}", shown.verdict);
    assert_eq!(shown.emulated, Some(true));
    assert_eq!(shown.tcb_status.as_deref(), Some("UpToDate"));
    assert_eq!(shown.agent_key, Some(device.keys.teep.key().thumbprint().to_string()));
    device
}

pub(crate) fn request(with_ua: bool) -> serde_json::Value {
    json!({ "case": 3, "instance": "process", "hardware": ["SGX"], "with_ua": with_ua })
}

pub(crate) async fn placed(user: &Caller, with_ua: bool) -> RequestPlaced {
    user.post("/v1/requests", &request(with_ua)).await.expect(201)
}

pub(crate) async fn view(user: &Caller, deployment: &str) -> Deployment {
    user.get(&api::path::deployment(deployment)).await.expect(200)
}

pub(crate) fn names(view: &Deployment) -> Vec<String> {
    view.events.iter().map(|event| event.event.to_string()).collect()
}

pub(crate) async fn attest(user: &Caller, deployment: &str) -> String {
    let asked = json!({ "nonce": NONCE_TEXT });
    let answer = user.post(&api::path::attestations(deployment), &asked).await;
    let accepted: AttestationAccepted = answer.expect(202);
    accepted.attestation
}

impl Caller {
    pub(crate) async fn upload(&self, deployment: &str, package: PackageName, envelope: Vec<u8>) {
        let path = api::path::package(deployment, package);
        let answer = self.put(&path, api::media::SUIT_ENVELOPE, envelope).await;
        let _stored: PackageStored = answer.expect(201);
    }
}
