//! From a description to an envelope and back.

use crate::support::Desk;

#[test]
fn every_description_survives_its_envelope() {
    let desk = Desk::new();
    desk.put("planner.payload", "wasm");
    desk.put("relay.payload", [0, 1, 2]);
    desk.put("key.payload", "sealed");
    for (name, description) in [("planner", TA), ("relay", UA), ("key", PD), ("map", BY_URI)] {
        desk.build(name, description).succeeded();

        desk.run(&format!("suit verify --envelope {name}.suit")).succeeded();
        let shown = desk.run(&format!("suit inspect --envelope {name}.suit --toml")).succeeded();
        assert_eq!(shown.out, description, "{name}");
    }
}

#[test]
fn a_package_survives_with_its_parts() {
    let desk = Desk::new();
    desk.put("planner.payload", "wasm");
    desk.put("relay.payload", [0, 1, 2]);
    desk.build("planner", TA).succeeded();
    desk.build("relay", UA).succeeded();
    desk.put("0-planner.suit", desk.get("planner.suit"));
    desk.put("1-relay.suit", desk.get("relay.suit"));
    desk.build("package", ROOT).succeeded();

    let written = desk.run("suit inspect --envelope package.suit --toml --out back").succeeded();

    assert_eq!(desk.text("back/package.toml"), ROOT);
    assert_eq!(desk.get("back/0-planner.suit"), desk.get("planner.suit"));
    assert_eq!(desk.get("back/1-relay.suit"), desk.get("relay.suit"));
    assert_eq!(written.out.lines().count(), 3);
    let again = "suit build --description back/package.toml --out again.suit --key owner.key";
    desk.run(again).succeeded();
    assert_eq!(digest(&desk, "again.suit"), digest(&desk, "package.suit"));
}

#[test]
fn a_described_payload_is_written_beside_its_description() {
    let desk = Desk::new();
    desk.planner(7);

    desk.run("suit inspect --envelope planner.suit --toml --out back").succeeded();

    assert_eq!(desk.get("back/planner.payload"), b"wasm");
    assert!(desk.text("back/planner.toml").contains("sequence = 7\n"));
}

#[test]
fn a_payload_by_uri_is_measured_from_its_file() {
    let desk = Desk::new();
    desk.put("map.bin", [7; 300]);
    let sha256 = hex::encode(cose::sha256(&[7; 300]));
    let head = "kind = \"pd\"\nname = \"map\"\n[payload]\nuri = \"https://example.org/map\"\n";

    desk.build("file", &format!("{head}file = \"map.bin\"\n")).succeeded();
    desk.build("told", &format!("{head}sha256 = \"{sha256}\"\nsize = 300\n")).succeeded();

    assert_eq!(digest(&desk, "file.suit"), digest(&desk, "told.suit"));
}

#[test]
fn a_part_that_is_not_at_hand_is_described_by_its_name_digest_and_size() {
    let desk = Desk::new();
    desk.planner(1);
    let found = desk.run("suit verify --envelope planner.suit --json").succeeded().json();
    let manifest = found["envelope"]["digest"].as_str().unwrap().replace("sha-256:", "");
    let size = desk.get("planner.suit").len();
    let head = "kind = \"root\"\nname = \"package\"\n[[dependency]]\nuri = \"https://x/p.suit\"\n";

    desk.build("file", &format!("{head}file = \"planner.suit\"\n")).succeeded();
    let told = format!("{head}name = \"planner\"\nsha256 = \"{manifest}\"\nsize = {size}\n");
    desk.build("told", &told).succeeded();

    assert_eq!(digest(&desk, "file.suit"), digest(&desk, "told.suit"));
}

#[test]
fn the_key_of_the_home_signs_when_none_is_named() {
    let desk = Desk::new();
    desk.planner(1);
    desk.put("token", "t");
    desk.run("init --moc http://127.0.0.1:1 --token-file token").succeeded();

    let built = desk.run("suit build --description planner.toml --out home.suit --json");

    let owner = desk.run("init --moc http://127.0.0.1:1 --token-file token --json").json();
    assert_eq!(built.succeeded().json()["owner"], owner["owner"]);
}

#[test]
fn an_envelope_is_explained_for_people_and_for_programs() {
    let desk = Desk::new();
    desk.planner(1);

    let text = desk.run("suit inspect --envelope planner.suit").succeeded().out;
    let json = desk.run("suit inspect --envelope planner.suit --json").succeeded().json();

    assert!(text.starts_with("SUIT_Envelope") && text.contains("condition-image-match"), "{text}");
    assert!(text.contains("signature: verified"), "{text}");
    assert_eq!(json["artefact"]["name"], "SUIT_Envelope");
}

fn digest(desk: &Desk, envelope: &str) -> String {
    let found = desk.run(&format!("suit verify --envelope {envelope} --json")).succeeded().json();
    found["envelope"]["digest"].as_str().unwrap().to_owned()
}

const TA: &str = r#"kind = "ta"
name = "planner"
sequence = 3
vendor = "tamarack"
class = "process"
reference-uri = "https://example.org/planner"
arguments = "--fast"

[payload]
file = "planner.payload"

[text]
language = "de"
manifest = "Erste Ausgabe"
component = "plant Wege"
vendor-name = "Beispiel"
vendor-domain = "example.org"
model-name = "P1"
version = "1.2"
"#;

const UA: &str = r#"kind = "ua"
name = "relay"
sequence = 1
vendor = "c0ddd5f1-5243-5660-87db-4f5b0aa26c2f"
class = "db42f709-3d8c-55ba-a8c5-265fc5820f4e"
arguments = ["--listen", "127.0.0.1:0"]

[payload]
file = "relay.payload"
"#;

const PD: &str = r#"kind = "pd"
name = "key"
sequence = 1
vendor = "tamarack"
class = "vm"

[payload]
file = "key.payload"
"#;

const BY_URI: &str = r#"kind = "ta"
name = "map"
sequence = 9
vendor = "tamarack"
class = "container"

[payload]
uri = "https://example.org/map"
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
size = 5000000
"#;

const ROOT: &str = r#"kind = "root"
name = "package"
sequence = 2
vendor = "tamarack"
class = "process"

[text]
language = "en"
manifest = "planner and relay"

[[dependency]]
file = "0-planner.suit"

[[dependency]]
file = "1-relay.suit"

[[dependency]]
uri = "https://example.org/relay.suit"
name = "relay"
place = "tee"
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
size = 900
"#;
