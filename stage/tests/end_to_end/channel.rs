//! The secure channel against those who carry it: what the operator's M/OC or a device's REE
//! diverts, replays, relays or splices opens nowhere.

use std::{fs, os::unix, path::Path};

use serde_json::{Value, json};
use stage::{Canary, Device, Flow, Instance, Refusal, Spec, Stage, User, flows};
use suit::Envelope;

use crate::troupe::{
    deployment, explained, files, get, limited, log, open_stage, refused, run, until,
};

#[test]
fn data_for_the_ta_of_one_device_does_not_open_on_another() {
    let stage = open_stage!();
    diverted(&stage, 3);
}

#[test]
fn data_for_the_agent_of_one_device_does_not_open_on_another() {
    let stage = open_stage!();
    diverted(&stage, 4);
}

/// A release to one device is delivered in a deployment on another one, of the same user.
fn diverted(stage: &Stage, case: u8) {
    let [first, second] = ["edge-1", "edge-2"].map(|name| stage.device(&Spec::sgx(name)).unwrap());
    let user = stage.user("oda").unwrap();
    let flow = flow(case);
    let project = flow.project(stage, &user, &Canary::of(&flow)).unwrap();
    run(stage, &user, &project, &first);
    let package = handed_over(stage, &project);
    let hand = Hand::begin(stage, &user, &project, &flow, &second);

    let refusal = hand.delivers(&package);

    assert_eq!((&*refusal.check, &*refusal.owner), ("release.binding", "operator"));
    assert!(refusal.expected.contains("draft sections 4.1 to 4.5"), "{refusal:#?}");
    assert_eq!(released(stage, &second), 0, "nothing is released");
}

#[test]
fn a_release_is_not_replayed_into_another_deployment_on_the_same_device() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let project = flow.project(&stage, &user, &Canary::of(&flow)).unwrap();
    run(&stage, &user, &project, &device);
    let package = handed_over(&stage, &project);
    let hand = Hand::begin(&stage, &user, &project, &flow, &device);

    let refusal = hand.delivers(&package);

    assert_eq!((&*refusal.check, &*refusal.owner), ("release.binding", "operator"));
    assert!(refusal.expected.contains("draft sections 4.1 to 4.5"), "{refusal:#?}");
    assert_eq!(released(&stage, &device), 1, "only the release that its owner made");
}

#[test]
fn the_ciphertext_of_one_release_does_not_pass_under_the_signature_of_another() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let project = flow.project(&stage, &user, &Canary::of(&flow)).unwrap();
    let [earlier, later] = [(); 2].map(|()| {
        run(&stage, &user, &project, &device);
        handed_over(&stage, &project)
    });
    let hand = Hand::begin(&stage, &user, &project, &flow, &device);

    let refusal = hand.delivers(&with_payloads_of(&later, &earlier));

    assert_eq!((&*refusal.check, &*refusal.owner), ("suit.condition-image-match", "operator"));
    assert_eq!(released(&stage, &device), 2, "only the releases that their owner made");
}

/// A Broker without a TEE of its own asks the Agent of another device to speak for it.
#[test]
fn a_device_cannot_answer_with_the_agent_of_another() {
    let mut stage = open_stage!();
    limited(&mut stage, "device_turn_ms_max = 5000");
    let genuine = stage.device(&Spec::sgx("edge-1")).unwrap();
    let mut hollow = stage.device(&Spec::sgx("edge-2")).unwrap();
    let user = stage.user("oda").unwrap();
    hollow.kill_tee().unwrap();
    let [from, to] = [&hollow, &genuine].map(|d| stage.layout.device(&d.name).join("agent.sock"));
    fs::remove_file(&from).unwrap();
    unix::fs::symlink(to, from).unwrap();
    let flow = flow(4);
    let project = flow.project(&stage, &user, &Canary::of(&flow)).unwrap();

    let attempt = user.attempt(&stage, &project, &hollow.name).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert_eq!(refusal.check, "time", "{refusal:#?}");
    assert!(refusal.seen.contains("another Agent") && refusal.seen.contains("edge-1"));
    assert_eq!(released(&stage, &genuine), 0, "nothing is released");
    // Neither deployment harms the device whose Agent was asked.
    run(&stage, &user, &project, &genuine);
}

/// A row without UA as a process on SGX.
fn flow(case: u8) -> Flow {
    let wanted = |flow: &Flow| {
        (flow.case, &*flow.hardware, flow.instance, flow.with_ua)
            == (case, "SGX", Instance::Process, false)
    };
    flows().into_iter().find(wanted).unwrap()
}

/// How often an Agent, or one of its TAs, opened a release.
fn released(stage: &Stage, device: &Device) -> usize {
    log(stage, &format!("{}-tee", device.name)).matches("personalization data was released").count()
}

