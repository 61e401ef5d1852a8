//! What the operator holds, and what it does not hold.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use stage::{Sighting, Spec, search, search_memory};

use crate::troupe::{Driver, assert_ride, open_stage, run};

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
fn the_search_finds_what_was_planted_in_a_file_a_log_and_a_memory() {
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

fn found(sightings: &[Sighting], place: &str, writing: &str) -> bool {
    sightings.iter().any(|seen| seen.place.ends_with(place) && seen.writing == writing)
}
