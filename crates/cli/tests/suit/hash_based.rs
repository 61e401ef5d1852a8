//! The profile that is safe against quantum computers: signed, verified and run.

use std::{fs::OpenOptions, io::Write as _};

use crate::support::Desk;

#[test]
fn an_author_signs_with_hss_lms_and_a_device_runs_it() {
    let desk = Desk::new();
    std::fs::remove_file(desk.path("owner.key")).unwrap();
    desk.run("key new --algorithm hss-lms-1024 --out owner.key").succeeded();

    desk.planner(1);
    let signed = desk.run("suit sign --envelope planner.suit --key owner.key --out again.suit");

    let signed = signed.succeeded();
    assert!(signed.err.contains("owner.key is good for 1023 signatures more"), "{}", signed.err);
    for envelope in ["planner.suit", "again.suit"] {
        desk.run(&format!("suit verify --envelope {envelope}")).succeeded();
        desk.run(&format!("suit run --envelope {envelope} --store store-{envelope}")).succeeded();
    }
}

#[test]
fn a_key_that_is_used_up_is_named_with_the_remedy() {
    let desk = Desk::new();
    desk.planner(1);
    desk.run("key new --algorithm hss-lms-1024 --out hash.key").succeeded();
    let mut file = OpenOptions::new().append(true).open(desk.path("hash.key")).unwrap();
    file.write_all(&[b'.'; 1024]).unwrap();

    let ended = desk.run("suit sign --envelope planner.suit --key hash.key --out again.suit");

    ended.unusable("no signature left: make another with `tamarack key new`");
    assert!(!desk.path("again.suit").exists());
}
