//! The program itself: its configuration check, a new certificate on SIGHUP, and sudden death.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use api::TenantView;
use reqwest::Method;

use crate::{
    audience::Caller,
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

/// SIGKILL at whatever point the writes have come to, again and again over the same files.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    configure(dir.path(), &authority);
    let told: serde_json::Value =
        serde_json::from_slice(&run(dir.path(), &["init"]).stdout).unwrap();
    let token = told["bootstrap_token"].as_str().unwrap();
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();

    for (round, deadly) in [1, 7, 20, 33, 50].into_iter().enumerate() {
        let mut serving = Serving::start(dir.path());
        let line = serving.until("serving");
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
        let url = format!("https://{address}");
        let operator = Caller::trusting(Some(&authority.root()), &url, token);
        let found = tenants(&operator).await;
        let before = acknowledged.lock().unwrap().clone();
        assert!(found.is_superset(&before), "round {round} lost {:?}", &before - &found);

        let writers = (0..8).map(|writer| {
            let (operator, acknowledged) = (operator.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("r{round}-{writer}-{number}");
                    let body = serde_json::json!({ "name": name }).to_string();
                    let request = operator.request(Method::POST, api::path::TENANTS);
                    let request = request.header("content-type", "application/json").body(body);
                    // The end of the program is the end of its connections.
                    let Ok(answer) = request.send().await else { return };
                    assert_eq!(answer.status(), 201);
                    acknowledged.lock().unwrap().insert(name);
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        while acknowledged.lock().unwrap().len() < before.len() + deadly {
            tokio::task::yield_now().await;
        }
        serving.child.kill().unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
    }

    let mut serving = Serving::start(dir.path());
    let line = serving.until("serving");
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap();
    let operator = Caller::trusting(Some(&authority.root()), &format!("https://{address}"), token);
    let found = tenants(&operator).await;
    assert!(found.is_superset(&acknowledged.lock().unwrap()));
    let checkpoint = operator.get(api::path::CHECKPOINT).await;
    assert_eq!(checkpoint.status, 200, "{checkpoint:?}");
}

async fn tenants(operator: &Caller) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("{}?limit=100&after={after}", api::path::TENANTS);
        let page: Vec<TenantView> = operator.get(&path).await.expect(200);
        let Some(last) = page.last() else { return names };
        after.clone_from(&last.name);
        names.extend(page.into_iter().map(|tenant| tenant.name));
    }
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
