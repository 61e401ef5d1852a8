//! Devices and operators that agreed on more than the protocol asks for: secrecy towards the TAM,
//! a suite of their own, the code points of older drafts.

use std::fs;

use cose::{Agreement as _, Algorithm, Curve, Sign1, Tagging};
use keys::AgreementKey;
use stage::{Choices, Confidant, Device, Spec, Stage};

use crate::troupe::{Driver, assert_ride, log, open_stage, run, until};

#[test]
fn evidence_and_reports_for_the_tam_are_read_by_nobody_on_the_way() {
    let stage = open_stage!(&Choices { confidant: Confidant::Tam, ..Choices::default() });
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    run(&stage, &user, &project, &device);

    assert_ride(&stage, &user, &project, &Driver::ODA);
    assert!(device.captured().len() >= 12);
    for message in device.captured() {
        let bytes = fs::read(&message).unwrap();
        let shown = [EVIDENCE, REPORT].map(|part| contains(&bytes, part));
        assert_eq!(shown, [false; 2], "{}", message.display());
    }
    let result = fs::read(project.with_file_name("result.cmw")).unwrap();
    assert!(contains(&result, EVIDENCE), "the Network User gets the Evidence in the clear");
}

#[test]
fn evidence_for_somebody_else_enrols_nobody() {
    let other = AgreementKey::generate(Curve::P256).unwrap();
    let other = other.key().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    let choices = Choices { confidant: Confidant::Other(other), ..Choices::default() };
    let stage = open_stage!(&choices);

    let device = stage.device_begun(&Spec::sgx("edge-1")).unwrap();

    assert_stays_enrolled(&stage, &device);
}

#[test]
fn a_device_and_its_operator_sign_with_ml_dsa_65() {
    let suite = Some("ml-dsa-65");
    let stage = open_stage!(&Choices { tam: "ml_dsa_65 = true", suite, ..Choices::default() });
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    run(&stage, &user, &project, &device);

    assert_ride(&stage, &user, &project, &Driver::ODA);
    let (mut signed, mut shown) = (0, [false; 2]);
    for message in device.captured() {
        let bytes = fs::read(&message).unwrap();
        // Nobody asked for secrecy here, so this is what it hides elsewhere.
        shown = [shown[0] || contains(&bytes, EVIDENCE), shown[1] || contains(&bytes, REPORT)];
        // An opening for everybody has a signature in each suite.
        let Ok(sign1) = Sign1::decode(&bytes, Tagging::Tagged) else { continue };
        assert_eq!(sign1.protected.algorithm, Some(Algorithm::MlDsa65), "{}", message.display());
        signed += 1;
    }
    assert!(signed >= 11, "{signed} messages have one signature");
    assert_eq!(shown, [true; 2]);
}

#[test]
fn a_device_with_ml_dsa_65_alone_is_not_enrolled_where_it_is_not_offered() {
    let stage = open_stage!(&Choices { suite: Some("ml-dsa-65"), ..Choices::default() });

    let device = stage.device_begun(&Spec::sgx("edge-1")).unwrap();

    assert_stays_enrolled(&stage, &device);
}

/// Its Evidence is encrypted as well: what tells the device is inside.
#[test]
fn a_device_of_older_drafts_is_served_like_any_other() {
    let stage = open_stage!(&Choices {
        tam: "legacy_devices = ['edge-1']",
        agent: LEGACY,
        confidant: Confidant::Tam,
        ..Choices::default()
    });
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let project = user.project(&stage, "route-planner", &Driver::ODA.data()).unwrap();

    run(&stage, &user, &project, &device);

    assert_ride(&stage, &user, &project, &Driver::ODA);
    let payloads: Vec<Vec<u8>> =
        device.captured().iter().filter_map(|path| payload(path)).collect();
    let of_type = |kind: &[u8]| payloads.iter().filter(|payload| payload.starts_with(kind)).count();
    assert!(of_type(SUCCESS_LEGACY) >= 2);
    assert_eq!(of_type(SUCCESS), 0);
}

#[test]
fn a_device_of_older_drafts_that_its_operator_did_not_list_is_not_enrolled() {
    let choices = Choices { agent: LEGACY, ..Choices::default() };
    let stage = open_stage!(&choices);

    let device = stage.device_begun(&Spec::sgx("edge-1")).unwrap();

    assert_stays_enrolled(&stage, &device);
}

/// The M/OC took the device's answer for none, and made nothing of it.
fn assert_stays_enrolled(stage: &Stage, device: &Device) {
    until("answer of the device", || log(stage, "moc").contains("a message was dropped"));
    assert_eq!(device.shown(stage).unwrap()["state"], "enrolled");
}

fn payload(message: &std::path::Path) -> Option<Vec<u8>> {
    let bytes = fs::read(message).unwrap();
    let payload = Sign1::decode(&bytes, Tagging::Tagged).ok()?.payload?;
    Some(payload.to_vec())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const LEGACY: &str = "legacy_numbering = true";

/// What every EAT of an Agent has in it: its profile.
const EVIDENCE: &[u8] = b"tag:tamarack,2026:agent#1";

/// What the report about a Trusted Application that runs has in it: the parameter that says so.
const REPORT: &[u8] = &[0x3a, 0, 1, 0x28, 0x25, 0x64, b'r', b'u', b'n', b's'];

/// The first bytes of a Success, now and in older drafts.
const SUCCESS: &[u8] = &[0x82, 4];
const SUCCESS_LEGACY: &[u8] = &[0x82, 5];
