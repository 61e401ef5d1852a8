//! What is placed in the REE, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use broker::{
    moc::MocClient,
    refusal::{TamFailed, UaFailed},
    ua::Host,
};
use device::broker::Reply;
use suit::{ComponentId, Report, build};
use tempfile::TempDir;

use crate::support::{
    self,
    agent::FakeAgent,
    care, client, host,
    manifest::{ByHand, compatibility, owner, signed, thumbprint, ua, ua_at},
    server::{Server, ranged, status},
    until,
};

#[tokio::test]
async fn a_program_that_travels_in_its_envelope_is_placed_and_reported() {
    let site = Site::new();
    let owner = owner();
    let built = ua(&owner, "relay", 3, SLEEPER, &["--listen", "127.0.0.1:4747"]);

    let report = site.install(&built.envelope).await.unwrap();

    let report = Report::decode(&report).unwrap();
    assert!(report.succeeded());
    assert_eq!(report.reference.digest, built.digest);
    let [program] = site.programs().try_into().unwrap();
    assert_eq!(fs::read(&program).unwrap(), SLEEPER);
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o700);
    let directory = program.parent().unwrap();
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    site.host.stop().await;
}

#[tokio::test]
async fn a_program_is_fetched_in_ranges_with_the_devices_token() {
    let site = Site::new();
    let program = [SLEEPER, &vec![b'#'; 2 * 1024 * 1024 + 17]].concat();
    let content = program.clone();
    let moc = Server::start(move |seen| ranged(&seen, &content)).await;
    let built = ua_at(&owner(), "relay", 1, &format!("{}/v1/blobs/ab", moc.base), &program);

    site.install_from(&moc, &built.envelope).await.unwrap();

    assert_eq!(fs::read(&site.programs()[0]).unwrap(), program);
    let seen = moc.seen();
    let ranges: Vec<&str> = seen.iter().map(|seen| seen.header("range").unwrap()).collect();
    assert_eq!(ranges[..2], ["bytes=0-1048575", "bytes=1048576-2097151"]);
    assert_eq!(ranges.len(), 3);
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer device-token")));
    site.host.stop().await;
}

#[tokio::test]
async fn another_program_than_the_manifest_names_never_becomes_visible() {
    let site = Site::new();
    let owner = owner();
    site.install(&ua(&owner, "relay", 1, SLEEPER, &[]).envelope).await.unwrap();
    let moc = Server::start(|seen| ranged(&seen, b"#!/bin/sh\necho evil\n")).await;
    let program = b"#!/bin/sh\necho good\n";
    let built = ua_at(&owner, "relay", 2, &format!("{}/blob", moc.base), program);

    let (check, expected, seen) = refused(site.install_from(&moc, &built.envelope).await);

    assert_eq!(check, "condition-image-match in install");
    assert!(expected.ends_with(&hex::encode(cose::sha256(program))), "{expected}");
    assert!(seen.ends_with(&hex::encode(cose::sha256(b"#!/bin/sh\necho evil\n"))), "{seen}");
    let [still] = site.programs().try_into().unwrap();
    assert_eq!(fs::read(&still).unwrap(), SLEEPER);
    assert!(site.files().iter().all(|file| !file.ends_with(".part")));
    site.host.stop().await;
}

#[tokio::test]
async fn the_same_program_is_not_fetched_twice() {
    let site = Site::new();
    let owner = owner();
    let moc = Server::start(|seen| ranged(&seen, SLEEPER)).await;
    let uri = format!("{}/blob", moc.base);

    site.install_from(&moc, &ua_at(&owner, "relay", 1, &uri, SLEEPER).envelope).await.unwrap();
    site.install_from(&moc, &ua_at(&owner, "relay", 2, &uri, SLEEPER).envelope).await.unwrap();

    assert_eq!(moc.seen().len(), 1);
    assert_eq!(site.programs().len(), 1);
    site.host.stop().await;
}

#[tokio::test]
async fn a_payload_that_is_longer_than_the_manifest_says_is_given_up_early() {
    let site = Site::new();
    let moc = Server::start(|seen| ranged(&seen, &[b'#'; 100])).await;
    let uri = build::Uri::new(&format!("{}/blob", moc.base)).unwrap();
    let payload = build::Payload::measured(uri, [7; 32], 99);
    let built = signed(&owner(), "relay", 1, payload, &[]);

    let (check, expected, seen) = refused(site.install_from(&moc, &built.envelope).await);

    assert_eq!((check.as_str(), expected.as_str()), ("payload size", "at most 99 bytes"));
    assert_eq!(seen, "more than 99 bytes");
    assert!(site.programs().is_empty());
}

