//! What nobody should send, and what each party makes of it.

use std::{fs, net::TcpListener, path::Path, time::Duration};

use serde_json::{Value, json};
use stage::{Ask, Attempt, Device, Refusal, Spec, Stage, User};

use crate::{
    forgery,
    troupe::{
        Driver, assert_ride, deployment, explained, get, log, open_stage, refused, run, told,
    },
};

#[test]
fn a_package_that_another_key_signed_is_refused_by_the_moc() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let (honest, forged) = forgery::packages();
    let asked = json!({
        "case": 3, "instance": "process", "hardware": ["SGX"], "with_ua": true,
        "device": device.name, "emulated": true,
    });
    let token = user.token().unwrap();
    let placed = stage.moc.api(&token, "POST", "/v1/requests", &asked).unwrap();
    assert_eq!(placed.status, 201, "{}", placed.json());
    let id = placed.json()["deployment"].as_str().unwrap().to_owned();
    let put = |envelope: &[u8]| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/suit-envelope+cbor"),
        ];
        let path = format!("/v1/deployments/{id}/packages/ta");
        stage.moc.ask(&Ask { method: "PUT", path: &path, headers: &headers, body: envelope })
    };

    let answer = put(&forged).unwrap();

    let problem = answer.json();
    assert_eq!(answer.status, 403, "{problem}");
    assert_eq!((&problem["check"], &problem["owner"]), (&"owner".into(), &"network-user".into()));
    for member in ["expected", "seen", "remedy"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
    assert_eq!(deployment(&stage, &user, &id)["needs"], json!(["ua", "ta"]));
    assert_eq!(put(&honest).unwrap().status, 201);
}

#[test]
fn a_wrong_tenant_token_is_refused_before_anything_is_opened() {
    let stage = open_stage!();
    let (user, refusal) = with_a_wrong_token(&stage);

    assert_eq!(refusal.check, "token", "{refusal:#?}");
    assert!(refusal.remedy.contains("token"), "{refusal:#?}");
    assert!(!log(&stage, "moc").contains("deployment opened"));
    assert!(!user.home().join("route-planner/call-ticket.json").exists());
}

#[test]
fn a_wrong_tenant_token_is_explained_in_full() {
    let stage = open_stage!();
    let (_, refusal) = with_a_wrong_token(&stage);

    explained(refusal);
}

#[test]
fn a_device_that_nobody_knows_is_explained_with_the_candidates() {
    let stage = open_stage!();
    let _device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    let attempt = user.attempt(&stage, &project, "edge-9").unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert!(refusal.seen.contains("edge-1"), "{refusal:#?}");
    assert!(refusal.expected.contains("edge-9"), "{refusal:#?}");
}

#[test]
fn a_moc_that_is_not_there_is_said_in_clear_text_and_soon() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    let account = user.home().join("account.toml");
    let text = fs::read_to_string(&account).unwrap().replace(&stage.moc.url, &nobody);
    fs::write(&account, text).unwrap();

    let Attempt { code, report, said, took } = user.attempt(&stage, &project, "edge-1").unwrap();

    assert_eq!(code, Some(4), "{report:#} {said}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(said.contains("does not answer") && said.contains(&nobody), "{said}");
    assert!(report["error"].as_str().unwrap().contains(&nobody), "{report:#}");
}

