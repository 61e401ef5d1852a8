//! The real program starts another one inside, as an operator would.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::fs;
use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use verifier::anchor::{Device, Vendor};

#[test]
fn a_program_runs_from_the_measured_bytes_with_its_three_descriptors() {
    let bench = Bench::new("");
    let mut running = bench.run(&[]);
    let report = bench.report(&mut running);

    assert_eq!(report["descriptors"].as_array().unwrap(), &["0", "1", "2", "3", "4", "5"]);
    let program = report["program"].as_str().unwrap();
    assert_eq!(program, "/memfd:program (deleted)");
    assert_eq!(report["program_can_be_written"], false);
    assert_eq!(report["settings_can_be_written"], false);
    assert_eq!(report["settings"], "");
    let storage = bench.path("storage").canonicalize().unwrap();
    let arguments = ["tamarack-agent", "run", "--storage", storage.to_str().unwrap()];
    assert_eq!(report["arguments"].as_array().unwrap(), &arguments);
    assert_eq!(report["environment"], serde_json::json!({ "RUST_LOG": "info" }));
    drop(running);
}

#[test]
fn a_program_is_served_by_its_device() {
    let bench = Bench::new("colour = 'blue'");
    let mut running = bench.run(&[]);

    let report = bench.report(&mut running);

    let answers: Vec<&str> =
        report["answers"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(answers[0].starts_with("Failed(Failure { code: Malformed"), "{}", answers[0]);
    assert!(answers[1].contains("family: \"SGX\""), "{}", answers[1]);
    assert_eq!(answers[2], "Counter { value: 1, rollable: true }");
    assert!(answers[3].starts_with("Failed(Failure { code: Unsupported"), "{}", answers[3]);
    drop(running);
}

#[test]
fn the_quote_shows_what_measuring_the_file_shows() {
    let bench = Bench::new("colour = 'blue'");
    let mut running = bench.run(&[]);
    let quote = hex::decode(bench.report(&mut running)["quote"].as_str().unwrap()).unwrap();

    let measured = bench.command("measure").args(bench.program_arguments()).output().unwrap();
    let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();

    assert_eq!(hex::encode(&quote[112..144]), measured["mrenclave"]);
    assert_eq!(hex::encode(&quote[176..208]), measured["mrsigner"]);
    assert_eq!(hex::encode(&quote[240..304]), measured["configid"]);
    assert_eq!(measured["isvprodid"], 1);
    assert_eq!(measured["isvsvn"], 1);
    drop(running);
}

#[test]
fn a_program_in_a_trust_domain_has_registers_and_its_own_measurements() {
    let bench = Bench::new("colour = 'blue'");
    let mut running = bench.run(&["--family", "tdx"]);
    let report = bench.report(&mut running);
    let quote = hex::decode(report["quote"].as_str().unwrap()).unwrap();

    let mut command = bench.command("measure");
    command.args(bench.program_arguments()).args(["--family", "tdx"]);
    let measured: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();

    assert_eq!(hex::encode(&quote[48 + 136..48 + 184]), measured["mrtd"]);
    assert_eq!(hex::encode(&quote[48 + 184..48 + 232]), measured["mrconfigid"]);
    let answers = report["answers"].as_array().unwrap();
    assert!(answers[1].as_str().unwrap().contains("family: \"TDX\""), "{}", answers[1]);
    assert!(answers[3].as_str().unwrap().starts_with("Register([0, "), "{}", answers[3]);
    drop(running);
}

#[test]
fn a_device_goes_on_after_a_restart_where_it_was() {
    let bench = Bench::new("");
    let mut running = bench.run(&[]);
    let first = bench.report(&mut running);
    drop(running);

    let mut running = bench.run(&[]);
    let again = bench.report(&mut running);

    assert_eq!(again["sealing_key"], first["sealing_key"]);
    assert_eq!(again["answers"][1], first["answers"][1], "description");
    assert_eq!(again["answers"][2], "Counter { value: 2, rollable: true }");
    drop(running);
}

#[test]
fn the_program_dies_with_the_device() {
    for signal in [Signal::TERM, Signal::KILL] {
        let bench = Bench::new("");
        let mut running = bench.run(&[]);
        bench.report(&mut running);
        let mut program = UnixStream::connect(bench.path("broker.sock")).unwrap();
        program.read_exact(&mut [0]).unwrap();

        running.kill(signal);

        assert!(!running.wait().success());
        let ended = program.read(&mut [0]);
        assert!(matches!(ended, Ok(0) | Err(_)), "the connection to the program is closed");
        assert!(UnixStream::connect(bench.path("broker.sock")).is_err());
    }
}

#[test]
fn the_status_of_the_program_is_that_of_the_device() {
    let bench = Bench::new("exit 7");
    assert_eq!(bench.run(&[]).wait().code(), Some(7));
}

#[test]
fn a_device_runs_once_only() {
    let bench = Bench::new("");
    let mut running = bench.run(&[]);
    bench.report(&mut running);

    let second = bench.run_command(&[]).output().unwrap();

    assert_eq!(second.status.code(), Some(2));
    assert!(errors(&second).contains("is in use by another process"), "{}", errors(&second));
    drop(running);
}

#[test]
fn a_socket_in_use_is_not_taken_away_but_a_stale_one_is() {
    let bench = Bench::new("exit 0");
    let socket = bench.path("broker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let refused = bench.run_command(&[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains("is in use by another process"), "{}", errors(&refused));

    drop(listener);
    assert!(bench.run(&[]).wait().success(), "a socket that nobody listens on is replaced");

    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    assert_eq!(bench.run(&[]).wait().code(), Some(2));
    assert_eq!(fs::read(&socket).unwrap(), b"precious", "what is no socket is kept");
}

#[test]
fn misbehaviour_is_remembered_until_it_is_ended() {
    let bench = Bench::new("exit 0");
    let shows = |arguments: &[&str], expected: &str| {
        let output = bench.run_command(arguments).output().unwrap();
        assert!(errors(&output).contains(expected), "{}", errors(&output));
    };

    shows(&["--misbehave", "debug"], "misbehaviour=Debug");
    shows(&[], "misbehaviour=Debug");
    shows(&["--misbehave", "none"], "misbehaviour=None");
    shows(&[], "misbehaviour=None");
}

#[test]
fn a_fault_that_the_family_cannot_have_is_explained_and_not_remembered() {
    let bench = Bench::new("exit 0");
    let revoked = ["--family", "trustzone", "--misbehave", "revoked"];

    let refused = bench.run_command(&revoked).output().unwrap();

    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains("no revocation list"), "{}", errors(&refused));
    assert!(bench.run(&["--family", "trustzone"]).wait().success());
}

#[test]
fn the_vendor_prints_which_devices_were_enrolled() {
    let bench = Bench::new("exit 0");
    assert!(bench.run(&["--family", "cca"]).wait().success());

    let output = bench.command("vendor").arg("--dir").arg(bench.path("vendor")).output().unwrap();

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let device = &report["families"][2];
    assert_eq!(device["family"], "cca");
    assert_eq!(device["vendor"], "arm");
    let key = device["anchor"].as_str().unwrap();
    assert_eq!(device["instance"], format!("01{key}"));
    assert!(bench.path(&format!("vendor/collateral/cca-{}.pem", &key[..16])).exists());
}

//= EV-EMU-1 (M): a Verifier lists emulators by name
#[test]
fn a_started_device_is_in_the_vendors_list_of_anchors() {
    let bench = Bench::new("exit 0");
    assert!(bench.run(&["--family", "trustzone"]).wait().success());

    let list = fs::read_to_string(bench.path("vendor/anchors.toml")).unwrap();

    let list = verifier::anchor::List::from_toml(&list).unwrap();
    let vendors: Vec<_> = list.emulator.iter().map(|listed| listed.vendor).collect();
    assert_eq!(vendors, [Vendor::Intel]);
    let [device] = list.device.as_slice() else { panic!("{:?}", list.device) };
    assert!(device.emulated && device.vendor == Vendor::Arm);
    let key = hex::encode(device.spki_sha256.0);
    let expected = format!("\"01{key}\"");
    let Device::Instance(instance) = &device.device else { panic!("{device:?}") };
    assert_eq!(serde_json::to_string(instance).unwrap(), expected);
}

#[test]
fn every_family_measures_a_program_in_its_own_words() {
    let bench = Bench::new("");
    for (family, member) in [
        ("cca", "rim"),
        ("sev-snp", "measurement"),
        ("sgx", "mrenclave"),
        ("tdx-1.5", "mrtd"),
        ("trustzone", "components"),
    ] {
        let mut command = bench.command("measure");
        command.args(bench.program_arguments()).args(["--family", family]);
        let measured: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        assert!(measured.get(member).is_some(), "{measured}");
    }
}

#[test]
fn the_vendor_prints_its_anchor_and_where_its_collateral_is() {
    let bench = Bench::new("");
    let vendor = |arguments: &[&str]| {
        let mut command = bench.command("vendor");
        let output = command.arg("--dir").arg(bench.path("vendor")).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let list = || fs::read(bench.path("vendor/collateral/tcb_info.json")).unwrap();

    let first = vendor(&[]);
    assert_eq!(first["anchor"].as_str().unwrap().len(), 64);
    let collateral = bench.path("vendor/collateral").canonicalize().unwrap();
    assert_eq!(first["collateral"], collateral.to_str().unwrap());
    assert_eq!(first["families"][1]["family"], "tdx");
    assert_eq!(first["families"][1]["anchor"], first["anchor"]);
    assert_eq!(first["families"][1]["collateral"], first["collateral"]);
    assert!(bench.path("vendor/collateral/tdx-tcb_info.json").exists());
    let recent = list();
    assert_eq!(vendor(&[]), first);
    assert_eq!(list(), recent, "nothing is made anew without need");

    vendor(&["--expired"]);
    assert_ne!(list(), recent);
    let expired = list();
    vendor(&[]);
    assert_eq!(list(), expired, "the lists stay expired until it is ended");
    vendor(&["--expired", "false"]);
    assert_ne!(list(), expired);
}

#[test]
fn an_absent_program_is_an_explained_error() {
    let bench = Bench::new("");
    let mut command = bench.command("measure");
    let output =
        command.args(["--agent", "/absent/agent", "--settings", "/dev/null"]).output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("reading /absent/agent"), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn every_command_explains_itself() {
    let bench = Bench::new("");
    for (command, expected) in [
        ("vendor", "SHA-256 of the root's SubjectPublicKeyInfo"),
        ("measure", "Measure a program and its settings"),
        ("run", "Start a program inside the emulated hardware"),
    ] {
        let output = bench.command(command).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{text}");
    }
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("settings.toml"), settings).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamarack-tee"));
        command.arg(name).env_clear().env("RUST_LOG", "info");
        command
    }

    fn program_arguments(&self) -> [PathBuf; 4] {
        ["--agent".into(), probe(), "--settings".into(), self.path("settings.toml")]
    }

    fn run_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("run");
        command.args(self.program_arguments()).args(arguments);
        command.arg("--vendor").arg(self.path("vendor"));
        command.arg("--state").arg(self.path("state"));
        command.arg("--broker-socket").arg(self.path("broker.sock"));
        command.arg("--storage").arg(self.path("storage"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Running {
        let _ = fs::remove_file(self.path("storage/report.json"));
        let device = self.run_command(arguments).stderr(Stdio::null()).spawn().unwrap();
        Running { device, socket: self.path("broker.sock") }
    }

    /// Waits until the program listens, and gives what it found.
    fn report(&self, running: &mut Running) -> Value {
        loop {
            assert_eq!(running.device.try_wait().unwrap(), None, "ended before it listened");
            if let Ok(mut program) = UnixStream::connect(self.path("broker.sock")) {
                program.read_exact(&mut [0]).unwrap();
                let report = fs::read(self.path("storage/report.json")).unwrap();
                return serde_json::from_slice(&report).unwrap();
            }
            std::thread::yield_now();
        }
    }
}

/// A running device; stopped when dropped.
struct Running {
    device: Child,
    socket: PathBuf,
}

impl Running {
    fn kill(&self, signal: Signal) {
        let pid = Pid::from_raw(self.device.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        self.device.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.device.kill();
        let _ = self.device.wait();
        while UnixStream::connect(&self.socket).is_ok() {
            std::thread::yield_now();
        }
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program of `examples/probe.rs`, which cargo builds before the tests.
fn probe() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_tamarack-tee")).parent().unwrap();
    let probe = target.join("examples/probe");
    assert!(probe.exists(), "run `cargo build -p tamarack-emulator --examples` first");
    probe
}
