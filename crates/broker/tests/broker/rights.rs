//! UAs with the rights that their manifests name, as processes and as containers: they have them,
//! and no others. The program is `guest.rs`, compiled here as one static file.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use broker::ua::{Care, Folder, Grants};
use device::{ComponentId, Message as _, broker::Reply, frame, ua};
use keys::SigningKey;
use serde_json::{Value, json};
use suit::build::{Name, Payload, Ua};

use crate::support::{
    Bench,
    agent::{FakeAgent, begin},
    care, client,
    manifest::{self, owner, thumbprint},
    patience,
    server::{Server, status},
    until,
};

const FORMS: [&str; 2] = ["process", "container"];

#[tokio::test]
async fn a_ua_has_its_arguments_and_its_way_to_the_broker_in_both_forms() {
    for form in forms() {
        let home = Home::new().await;
        let ask = ua::Request::RequestTa { component: ta() }.encode();
        let ask = format!("ask {}", hex::encode(frame::encode(&ask).unwrap()));

        home.install(form, json!({}), &["pid", &ask, "sleep"]).await;

        let said = home.hears("ask").await;
        let reply = said.rsplit(' ').next().unwrap();
        assert_eq!(ua::Reply::decode(&hex::decode(reply).unwrap()), Ok(ua::Reply::Done), "{form}");
        if form == "container" {
            assert_eq!(home.hears("pid").await, "pid: 1");
        }
        home.bench.host.stop().await;
        until("nothing left behind", || home.is_clean()).await;
    }
}

#[tokio::test]
async fn without_a_right_neither_network_nor_folders_are_there() {
    let secret = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = secret.path().join("secret");
    fs::write(&file, "another's").unwrap();
    let socket = secret.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!("connect {}", port.local_addr().unwrap().port());
    let read = format!("read {}", file.display());
    let unix = format!("unix {}", socket.display());
    let write = format!("write {}/more", secret.path().display());
    for form in forms() {
        let home = Home::new().await;

        home.install(form, json!({}), &["bind 0", &connect, "udp", &unix, &read, &write, "sleep"])
            .await;

        for attempt in ["bind 0", &connect, "udp", &unix, &read, &write] {
            let said = home.hears(attempt).await;
            assert!(said.contains(": failed "), "{form}: {said}");
        }
        home.bench.host.stop().await;
    }
    assert!(!secret.path().join("more").exists());
}

#[tokio::test]
async fn a_ua_uses_the_ports_that_its_manifest_names_and_no_others() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (named, other) = (free().local_addr().unwrap().port(), free().local_addr().unwrap().port());
    let server = free();
    let served = server.local_addr().unwrap().port();
    let good = [format!("bind {named}"), format!("connect {served}")];
    let bad = [format!("bind {other}"), format!("connect {named}"), "udp".to_owned()];
    for form in forms() {
        let home = Home::new().await;
        let rights = json!({ "network": { "tcp": { "listen": [named], "connect": [served] } } });
        let attempts = good.iter().chain(&bad).map(String::as_str).chain(["sleep"]);

        home.install(form, rights, &attempts.collect::<Vec<_>>()).await;

        let said = home.hears("udp").await;
        if home.words().contains("did not start") || said.is_empty() {
            println!("skipped: Landlock of this kernel knows no ports");
            return;
        }
        for attempt in &good {
            assert_eq!(home.hears(attempt).await, format!("{attempt}: done"), "{form}");
        }
        for attempt in &bad {
            let said = home.hears(attempt).await;
            assert!(said.contains(": failed "), "{form}: {said}");
        }
        home.bench.host.stop().await;
    }
}

#[tokio::test]
async fn a_ua_uses_the_folders_and_the_memory_that_its_manifest_names() {
    let shared = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = |name: &str| {
        let folder = shared.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("map"), "a map").unwrap();
        folder
    };
    let (maps, spool) = (folder("maps"), folder("spool"));
    let read = format!("read {}/map", maps.display());
    let refused = format!("write {}/new", maps.display());
    let write = format!("write {}/new", spool.display());
    for form in forms() {
        let home = Home::with(shared.path()).await;
        let rights = json!({
            "folders": [{ "path": maps }, { "path": spool, "write": true }],
            "limits": { "memory_mib": 64 },
        });

        home.install(form, rights, &[&read, &refused, &write, "grow 16", "grow 128", "sleep"])
            .await;

        assert_eq!(home.hears("grow 16").await, format!("grow 16: {}", 16 << 20), "{form}");
        assert_eq!(home.hears("grow 128").await, "grow 128: failed OutOfMemory", "{form}");
        assert_eq!(home.hears(&read).await, format!("{read}: a map"), "{form}");
        assert_eq!(home.hears(&write).await, format!("{write}: done"), "{form}");
        assert!(home.hears(&refused).await.contains(": failed "), "{form}");
        home.bench.host.stop().await;
        fs::remove_file(spool.join("new")).unwrap();
    }
    assert!(!maps.join("new").exists());
}

