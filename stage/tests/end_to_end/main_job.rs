//! Case 3 of the draft, from the request to the vehicle's answer.

use std::path::Path;

use serde_json::Value;
use stage::{Spec, Stage, User};

use crate::troupe::{Driver, assert_ride, deployment, get, open_stage, run, sequence};

#[test]
fn case_3_loads_in_the_order_of_the_draft_and_ends_with_a_receipt() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    let report = run(&stage, &user, &project, &device);

    assert_eq!(sequence(&report), row_of_the_figure());
    assert_eq!((&report["receipt"], &report["emulated"]), (&true.into(), &true.into()));
    assert_eq!((&report["hardware"], &report["tcb_status"]), (&"SGX".into(), &"UpToDate".into()));
    let id = report["deployment"].as_str().unwrap();
    let shown = deployment(&stage, &user, id);
    assert_eq!(shown["state"], "running");
    let receipts = get(&stage, &user, &format!("/v1/deployments/{id}/receipts"));
    assert_eq!(receipts.as_array().unwrap().len(), 1);
}

#[test]
fn the_vehicle_gets_an_answer_that_only_the_released_data_explains() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let driver = Driver::ODA;
    let project = user.project(&stage, "route-planner", &driver.data()).unwrap();
    run(&stage, &user, &project, &device);

    let answer = user.ride(&stage, &project, driver.ride()).unwrap();

    assert!(answer.habits.contains(&driver.habit()), "{answer:?}");
    assert!(answer.habits.iter().any(|habit| habit.starts_with("avoids Harbour Tunnel")));
    assert!(!answer.streets.contains(&"Harbour Tunnel".to_owned()), "{answer:?}");
    let stranger = stage.user("stranger").unwrap();
    let theirs = stranger.project(&stage, "route-planner", &driver.data()).unwrap();
    let ticket = "call-ticket.json";
    std::fs::copy(project.with_file_name(ticket), theirs.with_file_name(ticket)).unwrap();
    let refused = stranger.ride(&stage, &theirs, driver.ride()).unwrap_err();
    assert!(format!("{refused:#}").contains("not served"), "{refused:#}");
    assert_ride(&stage, &user, &project, &driver);
}

#[test]
fn a_project_that_runs_is_deployed_again() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    let moved = Driver { stop: "the bakery at Customs Walk", ..Driver::ODA };
    std::fs::write(project.with_file_name("pd.json"), moved.data()).unwrap();

    let report = run(&stage, &user, &project, &device);

    assert_eq!(sequence(&report), row_of_the_figure());
    assert_ride(&stage, &user, &project, &moved);
}

#[test]
fn inspect_explains_every_message_and_every_artefact() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);

    let messages = device.captured();
    assert!(messages.len() >= 12, "{messages:?}");
    for message in &messages {
        let text = inspected(&stage, &user, message);
        assert!(MESSAGES.iter().any(|name| text.contains(name)), "{text}");
    }
    for (artefact, what) in [
        (project.with_file_name("result.cmw"), "CMW collection"),
        (project.with_file_name("pd.suit"), "SUIT_Envelope"),
        (project.with_file_name("receipt.cbor"), "of Personalization Data"),
        (stage.layout.release().join("agent.corim"), "CoRIM"),
        (stage.layout.release().join("release.pub"), "COSE_Key"),
    ] {
        let text = inspected(&stage, &user, &artefact);
        assert!(text.contains(what), "{}: {text}", artefact.display());
    }
}

fn inspected(stage: &Stage, user: &User, file: &Path) -> String {
    let output = user.tamarack(stage).arg("inspect").arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}: {text}", file.display());
    text
}

/// Figure 4's row, from the matrix where it is, else as it was read.
fn row_of_the_figure() -> Vec<String> {
    let matrix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/seed/matrix.json");
    let Ok(text) = std::fs::read(matrix) else {
        let row = ["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"];
        return row.map(str::to_owned).to_vec();
    };
    let matrix: Value = serde_json::from_slice(&text).unwrap();
    let is_ours = |flow: &&Value| {
        (&flow["case"], &flow["instance"], &flow["hardware"], &flow["with_ua"])
            == (&3.into(), &"process".into(), &"SGX".into(), &true.into())
    };
    let row = matrix["flows"].as_array().unwrap().iter().find(is_ours).unwrap();
    serde_json::from_value(row["load_sequence"].clone()).unwrap()
}

/// As an explanation names the five messages, under their signature.
const MESSAGES: [&str; 5] = [
    "\n    QueryRequest:",
    "\n    QueryResponse:",
    "\n    Update:",
    "\n    Success:",
    "\n    Error:",
];
