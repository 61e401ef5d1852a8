//! `tamarack audit verify` as an auditor runs it: offline, with an export and the audit key.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::{path::Path, process::Command};

use audit::{Checkpoint, Entry, Hash, SALT_BYTES, receipt, tree};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use serde_json::{Value, json};

fn entry(position: u64, reason: &str) -> Entry {
    Entry {
        position,
        at_ms: 1_782_907_200_000,
        tenant: "acme".into(),
        subject: "deployment/d".into(),
        decision: "PD->TA".into(),
        reason: reason.into(),
        statement: Some(cose::sha256(b"a receipt of the TEE")),
        salt: [3; SALT_BYTES],
    }
}

fn leaves(reasons: &[&str]) -> Vec<Vec<u8>> {
    (0..).zip(reasons).map(|(position, reason)| entry(position, reason).encode()).collect()
}

fn root(leaves: &[Vec<u8>]) -> Hash {
    let mut root = tree::Root::default();
    leaves.iter().for_each(|leaf| root.push(tree::leaf(leaf)));
    root.hash()
}

fn export(key: &SigningKey, leaves: &[Vec<u8>]) -> Value {
    let checkpoint = Checkpoint {
        log: "https://moc.example/tam".into(),
        size: leaves.len() as u64,
        root: root(leaves),
        at_ms: 5,
    };
    let entries: Vec<String> = leaves.iter().map(|leaf| STANDARD.encode(leaf)).collect();
    json!({ "checkpoint": STANDARD.encode(checkpoint.sign(key).unwrap()), "entries": entries })
}

/// The exit code and what was printed as JSON.
fn verify(dir: &Path, key: &SigningKey, file: &Value, since: Option<&Value>) -> (i32, Value) {
    let path = dir.join("log.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tamarack"));
    let public: String = key.key().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    command.args(["audit", "verify", "--json", "--key", &public]).arg(path);
    if let Some(since) = since {
        let older = dir.join("older.json");
        std::fs::write(&older, since.to_string()).unwrap();
        command.arg("--since").arg(older);
    }
    let output = command.output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_log_that_is_whole_and_continues_the_older_one_passes() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(Algorithm::Esp256).unwrap();
    let all = leaves(&["a", "b", "c"]);

    let older = export(&key, &all[..2]);
    let (code, report) = verify(dir.path(), &key, &export(&key, &all), Some(&older));

    assert_eq!(code, 0, "{report}");
    assert_eq!((&report["size"], &report["continues"]), (&json!(3), &json!(2)));
    assert_eq!(report["entries"][2]["reason"], "c");
}

#[test]
fn a_log_that_was_rewritten_is_refused_even_when_the_operator_signs_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(Algorithm::Esp256).unwrap();
    let (told, rewritten) = (leaves(&["a", "b"]), leaves(&["a", "B", "c"]));
    let mut unsigned = export(&key, &told);
    unsigned["entries"][1] = json!(STANDARD.encode(&rewritten[1]));
    let mut cut = export(&key, &told);
    cut["entries"].as_array_mut().unwrap().pop();
    let again = export(&key, &rewritten);

    let seen = |file: &Value, since: Option<&Value>| {
        let (code, report) = verify(dir.path(), &key, file, since);
        assert_eq!(code, 3, "{report}");
        report["refused"]["seen"].as_str().unwrap().to_owned()
    };

    assert_eq!(seen(&unsigned, None), "the 2 entries do not make the root that was signed");
    assert_eq!(seen(&cut, None), "1 entries of the 2 that were signed");
    assert_eq!(
        seen(&again, Some(&export(&key, &told))),
        "the tree of 3 entries does not continue that of 2 entries"
    );
}

#[test]
fn the_proofs_of_a_deployment_count_under_the_audit_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(Algorithm::Esp256).unwrap();
    let other = SigningKey::generate(Algorithm::Esp256).unwrap();
    let all = leaves(&["a", "b"]);
    let included = receipt::Included { index: 1, size: 2, root: root(&all) };
    let signed = receipt::inclusion(&key, &included, &[tree::leaf(&all[0])]).unwrap();
    let proof = |statement: &[u8]| {
        json!([{
            "position": 1,
            "entry": STANDARD.encode(&all[1]),
            "receipt": STANDARD.encode(&signed),
            "statement": STANDARD.encode(statement),
        }])
    };

    let (code, report) = verify(dir.path(), &key, &proof(b"a receipt of the TEE"), None);
    let (foreign, _) = verify(dir.path(), &other, &proof(b"a receipt of the TEE"), None);
    let (false_statement, _) = verify(dir.path(), &key, &proof(b"another"), None);

    assert_eq!((code, &report["proven"]), (0, &json!(1)));
    assert_eq!((foreign, false_statement), (3, 3));
}
