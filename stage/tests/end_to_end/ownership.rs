//! Trusted Applications that somebody else owns, and the Network User's data (draft section 2.1).

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stage::{Spec, Stage, User};

use crate::troupe::{Driver, assert_ride, log, open_stage, run};

#[test]
fn a_ta_of_a_third_party_gets_the_data_when_the_user_pinned_it() {
    let stage = open_stage!();
    let vendor = stage.user("vendor").unwrap();
    let key = vendor.home().join("owner.key");
    with_a_ta_of_another(&stage, &vendor, &key);
}

#[test]
fn a_ta_of_the_moc_gets_the_data_when_the_user_pinned_it() {
    let stage = open_stage!();
    let operator = stage.user("operator").unwrap();
    let key = stage.layout.moc().join("data/keys/tam-esp256.pem");
    with_a_ta_of_another(&stage, &operator, &key);
}

#[test]
fn a_project_of_the_moc_that_declares_data_is_refused_by_the_tool() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();
    change(&project, "name = \"", "owner = \"moc\"\nname = \"");

    let mut build = user.tamarack(&stage);
    build.args(["package", "build", "--project"]).arg(&project).arg("--out").arg(user.home());
    let refused = build.output().unwrap();

    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("draft section 2.1"), "{said}");
    assert!(!user.home().join("ta.suit").exists(), "nothing was built");
}

/// Without a pin the data stays; with one the TA serves it; what bundles the TA has no place for
/// another owner's.
fn with_a_ta_of_another(stage: &Stage, author: &User, key: &Path) {
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let (package, manifest) = built(stage, author, key);
    let user = stage.user("oda").unwrap();
    let driver = Driver::ODA;
    let project = user.project(stage, "my-planner", &driver.data()).unwrap();
    change(&project, "module = \"route-planner.wasm\"", &format!("package = {package:?}"));

    let said = unusable(stage, &user, &project);
    assert!(said.contains(&format!("manifest = \"{manifest}\"")), "{said}");
    let other = "5e".repeat(32);
    let pin = |with: &str| format!("package = {package:?}\nmanifest = \"{with}\"");
    change(&project, &format!("package = {package:?}"), &pin(&other));
    let said = unusable(stage, &user, &project);
    assert!(said.contains(&other) && said.contains(&manifest), "{said}");
    assert!(!log(stage, "moc").contains("deployment opened"));
    change(&project, &pin(&other), &pin(&manifest));
    change(&project, "case = 3", "case = 2");
    let said = unusable(stage, &user, &project);
    assert!(said.contains("draft section 4.2"), "{said}");

    for case in [3, 5] {
        change(&project, "case = 2", &format!("case = {case}"));
        run(stage, &user, &project, &device);
        assert_ride(stage, &user, &project, &driver);
        change(&project, &format!("case = {case}"), "case = 2");
    }
}

/// The sample's TA as another owner builds it: the package, and the digest of its manifest.
fn built(stage: &Stage, author: &User, key: &Path) -> (PathBuf, String) {
    let project = author.project(stage, "route-planner", b"{}").unwrap();
    let text = fs::read_to_string(&project).unwrap();
    let (head, _) = text.split_once("[ua]").unwrap();
    fs::write(&project, format!("owner = \"moc\"\n{head}")).unwrap();
    let out = author.home().join("built");
    let mut build = author.tamarack(stage);
    build.args(["package", "build", "--json", "--project"]).arg(project).arg("--out").arg(&out);
    let output = build.arg("--signer").arg(key).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ta = &report["built_once"][0];
    (out.join("ta.suit"), ta["manifest"].as_str().unwrap().to_owned())
}

/// Deploys what cannot be used, and gives what the tool says.
fn unusable(stage: &Stage, user: &User, project: &Path) -> String {
    let attempt = user.attempt(stage, project, "edge-1").unwrap();
    assert_eq!(attempt.code, Some(2), "{:#} {}", attempt.report, attempt.said);
    attempt.said
}

fn change(project: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(project).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    fs::write(project, text.replacen(from, to, 1)).unwrap();
}
