//! UAs that run, crash, babble, flood, are removed and come back.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use broker::{
    loads::Patience,
    ua::{Care, Host},
};
use device::{
    ComponentId, FailureCode, Message as _,
    broker::{Reply, Request},
    frame, ua,
};
use keys::SigningKey;
use tokio::time::sleep;

use crate::support::{
    Bench,
    agent::{FakeAgent, begin},
    care, client, host,
    manifest::{self, owner, thumbprint},
    patience,
    server::{Server, status},
    until,
};

#[tokio::test]
async fn a_ua_gets_its_arguments_a_socket_and_nothing_else() {
    let home = Home::new().await;
    let script = "#!/bin/sh\necho \"$1 $2\" > words\nenv > environment\nls -l /proc/self/fd/0 > \
                  input\necho said\necho cried >&2\nexec sleep 60\n";

    home.install(1, script, &["one", "two words"]).await;

    until("the words", || home.read("input").ends_with('\n')).await;
    assert_eq!(home.read("words"), "one two words\n");
    assert!(!home.read("environment").contains("HOME="), "{}", home.read("environment"));
    assert!(home.read("input").contains("socket:"), "{}", home.read("input"));
    let log = home.file("log");
    until("the log", || fs::read_to_string(&log).unwrap_or_default().contains("cried")).await;
    assert_eq!(fs::read_to_string(&log).unwrap(), "said\ncried\n");
    home.host().stop().await;
}

