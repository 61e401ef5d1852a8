//! `tamarack-tee run --vm` with images and QEMUs that are not as they should be.
//!
//! A script stands in for QEMU where only its end of the serial port matters.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn a_machine_without_qemu_says_how_to_get_it() {
    let place = Place::new();

    let output = place.run("tdx", "/nonexistent");

    let said = said(&output);
    assert!(said.contains("qemu-system-x86_64 is not on this machine"), "{said}");
    assert!(said.contains("cargo xtask setup"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_image_for_another_processor_or_family_is_refused_before_it_starts() {
    let place = Place::new();

    for (family, refusal) in [
        ("cca", "CCA has aarch64 guests, and the image is for x86_64"),
        ("sgx", "SGX has no virtual machines"),
        ("trustzone", "TrustZone has no virtual machines"),
    ] {
        let output = place.run(family, "/nonexistent");
        assert!(said(&output).contains(refusal), "{}", said(&output));
    }
}

#[test]
fn an_image_whose_kernel_is_none_is_refused() {
    let place = Place::new();
    fs::write(place.image().join("kernel"), b"#!/bin/sh").unwrap();

    let said = said(&place.run("tdx", "/nonexistent"));

    assert!(said.contains("the kernel of the image is none for x86_64"), "{said}");
}

#[test]
fn a_qemu_that_crashes_is_reported_with_its_last_words() {
    let place = Place::new();
    let qemu = place.qemu("echo 'no more memory' >&2; exit 3");

    let said = said(&place.run("tdx", &qemu));

    assert!(said.contains("QEMU ended (exit status: 3); it said: no more memory"), "{said}");
    assert_eq!(place.state()["state"], "crashed");
}

#[test]
fn a_guest_that_ends_without_a_word_is_reported_as_a_crash() {
    let place = Place::new();
    let qemu = place.qemu("echo 'Kernel panic - not syncing'; exit 0");

    let said = said(&place.run("tdx", &qemu));

    assert!(said.contains("the guest crashed; its console ends: Kernel panic"), "{said}");
}

#[test]
fn a_kernel_that_does_not_boot_is_ended_in_time() {
    let place = Place::new();
    let qemu = place.qemu("echo 'unknown opcode'; exec sleep 600");

    let began = Instant::now();
    let said = said(&place.run("tdx", &qemu));

    let refusal = "the guest did not greet within 2 s; its console ends: unknown opcode";
    assert!(said.contains(refusal), "{said}");
    assert!(began.elapsed() < Duration::from_secs(300));
    assert!(!place.runs("sleep"), "QEMU was ended");
}

#[test]
fn a_guest_that_floods_the_port_is_ended() {
    let place = Place::new();
    let qemu = place.qemu("exec cat /dev/zero >&9");

    let said = said(&place.run("tdx", &qemu));

    assert!(said.contains("the guest was ended"), "{said}");
    assert!(said.contains("did not greet as this version does"), "{said}");
    assert!(!place.runs("cat"), "QEMU was ended");
}

#[test]
fn a_guest_that_floods_the_console_costs_the_host_a_bounded_log() {
    let place = Place::new();
    let qemu = place.qemu("exec yes 'a long line of nothing in particular'");

    let output = place.run("tdx", &qemu);

    let said = said(&output);
    assert!(said.contains("it says too much"), "{}", &said[said.len().saturating_sub(2000)..]);
    assert!(output.stderr.len() < 16 * 1024 * 1024, "{} bytes", output.stderr.len());
}

#[test]
fn a_guest_that_opens_what_is_not_its_to_open_is_ended() {
    let place = Place::new();
    // The greeting, then an opening of the service `Agent`, which is the host's to open.
    let hello = r"\001\000\000\000\000\000\017tamarack-link-1";
    let open = r"\002\000\000\000\001\000\001\003";
    let qemu = place.qemu(&format!("printf '{hello}{open}' >&9; exec sleep 600"));

    let said = said(&place.run("tdx", &qemu));

    assert!(said.contains("channel 1 cannot be opened by the other side"), "{said}");
}

#[test]
fn a_guest_dies_with_its_launcher() {
    let place = Place::new();
    let qemu = place.qemu("exec sleep 600");
    let mut tee = place.command("tdx", &qemu).spawn().unwrap();
    wait_until(&mut tee, || place.runs("sleep"));

    tee.kill().unwrap();
    tee.wait().unwrap();

    wait_until(&mut tee, || !place.runs("sleep"));
    assert_eq!(place.state()["state"], "booting", "the last that was said");
}

/// A directory with an image that names itself x86_64, and settings.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let image = place.image();
        fs::create_dir(&image).unwrap();
        let kernel = [vec![0; 0x202], b"HdrS".to_vec()].concat();
        fs::write(image.join("kernel"), kernel).unwrap();
        fs::write(image.join("initrd"), b"initrd").unwrap();
        fs::write(image.join("firmware"), vec![0; 65_536]).unwrap();
        let json = r#"{"architecture":"x86_64","command_line":"quiet"}"#;
        fs::write(image.join("image.json"), json).unwrap();
        fs::write(place.path().join("settings"), "").unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn image(&self) -> PathBuf {
        self.path().join("image")
    }

    /// A QEMU that does this, in a directory of its own.
    fn qemu(&self, script: &str) -> String {
        let directory = self.path().join("bin");
        fs::create_dir(&directory).unwrap();
        let program = directory.join("qemu-system-x86_64");
        // The name of the place in the environment tells its processes from those of other tests.
        let mark = format!("TAMARACK_TEST={}; export TAMARACK_TEST", self.path().display());
        fs::write(&program, format!("#!/bin/sh\n{mark}\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        directory.display().to_string()
    }

    fn command(&self, family: &str, path: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamarack-tee"));
        command.args(["run", "--family", family, "--accelerator", "tcg", "--boot-within", "2"]);
        command.arg("--vm").arg(self.image());
        for option in ["vendor", "state", "settings", "storage", "broker-socket"] {
            command.arg(format!("--{option}")).arg(self.path().join(option));
        }
        command.env("PATH", path).stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, family: &str, path: &str) -> Output {
        self.command(family, path).output().unwrap()
    }

    fn state(&self) -> Value {
        let text = fs::read(self.path().join("broker-socket.machine.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Whether this place's QEMU runs, which has become this program.
    fn runs(&self, program: &str) -> bool {
        let mark = format!("TAMARACK_TEST={}", self.path().display());
        fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
            let environment = read("environ");
            let ours = environment.split(|byte| *byte == 0).any(|it| it == mark.as_bytes());
            ours && read("comm").starts_with(program.as_bytes())
        })
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn wait_until(tee: &mut Child, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{:?}", tee.try_wait());
        std::thread::sleep(Duration::from_millis(10));
    }
}