#[tokio::test]
async fn a_link_in_the_place_of_a_folder_leads_nowhere() {
    let shared = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let link = shared.path().join("maps");
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    for form in forms() {
        let home = Home::with(shared.path()).await;

        home.install(form, json!({ "folders": [{ "path": link }] }), &["list /etc", "sleep"]).await;

        until("the refusal", || home.words().contains("is a link to `/etc`")).await;
        home.bench.host.stop().await;
    }
}

#[tokio::test]
async fn a_container_sees_its_image_alone_is_restarted_and_goes_with_everything() {
    if !forms().contains(&"container") {
        return;
    }
    let home = Home::new().await;
    home.install("container", json!({}), &["list /", "read /proc/1/cmdline", "exit"]).await;

    assert_eq!(home.hears("list /").await, "list /: dev proc tmp ua");
    until("three runs", || home.words().matches("list /: ").count() >= 3).await;

    home.remove().await;
    assert!(home.is_clean(), "{:?}", home.containers());
}

#[tokio::test]
async fn a_container_of_a_broker_that_was_killed_ends() {
    if !forms().contains(&"container") {
        return;
    }
    let home = Home::new().await;
    let built = home.built("container", json!({}), &["pid", "sleep"]);
    home.bench.host.install(&client(&home.bench.moc.base), &built).await.unwrap();
    home.hears("pid").await;
    assert!(!home.is_clean());
    // What hears of the Broker's end is the keeper: it is told as the kernel tells it.
    let keeper = home.keeper();

    let _told = Command::new("/bin/kill").args(["-TERM", &keeper]).status();

    until("the keeper's end", || !Path::new("/proc").join(&keeper).join("cwd").exists()).await;
    home.bench.host.stop().await;
    until("nothing left behind", || home.is_clean()).await;
}

#[tokio::test]
async fn what_is_no_image_and_what_is_not_granted_is_refused_before_it_is_placed() {
    let home = Home::new().await;
    let install = async |form: &str, rights: Value, payload: &[u8]| {
        let built = home.signed(form, rights, &[], payload);
        let moc = client(&home.bench.moc.base);
        home.bench.host.install(&moc, &built).await.unwrap_err().to_string()
    };

    let refused = install("container", json!({}), b"#!/bin/sh\n").await;
    assert!(refused.starts_with("image: expected an OCI image, seen "), "{refused}");
    let other = image::Recipe::of_program("s390x", "ua", b"\x7fELF".to_vec()).unwrap().build();
    let refused = install("container", json!({}), &other).await;
    assert!(refused.contains("s390x"), "{refused}");
    let rights = json!({ "folders": [{ "path": "/etc" }] });
    let refused = install("process", rights, b"#!/bin/sh\n").await;
    assert!(refused.starts_with("folders: expected a folder below one of "), "{refused}");
    let refused = install("process", json!({ "capabilities": [] }), b"#!/bin/sh\n").await;
    assert!(refused.starts_with("invoke-args: "), "{refused}");
    assert!(!home.file("json").exists());
}

struct Home {
    bench: Bench,
    owner: SigningKey,
}

impl Home {
    async fn new() -> Self {
        Self::with(Path::new("/nowhere")).await
    }

    /// A Broker whose UAs may have this folder.
    async fn with(shared: &Path) -> Self {
        let moc = Server::start(|_| status(204)).await;
        let uri = format!("{}/tam", moc.base);
        let agent = FakeAgent::start(move |request| match request {
            device::broker::Request::RequestTa { .. } => begin(1, &uri),
            _ => Reply::Nothing,
        });
        let parent = std::process::id().to_string();
        let launcher = [PROGRAM, "launch", "--parent", &parent].map(Into::into).to_vec();
        let folders = vec![Folder { path: shared.to_path_buf(), write: true }];
        let grants = Grants { folders, runtime: runtime() };
        let end_within = Duration::from_secs(20);
        let care = Care { launcher, grants, end_within, ..care() };
        let patience =
            broker::loads::Patience { ticket_within: Duration::from_millis(1), ..patience() };
        Self { bench: Bench::with(agent, moc, patience, care), owner: owner() }
    }