#[tokio::test]
async fn a_ua_that_ends_is_started_again_with_growing_pauses() {
    let care =
        Care { pause_min: Duration::from_millis(20), pause_max: Duration::from_secs(10), ..care() };
    let home = Home::with(patience(), care).await;

    let began = Instant::now();
    home.install(1, "#!/bin/sh\necho run >> runs\nexit 1\n", &[]).await;
    until("four runs", || home.read("runs").lines().count() >= 4).await;

    // 20 + 40 + 80 milliseconds of pauses lie between four runs.
    assert!(began.elapsed() >= Duration::from_millis(140), "{:?}", began.elapsed());
    home.host().stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_run_is_tried_again_and_can_be_removed() {
    let home = Home::new().await;

    home.install(1, "no program at all", &[]).await;
    sleep(Duration::from_millis(30)).await;
    home.remove().await;

    assert!(!home.file("json").exists() || home.programs().is_empty());
}

#[tokio::test]
async fn a_ua_that_is_removed_is_gone_with_its_children_and_files() {
    let home = Home::new().await;
    let script = "#!/bin/sh\nsleep 61 &\necho $! > child\necho $$ > self\nwait\n";
    home.install(1, script, &[]).await;
    until("the processes", || home.read("self").ends_with('\n')).await;
    let (own, child) = (home.read("self"), home.read("child"));
    assert!(lives(&own) && lives(&child));

    home.remove().await;

    until("the end of both", || !lives(&own) && !lives(&child)).await;
    assert!(home.programs().is_empty());
    assert!(!home.file("d").exists());
    let unknown = ComponentId::new(vec![b"REE".to_vec(), vec![1; 32], b"x.suit".to_vec()]);
    assert_eq!(home.host().remove(&unknown.unwrap()).await.unwrap(), b"");
}

#[tokio::test]
async fn a_ua_that_ignores_the_request_to_end_is_killed() {
    let care = Care { end_within: Duration::from_millis(50), ..care() };
    let home = Home::with(patience(), care).await;
    let script = "#!/bin/sh\ntrap '' TERM\necho $$ > self\nwhile :; do sleep 0.01; done\n";
    home.install(1, script, &[]).await;
    until("the process", || home.read("self").ends_with('\n')).await;
    let own = home.read("self");

    home.host().stop().await;

    assert!(!lives(&own));
}

#[tokio::test]
async fn an_update_ends_the_old_program_before_the_new_one_begins() {
    let home = Home::new().await;
    let version = |number| {
        format!(
            "#!/bin/sh\ntrap 'echo end {number} >> order; exit' TERM\n\
             echo begin {number} >> order\nwhile :; do sleep 0.01; done\n"
        )
    };
    home.install(1, &version(1), &[]).await;
    until("the first", || home.read("order") == "begin 1\n").await;

    home.install(2, &version(2), &[]).await;
    until("the second", || home.read("order").ends_with("begin 2\n")).await;

    assert_eq!(home.read("order"), "begin 1\nend 1\nbegin 2\n");
    home.host().stop().await;
}

#[tokio::test]
async fn a_broker_that_starts_again_starts_its_uas_again() {
    let home = Home::new().await;
    home.install(1, "#!/bin/sh\necho \"$1\" >> runs\nexec sleep 60\n", &["word"]).await;
    until("a run", || home.read("runs") == "word\n").await;
    home.host().stop().await;

    let again = home.another_host();
    again.resume().await.unwrap();
    until("another run", || home.read("runs") == "word\nword\n").await;

    again.stop().await;
}

#[tokio::test]
async fn a_program_that_has_changed_on_the_disk_is_not_started() {
    let home = Home::new().await;
    home.install(1, "#!/bin/sh\necho good >> runs\nexec sleep 60\n", &[]).await;
    until("a run", || home.read("runs") == "good\n").await;
    home.host().stop().await;
    fs::write(&home.programs()[0], "#!/bin/sh\necho evil >> runs\nexec sleep 60\n").unwrap();

    let again = home.another_host();
    again.resume().await.unwrap();
    sleep(Duration::from_millis(50)).await;

    assert_eq!(home.read("runs"), "good\n");
    again.stop().await;
}

#[tokio::test]
async fn a_ua_loads_and_calls_its_ta_over_its_standard_input() {
    let home = Home::new().await;
    let load = ua::Request::RequestTa { component: ta() };
    let call = ua::Request::Call { component: ta(), request: b"sealed".to_vec() };

    let replies = home.converse(&[load.encode(), call.encode()]).await;

    assert_eq!(replies[0], ua::Reply::Done);
    let answer = [&b"answer to "[..], b"sealed"].concat();
    assert_eq!(replies[1], ua::Reply::Answer(answer));
    let tam_uri = Some(home.bench.sessions.moc.tam());
    let requested = Request::RequestTa { component: ta(), tam_uri };
    assert!(home.bench.agent.calls().contains(&requested));
    home.host().stop().await;
}

#[tokio::test]
async fn a_ua_can_only_give_back_what_it_has_asked_for() {
    let home = Home::new().await;
    let load = ua::Request::RequestTa { component: ta() };
    let unload = ua::Request::UnrequestTa { component: ta() };

    let replies = home.converse(&[unload.encode(), load.encode(), unload.encode()]).await;

    assert!(is_failed(&replies[0], FailureCode::Misbehaved), "{replies:?}");
    assert_eq!(replies[1..], [ua::Reply::Done, ua::Reply::Done]);
    let unrequested = |call: &Request| matches!(call, Request::UnrequestTa { .. });
    assert_eq!(home.bench.agent.count(unrequested), 1);
    home.host().stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_agent_reaches_the_ua_as_it_is() {
    let home = Home::new().await;
    let other = ComponentId::new(vec![vec![8; 32], b"absent".to_vec()]).unwrap();
    let call = ua::Request::Call { component: other, request: Vec::new() };

    let replies = home.converse(&[call.encode()]).await;

    assert!(is_failed(&replies[0], FailureCode::Absent), "{replies:?}");
    home.host().stop().await;
}

#[tokio::test]
async fn garbage_is_answered_and_what_cannot_be_a_frame_ends_the_socket() {
    let home = Home::new().await;
    let load = ua::Request::RequestTa { component: ta() };

    let replies = home.converse(&[b"garbage".to_vec(), vec![], load.encode()]).await;

    assert!(is_failed(&replies[0], FailureCode::Malformed), "{replies:?}");
    assert!(is_failed(&replies[1], FailureCode::Malformed), "{replies:?}");
    assert_eq!(replies[2], ua::Reply::Done);

    let script = "#!/bin/sh\nprintf '\\377\\377\\377\\377' >&0\ncat <&0 > rest\n\
                  echo ended > end\nexec sleep 60\n";
    home.install(9, script, &[]).await;
    until("the end of the socket", || home.read("end") == "ended\n").await;
    assert_eq!(home.read("rest"), "");
    home.host().stop().await;
}

#[tokio::test]
async fn a_ua_that_floods_is_slowed_down_and_hinders_nobody() {
    let home = Home::new().await;
    let load = ua::Request::RequestTa { component: ta() };
    let frame = octal(&frame::encode(&load.encode()).unwrap());
    let script = format!("#!/bin/sh\nwhile :; do printf '{frame}' >&0; done\n");

    let began = Instant::now();
    home.install(1, &script, &[]).await;
    let requested = |call: &Request| matches!(call, Request::RequestTa { .. });
    until("the allowance", || home.bench.agent.count(requested) >= 8).await;
    sleep(Duration::from_millis(100)).await;

    // Eight at once, then one every two seconds.
    let allowed = 9 + began.elapsed().as_secs() as usize / 2;
    assert!(home.bench.agent.count(requested) <= allowed);
    home.bench.loads.call_ta(&ta(), b"still there".to_vec()).await.unwrap();
    home.remove().await;
}

#[tokio::test]
async fn a_ua_that_is_too_fast_is_told_so() {
    let home = Home::new().await;
    let load = ua::Request::RequestTa { component: ta() }.encode();

    let replies = home.converse(&vec![load; 12]).await;

    assert!(replies[..8].iter().all(|reply| *reply == ua::Reply::Done), "{replies:?}");
    assert!(is_failed(&replies[11], FailureCode::Busy), "{replies:?}");
    home.host().stop().await;
}

#[tokio::test]
async fn the_log_of_a_ua_does_not_grow_without_end() {
    let home = Home::new().await;
    let line = "x".repeat(1000);
    let script = format!(
        "#!/bin/sh\ni=0\nwhile [ $i -lt 10000 ]; do echo {line}; i=$((i+1)); done\n\
         echo done > end\nexec sleep 60\n"
    );

    home.install(1, &script, &[]).await;
    until("ten megabytes", || home.read("end") == "done\n").await;

    let size = |suffix| fs::metadata(home.file(suffix)).unwrap().len();
    assert!(size("log") <= 4 * 1024 * 1024);
    assert!(size("log.1") <= 4 * 1024 * 1024);
    home.host().stop().await;
}

/// A Broker that hosts the UA `relay`. Its Agent has one TA that answers, and its M/OC nothing.
struct Home {
    bench: Bench,
    owner: SigningKey,
    care: Care,
}

impl Home {
    async fn new() -> Self {
        let no_ticket = Patience { ticket_within: Duration::from_millis(1), ..patience() };
        Self::with(no_ticket, care()).await
    }

    async fn with(patience: Patience, care: Care) -> Self {
        let moc = Server::start(|_| status(204)).await;
        let uri = format!("{}/tam", moc.base);
        let agent = FakeAgent::start(move |request| match request {
            Request::RequestTa { .. } | Request::UnrequestTa { .. } => begin(1, &uri),
            Request::CallTa { component, request } if *component == ta() => {
                Reply::TaAnswer([&b"answer to "[..], request].concat())
            }
            Request::CallTa { .. } => Reply::failed(FailureCode::Absent, "no such TA"),
            _ => Reply::Nothing,
        });
        let bench = Bench::with(agent, moc, patience, care.clone());
        Self { bench, owner: owner(), care }
    }

    fn host(&self) -> &Host {
        &self.bench.host
    }

    /// What a Broker that starts again has.
    fn another_host(&self) -> Host {
        host(self.bench.directory.path(), self.care.clone(), self.bench.loads.clone())
    }

    async fn install(&self, number: u64, script: &str, arguments: &[&str]) {
        let built = manifest::ua(&self.owner, "relay", number, script.as_bytes(), arguments);
        let moc = client(&self.bench.moc.base);
        self.host().install(&moc, &built.envelope).await.unwrap();
    }

    async fn remove(&self) {
        let owner = thumbprint(&self.owner).0.to_vec();
        let manifest = vec![b"REE".to_vec(), owner, b"relay.suit".to_vec()];
        self.host().remove(&ComponentId::new(manifest).unwrap()).await.unwrap();
    }

    /// Has the UA send these bodies in frames, one after the other; gives the replies.
    async fn converse(&self, bodies: &[Vec<u8>]) -> Vec<ua::Reply> {
        let frames: Vec<u8> = bodies.iter().flat_map(|b| frame::encode(b).unwrap()).collect();
        let script = "#!/bin/sh\nprintf \"$1\" >&0\nexec cat <&0 > replies\n";
        self.install(1, script, &[&octal(&frames)]).await;
        let path = self.file("d").join("replies");
        until("the replies", || replies(&path).len() == bodies.len()).await;
        replies(&path)
    }

    fn file(&self, suffix: &str) -> PathBuf {
        let stem = format!("relay-{}.{suffix}", thumbprint(&self.owner));
        self.bench.directory.path().join("ua").join(stem)
    }

    /// What the UA has written into its directory.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file("d").join(name)).unwrap_or_default()
    }

    fn programs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.bench.directory.path().join("ua")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end.len() == 64)).collect()
    }
}

/// The whole frames in a file.
fn replies(path: &Path) -> Vec<ua::Reply> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut rest = &bytes[..];
    let mut replies = Vec::new();
    while let Ok(Some(body)) = frame::first(rest) {
        replies.push(ua::Reply::decode(body).unwrap());
        rest = &rest[frame::HEADER_BYTES + body.len()..];
    }
    replies
}

fn is_failed(reply: &ua::Reply, code: FailureCode) -> bool {
    matches!(reply, ua::Reply::Failed(failure) if failure.code == code)
}

/// Bytes in the escapes of printf.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

/// Whether a process runs; one that nobody has waited for yet does not.
fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

fn ta() -> ComponentId {
    ComponentId::new(vec![vec![7; 32], b"planner".to_vec()]).unwrap()
}