#[test]
fn teep_messages_that_are_none_get_an_empty_answer_and_harm_nothing() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let genuine: Vec<Vec<u8>> =
        device.captured().iter().map(|message| fs::read(message).unwrap()).collect();
    let mut bad = vec![vec![0xff; 100], vec![0x81; 5000], b"GET / HTTP/1.1".to_vec(), vec![0]];
    for message in &genuine {
        let ends = [1, 2, message.len() / 3, message.len() / 2, message.len() - 1];
        bad.extend(ends.map(|end| message[..end].to_vec()));
        let mut flipped = message.clone();
        flipped[message.len() / 2] ^= 1;
        bad.push(flipped);
        bad.push([message.as_slice(), &[0]].concat());
    }

    for path in ["/tam", &format!("/tam/{}", device.enrolment_ticket)] {
        for message in &bad {
            let answer = stage.moc.teep(path, message).unwrap();
            let shown = &message[..message.len().min(16)];
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{path} {shown:02x?}");
        }
        assert_eq!(stage.moc.teep(path, &vec![0; 5 << 20]).unwrap().status, 413);
        for (method, headers, status) in [
            ("GET", [("Accept", TEEP), ("Content-Type", TEEP)], 405),
            ("POST", [("Accept", "text/html"), ("Content-Type", TEEP)], 406),
            ("POST", [("Accept", TEEP), ("Content-Type", "text/plain")], 415),
        ] {
            let ask = Ask { method, path, headers: &headers, body: b"x" };
            assert_eq!(stage.moc.ask(&ask).unwrap().status, status, "{method} {path}");
        }
    }

    assert!(!log(&stage, "moc").contains("panicked"), "{}", log(&stage, "moc"));
    assert_eq!(device.shown(&stage).unwrap()["state"], "attested");
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
}

#[test]
fn a_replayed_answer_of_the_agent_changes_nothing() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let report = run(&stage, &user, &project, &device);
    let id = report["deployment"].as_str().unwrap();
    let before = state(&stage, &user, &device, id);
    let answers: Vec<_> = device.captured().into_iter().filter(|m| is_from_agent(m)).collect();
    assert!(answers.len() >= 6, "{answers:?}");

    for path in ["/tam", &format!("/tam/{}", device.enrolment_ticket)] {
        for answer in &answers {
            let replayed = stage.moc.teep(path, &fs::read(answer).unwrap()).unwrap();
            let shown = answer.display();
            assert_eq!((replayed.status, replayed.body.len()), (204, 0), "{path} {shown}");
        }
    }
    let stranger = stage.moc.teep(&format!("/tam/{}", device.enrolment_ticket), &[]).unwrap();
    assert_eq!(stranger.status, 200, "an old ticket is as good as none");

    assert_eq!(state(&stage, &user, &device, id), before);
    assert_ride(&stage, &user, &project, &Driver::ODA);
    let other = user.project(&stage, "route-planner-2", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &other, &device);
}

#[test]
fn a_project_that_cannot_be_used_is_said_to_be_so() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    let changes = [
        ("name = \"", "owner = \"moc\"\nname = \"", "draft section 2.1"),
        ("instance = \"process\"", "instance = \"vm\"", "figure 4"),
        ("case = 3", "case = 6", "one of the draft's cases"),
        ("name = \"", "name = \"../", "a-z"),
        ("sequence = 1", "sequense = 1", "sequense"),
        ("instance = \"process\"", "instance = \"thread\"", "thread"),
    ];

    for (number, (from, to, word)) in (1..).zip(changes) {
        let name = format!("project-{number}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();
        unusable(&stage, &user, &project, from, to, word);
    }
    let absent = user.home().join("absent.toml");
    let attempt = user.attempt(&stage, &absent, "edge-1").unwrap();
    assert_eq!(attempt.code, Some(2), "{:#}", attempt.report);
    assert!(attempt.said.contains("absent.toml"), "{}", attempt.said);
}

#[test]
fn a_case_without_one_of_its_parts_is_refused_with_its_section() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    for (case, part) in [(1, "ua"), (2, "ua"), (5, "ua"), (4, "pd")] {
        let name = format!("project-{case}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();
        let text =
            fs::read_to_string(&project).unwrap().replace("case = 3", &format!("case = {case}"));
        let (from, to) = match part {
            "ua" => (text.find("[ua]").unwrap(), text.find("[pd]").unwrap()),
            _ => (text.find("[pd]").unwrap(), text.len()),
        };
        let without = [&text[..from], &text[to..]].concat();
        fs::write(&project, without).unwrap();

        let attempt = user.attempt(&stage, &project, "edge-1").unwrap();

        assert_eq!(attempt.code, Some(2), "{:#}", attempt.report);
        let section = format!("draft section 4.{case}");
        assert!(attempt.said.contains(&section), "{}", attempt.said);
        assert!(attempt.said.contains(&format!("no [{part}]")), "{}", attempt.said);
    }
    assert!(!log(&stage, "moc").contains("deployment opened"));
}

