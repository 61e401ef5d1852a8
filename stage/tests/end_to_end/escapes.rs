//! Hostile Trusted Applications inside a confidential VM, beside one of another tenant: what they
//! try fails, and the other one goes on.
//!
//! The program is that of the Agent's own tests, compiled here as one static file. It tries what
//! its data says when it gets it, and takes the data only when nothing of that has succeeded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use stage::{Attempt, Device, Hardware, Instance, Spec, Stage, User};

use crate::troupe::{Driver, assert_ride, open_stage, run, running};

/// Each is answered with an error of the kernel by what it would have to pass.
const ATTEMPTS: [&str; 16] = [
    "connect 10.0.2.2:80",
    "connect 127.0.0.1:22",
    "list /proc",
    "mkdir /escape",
    "read /dev/vda",
    "read /dev/vport0p1",
    "read /etc/passwd",
    "read /init",
    "read /proc/1/environ",
    "read /proc/1/mem",
    "read /proc/2/environ",
    "read /sys/kernel/config/tsm/report",
    "send 10.0.2.2:53",
    "write /escape",
    "write /init",
    "write /proc/sys/kernel/hostname",
];

/// What uses up what there is. Memory that is refused is an error that the program survives.
const BOMBS: [(&str, bool); 3] = [("fork", false), ("memory", true), ("spin", false)];

#[test]
fn what_a_hostile_application_tries_in_a_vm_fails_and_its_neighbour_goes_on() {
    let stage = open_stage!();
    let Some(program) = program() else { return };
    if Hardware::Tdx.image(&stage.programs).is_none() {
        println!("skipped: escapes in a VM: its image is not built here");
        return;
    }
    let device = stage.device(&Spec::vm("edge-1", Hardware::Tdx)).unwrap();
    let neighbour = stage.user("oda").unwrap();
    let data = Driver::ODA.data();
    let (tdx, container) = (Hardware::Tdx, Instance::Container);
    let ride = neighbour.project_in(&stage, "route-planner", &data, tdx, container).unwrap();
    run(&stage, &neighbour, &ride, &device);
    let mallory = stage.user("mallory").unwrap();
    let tries = |name: &str, instance, lines: &[&str]| {
        hostile(&stage, &mallory, &device, name, instance, lines, program)
    };

    for (name, instance) in [("in-container", Instance::Container), ("in-vm", Instance::Vm)] {
        let report = running(tries(name, instance, &ATTEMPTS));
        assert_eq!(report["receipt"], true, "{name}");
        // The program would say so if something had succeeded.
        let attempt = tries(&format!("{name}-control"), instance, &["pids"]);
        assert_ne!(attempt.code, Some(0), "{:#}", attempt.report);
        for (bomb, may_be_taken) in BOMBS {
            let attempt = tries(&format!("{name}-{bomb}"), instance, &[bomb]);
            assert!(may_be_taken || attempt.code != Some(0), "{bomb}: {:#}", attempt.report);
            assert_ride(&stage, &neighbour, &ride, &Driver::ODA);
        }
    }
}

/// Deploys the hostile program with these attempts as its data.
fn hostile(
    stage: &Stage,
    user: &User,
    device: &Device,
    name: &str,
    instance: Instance,
    lines: &[&str],
    program: &Path,
) -> Attempt {
    let data = format!("attempts\n{}\n", lines.join("\n"));
    let tdx = Hardware::Tdx;
    let project = user.project_in(stage, name, data.as_bytes(), tdx, instance).unwrap();
    let text = fs::read_to_string(&project).unwrap();
    let member = format!("program = {program:?}");
    fs::write(&project, text.replace("module = \"route-planner.wasm\"", &member)).unwrap();
    user.attempt(stage, &project, &device.name).unwrap()
}

/// The hostile program, where the compiler has a target for static programs.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let out = tempfile::tempdir().unwrap().keep().join("hostile");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let source = Path::new(root).join("crates/agent/tests/device/hostile.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(rustc)
            .args(["--edition", "2021", "-O", "-C", "panic=abort", "-C", "strip=symbols"])
            .args(["--target", TARGET, "-o"])
            .args([out.as_os_str(), source.as_ref()])
            .stderr(Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            println!("skipped: the compiler lacks {TARGET}; `rustup target add {TARGET}`");
            return None;
        }
        Some(out)
    });
    program.as_deref()
}

/// Guests of TDX are of this processor.
const TARGET: &str = "x86_64-unknown-linux-musl";
