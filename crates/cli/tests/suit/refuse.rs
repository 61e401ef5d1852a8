//! What is not built, not signed and not verified.

use std::fs;

use crate::support::{Desk, vectors};

#[test]
fn a_description_that_says_something_else_is_explained() {
    let desk = Desk::new();
    desk.put("p", "wasm");
    let ta = "kind = \"ta\"\nname = \"a\"\n";
    let root = "kind = \"root\"\nname = \"a\"\n";
    let payload = "[payload]\nfile = \"p\"\n";
    let sha256 = "0".repeat(64);
    for (description, words) in [
        (format!("{ta}colour = 1\n{payload}"), "unknown field `colour`"),
        (format!("{ta}{payload}weight = 1\n"), "unknown field `weight`"),
        (format!("{ta}{payload}[text]\nmood = \"x\"\n"), "unknown field `mood`"),
        (format!("kind = \"app\"\nname = \"a\"\n{payload}"), "unknown variant `app`"),
        (ta.to_owned(), "[payload] is missing"),
        (format!("kind = \"ta\"\nname = \"a/b\"\n{payload}"), "`name`"),
        (format!("{ta}sequence = -1\n{payload}"), "invalid value: integer `-1`"),
        (format!("{ta}vendor = \"acme\"\n{payload}"), "`acme` is neither a UUID nor one of"),
        (format!("{ta}class = \"cloud\"\n{payload}"), "process, container, vm"),
        (format!("{ta}reference-uri = \"here\"\n{payload}"), "is not an absolute URI"),
        (format!("{ta}arguments = 7\n{payload}"), "a text, a list of texts, or"),
        (format!("{ta}arguments = {{ hex = \"xy\" }}\n{payload}"), "not hexadecimal"),
        (format!("{ta}[payload]\nfile = \"absent\"\n"), "reading the file absent"),
        (format!("{ta}{payload}size = 4\n"), "drop `sha256`, `size`"),
        (format!("{ta}[payload]\nuri = \"https://x/y\"\n"), "needs `file`, or else `uri`"),
        (format!("{ta}[payload]\nsha256 = \"{sha256}\"\nsize = 1\n"), "needs `file`"),
        (
            format!("{ta}[payload]\nuri = \"https://x/y\"\nsha256 = \"00\"\nsize = 1\n"),
            "not 32 bytes",
        ),
        (format!("{ta}{payload}uri = \"#x\"\n"), "`payload.uri`"),
        (format!("{ta}{payload}[[dependency]]\nfile = \"p\"\n"), "is for kind = \"root\""),
        (format!("kind = \"pd\"\nname = \"a\"\narguments = \"x\"\n{payload}"), "nothing else is"),
        (root.to_owned(), "at least one [[dependency]]"),
        (format!("{root}{payload}"), "a root has no [payload]"),
        (format!("{root}[text]\nversion = \"1\"\n[[dependency]]\nfile = \"p\"\n"), "no component"),
        (format!("{root}[[dependency]]\nname = \"x\"\n"), "[[dependency]] needs `file`"),
        (format!("{root}[[dependency]]\nfile = \"p\"\nsize = 1\n"), "drop all but `file`"),
        (
            format!(
                "{root}[[dependency]]\nuri = \"https://x/y\"\nname = \"x\"\n\
                 sha256 = \"{sha256}\"\nsize = 99999999\n"
            ),
            "`dependency.size` is above",
        ),
        ("kind = ".to_owned(), "TOML parse error at line 1"),
    ] {
        desk.build("x", &description).unusable(words);
        assert!(!desk.path("x.suit").exists());
    }
}

#[test]
fn a_key_or_a_file_that_is_not_there_is_named() {
    let desk = Desk::new();
    desk.planner(1);

    desk.run("suit build --description planner.toml --out o --key none").unusable("none");
    desk.run("suit build --description planner.toml --out o").unusable("owner.key");
    desk.run("suit build --description none --out o --key owner.key").unusable("the description");
    desk.run("suit sign --envelope planner.suit --key none --out o").unusable("the key none");
    desk.run("suit sign --envelope none --key owner.key --out o").unusable("the envelope none");
    desk.run("suit verify --envelope none").unusable("the envelope none");
    desk.run("suit verify --envelope planner.suit --keys none").unusable("the keys in none");
    desk.run("suit inspect --envelope none").unusable("the envelope none");
    desk.run("suit run --envelope none").unusable("the envelope none");
    desk.run("suit build --description planner.toml --out no/o --key owner.key")
        .unusable("writing no/o");
}

#[test]
fn a_part_that_nobody_answers_for_is_no_part_of_a_package() {
    let desk = Desk::new();
    desk.planner(1);
    let mut torn = desk.get("planner.suit");
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    desk.put("torn.suit", torn);
    desk.put("text", "no envelope");
    let package = |part: &str| {
        desk.build(
            "package",
            &format!("kind = \"root\"\nname = \"p\"\n[[dependency]]\nfile = \"{part}\"\n"),
        )
    };

    package("text").refused("suit.format", "the dependency text is malformed");
    package("torn.suit").refused("suit.digest", "the dependency torn.suit is untrusted");
    let twice = "kind = \"root\"\nname = \"p\"\n[[dependency]]\nfile = \"planner.suit\"\n\
                 [[dependency]]\nfile = \"planner.suit\"\n";
    desk.build("package", twice).unusable("is a dependency twice");
}

