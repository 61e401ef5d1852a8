//! One Agent that serves the TAMs of two operators.

use serde_json::Value;
use stage::{Choices, Moc, Spec};

use crate::troupe::{Driver, assert_ride, log, open_stage, run, until};

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

fn devices(moc: &Moc) -> Vec<Value> {
    let token = std::fs::read_to_string(&moc.operator_token).unwrap();
    let answer = moc.api(token.trim(), "GET", "/v1/devices", &Value::Null).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_value(answer.json()).unwrap()
}

const STRANGER: &str = "a stranger attested; nobody enrolled it";
