//! Devices that are confidential VMs: QEMU boots the measured guest, the Agent is its first
//! program.

use std::{fs, process::Command};

use stage::{Hardware, Instance, Spec, Stage};

use crate::troupe::{Driver, assert_ride, open_stage, run, sequence};

#[test]
fn case_3_runs_in_a_vm_on_tdx() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::Tdx, Instance::Vm);
}

#[test]
fn case_3_runs_in_a_vm_on_sev_snp() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::SevSnp, Instance::Vm);
}

#[test]
fn case_3_runs_in_a_vm_on_cca() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::Cca, Instance::Vm);
}

#[test]
fn case_3_runs_in_a_container_inside_a_vm() {
    let stage = open_stage!();
    case_3_runs_in_a_vm(&stage, Hardware::Tdx, Instance::Container);
}

fn case_3_runs_in_a_vm(stage: &Stage, hardware: Hardware, instance: Instance) {
    if lacks_image(stage, hardware) {
        return;
    }
    let device = stage.device(&Spec::vm("edge-1", hardware)).unwrap();
    let user = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let project = user.project_in(stage, "route-planner", &data, hardware, instance).unwrap();

    let report = run(stage, &user, &project, &device);

    let ta = match instance {
        Instance::Container => "TA->ConfidentialContainer",
        Instance::Process => "TA->ConfidentialProcess",
        Instance::Vm => "TA->ConfidentialVM",
    };
    let row = ["UA->REE", ta, "att:TEEP-Agent", "PD->TA"];
    assert_eq!(sequence(&report), row);
    assert_eq!((&report["receipt"], &report["emulated"]), (&true.into(), &true.into()));
    assert_eq!(report["hardware"], hardware.as_str());
    assert_ride(stage, &user, &project, &Driver::ODA);
}

/// What the operator does to the machine, and what is left of it.
#[test]
fn a_machine_that_is_rebooted_killed_or_stopped_says_so_and_comes_back() {
    let stage = open_stage!();
    if lacks_image(&stage, Hardware::Tdx) {
        return;
    }
    let mut device = stage.device(&Spec::vm("edge-1", Hardware::Tdx)).unwrap();
    let user = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let (tdx, vm) = (Hardware::Tdx, Instance::Vm);
    let project = user.project_in(&stage, "route-planner", &data, tdx, vm).unwrap();
    run(&stage, &user, &project, &device);

    device.tee.signal("HUP").unwrap();
    device.until_machine(|machine| machine["boots"] == 2 && machine["state"] == "running").unwrap();
    // The guest kept what is sealed, and nothing of what was in its memory.
    let refused = user.ride(&stage, &project, Driver::ODA.ride());
    assert!(refused.is_err(), "the TA forgot its data: {refused:?}");
    run(&stage, &user, &project, &device);
    assert_ride(&stage, &user, &project, &Driver::ODA);

    let qemu = device.tee.children();
    kill(&qemu);
    device.until_machine(|machine| machine["state"] == "crashed").unwrap();

    device.start_tee().unwrap();
    device.until_machine(|machine| machine["state"] == "running").unwrap();
    device.tee.signal("TERM").unwrap();
    device.until_machine(|machine| machine["state"] == "stopped").unwrap();
}

/// The kernel would do what its command line says; so the launch measures it.
#[test]
fn a_machine_with_another_command_line_is_quarantined() {
    let mut stage = open_stage!();
    if lacks_image(&stage, Hardware::Tdx) {
        return;
    }
    let images = tempfile::tempdir().unwrap();
    let (from, to) = (Hardware::Tdx.image(&stage.programs).unwrap(), images.path().join("x86_64"));
    fs::create_dir(&to).unwrap();
    for part in ["firmware", "kernel", "initrd", "image.json"] {
        fs::copy(from.join(part), to.join(part)).unwrap();
    }
    let text = fs::read_to_string(to.join("image.json")).unwrap();
    fs::write(to.join("image.json"), text.replace("quiet", "quiet loglevel=0")).unwrap();
    stage.programs = stage.programs.clone().with_guests(images.path());

    let device = stage.device(&Spec::vm("edge-1", Hardware::Tdx)).unwrap();

    assert_eq!(device.shown(&stage).unwrap()["state"], "quarantined");
}

fn kill(processes: &[u32]) {
    assert!(!processes.is_empty());
    for process in processes {
        let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

/// Whether this machine could not build the guest; the build said why.
fn lacks_image(stage: &Stage, hardware: Hardware) -> bool {
    let lacks = hardware.image(&stage.programs).is_none();
    if lacks {
        println!("skipped: VM on {}: its image is not built here", hardware.as_str());
    }
    lacks
}
