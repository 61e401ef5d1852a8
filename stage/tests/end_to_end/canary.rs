//! What the operator holds, and what it does not hold.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    process::{Command, Stdio},
};

use stage::{
    Canary, Flow, Instance, Sighting, Spec, User, flows, search, search_memory, search_text,
};

use crate::troupe::{Driver, assert_ride, open_stage, run, until};

#[test]
fn nothing_that_the_operator_holds_knows_the_driver() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let driver = Driver::ODA;
    let project = user.project(&stage, "route-planner", &driver.data()).unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &driver);

    let uas = device.broker.children();
    assert_eq!(uas.len(), 1, "one UA runs");
    let processes = [stage.moc.party.pid(), device.broker.pid(), uas[0]];
    for canary in [driver.name, driver.from, driver.to, driver.stop, &driver.habit()] {
        let files = search(&stage.layout.held_by_operator(), canary).unwrap();
        assert_eq!(files, [], "`{canary}` is in the operator's files");
        for process in processes {
            let memory = search_memory(process, canary).unwrap();
            assert_eq!(memory, [], "`{canary}` is in the operator's memory");
        }
    }
    // The same search does find it where it may be.
    assert!(!search(&[user.home().to_path_buf()], driver.name).unwrap().is_empty());
}

#[test]
fn the_search_finds_what_was_planted_in_a_file_a_log_the_metrics_and_a_memory() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let driver = Driver::ODA;
    let held = stage.layout.held_by_operator();
    assert_eq!(search(&held, driver.name).unwrap(), []);

    fs::write(stage.layout.moc().join("data/notes"), driver.data()).unwrap();
    let mut log = fs::File::options().append(true).open(stage.layout.log("moc")).unwrap();
    writeln!(log, "a ride of {}", driver.name).unwrap();
    let message = device.captured().remove(0);
    let mut bytes = fs::read(&message).unwrap();
    bytes.extend(driver.name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().bytes());
    fs::write(&message, bytes).unwrap();
    let mut process = Command::new("sleep")
        .arg("60")
        .env("DRIVER", driver.name)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();

    let metrics = stage.moc.metrics().unwrap();
    let planted = [metrics.as_slice(), driver.name.as_bytes()].concat();
    assert!(metrics.starts_with(b"# HELP"), "there are metrics");
    assert_eq!(search_text(&metrics, "metrics", driver.name), []);
    assert!(found(&search_text(&planted, "metrics", driver.name), "metrics", "as it is"));
    let files = search(&held, driver.name).unwrap();
    let memory = search_memory(process.id(), driver.name);

    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(found(&files, "moc/data/notes", "as it is"), "{files:?}");
    assert!(found(&files, "logs/moc.log", "as it is"), "{files:?}");
    assert!(found(&files, message.to_str().unwrap(), "hexadecimal"), "{files:?}");
    assert!(found(&memory.unwrap(), "", "as it is"));
}

/// The search that every row of the figures ends with finds what it shall find, case by case: a
/// word of that case's data in each kind of place that it looks into.
#[test]
fn the_search_of_each_case_finds_what_was_planted() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let wanted =
        |flow: &Flow| flow.hardware == "SGX" && flow.instance == Instance::Process && flow.with_ua;
    for flow in flows().into_iter().filter(wanted) {
        let canary = Canary::of(&flow);
        let ran = flow.run(&stage, &user, &device).unwrap();
        assert!(ran.ok && ran.canary.is_empty(), "{}: {:?} {:?}", flow.name(), ran.why, ran.canary);

        let [_, stop] = canary.words();
        let state = stage.layout.device(&device.name);
        let places = [
            stage.layout.moc().join("data/planted"),
            stage.layout.log("planted"),
            state.join("captured/planted"),
            state.join("ree/planted"),
        ];
        for place in &places {
            fs::write(place, stop).unwrap();
        }
        // What a caller of the UA sends in the clear is in the UA's memory for a while.
        let mut ua = TcpStream::connect(address(&user, &flow)).unwrap();
        let sent = stop.repeat(100);
        ua.write_all(&u32::try_from(sent.len() + 1).unwrap().to_be_bytes()).unwrap();
        ua.write_all(sent.as_bytes()).unwrap();
        let seen = || canary.search(&stage, &device).unwrap();
        let in_memory = |seen: &[Sighting]| seen.iter().any(|s| s.place.starts_with("process "));
        until("the UA to hold what it was sent", || in_memory(&seen()));

        let seen = seen();
        for place in &places {
            let place = place.to_str().unwrap();
            assert!(found(&seen, place, "as it is"), "{}: {place} {seen:?}", flow.name());
            fs::remove_file(place).unwrap();
        }
        drop(ua);
    }
}

/// Where the UA of a row listens.
fn address(user: &User, flow: &Flow) -> String {
    let ticket = fs::read(user.home().join(flow.name()).join("call-ticket.json")).unwrap();
    let ticket: serde_json::Value = serde_json::from_slice(&ticket).unwrap();
    ticket["address"].as_str().unwrap().to_owned()
}

fn found(sightings: &[Sighting], place: &str, writing: &str) -> bool {
    sightings.iter().any(|seen| seen.place.ends_with(place) && seen.writing == writing)
}
