//! The program itself.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use broker::{config::Config, loads::Loads, ua::Care};
use device::broker::Reply;

use crate::support::{
    TOKEN,
    agent::FakeAgent,
    care, client, host,
    manifest::{owner, thumbprint, ua},
    patience,
    server::{Server, status, teep, typed},
    until,
};

#[test]
fn the_sample_settings_are_right() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/broker.toml");

    let config = Config::read(&sample).unwrap();

    assert_eq!(config.device, "edge-7");
    assert!(config.capture_dir.is_none() && config.roots_file.is_none());
    assert!(config.token_file.ends_with("broker-data/device.token"));
}

#[test]
fn check_says_what_is_wrong_and_ends_with_two() {
    let directory = tempfile::tempdir().unwrap();
    let good = "device = \"edge-7\"\nmoc = \"http://127.0.0.1:8700/\"\ntoken_file = \"token\"\n\
                agent_socket = \"agent.sock\"\nstate_dir = \"ree\"\n";
    let cases = [
        ("colour = 1", "unknown field `colour`"),
        ("vendor_id = \"1\"", "not a UUID"),
        ("class_ids = [\"11111111-1111-1111-1111-111111111111\"]", "not a UUID"),
        ("policy_check_minutes = 0", "policy_check_minutes"),
        ("roots_file = \"absent.pem\"", "absent.pem"),
    ];
    let token = directory.path().join("token");
    let path = directory.path().join("broker.toml");
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        said(&["check", "--config", path.to_str().unwrap()])
    };

    let missing = check(good);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing).contains("reading the device token"), "{}", text(&missing));
    fs::write(token, TOKEN).unwrap();
    assert!(check(good).status.success());
    for (line, wrong) in cases {
        let output = check(&format!("{good}{line}\n"));
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output).contains(wrong), "{line}: {}", text(&output));
    }
    for moc in ["http://moc.example", "ftp://127.0.0.1", "moc"] {
        let output = check(&good.replace("http://127.0.0.1:8700/", moc));
        assert_eq!(output.status.code(), Some(2), "{moc}");
    }
    for device in ["", "a/b", "Edge", ".."] {
        let output = check(&good.replace("edge-7", device));
        assert_eq!(output.status.code(), Some(2), "{device}");
    }
}

