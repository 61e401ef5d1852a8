//! The suites of the channel: the Agent offers, the Network User's policy chooses.

use stage::{Canary, Flow, Instance, Ride, Spec, Stage, User, flows};

use crate::{
    live,
    troupe::{explained, log, open_stage, refused, run, running},
};

#[test]
fn data_is_sealed_with_the_suite_that_the_user_prefers_on_either_carrier_and_to_either_end() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    for (case, wanted, live, suite) in [
        (1, None, false, "x-wing"),
        (3, Some("x25519,x-wing"), true, "x25519"),
        (3, Some("x-wing"), true, "x-wing"),
        (5, Some("p-256"), false, "p-256"),
    ] {
        let user = user(&stage, &format!("user-{case}-{suite}"), wanted);
        let flow = flow(case);
        let canary = Canary::of(&flow);
        let project = if live {
            live::project(&stage, &user, &flow, &canary, &device, 0)
        } else {
            flow.project(&stage, &user, &canary).unwrap()
        };

        let report = run(&stage, &user, &project, &device);

        assert_eq!(report["channel"], suite, "case {case}: {report:#}");
        let answer = user.ride(&stage, &project, Ride { from: "home", to: "work" }).unwrap();
        let shown = |habit: &String| canary.words().iter().any(|word| habit.contains(word));
        assert!(answer.habits.iter().any(shown), "case {case}: {answer:?}");
    }
}

#[test]
fn a_device_that_offers_no_suite_of_the_user_s_gets_nothing() {
    let mut stage = open_stage!();
    stage.publish_again("channel = [\"p-256\"]").unwrap();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = user(&stage, "oda", Some("x-wing,x25519"));
    let flow = flow(3);
    let project = flow.project(&stage, &user, &Canary::of(&flow)).unwrap();

    let attempt = user.attempt(&stage, &project, &device.name).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert_eq!((&*refusal.check, &*refusal.seen), ("channel.suite", "p-256"), "{refusal:#?}");
    assert!(refusal.remedy.contains("tamarack trust --channel"), "{refusal:#?}");
    assert!(!log(&stage, "edge-1-tee").contains("personalization data was released"));
    trust(&stage, &user, "x-wing,p-256");
    let report = running(user.attempt(&stage, &project, &device.name).unwrap());
    assert_eq!(report["channel"], "p-256");
}

fn user(stage: &Stage, name: &str, channel: Option<&str>) -> User {
    let user = stage.user(name).unwrap();
    if let Some(channel) = channel {
        trust(stage, &user, channel);
    }
    user
}

fn trust(stage: &Stage, user: &User, channel: &str) {
    let mut trust = user.tamarack(stage);
    assert!(trust.args(["trust", "--json", "--channel", channel]).status().unwrap().success());
}

/// A row with UA as a process on SGX.
fn flow(case: u8) -> Flow {
    let wanted = |flow: &Flow| {
        (flow.case, &*flow.hardware, flow.instance, flow.with_ua)
            == (case, "SGX", Instance::Process, true)
    };
    flows().into_iter().find(wanted).unwrap()
}