/// The package with the sealed data as the M/OC got it: the release itself, or the package around
/// it.
fn handed_over(stage: &Stage, project: &Path) -> Vec<u8> {
    let release = fs::read(project.with_file_name("pd.suit")).unwrap();
    let holds = |blob: &Vec<u8>| blob.windows(release.len()).any(|window| window == release);
    let blobs = files(&stage.layout.moc().join("data/blobs"));
    let blobs = blobs.iter().map(|path| fs::read(path).unwrap()).filter(holds);
    blobs.max_by_key(Vec::len).unwrap()
}

/// An envelope with the integrated payloads of another one.
fn with_payloads_of(envelope: &[u8], other: &[u8]) -> Vec<u8> {
    let (envelope, other) = (Envelope::decode(envelope).unwrap(), Envelope::decode(other).unwrap());
    let mut spliced = envelope.bytes().to_vec();
    for (name, payload) in envelope.payloads() {
        let theirs = other.payloads()[name];
        assert_eq!(payload.len(), theirs.len(), "payloads of equal length");
        let at = spliced.windows(payload.len()).position(|window| window == *payload).unwrap();
        spliced[at..at + payload.len()].copy_from_slice(theirs);
    }
    assert_ne!(spliced, envelope.bytes());
    spliced
}

/// The hand of a M/OC that does what it likes with the packages of its Network Users: it has their
/// tokens, and not their keys.
struct Hand<'a> {
    stage: &'a Stage,
    user: &'a User,
    deployment: String,
    package: &'static str,
}

impl<'a> Hand<'a> {
    /// Brings a deployment to where only the data is missing, with a nonce of its own.
    fn begin(
        stage: &'a Stage,
        user: &'a User,
        project: &Path,
        flow: &Flow,
        device: &Device,
    ) -> Self {
        let asked = json!({
            "case": flow.case, "instance": "process", "hardware": ["SGX"], "with_ua": false,
            "device": device.name, "emulated": true,
        });
        let token = user.token().unwrap();
        let placed = stage.moc.api(&token, "POST", "/v1/requests", &asked).unwrap();
        assert_eq!(placed.status, 201, "{}", placed.json());
        let deployment = placed.json()["deployment"].as_str().unwrap().to_owned();
        let package = if flow.case == 4 { "ta-pd" } else { "pd" };
        let hand = Self { stage, user, deployment, package };
        if flow.case != 4 {
            hand.hands_over_the_ta(project);
        }
        hand.until_needed("nonce");
        let path = format!("/v1/deployments/{}/attestations", hand.deployment);
        let nonce = json!({ "nonce": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk" });
        assert_eq!(stage.moc.api(&token, "POST", &path, &nonce).unwrap().status, 202);
        hand.until_needed(package);
        hand
    }

    fn hands_over_the_ta(&self, project: &Path) {
        let out = project.with_file_name("built");
        let mut build = self.user.tamarack(self.stage);
        build.args(["package", "build", "--project"]).arg(project).arg("--out").arg(&out);
        assert!(build.status().unwrap().success());
        // The TA's content is in the store of blobs since the first deployment.
        self.until_needed("ta");
        assert_eq!(self.put("ta", &fs::read(out.join("ta.suit")).unwrap()), 201);
    }

    /// Delivers a package in the place of the data, and waits for what the TEE says to it.
    fn delivers(&self, package: &[u8]) -> Refusal {
        assert_eq!(self.put(self.package, package), 201);
        until("an end", || {
            !self.shown()["failure"].is_null() || self.shown()["state"] == "running"
        });
        let shown = self.shown();
        let path = format!("/v1/deployments/{}/receipts", self.deployment);
        assert_eq!(get(self.stage, self.user, &path), json!([]), "{shown:#}");
        let last = shown["events"].as_array().unwrap().last().unwrap();
        assert_eq!(last["event"], "att:TEEP-Agent", "{shown:#}");
        explained(serde_json::from_value(shown["failure"].clone()).unwrap())
    }

    fn put(&self, package: &str, envelope: &[u8]) -> u16 {
        let bearer = format!("Bearer {}", self.user.token().unwrap());
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/suit-envelope+cbor"),
        ];
        let path = format!("/v1/deployments/{}/packages/{package}", self.deployment);
        let ask = stage::Ask { method: "PUT", path: &path, headers: &headers, body: envelope };
        self.stage.moc.ask(&ask).unwrap().status
    }

    fn until_needed(&self, need: &str) {
        until(need, || self.shown()["needs"].as_array().unwrap().contains(&json!(need)));
    }

    fn shown(&self) -> Value {
        deployment(self.stage, self.user, &self.deployment)
    }
}
