//! One Agent that serves the TAMs of two operators.

use std::path::{Path, PathBuf};

use serde_json::Value;
use stage::{Choices, Moc, Spec};

use crate::troupe::{Driver, assert_ride, events, files, log, open_stage, run, until};

//= teep 14.73 (M): a policy check names each TAM of the Agent, and the Broker goes to all of them
#[test]
fn an_agent_serves_each_of_its_tams_and_one_that_is_gone_stops_no_other() {
    let choices = Choices { second_moc: true, ..Choices::default() };
    let mut stage = open_stage!(&choices);
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let second = stage.second.take().unwrap();

    // The wake-up of the first brought the Agent to the second as well, where nobody knows it.
    until("visit at the second M/OC", || log(&stage, "moc-2").contains(STRANGER));
    assert_eq!(devices(&second).len(), 0);
    assert!(!log(&stage, "moc").contains(STRANGER));

    // Its operator enrols it, too; for the first it is what it was.
    let mut broker = device.enrol_at(&second).unwrap();
    assert_eq!(devices(&second)[0]["state"], "attested");
    assert_eq!(device.shown(&stage).unwrap()["state"], "attested");

    broker.kill().unwrap();
    let mut party = second.party;
    party.kill().unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);
    assert!(log(&stage, "edge-1-broker").contains("a session failed"));
}

//= teep 15.118: of two operators neither learns of, or ends, what the other installed
#[test]
fn two_operators_deploy_to_one_agent_and_neither_learns_of_the_other() {
    let choices = Choices { second_moc: true, ..Choices::default() };
    let mut stage = open_stage!(&choices);
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let mut second = stage.second.take().unwrap();
    let _broker = device.enrol_at(&second).unwrap();
    let [of_first, of_second] = ["planner-of-oda", "planner-of-piet"];
    let oda = stage.user("oda").unwrap();
    let odas = oda.project(&stage, of_first, &Driver::ODA.data()).unwrap();
    let first_report = run(&stage, &oda, &odas, &device);

    std::mem::swap(&mut stage.moc, &mut second);
    let piet = stage.user("piet").unwrap();
    let piets = piet.project(&stage, of_second, &Driver::ODA.data()).unwrap();
    run(&stage, &piet, &piets, &device);
    assert_ride(&stage, &piet, &piets, &Driver::ODA);
    std::mem::swap(&mut stage.moc, &mut second);

    // The first is where it was, and is attested as it was.
    assert_ride(&stage, &oda, &odas, &Driver::ODA);
    let id = first_report["deployment"].as_str().unwrap();
    assert_eq!(events(&stage, &oda, id).last().unwrap(), "PD->TA");
    let [first, second] = [stage.layout.moc(), stage.layout.second_moc()];
    assert!(holds(&first, of_first) && holds(&second, of_second));
    assert!(!holds(&first, of_second) && !holds(&second, of_first));
}

/// Whether any file of an operator has this text.
fn holds(directory: &Path, text: &str) -> bool {
    let has = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files(directory).iter().any(has)
}

fn devices(moc: &Moc) -> Vec<Value> {
    let token = std::fs::read_to_string(&moc.operator_token).unwrap();
    let answer = moc.api(token.trim(), "GET", "/v1/devices", &Value::Null).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_value(answer.json()).unwrap()
}

const STRANGER: &str = "a stranger attested; nobody enrolled it";
