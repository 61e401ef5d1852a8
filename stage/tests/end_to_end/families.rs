//! Devices of each hardware family: the same Agent, another TEE below it.

use std::fs;

use serde_json::Value;
use stage::{Hardware, Misbehaviour, Spec};

use crate::troupe::{Driver, assert_ride, explained, open_stage, refused, run, sequence};

#[test]
fn case_3_runs_on_trustzone() {
    let stage = open_stage!();
    let device = stage.device(&Spec::new("edge-1", Hardware::TrustZone)).unwrap();
    let user = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let project = user.project_for(&stage, "route-planner", &data, Hardware::TrustZone).unwrap();

    let report = run(&stage, &user, &project, &device);

    let row = ["UA->REE", "TA->ConfidentialProcess", "att:TEEP-Agent", "PD->TA"];
    assert_eq!(sequence(&report), row);
    assert_eq!((&report["receipt"], &report["emulated"]), (&true.into(), &true.into()));
    assert_eq!(report["hardware"], "TrustZone");
    assert_ride(&stage, &user, &project, &Driver::ODA);
}

/// SGX and TDX share a vendor and a folder; SEV-SNP's certificates come with the evidence; the keys
/// of CCA and TrustZone devices are enrolled one by one.
#[test]
fn one_operator_enrols_devices_of_every_family() {
    let stage = open_stage!();
    for hardware in Hardware::ALL {
        let device = stage.device(&Spec::new(hardware.family(), hardware)).unwrap();

        let shown = device.shown(&stage).unwrap();

        let seen = (&shown["state"], &shown["hardware"], &shown["emulated"]);
        assert_eq!(
            seen,
            (&"attested".into(), &hardware.as_str().into(), &true.into()),
            "{shown:#}"
        );
    }
}

#[test]
fn a_trustzone_device_whose_key_nobody_enrolled_is_quarantined() {
    let stage = open_stage!();
    let spec = Spec::new("edge-1", Hardware::TrustZone).misbehaving(Misbehaviour::ForeignRoot);
    let device = stage.device(&spec).unwrap();
    assert_eq!(device.shown(&stage).unwrap()["state"], "quarantined");
    let user = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let project = user.project_for(&stage, "route-planner", &data, Hardware::TrustZone).unwrap();

    let attempt = user.attempt(&stage, &project, &device.name).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert!(refusal.seen.contains("quarantined"), "{refusal:#?}");
}

//= EV-EMU-1 (M): refused unless the operator enables emulators, and each by name
#[test]
fn an_operator_who_enables_no_emulator_gets_no_emulated_device() {
    for (file, setting, check) in [
        ("policy.toml", "emulated_allowed = true", "anchor.standing"),
        ("moc.toml", "anchors = ", "dcap.pck.root"),
    ] {
        let mut stage = open_stage!();
        let config = stage.layout.moc().join(file);
        let text = fs::read_to_string(&config).unwrap();
        let without = text.lines().filter(|line| !line.starts_with(setting));
        fs::write(&config, without.collect::<Vec<_>>().join("\n")).unwrap();
        let programs = stage.programs.clone();
        stage.moc.restart(&programs).unwrap();

        let device = stage.device(&Spec::sgx("edge-1")).unwrap();

        let shown = device.shown(&stage).unwrap();
        assert_eq!(shown["state"], "quarantined", "{shown:#}");
        let checks = shown["verdict"]["checks"].as_array().unwrap();
        let failed = |it: &&Value| it["outcome"] == "failed" && it["check"] == check;
        assert!(checks.iter().any(|it| failed(&it)), "{shown:#}");
    }
}
