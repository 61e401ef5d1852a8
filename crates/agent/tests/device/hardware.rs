//! The program on a machine whose hardware it finds itself.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent::attester::Interface;
use device::broker::{Reply, Request};
use device::frame;

use crate::support::Tam;

#[test]
fn an_agent_without_hardware_stays_up_says_why_and_starts_again() {
    if let Ok(tee) = agent::attester::detect(Path::new("/"), None) {
        println!("skipped: this machine is a TEE: {}", tee.description().interface);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("agent.toml");
    std::fs::write(&settings, Tam::new().settings()).unwrap();

    for start in ["first", "on the socket of one that was killed"] {
        let agent = Agent::start(folder.path(), &settings);

        let Reply::Description(text) = agent.ask(&Request::Describe) else { panic!("{start}") };
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["tee"]["family"], "none", "{start}");
        let trouble = said["tee"]["trouble"].as_str().unwrap();
        assert!(trouble.contains("/sys/kernel/config/tsm/report"), "{trouble}");
        assert!(trouble.contains("run the Agent inside the TEE"), "{trouble}");
        assert_eq!(said["rollable"], true, "{start}");
    }
}

#[test]
fn a_probe_lists_every_interface_with_what_was_seen_and_a_remedy() {
    let program = env!("CARGO_BIN_EXE_tamarack-agent");
    let output = Command::new(program).args(["probe", "--json"]).output().unwrap();

    assert!(output.status.success());
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    for interface in Interface::ALL {
        let path = format!("/{}", interface.path());
        let seen = |it: &&serde_json::Value| it["reason"].as_str().unwrap().starts_with(&path);
        let finding = findings.iter().find(seen).unwrap_or_else(|| panic!("{path}"));

        assert_eq!(finding["attester"], "implemented", "{finding}");
        let usable = finding["status"] == "found";
        assert_ne!(finding["remedy"].is_string(), usable, "{finding}");
        assert!(!usable || Path::new(&path).exists(), "{finding}");
    }
}

/// The program, killed when it is dropped.
struct Agent {
    child: Child,
    connection: UnixStream,
}

impl Agent {
    fn start(folder: &Path, settings: &Path) -> Self {
        let socket = folder.join("agent.sock");
        let child = Command::new(env!("CARGO_BIN_EXE_tamarack-agent"))
            .arg("run")
            .arg("--storage")
            .arg(folder.join("storage"))
            .arg("--settings")
            .arg(settings)
            .arg("--listen")
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        loop {
            match UnixStream::connect(&socket) {
                Ok(connection) => return Self { child, connection },
                Err(error) => assert!(since.elapsed() < STARTS_WITHIN, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, request: &Request) -> Reply {
        frame::ask(&mut &self.connection, request).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STARTS_WITHIN: Duration = Duration::from_secs(60);
