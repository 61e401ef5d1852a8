//! Every party is killed at every step of one flow of each case.
//!
//! The flow completes, or stands where it stood and completes when it is run again.

use std::time::Duration;

use stage::{Attempt, Canary, Device, Flow, Instance, Spec, User, flows};

use crate::troupe::{Theatre, limited, log, open_stage, until};

#[test]
fn the_moc_is_killed_at_every_step_of_every_case() {
    let mut stage = open_stage!();
    each_step(&mut stage, &mut |stage, _| {
        stage.moc.party.kill().unwrap();
        let programs = stage.programs.clone();
        stage.moc.restart(&programs).unwrap();
    });
}

#[test]
fn the_broker_is_killed_at_every_step_of_every_case() {
    let mut stage = open_stage!();
    each_step(&mut stage, &mut |_, device| device.restart_broker().unwrap());
}

#[test]
fn the_tee_is_killed_at_every_step_of_every_case() {
    let mut stage = open_stage!();
    each_step(&mut stage, &mut |_, device| {
        device.kill_tee().unwrap();
        device.start_tee().unwrap();
    });
}

#[test]
fn the_user_s_tool_is_killed_at_every_step_of_every_case() {
    let mut stage = open_stage!();
    each_step_of(&mut stage, true, &mut |_, _| {});
}

fn each_step(stage: &mut Theatre, kill: &mut dyn FnMut(&mut Theatre, &mut Device)) {
    each_step_of(stage, false, kill);
}

/// Kills after each number of steps that the M/OC has recorded, from none to all but the last.
fn each_step_of(stage: &mut Theatre, tool: bool, kill: &mut dyn FnMut(&mut Theatre, &mut Device)) {
    limited(stage, "wake_again_ms = 3000");
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    for flow in one_of_each_case() {
        for steps in 0..flow.load_sequence.len() {
            let project = flow.project(stage, &user, &Canary::of(&flow)).unwrap();
            let seen = log(stage, "moc").len();
            let deploying = user.begin(stage, &project, &device.name).unwrap();
            until("step", || {
                let told = log(stage, "moc");
                told[seen..].contains("deployment opened")
                    && told[seen..].matches("step done").count() >= steps
            });

            let code = if tool {
                drop(deploying);
                None
            } else {
                kill(stage, &mut device);
                let Attempt { code, report, said, .. } =
                    deploying.end_within(Duration::from_secs(120)).unwrap();
                // It completed, or somebody said why not, or the M/OC was not there.
                let stated = code == Some(0)
                    || code == Some(3) && report["refused"]["check"].is_string()
                    || code == Some(4) && said.contains("does not answer");
                assert!(stated, "{}, step {steps}: {code:?} {report:#} {said}", flow.name());
                code
            };

            if code != Some(0) {
                again(stage, &user, &device, &flow);
            }
            assert!(!log(stage, "edge-1-tee").contains("panicked"), "{}", flow.name());
        }
    }
}

/// Nothing of what was cut is in the way.
fn again(stage: &Theatre, user: &User, device: &Device, flow: &Flow) {
    let ran = flow.run(stage, user, device).unwrap();
    assert!(ran.ok, "{}: {:?}", flow.name(), ran.why);
}

/// A row of each figure, with UA, as a process on SGX.
fn one_of_each_case() -> Vec<Flow> {
    let wanted =
        |flow: &Flow| flow.hardware == "SGX" && flow.instance == Instance::Process && flow.with_ua;
    let rows: Vec<Flow> = flows().into_iter().filter(wanted).collect();
    assert_eq!(rows.iter().map(|flow| flow.case).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    rows
}