    async fn install(&self, form: &str, rights: Value, arguments: &[&str]) {
        let built = self.built(form, rights, arguments);
        self.bench.host.install(&client(&self.bench.moc.base), &built).await.unwrap();
    }

    fn built(&self, form: &str, rights: Value, arguments: &[&str]) -> Vec<u8> {
        let program = program().unwrap().to_vec();
        let payload = match form {
            "container" => {
                image::Recipe::of_program(image::architecture(), "ua", program).unwrap().build()
            }
            _ => program,
        };
        self.signed(form, rights, arguments, &payload)
    }

    fn signed(&self, form: &str, rights: Value, arguments: &[&str], payload: &[u8]) -> Vec<u8> {
        let mut invocation = rights;
        invocation["instance"] = json!(form);
        invocation["arguments"] = json!(arguments);
        let name = Name::new("guest").unwrap();
        Ua::new(name, 1, manifest::compatibility(), Payload::integrated(payload))
            .invocable(Some(invocation.to_string().as_bytes()))
            .sign(&self.owner)
            .unwrap()
            .envelope
    }

    async fn remove(&self) {
        let owner = thumbprint(&self.owner).0.to_vec();
        let manifest = vec![b"REE".to_vec(), owner, b"guest.suit".to_vec()];
        self.bench.host.remove(&ComponentId::new(manifest).unwrap()).await.unwrap();
    }

    /// The line about an attempt.
    async fn hears(&self, attempt: &str) -> String {
        let line = || {
            let words = self.words();
            words.lines().find(|line| line.starts_with(attempt)).map(str::to_owned)
        };
        until(attempt, || line().is_some() || self.words().contains("Error")).await;
        line().unwrap_or_else(|| panic!("{}", self.words()))
    }

    fn words(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, suffix: &str) -> PathBuf {
        let stem = format!("guest-{}.{suffix}", thumbprint(&self.owner));
        self.bench.directory.path().join("ua").join(stem)
    }

    /// The places of this test's containers.
    fn containers(&self) -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let all = Path::new("/dev/shm").join(format!("tamarack-uas-{user}"));
        let places = fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path());
        let stem = self.bench.directory.path().join("ua");
        let stem = stem.join(format!("guest-{}", thumbprint(&self.owner)));
        let digest = cose::sha256(stem.as_os_str().as_encoded_bytes());
        let own = format!("ua-{}", hex::encode(&digest[..6]));
        places.filter(|place| place.ends_with(&own)).collect()
    }

    fn is_clean(&self) -> bool {
        self.containers().is_empty()
    }

    /// The process that keeps this test's container.
    fn keeper(&self) -> String {
        let stem = format!("guest-{}", thumbprint(&self.owner));
        let all = fs::read_dir("/proc").unwrap().flatten();
        let found = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).find(|id| {
            let line = fs::read(Path::new("/proc").join(id).join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("launch") && line.contains(&stem)
        });
        found.unwrap()
    }
}

/// The forms that can be tried here; what is missing says so.
fn forms() -> Vec<&'static str> {
    if program().is_none() {
        return Vec::new();
    }
    FORMS.into_iter().filter(|form| *form == "process" || runtime().is_some()).collect()
}

#[expect(clippy::print_stdout, reason = "says what is not tested")]
fn runtime() -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = folders.iter().map(|folder| Path::new(folder).join("runc"));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: this machine has no runc");
    }
    found
}

/// The test's program, where the compiler has a target for static programs.
#[expect(clippy::print_stdout, reason = "says what is not tested")]
fn program() -> Option<&'static [u8]> {
    static PROGRAM: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("guest");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/guest.rs");
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(rustc)
            .args(["--edition", "2021", "-O", "-C", "panic=abort", "--target", &target, "-o"])
            .args([out.as_os_str(), source.as_ref()])
            .stderr(std::process::Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            println!("skipped: the compiler lacks {target}; `rustup target add {target}`");
            return None;
        }
        Some(fs::read(out).unwrap())
    });
    program.as_deref()
}

fn ta() -> ComponentId {
    ComponentId::new(vec![vec![7; 32], b"planner".to_vec()]).unwrap()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tamarack-broker");