#[tokio::test]
async fn no_payload_is_longer_than_64_mib_whatever_the_manifest_says() {
    let site = Site::new();
    let content = vec![0; LIMIT + 1];
    let moc = Server::start(move |seen| ranged(&seen, &content)).await;
    let uri = build::Uri::new(&format!("{}/blob", moc.base)).unwrap();
    let payload = build::Payload::measured(uri, [7; 32], LIMIT as u64 + 1);
    let built = signed(&owner(), "relay", 1, payload, &[]);

    let (check, expected, _) = refused(site.install_from(&moc, &built.envelope).await);

    assert_eq!((check.as_str(), expected), ("payload size", format!("at most {LIMIT} bytes")));
}

#[tokio::test]
async fn a_payload_that_cannot_be_fetched_says_from_where_and_why() {
    let site = Site::new();
    let moc = Server::start(|_| status(404)).await;
    let uri = format!("{}/v1/blobs/gone", moc.base);
    let built = ua_at(&owner(), "relay", 1, &uri, SLEEPER);

    let failed = site.install_from(&moc, &built.envelope).await.unwrap_err();

    let UaFailed::Fetch { uri: from, source } = failed else { panic!("{failed:?}") };
    assert_eq!((from, source), (uri, TamFailed::Status(404)));
    assert!(site.programs().is_empty());
}

