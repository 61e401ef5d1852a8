//! Procedures against a store.

use std::fs;

use cose::{Agreement as _, Curve};
use keys::file::load_or_create_agreement;
use serde_json::Value;

use crate::support::Desk;

#[test]
fn a_ta_is_installed_started_and_removed_in_one_store() {
    let desk = Desk::new();
    desk.planner(3);
    let run = |procedure: &str| {
        let words = "suit run --envelope planner.suit --store device --procedure";
        desk.run(&format!("{words} {procedure}")).succeeded().out
    };

    let update = run("update");
    assert!(update.contains("wrote 4 bytes"), "{update}");
    assert!(update.contains("shared: vendor-identifier on "), "{update}");
    assert!(update.contains("result: success") && update.contains("✓ update"), "{update}");
    assert_eq!(components(&desk), [b"wasm".to_vec()]);
    let invocation = run("invocation");
    assert!(invocation.contains("would start ") && invocation.contains("/planner"), "{invocation}");
    let uninstall = run("uninstall");
    assert!(uninstall.contains("removed"), "{uninstall}");
    assert_eq!(components(&desk), [] as [Vec<u8>; 0]);
}

#[test]
fn a_run_tells_programs_every_command_with_its_section() {
    let desk = Desk::new();
    desk.planner(3);

    let report = desk.run("suit run --envelope planner.suit --json").succeeded().json();

    let commands: Vec<(&str, &str, bool)> = steps(&report)
        .iter()
        .map(|step| {
            let text = |name: &str| step[name].as_str().unwrap();
            (text("section"), text("command"), step["shared"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        commands[..6],
        [
            ("install", "override-parameters", true),
            ("install", "vendor-identifier", true),
            ("install", "class-identifier", true),
            ("install", "override-parameters", false),
            ("install", "fetch", false),
            ("install", "image-match", false),
        ]
    );
    assert_eq!(steps(&report)[4]["did"][0], "wrote 4 bytes");
    assert_eq!(report["succeeded"], true);
    assert_eq!(report["envelope"]["sequence_number"], 3);
    assert_eq!(report["report"]["name"], "SUIT_Report");
    let bytes = hex::decode(report["report_cbor"].as_str().unwrap()).unwrap();
    assert!(suit::Report::decode(&bytes).unwrap().succeeded());
}

#[test]
fn a_package_runs_its_parts_in_both_worlds() {
    let desk = Desk::new();
    desk.planner(1);
    desk.put("relay.bin", "elf");
    let relay = "kind = \"ua\"\nname = \"relay\"\narguments = [\"-v\"]\n\
                 [payload]\nfile = \"relay.bin\"\n";
    desk.build("relay", relay).succeeded();
    let package = "kind = \"root\"\nname = \"package\"\n\
                   [[dependency]]\nfile = \"planner.suit\"\n\
                   [[dependency]]\nfile = \"relay.suit\"\nuri = \"https://example.org/r.suit\"\n";
    desk.build("package", package).succeeded();
    fs::create_dir(desk.path("network")).unwrap();
    desk.put("network/r.suit", desk.get("relay.suit"));
    let run = |procedure: &str| {
        let words = "suit run --envelope package.suit --store device --payloads network";
        desk.run(&format!("{words} --procedure {procedure}")).succeeded().out
    };

    let update = run("update");
    assert!(update.contains("fetched network/r.suit"), "{update}");
    assert!(update.contains("install of ") && update.contains("/REE/"), "{update}");
    let invocation = run("invocation");
    assert!(
        invocation.contains("would start ")
            && invocation.contains(r#"["-v"]"#.escape_debug().to_string().as_str()),
        "{invocation}"
    );
    run("uninstall");
    assert_eq!(components(&desk), [] as [Vec<u8>; 0]);
}

#[test]
fn a_uri_stands_for_a_file_by_its_end_or_by_its_digest() {
    let desk = Desk::new();
    let content = vec![5; 3 << 20];
    desk.put("map.bin", &content);
    let map = "kind = \"pd\"\nname = \"map\"\n\
               [payload]\nfile = \"map.bin\"\nuri = \"https://example.org/v1/map.dat?x=1\"\n";
    desk.build("map", map).succeeded();
    let run = || desk.run("suit run --envelope map.suit --payloads network");
    fs::create_dir(desk.path("network")).unwrap();

    run().refused("suit.fetch", "--payloads DIR");
    desk.run("suit run --envelope map.suit").refused("suit.fetch", "nobody answered");
    desk.put("network/map.dat", vec![6; 3 << 20]);
    run().refused("suit.image-match", "deliver the payload that was measured");
    desk.put("network/map.dat", vec![5; (3 << 20) + 1]);
    run().refused("suit.fetch", "more bytes than allowed");
    desk.put("network/map.dat", &content);
    let told = run().succeeded();
    assert!(told.out.contains("fetched network/map.dat: 3145728 bytes"), "{}", told.out);
    assert_eq!(told.err, "", "no progress where nobody watches");
    fs::remove_file(desk.path("network/map.dat")).unwrap();
    desk.put(&format!("network/{}", hex::encode(cose::sha256(&content))), &content);
    run().succeeded();
    let kept = || desk.run("suit run --envelope map.suit --store device --payloads network");
    assert!(kept().succeeded().out.contains("fetched "));
    assert!(!kept().succeeded().out.contains("fetched "), "what is there is not fetched again");
}

#[test]
fn an_older_manifest_is_refused_by_a_store_that_knows_a_newer_one() {
    let desk = Desk::new();
    desk.planner(5);
    desk.run("suit run --envelope planner.suit --store device").succeeded();
    desk.run("suit run --envelope planner.suit --store device --procedure uninstall").succeeded();
    desk.planner(4);

    let older = desk.run("suit run --envelope planner.suit --store device --json");

    let refused = older.json();
    assert_eq!(older.code, Some(3));
    assert_eq!(refused["refused"]["check"], "suit.sequence-number");
    assert_eq!(refused["succeeded"], false);
    desk.run("suit run --envelope planner.suit --store device")
        .refused("suit.sequence-number", "sequence number 4 is lower than the stored 5");
    desk.run("suit run --envelope planner.suit").succeeded();
}

#[test]
fn a_failure_tells_what_was_expected_and_leaves_the_report() {
    let desk = Desk::new();
    desk.planner(1);
    let on = |device: &str| desk.run(&format!("suit run --envelope planner.suit {device}"));

    on("--device class=vm").refused("suit.class-identifier", "--device vendor=UUID,class=UUID");
    on("--device vendor=c0ddd5f1-5243-5660-87db-4f5b0aa26c2f")
        .refused("suit.vendor-identifier", "condition-vendor-identifier in install on ");
    on("--procedure invocation").refused("suit.image-match", "run `--procedure update` with");
    let failed = on("--device class=vm --json");
    let report = failed.json();
    assert_eq!(report["refused"]["check"], "suit.class-identifier");
    assert!(steps(&report).last().unwrap()["fault"].as_str().unwrap().starts_with("expected "));
    assert!(report["report"].to_string().contains("condition-failed"), "{report}");
}

#[test]
fn a_store_that_is_none_is_not_used() {
    let desk = Desk::new();
    desk.planner(1);
    fs::create_dir(desk.path("device")).unwrap();
    desk.put("device/manifests.json", "{\"foreign\": 1}");

    desk.run("suit run --envelope planner.suit --store device").unusable("a dry run wrote");
    desk.run("suit run --envelope planner.suit --store planner.toml").unusable("making the store");
    desk.run("suit run --envelope planner.suit --receiver none.pem").unusable("the receiver's key");
    let identity = desk.run("suit run --envelope planner.suit --device model=x");
    assert_eq!(identity.code, Some(2));
    assert!(identity.err.contains("neither `vendor=…` nor `class=…`"), "{}", identity.err);
}

#[test]
fn an_encrypted_payload_is_installed_by_its_receiver_alone() {
    let desk = Desk::new();
    let made = |name| load_or_create_agreement(desk.path(name), Curve::P256).unwrap();
    let (receiver, _) = (made("receiver.pem"), made("stranger.pem"));
    desk.put("receiver.pub", receiver.key().encode());
    desk.put("planner.payload", vec![b'x'; 300_000]);
    fs::create_dir(desk.path("net")).unwrap();
    for cipher in ["A128GCM", "A256GCM", "ChaCha20/Poly1305", "A128CTR", "A256CTR"] {
        for (uri, out) in [("", ""), ("uri = \"https://x/sealed\"\n", "out = \"net/sealed\"\n")] {
            let description = format!(
                "kind = \"ta\"\nname = \"planner\"\n[payload]\nfile = \"planner.payload\"\n{uri}\
                 [payload.encryption]\ncipher = \"{cipher}\"\nreceivers = [\"receiver.pub\"]\n{out}"
            );
            desk.build("planner", &description).succeeded();
            let run = "suit run --envelope planner.suit --payloads net --store device";

            let refused = desk.run(&format!("{run} --receiver stranger.pem"));
            assert_eq!(refused.code, Some(3), "{refused:?}");
            assert!(!desk.path("device/components").read_dir().unwrap().any(|_| true));
            desk.run(&format!("{run} --receiver receiver.pem")).succeeded();

            assert_eq!(components(&desk), [vec![b'x'; 300_000]], "{cipher}");
            fs::remove_dir_all(desk.path("device")).unwrap();
        }
    }
    let described = desk.run("suit inspect --envelope planner.suit --toml");
    assert_eq!(described.code, Some(3), "{described:?}");
}

fn steps(report: &Value) -> &Vec<Value> {
    report["steps"].as_array().unwrap()
}

/// The contents of the store.
fn components(desk: &Desk) -> Vec<Vec<u8>> {
    let files = fs::read_dir(desk.path("device/components")).unwrap();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}
