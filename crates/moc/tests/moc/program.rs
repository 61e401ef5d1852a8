//! The program itself: its configuration check, and a new certificate on SIGHUP.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use crate::{
    certificate::{Authority, Name, VALID},
    tls::{connect_to, presented},
};

#[tokio::test]
async fn the_program_serves_https_and_takes_a_new_certificate_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    configure(dir.path(), &authority);
    assert!(run(dir.path(), &["init"]).status.success());
    let mut serving = Serving::start(dir.path());
    let line = serving.until("serving");
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
    let before = presented(&connect_to(address, &authority, &[]).await.unwrap());

    authority.issue(Name::Loopback, VALID).write(dir.path());
    serving.hang_up();
    serving.until("the TLS certificate was read again");
    let after = presented(&connect_to(address, &authority, &[]).await.unwrap());
    std::fs::write(dir.path().join("moc.key"), "none").unwrap();
    serving.hang_up();
    let complaint = serving.until("the old TLS certificate stays");
    let still = presented(&connect_to(address, &authority, &[]).await.unwrap());

    assert!(before != after && after == still);
    assert!(complaint.contains("BEGIN PRIVATE KEY"), "{complaint}");
}

#[test]
fn the_check_of_the_configuration_reads_certificate_and_key() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), &Authority::new());

    let valid = run(dir.path(), &["config", "check"]);
    std::fs::remove_file(dir.path().join("moc.key")).unwrap();
    let unusable = run(dir.path(), &["config", "check"]);

    assert!(valid.status.success(), "{valid:?}");
    assert!(String::from_utf8(valid.stdout).unwrap().contains("by TLS 1.3"));
    assert_eq!(unusable.status.code(), Some(2));
    assert!(String::from_utf8(unusable.stderr).unwrap().contains("moc.key"));
}

fn configure(dir: &Path, authority: &Authority) {
    authority.issue(Name::Loopback, VALID).write(dir);
    let text = "listen = '127.0.0.1:0'\npublic_url = 'https://127.0.0.1'\ndata_dir = 'data'\n\
                [tls]\ncertificate = 'moc.pem'\nkey = 'moc.key'\n";
    std::fs::write(dir.join("moc.toml"), text).unwrap();
}

fn program(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tamarack-moc"));
    command.args(arguments).arg("--config").arg(dir.join("moc.toml")).env("NO_COLOR", "1");
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    program(dir, arguments).output().unwrap()
}

struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let mut child = program(dir, &["serve"]).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The next line of the log with these words.
    fn until(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "ended before `{words}`");
        }
        line
    }

    fn hang_up(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
