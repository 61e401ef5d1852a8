//! Devices that are confidential VMs: QEMU boots the measured guest, the Agent is its first
//! program.

use stage::{Hardware, Instance, Spec, Stage};

use crate::troupe::{Driver, assert_ride, open_stage, run, sequence};

#[test]
fn case_3_runs_in_a_vm_on_tdx() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::Tdx);
}

#[test]
fn case_3_runs_in_a_vm_on_sev_snp() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::SevSnp);
}

#[test]
fn case_3_runs_in_a_vm_on_cca() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::Cca);
}

fn case_3_runs_in_a_vm(stage: &Stage, hardware: Hardware) {
    if lacks_image(stage, hardware) {
        return;
    }
    let device = stage.device(&Spec::vm("edge-1", hardware)).unwrap();
    let user = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let project = user.project_in(stage, "route-planner", &data, hardware, Instance::Vm).unwrap();

    let report = run(stage, &user, &project, &device);

    let row = ["UA->REE", "TA->ConfidentialVM", "att:TEEP-Agent", "PD->TA"];
    assert_eq!(sequence(&report), row);
    assert_eq!((&report["receipt"], &report["emulated"]), (&true.into(), &true.into()));
    assert_eq!(report["hardware"], hardware.as_str());
    assert_ride(stage, &user, &project, &Driver::ODA);
}

/// Whether this machine could not build the guest; the build said why.
fn lacks_image(stage: &Stage, hardware: Hardware) -> bool {
    let lacks = hardware.image(&stage.programs).is_none();
    if lacks {
        println!("skipped: VM on {}: its image is not built here", hardware.as_str());
    }
    lacks
}
