//! What is refused: explained, before any Personalization Data moves, and without harm to the next
//! deployment on the same device.

use std::{fs, path::PathBuf, thread::JoinHandle, time::Instant};

use serde_json::json;
use stage::{Device, Misbehaviour, Pins, Spec};

use crate::troupe::{
    self, Driver, Theatre, assert_ride, explained, files, log, open_stage, refused, run, running,
    sequence,
};

#[test]
fn a_changed_byte_of_the_ta_in_the_operators_store_is_refused_by_the_agent() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    let module = fs::read(project.with_file_name("route-planner.wasm")).unwrap();

    let tampering = tamper_when_stored(stage.layout.moc().join("data/blobs"), module);
    let attempt = user.attempt(&stage, &project, &device.name).unwrap();
    let changed = tampering.join().unwrap().expect("the TA came to the store");

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert_eq!((&*refusal.check, &*refusal.owner), ("suit.condition-image-match", "operator"));
    assert_eq!(sequence(&attempt.report), ["UA->REE"]);
    fs::remove_file(changed).unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

#[test]
fn a_tcb_out_of_date_is_refused_by_the_user_whose_operator_takes_it() {
    let stage = open_stage!();
    let device = refused_misbehaviour(&stage, Misbehaviour::TcbOutOfDate, "dcap.tcb.status");

    // A user whose own policy allows it gets it on the same device.
    let policy = stage.layout.release().join("policy.toml");
    fs::write(&policy, PATIENT).unwrap();
    let pins = Pins { policy: Some(policy), ..stage.pins() };
    let user = stage.user_with("otto", &pins).unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

#[test]
fn the_operator_s_word_is_enough_for_a_user_who_says_so_and_for_nobody_else() {
    let stage = open_stage!();
    let spec = Spec::sgx("edge-1").misbehaving(Misbehaviour::TcbOutOfDate);
    let device = stage.device(&spec).unwrap();
    for (strength, taken) in [("result", true), ("evidence", false), ("own", false)] {
        let user = stage.user(&format!("user-{strength}")).unwrap();
        let mut trust = user.tamarack(&stage);
        assert!(
            trust.args(["trust", "--json", "--strength", strength]).status().unwrap().success()
        );
        let name = format!("planner-{strength}");
        let project = user.project(&stage, &name, &Driver::ODA.data()).unwrap();

        let attempt = user.attempt(&stage, &project, &device.name).unwrap();

        if taken {
            running(attempt);
            assert_ride(&stage, &user, &project, &Driver::ODA);
        } else {
            let refusal = explained(refused(&stage, &user, &project, &attempt));
            assert_eq!(refusal.check, "dcap.tcb.status", "{strength}");
        }
    }
}

#[test]
fn a_device_that_can_be_debugged_is_refused_by_the_user_until_it_is_mended() {
    let stage = open_stage!();
    let mut device = refused_misbehaviour(&stage, Misbehaviour::Debug, "instance.debug");

    device.mend(&stage).unwrap();

    let user = stage.user("otto").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

#[test]
fn an_agent_of_another_release_than_the_pinned_one_is_refused() {
    let stage = open_stage!();
    let pins = Pins { reference: stage.other_release().unwrap(), ..stage.pins() };
    refused_with_these_pins(&stage, &pins, "mrenclave");
}

#[test]
fn an_emulator_that_the_user_did_not_pin_is_refused() {
    let stage = open_stage!();
    let pins = Pins { emulator: Some("5e".repeat(32)), anchors: None, ..stage.pins() };
    refused_with_these_pins(&stage, &pins, "dcap.pck.root");
}

#[test]
fn a_user_who_pins_no_emulator_gets_no_emulated_device() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let pins = Pins { anchors: None, ..stage.pins() };
    let user = stage.user_with("otto", &pins).unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    let attempt = user.attempt(&stage, &project, &device.name).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert!(refusal.seen.contains("edge-1"), "{refusal:#?}");
    assert!(refusal.seen.contains("emulated"), "{refusal:#?}");
    assert!(!log(&stage, "moc").contains("deployment opened"));
}

/// The operator takes a device that the Network User's own appraisal refuses.
fn refused_misbehaviour(stage: &Theatre, misbehaviour: Misbehaviour, check: &str) -> Device {
    let device = stage.device(&Spec::sgx("edge-1").misbehaving(misbehaviour)).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(stage, "route-planner", &Driver::ODA.data()).unwrap();

    let attempt = user.attempt(stage, &project, &device.name).unwrap();

    let refusal = explained(refused(stage, &user, &project, &attempt));
    assert_eq!(refusal.check, check, "{refusal:#?}");
    assert_eq!(sequence(&attempt.report), BEFORE_PD);
    let verdicts = json!({ "own": "refused", "moc": "warning", "differ": true });
    assert_eq!(attempt.report["verdicts"], verdicts);
    device
}

/// The operator takes the device, and so does a user with the right pins.
fn refused_with_these_pins(stage: &Theatre, pins: &Pins, check: &str) {
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user_with("otto", pins).unwrap();
    let project = user.project(stage, "route-planner", &Driver::ODA.data()).unwrap();

    let attempt = user.attempt(stage, &project, &device.name).unwrap();
    let refusal = explained(refused(stage, &user, &project, &attempt));

    assert_eq!(refusal.check, check, "{refusal:#?}");
    assert_eq!(sequence(&attempt.report), BEFORE_PD);
    let other = stage.user("oda").unwrap();
    let theirs = other.project(stage, "route-planner", &Driver::ODA.data()).unwrap();
    run(stage, &other, &theirs, &device);
    assert_ride(stage, &other, &theirs, &Driver::ODA);
}

/// Waits for a blob in the operator's store, flips one bit of it there, and says where. A blob is
/// named by its digest; other names are of uploads under way.
fn tamper_when_stored(store: PathBuf, blob: Vec<u8>) -> JoinHandle<Option<PathBuf>> {
    std::thread::spawn(move || {
        let started = Instant::now();
        while started.elapsed() < troupe::PATIENCE {
            for file in files(&store) {
                let whole = file.file_name().is_some_and(|name| name.len() == 64);
                if whole && fs::read(&file).is_ok_and(|stored| stored == blob) {
                    let mut tampered = blob.clone();
                    tampered[blob.len() / 2] ^= 1;
                    return fs::write(&file, tampered).ok().map(|()| file);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        None
    })
}

const BEFORE_PD: [&str; 3] = ["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent"];

const PATIENT: &str = "id = \"patient\"\nemulated_allowed = true\n\
     [dcap]\ntcb_statuses = [\"UpToDate\", \"OutOfDate\"]\n";