#[test]
fn what_a_package_holds_is_built_once_and_the_data_is_left_for_later() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    for (case, once, late) in [
        (1, vec!["(TA)", "(UA)"], "(UA,TA,PD)"),
        (2, vec!["(TA)", "(UA)", "(UA,TA)"], "(PD)"),
        (3, vec!["(TA)", "(UA)"], "(PD)"),
        (4, vec!["(TA)", "(UA)"], "(TA,PD)"),
        (5, vec!["(TA)", "(UA)"], "(UA,PD)"),
    ] {
        let name = format!("project-{case}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();
        let text = fs::read_to_string(&project).unwrap();
        fs::write(&project, text.replace("case = 3", &format!("case = {case}"))).unwrap();
        let out = user.home().join(format!("built-{case}"));

        let mut build = user.tamarack(&stage);
        build.args(["package", "build", "--json", "--project"]).arg(&project);
        let output = build.arg("--out").arg(&out).output().unwrap();

        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let built: Vec<&str> = report["built_once"]
            .as_array()
            .unwrap()
            .iter()
            .map(|built| built["package"].as_str().unwrap())
            .collect();
        assert_eq!((built, &report["sealed_late"]), (once, &json!([late])), "{report:#}");
        let found = stage::search(&[out], Driver::ODA.name).unwrap();
        assert_eq!(found, [], "what is built once holds no data");
    }
}

#[test]
fn a_project_whose_files_are_missing_asks_the_moc_for_nothing() {
    let stage = open_stage!();
    let _device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();

    for (number, file) in (1..).zip(["route-planner.wasm", "route-relay", "pd.json"]) {
        let name = format!("project-{number}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();
        let (from, to) = (format!("\"{file}\""), format!("\"absent-{file}\""));
        unusable(&stage, &user, &project, &from, &to, &format!("absent-{file}"));
    }
    let project = user.project(&stage, "project-4", &Driver::ODA.data()).unwrap();
    unusable(&stage, &user, &project, "vehicle.pub", "nobody.pub", "nobody.pub");

    assert!(!log(&stage, "moc").contains("deployment opened"), "{}", log(&stage, "moc"));
}

/// A deployment in the name of a token that nobody gave out.
fn with_a_wrong_token(stage: &Stage) -> (User, Refusal) {
    let user = stage.user("oda").unwrap();
    let project = user.project(stage, "route-planner", &Driver::ODA.data()).unwrap();
    fs::write(user.home().join("tenant.token"), "tm_0123456789").unwrap();
    let attempt = user.attempt(stage, &project, "edge-1").unwrap();
    let refusal = told(&project, &attempt);
    (user, refusal)
}

/// Changes a project; the command ends with exit code 2 and says the word.
fn unusable(stage: &Stage, user: &User, project: &Path, from: &str, to: &str, word: &str) {
    let text = fs::read_to_string(project).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(project, text.replacen(from, to, 1)).unwrap();

    let attempt = user.attempt(stage, project, "edge-1").unwrap();

    assert_eq!(attempt.code, Some(2), "{to}: {:#}", attempt.report);
    assert!(attempt.said.contains(word), "{to}: {}", attempt.said);
    assert!(attempt.report["error"].is_string(), "{to}: {:#}", attempt.report);
}

/// Everything that a replay could change.
fn state(stage: &Stage, user: &User, device: &Device, id: &str) -> Value {
    json!({
        "deployment": deployment(stage, user, id),
        "receipts": get(stage, user, &format!("/v1/deployments/{id}/receipts")),
        "device": device.shown(stage).unwrap(),
    })
}

fn is_from_agent(message: &Path) -> bool {
    message.to_string_lossy().contains("agent-to-tam")
}

const TEEP: &str = "application/teep+cbor";
