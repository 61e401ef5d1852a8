//! Keys in a PKCS#11 token, with SoftHSM as the token.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::support::Desk;

#[test]
fn a_key_in_a_token_signs_as_the_same_key_in_a_file() {
    let Some(module) = MODULES.into_iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: a_key_in_a_token_…: no libsofthsm2.so (package softhsm2)");
        return;
    };
    let desk = Desk::new();
    let (tokens, configuration) = (desk.path("tokens"), desk.path("softhsm2.conf"));
    fs::create_dir(&tokens).unwrap();
    fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let softhsm = |words: &str| {
        let mut command = Command::new("softhsm2-util");
        let command = command.args(words.split_whitespace()).env("SOFTHSM2_CONF", &configuration);
        let output = command.current_dir(desk.path("")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    softhsm("--init-token --free --label hsm --pin 1234 --so-pin 1234");
    softhsm("--import owner.key --token hsm --label owner --id 01 --pin 1234");
    desk.put("pin", "1234\n");
    desk.put("wrong", "4321\n");
    desk.planner(1);
    let run = |words: &str| desk.run_with("SOFTHSM2_CONF", &configuration, words);
    let key = |object: &str, pin: &str| {
        format!("pkcs11:token=hsm;object={object}?module-path={module}&pin-source=file:{pin}")
    };
    let build = |key: &str, out: &str| {
        run(&format!("suit build --description planner.toml --out {out} --key {key} --json"))
    };

    let built = build(&key("owner", "pin"), "token.suit").succeeded();
    let sign = "suit sign --envelope planner.suit --out again.suit --json --key";
    let signed = run(&format!("{sign} {}", key("owner", "pin"))).succeeded();

    let of_file = build("owner.key", "file.suit").succeeded();
    let [built, signed, of_file] =
        [built, signed, of_file].map(|ended| serde_json::from_str::<Value>(&ended.out).unwrap());
    assert_eq!(built["owner"], of_file["owner"]);
    assert_eq!(built["digest"], of_file["digest"]);
    assert_eq!((&signed["signer"], &signed["signatures"]), (&built["owner"], &1.into()));
    for envelope in ["token.suit", "again.suit"] {
        desk.run(&format!("suit verify --envelope {envelope}")).succeeded();
    }
    for (key, why) in [
        (key("owner", "wrong"), "does not take the PIN"),
        (key("nobody", "pin"), "not exactly one key pair `nobody`"),
        (key("owner", "absent"), "reading the PIN in absent"),
        (key("owner", "pin").replace("hsm;", "other;"), "there is no token `other`"),
        ("pkcs11:token=hsm".to_owned(), "`object` is missing"),
    ] {
        let refused = run(&format!("{sign} {key}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains(why), "{}", refused.err);
    }
}

const MODULES: [&str; 2] =
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
