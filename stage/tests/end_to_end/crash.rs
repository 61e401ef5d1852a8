//! Every party is killed in the middle of its work and started again.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use stage::{Device, Spec, Stage, User};

use crate::troupe::{
    Driver, assert_ride, deployment, events, explained, files, get, limited, log, open_stage,
    refused, run, running, sequence, until,
};

#[test]
fn a_tee_killed_while_it_installs_a_ta_holds_no_half_of_it() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let given_up = user.begin(&stage, &project, &device.name).unwrap();
    until_installing(&stage);
    device.kill_tee().unwrap();
    drop(given_up);

    device.start_tee().unwrap();

    assert_eq!(installed(&stage), Vec::<String>::new(), "a TA that was not whole is kept");
    let report = run(&stage, &user, &project, &device);
    assert_eq!(sequence(&report).len(), 4);
    assert_ride(&stage, &user, &project, &Driver::ODA);
    assert!(!log(&stage, "edge-1-tee").contains("panicked"));
}

#[test]
fn a_deployment_goes_on_after_the_power_of_its_device_was_cut() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let deploying = user.begin(&stage, &project, &device.name).unwrap();
    until_installing(&stage);
    device.cut_power().unwrap();

    device.start_again().unwrap();

    let report = running(deploying.end_within(Duration::from_secs(50)).unwrap());
    assert_eq!(sequence(&report).len(), 4);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

#[test]
fn what_the_moc_acknowledged_survives_its_kill() {
    let mut stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let report = run(&stage, &user, &project, &device);
    let id = report["deployment"].as_str().unwrap();
    let before = acknowledged(&stage, &user, &device, id);
    assert_eq!(before["events"], 4);

    stage.moc.party.kill().unwrap();
    restart_moc(&mut stage);

    assert_eq!(acknowledged(&stage, &user, &device, id), before);
    assert_ride(&stage, &user, &project, &Driver::ODA);
    let other = user.project(&stage, "route-planner-2", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &other, &device);
}

#[test]
fn a_deployment_that_a_kill_of_the_moc_cut_completes_when_it_is_run_again() {
    let mut stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    for (number, step) in (1..).zip(["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent"]) {
        let name = format!("route-planner-{number}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();
        let seen = log(&stage, "moc").len();
        let deploying = user.begin(&stage, &project, &device.name).unwrap();
        until("step", || log(&stage, "moc")[seen..].contains(&format!("event={step}")));
        stage.moc.party.kill().unwrap();

        let cut = deploying.end_within(Duration::from_secs(20)).unwrap();
        restart_moc(&mut stage);
        let report = run(&stage, &user, &project, &device);

        assert_eq!(cut.code, Some(4), "{step}: {:#} {}", cut.report, cut.said);
        assert!(cut.said.contains("does not answer"), "{step}: {}", cut.said);
        assert_eq!(sequence(&report).len(), 4, "{step}");
        assert_ride(&stage, &user, &project, &Driver::ODA);
    }
}

#[test]
fn a_broker_that_was_killed_runs_its_ua_again_and_the_vehicle_is_answered() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    let ua = device.broker.children();

    device.restart_broker().unwrap();

    let ride = || user.ride(&stage, &project, Driver::ODA.ride());
    until("answer to the vehicle", || ride().is_ok());
    assert_ride(&stage, &user, &project, &Driver::ODA);
    assert!(!ua.iter().any(|old| device.broker.children().contains(old)), "the UA is a new one");
    let other = user.project(&stage, "route-planner-2", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &other, &device);
}

#[test]
fn a_restart_of_the_tee_ends_the_release() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let report = run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);

    device.kill_tee().unwrap();
    device.start_tee().unwrap();

    let refused = user.ride(&stage, &project, Driver::ODA.ride()).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("awaits") && refused.contains("release"), "{refused}");
    let id = report["deployment"].as_str().unwrap();
    assert_eq!(events(&stage, &user, id).len(), 4, "what happened stays told");
}

#[test]
fn after_a_restart_of_the_tee_the_owner_releases_again() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    device.kill_tee().unwrap();
    device.start_tee().unwrap();

    let report = run(&stage, &user, &project, &device);

    assert_eq!(sequence(&report).len(), 4);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

#[test]
fn a_device_that_is_lost_midway_ends_the_deployment_and_says_what_it_waited_for() {
    let mut stage = open_stage!();
    limited(&mut stage, "device_turn_ms_max = 4000");
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let deploying = user.begin(&stage, &project, &device.name).unwrap();
    until("the first step", || log(&stage, "moc").contains("event=UA->REE"));
    device.cut_power().unwrap();

    let attempt = deploying.end_within(Duration::from_secs(60)).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert_eq!((&*refusal.check, &*refusal.owner), ("time", "device"), "{refusal:#?}");
    let steps = sequence(&attempt.report);
    let next = ["TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"][steps.len() - 1];
    assert!(refusal.expected.contains(next), "{steps:?}: {refusal:#?}");
    assert!(refusal.expected.contains("draft section 4.3"), "{refusal:#?}");
    let id = attempt.report["deployment"].as_str().unwrap();
    assert_eq!(deployment(&stage, &user, id)["state"], "failed");
    // A device that comes back is as good as new.
    device.start_again().unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

/// Waits until the Agent is in the middle of installing the TA.
fn until_installing(stage: &Stage) {
    until("installation of the TA", || {
        let log = log(stage, "edge-1-tee");
        log.lines().any(|line| line.contains("is authentic") && line.contains("planner.suit"))
    });
    assert!(!log(stage, "edge-1-tee").contains("a manifest is installed"), "too late to kill");
}

/// Components that the Agent keeps.
fn installed(stage: &Stage) -> Vec<String> {
    let storage = files(&stage.layout.device("edge-1").join("storage"));
    let names = storage.iter().filter_map(|file| file.file_name()?.to_str().map(str::to_owned));
    names.filter(|name| name.starts_with("content-")).collect()
}

fn restart_moc(theatre: &mut Stage) {
    let programs = theatre.programs.clone();
    theatre.moc.restart(&programs).unwrap();
}

/// What the M/OC has promised to keep.
fn acknowledged(stage: &Stage, user: &User, device: &Device, id: &str) -> Value {
    let module = fs::read(&stage.programs.ta).unwrap();
    let blobs = files(&stage.layout.moc().join("data/blobs"));
    let digest = blobs.iter().find(|blob| fs::read(blob).unwrap() == module).unwrap();
    let path = format!("/v1/blobs/{}", digest.file_name().unwrap().to_str().unwrap());
    let blob = stage.moc.api(&device.token().unwrap(), "GET", &path, &Value::Null).unwrap();
    let deployment = deployment(stage, user, id);
    json!({
        "events": deployment["events"].as_array().unwrap().len(),
        "deployment": deployment,
        "receipts": get(stage, user, &format!("/v1/deployments/{id}/receipts")),
        "device": device.shown(stage).unwrap(),
        "blob": blob.body == module,
    })
}