#[test]
fn no_changed_envelope_verifies() {
    let desk = Desk::new();
    desk.planner(1);
    let whole = desk.get("planner.suit");
    let payload = whole.len() - 1;
    // The name of the key is a hint that nothing signs; the key itself travels beside it.
    let key = cose::Key::decode(&desk.get("owner.pub")).unwrap().thumbprint();
    let kid = whole.windows(32).position(|bytes| bytes == key.0).unwrap();
    let signed = |at: &usize| !(kid..kid + 32).contains(at);
    for at in (0..whole.len()).step_by(5).filter(signed).chain([payload]) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        desk.put("changed.suit", changed);

        let ended = desk.run("suit verify --envelope changed.suit");

        if ended.code == Some(0) {
            // The payload got another name: the manifest's own is missed.
            assert!(ended.out.contains("#planner: not in the envelope"), "byte {at}: {ended:#?}");
            continue;
        }
        assert_eq!(ended.code, Some(3), "byte {at}: {ended:#?}");
        if at == payload {
            ended.refused("suit.payload", "payload #planner has sha-256:");
        }
    }
    desk.put("cut.suit", &whole[..whole.len() - 1]);
    desk.run("suit verify --envelope cut.suit").refused("suit.format", "cut.suit is malformed");
    let refused = desk.run("suit verify --envelope cut.suit --json").json();
    assert_eq!(
        (&refused["verified"], &refused["refused"]["check"]),
        (&serde_json::json!(false), &serde_json::json!("suit.format"))
    );
}

#[test]
fn a_thief_signs_and_nobody_takes_it() {
    let desk = Desk::new();
    desk.planner(1);
    desk.run("key new --out thief.key").succeeded();
    fs::create_dir(desk.path("keys")).unwrap();
    desk.put("keys/thief.pub", desk.get("thief.pub"));
    let sign = "suit sign --envelope planner.suit --key thief.key --out";

    let signed = desk.run(&format!("{sign} stolen.suit --replace")).succeeded();
    assert!(signed.err.contains("does not begin with the signer's thumbprint"), "{}", signed.err);
    let verify = "suit verify --envelope stolen.suit";
    desk.run(verify).refused("suit.authority", "no authority over component");
    desk.run(&format!("{verify} --keys keys")).refused("suit.authority", "no authority over");
    desk.run("suit run --envelope stolen.suit").refused("suit.authority", "no authority over");
    let both = desk.run(&format!("{sign} both.suit")).succeeded();
    assert!(both.out.contains("2 signature(s)"), "{}", both.out);
    desk.run("suit verify --envelope both.suit").succeeded();
    desk.run("suit verify --envelope planner.suit --keys keys")
        .refused("suit.signature", "signed by a key that is no trust anchor");
}

#[test]
fn who_signs_again_replaces_the_own_signature_alone() {
    let desk = Desk::new();
    desk.planner(1);
    desk.run("key new --out second.key").succeeded();
    let sign = |from: &str, key: &str, to: &str| {
        desk.run(&format!("suit sign --envelope {from} --key {key} --out {to} --json"))
    };

    let two = sign("planner.suit", "second.key", "two.suit").succeeded().json();
    let again = sign("two.suit", "owner.key", "again.suit").succeeded().json();

    assert_eq!((&two["signatures"], &again["signatures"]), (&2.into(), &2.into()));
    assert_eq!(again["digest"], two["digest"]);
    assert_eq!(again["without_authority_over"], serde_json::json!([]));
    let warned = desk.run("suit verify --envelope again.suit");
    warned.refused("suit.authority", "no authority over component");
}

#[test]
fn what_is_not_whole_is_not_signed() {
    let desk = Desk::new();
    desk.planner(1);
    let mut changed = desk.get("planner.suit");
    let manifest = changed.windows(6).position(|six| six == b"\x01\x01\x02\x01\x03\x58").unwrap();
    changed[manifest + 3] = 2;
    desk.put("changed.suit", changed);
    desk.put("text", "no envelope");
    let sign = |file: &str| {
        desk.run(&format!("suit sign --envelope {file} --key owner.key --out o --replace"))
    };

    sign("changed.suit").refused("suit.digest", "does not have the digest that was signed");
    sign("text").refused("suit.format", "text is malformed");
    assert!(!desk.path("o").exists());
}

#[test]
fn a_valid_manifest_that_says_more_has_no_description() {
    let Some(vectors) = vectors("a_valid_manifest_that_says_more_has_no_description") else {
        return;
    };
    let desk = Desk::new();
    let keys = vectors.join("suit/keys");
    let of = |file: &str| {
        let words = "suit inspect --toml --keys";
        let file = vectors.join("teep/draft-26").join(file);
        desk.run(&format!("{words} {} --envelope {}", keys.display(), file.display()))
    };

    of("suit_uri.cbor").refused("suit.describable", "tamarack suit inspect` without --toml");
    of("suit_personalization.cbor").refused("suit.describable", "it has another structure");
    desk.planner(1);
    let json = desk.run("suit inspect --envelope planner.suit --toml --json");
    assert_eq!(json.code, Some(2));
}