#[tokio::test]
async fn the_program_answers_a_wake_up_and_takes_its_uas_with_it() {
    let moc = Server::answering(|seen| {
        Box::pin(async move {
            match (seen.method.as_str(), seen.header("authorization")) {
                ("POST", _) => status(204),
                ("GET", Some("Bearer device-token")) => {
                    typed("application/json", r#"{"reason":"deploy","ticket":"t"}"#)
                }
                _ => status(401),
            }
        })
    })
    .await;
    let agent = FakeAgent::with_one_tam(&format!("{}/tam", moc.base), vec![]);
    let place = Place::new(&agent, &moc).await;

    for signal in ["TERM", "KILL"] {
        let before = place.runs();
        let mut broker = place.start();
        until("the UA", || place.runs() > before).await;
        until("a session", || moc.paths().contains(&"/tam/t".to_owned())).await;
        let ua = place.ua();
        assert!(lives(&ua));

        let kill = Command::new("kill").args(["-s", signal, &broker.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let ended = broker.wait().unwrap();

        assert_eq!(ended.success(), signal == "TERM");
        until("the end of the UA", || !lives(&ua)).await;
    }
}

//= teep 14.98 (M): with several TEEs picks one per notification and keeps messages apart
#[tokio::test]
async fn each_tee_of_a_machine_gets_its_own_wake_ups_and_messages() {
    let moc = Server::answering(|seen| {
        Box::pin(async move {
            let wake = |ticket: &str| {
                typed("application/json", format!(r#"{{"reason":"deploy","ticket":"{ticket}"}}"#))
            };
            match (seen.path.as_str(), seen.header("authorization")) {
                ("/v1/devices/edge-7/wake", Some("Bearer device-token")) => wake("one"),
                ("/v1/devices/edge-8/wake", Some("Bearer other-token")) => wake("two"),
                ("/a/one" | "/b/two", _) if seen.body.is_empty() => teep(seen.path),
                ("/a/one" | "/b/two", _) => status(204),
                _ => status(401),
            }
        })
    })
    .await;
    let agents = ["a", "b"].map(|tam| {
        let uri = format!("{}/{tam}", moc.base);
        let answers = std::iter::repeat_with(|| Some(tam.as_bytes().to_vec())).take(1000);
        FakeAgent::with_one_tam(&uri, answers.collect())
    });
    let place = Place::new(&agents[0], &moc).await;
    fs::write(place.directory.path().join("other"), "other-token").unwrap();
    place.add(&format!(
        "[[tee]]\ndevice = \"edge-8\"\ntoken_file = \"other\"\nagent_socket = {:?}\n\
         state_dir = \"ree-8\"\n",
        agents[1].socket()
    ));

    let mut broker = place.start();
    until("both sessions", || agents.iter().all(|agent| !agent.messages().is_empty())).await;
    until("both answers", || {
        let posts = moc.posts();
        ["a", "b"].iter().all(|body| posts.iter().any(|seen| seen.body == body.as_bytes()))
    })
    .await;
    broker.kill().unwrap();
    broker.wait().unwrap();

    for (agent, path) in agents.iter().zip(["/a/one", "/b/two"]) {
        assert!(agent.messages().iter().all(|(_, message)| message == path.as_bytes()));
    }
    for seen in moc.posts() {
        assert!(matches!(
            (seen.path.as_str(), seen.body.as_slice()),
            ("/a/one", b"" | b"a") | ("/b/two", b"" | b"b")
        ));
    }
}

#[test]
fn two_tees_that_share_a_name_an_agent_or_a_folder_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.toml");
    let read = |device: &str, socket: &str, state: &str| {
        let text = format!(
            "device = \"edge-7\"\nmoc = \"http://127.0.0.1:1\"\ntoken_file = \"t\"\n\
             agent_socket = \"a\"\nstate_dir = \"s\"\n\
             [[tee]]\ndevice = \"{device}\"\ntoken_file = \"t2\"\n\
             agent_socket = \"{socket}\"\nstate_dir = \"{state}\"\n"
        );
        fs::write(&path, text).unwrap();
        Config::read(&path)
    };

    let tees = read("edge-8", "b", "r").unwrap().tees();
    let names: Vec<&str> = tees.iter().map(|tee| tee.device.as_str()).collect();
    assert_eq!(names, ["edge-7", "edge-8"]);
    assert!(tees[1].agent_socket.ends_with("b") && tees[1].state_dir.ends_with("r"));
    let wrong = [
        (("edge-7", "b", "r"), "two TEEs are `edge-7`"),
        (("edge-8", "a", "r"), "`edge-8` and `edge-7` have the same `agent_socket`"),
        (("edge-8", "b", "s"), "`edge-8` and `edge-7` have the same `state_dir`"),
        (("Edge", "b", "r"), "`device = \"Edge\"` is no device's name"),
    ];
    for ((device, socket, state), expected) in wrong {
        assert_eq!(read(device, socket, state).unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_ua_cannot_read_the_devices_token_where_the_kernel_has_landlock() {
    let agent = FakeAgent::start(|_| Reply::Nothing);
    let moc = Server::silent().await;
    let place = Place::new(&agent, &moc).await;
    let mut broker = place.start();
    until("the UA", || place.read("theft").ends_with('\n')).await;
    broker.kill().unwrap();
    broker.wait().unwrap();

    let log = fs::read_to_string(place.file("log")).unwrap_or_default();
    if log.contains("no Landlock") {
        println!("skipped: no Landlock in this kernel");
        return;
    }
    assert_eq!(place.read("theft"), "nothing\n");
    assert!(place.directory.path().join("token").exists());
}

#[tokio::test]
async fn a_ua_of_a_broker_that_is_root_is_a_user_of_its_own() {
    let agent = FakeAgent::start(|_| Reply::Nothing);
    let moc = Server::silent().await;
    let place = Place::new(&agent, &moc).await;
    let mut broker = place.start();
    until("the UA", || place.read("user").ends_with('\n')).await;

    let user: u32 = place.read("user").trim().parse().unwrap();
    let ua = place.ua();
    broker.kill().unwrap();
    broker.wait().unwrap();

    let mine = rustix::process::geteuid().as_raw();
    if mine == 0 {
        assert!((0x6100_0000..0x6200_0000).contains(&user), "{user}");
    } else {
        assert_eq!(user, mine);
    }
    until("the end of the UA", || !lives(&ua)).await;
}

#[test]
fn a_ua_does_not_start_for_a_broker_that_is_gone() {
    let terms = r#"{"instance": "process", "network": "none", "folders": [], "limits": {},
                    "runtime": null}"#;
    let line = ["--", "/bin/echo", "started"];
    let output = said(&[&["launch", "--parent", "1", "--terms", terms][..], &line].concat());

    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(text(&output).contains("the Broker that started this is gone"), "{}", text(&output));
}

#[tokio::test]
async fn the_launcher_names_this_process() {
    let launcher = broker::launch::launcher();

    let own = OsString::from(std::process::id().to_string());
    assert_eq!(launcher[0], "/proc/self/exe");
    assert!(launcher.contains(&own));
}

/// A directory for the program, with a UA that an earlier Broker has placed.
struct Place {
    directory: tempfile::TempDir,
    stem: String,
}

impl Place {
    async fn new(agent: &FakeAgent, moc: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("ree");
        fs::create_dir(&state).unwrap();
        let loads = Loads::new(agent.agent(), patience());
        // The UA must not run before the Broker does.
        let launcher = vec!["/bin/false".into()];
        let host = host(&state, Care { launcher, ..care() }, loads);
        let owner = owner();
        let script = "#!/bin/sh\necho $$ >> runs\n\
                      id -u > user\n\
                      (cat ../../../token 2>/dev/null || echo nothing) > theft\n\
                      exec sleep 60\n";
        let built = ua(&owner, "relay", 1, script.as_bytes(), &[]);
        host.install(&client("http://127.0.0.1:9"), &built.envelope).await.unwrap();
        host.stop().await;
        fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let text = format!(
            "device = \"edge-7\"\nmoc = \"{}\"\ntoken_file = \"token\"\nagent_socket = {:?}\n\
             state_dir = \"ree\"\n",
            moc.base,
            agent.socket()
        );
        fs::write(directory.path().join("broker.toml"), text).unwrap();
        Self { directory, stem: format!("relay-{}", thumbprint(&owner)) }
    }

    /// Adds to the settings.
    fn add(&self, text: &str) {
        let path = self.directory.path().join("broker.toml");
        fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
    }

    fn start(&self) -> Child {
        let log = fs::File::create(self.directory.path().join("broker.log")).unwrap();
        Command::new(PROGRAM)
            .args(["run", "--config"])
            .arg(self.directory.path().join("broker.toml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.path().join("ree/ua").join(format!("{}.{suffix}", self.stem))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file("d").join(name)).unwrap_or_default()
    }

    fn runs(&self) -> usize {
        self.read("runs").lines().count()
    }

    fn ua(&self) -> String {
        self.read("runs").lines().last().unwrap().to_owned()
    }
}

fn said(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tamarack-broker");