#[tokio::test]
async fn a_manifest_does_not_make_the_broker_talk_to_this_machine() {
    let site = Site::new();
    let (moc, other) = (Server::silent().await, Server::start(|seen| ranged(&seen, SLEEPER)).await);
    let built = ua_at(&owner(), "relay", 1, &format!("{}/admin", other.base), SLEEPER);

    let failed = site.install_from(&moc, &built.envelope).await.unwrap_err();

    assert!(matches!(failed, UaFailed::Fetch { source: TamFailed::Elsewhere, .. }), "{failed:?}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_older_manifest_is_refused_even_after_the_ua_was_removed() {
    let site = Site::new();
    let owner = owner();
    let version = |number| ua(&owner, "relay", number, SLEEPER, &[]);
    let current = version(5);
    site.install(&current.envelope).await.unwrap();

    for removed in [false, true] {
        if removed {
            let manifest = current.manifest_component.parts().to_vec();
            site.host.remove(&device::ComponentId::new(manifest).unwrap()).await.unwrap();
            assert!(site.programs().is_empty());
        }
        let (check, expected, seen) = refused(site.install(&version(4).envelope).await);

        assert_eq!(check, "sequence number");
        assert_eq!((expected.as_str(), seen.as_str()), ("at least 5", "4"));
    }
    site.install(&current.envelope).await.unwrap();
    site.install(&version(6).envelope).await.unwrap();
    site.host.stop().await;
}

#[tokio::test]
async fn a_new_version_replaces_the_program_of_the_old_one() {
    let site = Site::new();
    let owner = owner();
    let newer = [SLEEPER, b"# newer\n"].concat();

    site.install(&ua(&owner, "relay", 1, SLEEPER, &[]).envelope).await.unwrap();
    site.install(&ua(&owner, "relay", 2, &newer, &[]).envelope).await.unwrap();

    let [program] = site.programs().try_into().unwrap();
    assert_eq!(fs::read(program).unwrap(), newer);
    site.host.stop().await;
}

#[tokio::test]
async fn two_owners_may_use_the_same_name() {
    let site = Site::new();

    site.install(&ua(&owner(), "relay", 9, SLEEPER, &[]).envelope).await.unwrap();
    site.install(&ua(&owner(), "relay", 1, SLEEPER, &[]).envelope).await.unwrap();

    assert_eq!(site.programs().len(), 2);
    site.host.stop().await;
}

#[tokio::test]
async fn what_belongs_into_the_tee_is_refused() {
    let site = Site::new();
    let name = build::Name::new("planner").unwrap();
    let payload = build::Payload::integrated(b"module");
    let ta = build::Ta::new(name, 1, compatibility(), payload).sign(&owner()).unwrap();

    let (check, expected, _) = refused(site.install(&ta.envelope).await);

    assert_eq!((check.as_str(), expected.as_str()), ("component", "['REE', owner, name]"));
}

#[tokio::test]
async fn a_component_of_another_owner_is_refused() {
    let site = Site::new();
    let (victim, thief) = (owner(), owner());

    let envelope = ByHand::good(thumbprint(&victim)).sign(&thief);
    let (check, _, seen) = refused(site.install(&envelope).await);

    assert_eq!(check, "owner");
    assert!(seen.contains(&hex::encode(thumbprint(&victim).0)), "{seen}");
}

#[tokio::test]
async fn a_manifest_made_by_hand_as_the_builder_makes_it_is_placed() {
    let site = Site::new();
    let owner = owner();

    site.install(&ByHand::good(thumbprint(&owner)).sign(&owner)).await.unwrap();

    assert_eq!(site.programs().len(), 1);
    site.host.stop().await;
}

#[tokio::test]
async fn each_rule_that_a_manifest_breaks_is_named() {
    let owner = owner();
    let ree = |name: &str| ComponentId::in_ree(thumbprint(&owner), name).unwrap();
    type Break<'a> = &'a dyn Fn(&mut ByHand);
    let long = serde_json::to_vec(&["x".repeat(64 * 1024)]).unwrap();
    let cases: [(&str, Break<'_>); 12] = [
        ("components", &|by| by.components.push(ree("two"))),
        ("component", &|by| by.components[0] = ree(".hidden")),
        ("component", &|by| by.components[0] = ree("a/b")),
        ("component of the manifest", &|by| by.manifest = None),
        ("component of the manifest", &|by| by.manifest = Some(ree("other.suit"))),
        ("condition-image-match in install", &|by| by.digested = false),
        ("image digest", &|by| by.compared = false),
        ("invoke", &|by| by.invoke = None),
        ("invoke-args", &|by| by.invoke = Some(b"--listen".to_vec())),
        ("invoke-args", &|by| by.invoke = Some(br#"["a\u0000b"]"#.to_vec())),
        ("invoke-args", &|by| by.invoke = Some(long.clone())),
        ("-300 in install", &|by| by.command = Some(-300)),
    ];
    for (rule, change) in cases {
        let site = Site::new();
        let mut by_hand = ByHand::good(thumbprint(&owner));
        change(&mut by_hand);

        let (check, expected, seen) = refused(site.install(&by_hand.sign(&owner)).await);

        assert!(check.ends_with(rule), "{check}, not {rule}: expected {expected}, seen {seen}");
        assert!(site.files().is_empty(), "{:?} after {rule}", site.files());
    }
}

#[tokio::test]
async fn a_uri_without_a_digest_is_not_even_fetched() {
    let site = Site::new();
    let owner = owner();
    let moc = Server::start(|seen| ranged(&seen, SLEEPER)).await;
    let mut by_hand = ByHand::good(thumbprint(&owner));
    by_hand.uri = format!("{}/blob", moc.base);
    by_hand.digested = false;
    by_hand.compared = false;

    let (check, ..) = refused(site.install_from(&moc, &by_hand.sign(&owner)).await);

    assert_eq!(check, "image digest");
    assert!(moc.seen().is_empty());
}

#[tokio::test]
async fn another_class_of_device_is_named_with_both_values() {
    let site = Site::new();
    let class = suit::Uuid::new(0x1111_1111_1111_4111_9111_1111_1111_1111_u128.to_be_bytes());
    let compatibility = build::Compatibility { class: class.unwrap(), ..compatibility() };
    let name = build::Name::new("relay").unwrap();
    let payload = build::Payload::integrated(SLEEPER);
    let ua = build::Ua::new(name, 1, compatibility, payload).invocable(None);

    let (check, expected, _) = refused(site.install(&ua.sign(&owner()).unwrap().envelope).await);

    assert!(check.starts_with("condition-class-identifier"), "{check}");
    assert_eq!(expected, "11111111111141119111111111111111");
}

#[tokio::test]
async fn a_flipped_bit_never_places_another_program() {
    let site = Site::new();
    let built = ua(&owner(), "relay", 1, SLEEPER, &[]);

    for at in (0..built.envelope.len()).step_by(5) {
        let mut envelope = built.envelope.clone();
        envelope[at] ^= 1 << (at % 8);

        if site.install(&envelope).await.is_ok() {
            assert_eq!(fs::read(&site.programs()[0]).unwrap(), SLEEPER, "byte {at}");
        }
    }
    assert!(matches!(site.install(b"").await, Err(UaFailed::Manifest(_))));
    assert!(matches!(site.install(&[0xff; 64]).await, Err(UaFailed::Manifest(_))));
    site.host.stop().await;
}

#[tokio::test]
async fn what_a_crash_left_behind_does_not_hinder() {
    let site = Site::new();
    let owner = owner();
    let stem = format!("relay-{}", thumbprint(&owner));
    let directory = site.directory.path().join("ua");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(format!("{stem}.part")), b"half a program").unwrap();
    fs::write(directory.join(format!("{stem}.json")), b"{\"half\":").unwrap();
    fs::write(directory.join(format!("{stem}.{}", "0".repeat(64))), b"old").unwrap();
    site.host.resume().await.unwrap();

    site.install(&ua(&owner, "relay", 1, SLEEPER, &[]).envelope).await.unwrap();

    let [program] = site.programs().try_into().unwrap();
    assert_eq!(fs::read(program).unwrap(), SLEEPER);
    site.host.stop().await;
}

#[tokio::test]
async fn a_device_hosts_no_more_than_64_uas() {
    let site = Site::new();
    let directory = site.directory.path().join("ua");
    fs::create_dir(&directory).unwrap();
    for number in 0..64 {
        let owner = hex::encode([number; 32]);
        let text = format!(
            r#"{{"owner":"{owner}","name":"ua","sequence_number":1,
               "program":{{"sha256":"{owner}","arguments":[]}}}}"#
        );
        fs::write(directory.join(format!("ua-{owner}.json")), text).unwrap();
    }

    let built = ua(&owner(), "relay", 1, SLEEPER, &[]);
    let (check, expected, _) = refused(site.install(&built.envelope).await);

    assert_eq!((check.as_str(), expected.as_str()), ("UAs of this device", "at most 64"));
}

#[tokio::test]
async fn a_ua_without_arguments_is_started_without_any() {
    let site = Site::new();
    let name = build::Name::new("relay").unwrap();
    let program = b"#!/bin/sh\necho $# > count\nexec sleep 60\n";
    let payload = build::Payload::integrated(program);
    let ua = build::Ua::new(name, 1, compatibility(), payload).invocable(None);

    let owner = owner();

    site.install(&ua.sign(&owner).unwrap().envelope).await.unwrap();

    let room = format!("ua/relay-{}.d", thumbprint(&owner));
    let count = site.directory.path().join(room).join("count");
    until("the count", || fs::read(&count).is_ok_and(|text| text == b"0\n")).await;
    site.host.stop().await;
}

/// A host with a directory of its own.
struct Site {
    directory: TempDir,
    host: Host,
    _agent: FakeAgent,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(|_| Reply::Nothing);
        let loads = broker::loads::Loads::new(agent.agent(), support::patience());
        let host = host(directory.path(), care(), loads);
        fs::remove_file(directory.path().join("broker.toml")).unwrap();
        Self { directory, host, _agent: agent }
    }

    async fn install(&self, envelope: &[u8]) -> Result<Vec<u8>, UaFailed> {
        self.host.install(&client("http://127.0.0.1:9"), envelope).await
    }

    async fn install_from(&self, moc: &Server, envelope: &[u8]) -> Result<Vec<u8>, UaFailed> {
        let moc: MocClient = client(&moc.base);
        self.host.install(&moc, envelope).await
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("ua")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The programs: files that are named after a digest.
    fn programs(&self) -> Vec<PathBuf> {
        let digest = |file: &&String| file.rsplit('.').next().is_some_and(|end| end.len() == 64);
        let directory = self.directory.path().join("ua");
        self.files().iter().filter(digest).map(|file| directory.join(file)).collect()
    }
}

/// The check that failed, with what it expected and saw.
fn refused(outcome: Result<Vec<u8>, UaFailed>) -> (String, String, String) {
    match outcome {
        Err(UaFailed::Check { check, expected, seen }) => (check, expected, seen),
        other => panic!("{other:?}"),
    }
}

const SLEEPER: &[u8] = b"#!/bin/sh\nexec sleep 60\n";
const LIMIT: usize = 64 * 1024 * 1024;
