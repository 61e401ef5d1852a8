//! Guests of SEV-ES, which attests at launch, to the Network User whose guest it is.

use stage::{Hardware, Instance, Misbehaviour, Spec, Stage, User, variants};

use crate::troupe::{Driver, explained, log, open_stage, refused};

/// What the platform measured is the attestation; the secret comes before boot goes on.
#[test]
fn a_guest_that_its_owner_launched_runs_the_flow_and_is_nobody_else_s() {
    let stage = open_stage!();
    let Some(spec) = guest(&stage, "edge-1") else { return };
    let owner = stage.user("oda").unwrap();
    let flow = variants().into_iter().find(|flow| flow.case == 3 && flow.with_ua).unwrap();

    let device = stage.device_launched_by(&owner, &spec).unwrap();
    let ran = flow.run(&stage, &owner, &device).unwrap();

    assert_eq!(ran.load_sequence, flow.load_sequence, "{:?}", ran.why);
    assert_eq!((ran.answered, ran.emulated), (Some(true), Some(true)), "{:?}", ran.why);
    assert!(ran.ok, "{:?}", ran.why);
    let told = log(&stage, "edge-1-tee");
    let at = |word: &str| told.find(word).unwrap_or_else(|| panic!("no `{word}`: {told}"));
    assert!(at("waits for its owner") < at("secret is injected"));
    assert!(at("secret is injected") < at("the guest greeted"), "boot goes on with the secret");
    // The M/OC takes the owner's word; another Network User does not.
    let other = stage.user("ulf").unwrap();
    let data = Driver::ODA.data();
    let project =
        other.project_in(&stage, "route-planner", &data, Hardware::Sev, Instance::Vm).unwrap();
    let attempt = other.attempt(&stage, &project, &device.name).unwrap();
    let refusal = explained(refused(&stage, &other, &project, &attempt));
    assert_eq!(refusal.check, "sev.launch.owner", "{refusal:#?}");
}

#[test]
fn a_launch_that_its_owner_refuses_gets_no_secret_and_runs_nothing() {
    let stage = open_stage!();
    if guest(&stage, "none").is_none() {
        return;
    }
    let owner = stage.user("oda").unwrap();
    for (misbehaviour, check) in [
        (Misbehaviour::Debug, "instance.debug"),
        (Misbehaviour::ForeignRoot, "sev.chain.root"),
        (Misbehaviour::OtherKey, "sev.launch.measure"),
        (Misbehaviour::Replay, "sev.launch.measure"),
        (Misbehaviour::TcbOutOfDate, "sev.firmware"),
        (Misbehaviour::WrongMeasurement, "launch_digest"),
    ] {
        refuses(&stage, &owner, misbehaviour, check);
    }
}

fn refuses(stage: &Stage, owner: &User, misbehaviour: Misbehaviour, check: &str) {
    let name = format!("edge-{check}-{misbehaviour:?}").to_lowercase().replace(['.', '_'], "-");
    let spec = guest(stage, &name).unwrap().misbehaving(misbehaviour);

    let refused = stage.device_launched_by(owner, &spec).unwrap_err();

    let refused = format!("{refused:#}");
    assert!(refused.contains(&format!("\"check\":\"{check}\"")), "{misbehaviour:?}: {refused}");
    let told = log(stage, &format!("{name}-tee"));
    assert!(!told.contains("secret is injected") && !told.contains("greeted"), "{told}");
}

/// A guest of SEV-ES, where its image could be built.
fn guest(stage: &Stage, name: &str) -> Option<Spec> {
    if Hardware::Sev.image(&stage.programs).is_none() {
        println!("skipped: VM on SEV: its image is not built here");
        return None;
    }
    Some(Spec::vm(name, Hardware::Sev).with_instances(&[Instance::Vm]))
}
