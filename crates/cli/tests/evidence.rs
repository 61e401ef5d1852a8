//! `tamarack evidence appraise` as programs use it, over the recorded evidence.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "lets a test fail or be skipped")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

#[test]
fn every_recorded_case_ends_as_its_oracle_says() {
    let Some(vectors) = vectors("every_recorded_case_ends_as_its_oracle_says") else { return };
    let mut seen = 0;
    for vector in folders(&vectors).iter().flat_map(|kind| folders(kind)) {
        let Some(expected) = json(&vector.join("expected.json")) else { continue };
        let Some(evidence) = EVIDENCE.iter().map(|it| vector.join(it)).find(|it| it.exists())
        else {
            continue;
        };
        for case in expected["cases"].as_array().into_iter().flatten() {
            let output = appraise(&vector, &evidence, case);
            let what = format!("{} at {}", vector.display(), case["verify_at"]);

            let code = output.status.code().unwrap();
            match serde_json::from_slice::<Value>(&output.stdout) {
                Ok(report) => check(&report, code, &expected["fields"], &case["expect"], &what),
                // No verdict is one way to refuse; where the oracle accepts it is a mistake.
                Err(_) => assert!(code == 2 && rejects(&case["expect"]), "{what}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn missing_endorsements_are_no_verdict() {
    let Some(vectors) = vectors("missing_endorsements_are_no_verdict") else { return };
    for (id, missing) in [
        ("sgx/v3-encrypted-ppid", "dcap.pck.present"),
        ("sgx/v3-spr-nocollateral", "dcap.collateral: none supplied"),
        ("tdx/v4-untrusted-root", "dcap.collateral: none supplied"),
    ] {
        let vector = vectors.join(id);

        let output = appraise(&vector, &vector.join("quote.bin"), &Value::Null);

        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &[][..]), "{id}");
        assert!(told.starts_with("no verdict") && told.contains(missing), "{told}");
    }
}

#[test]
fn a_forged_quote_is_refused_whatever_else_is_missing() {
    let Some(vectors) = vectors("a_forged_quote_is_refused_whatever_else_is_missing") else {
        return;
    };
    let vector = vectors.join("sgx/v3-spr-nocollateral");
    let mut quote = fs::read(vector.join("quote.bin")).unwrap();
    quote[48] ^= 1;
    let forged = tempfile::NamedTempFile::new().unwrap();
    fs::write(forged.path(), quote).unwrap();

    let output = appraise(&vector, forged.path(), &Value::Null);

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((&report["authentic"], &report["reason"]), (&false.into(), &"bad-signature".into()));
}

fn check(report: &Value, code: i32, fields: &Value, expect: &Value, what: &str) {
    if let Some(status) = expect["merged_status"].as_str() {
        assert_eq!(report["tcb_status"].as_str().unwrap_or(status), status, "{what}");
    }
    let ok = |name: &str| expect[name].as_str().is_none_or(|it| it.starts_with("ok"));
    if expect.is_object() {
        let authentic =
            ok("signatures_and_chain") && ok("chain") && ok("signature") && !rejects(expect);
        assert_eq!(report["authentic"], authentic, "{what}");
    }
    if rejects(expect) {
        assert_eq!(code, 3, "{what}");
    }
    for (name, value) in fields.as_object().into_iter().flatten() {
        let shown = &report["fields"][name];
        assert!(shown.is_null() || shown == value, "{what}: {name} is {shown}, not {value}");
    }
}

fn rejects(expect: &Value) -> bool {
    let said = expect.as_str().or_else(|| expect["result"].as_str());
    said.is_some_and(|said| said.starts_with("reject"))
}

fn appraise(vector: &Path, evidence: &Path, case: &Value) -> Output {
    let kind = vector.parent().unwrap().file_name().unwrap();
    let collateral = vector.join(case["collateral"].as_str().unwrap_or_default());
    let at = case["verify_at"].as_str().unwrap_or("2025-01-01T00:00:00Z");
    let mut tamarack = Command::new(env!("CARGO_BIN_EXE_tamarack"));
    tamarack.args(["evidence", "appraise", "--json", "--at", at, "--kind"]).arg(kind);
    tamarack.arg("--evidence").arg(evidence).arg("--collateral").arg(collateral);
    tamarack.output().unwrap()
}

fn json(path: &Path) -> Option<Value> {
    Some(serde_json::from_slice(&fs::read(path).ok()?).unwrap())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// The recorded evidence; without it a test says so and does nothing.
fn vectors(test: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence");
    if !path.exists() {
        println!("skipped: {test}: ../shared/vectors is absent");
        return None;
    }
    Some(path)
}

/// What the evidence of a vector is called.
const EVIDENCE: [&str; 9] = [
    "quote.bin",
    "report.bin",
    "token.cbor",
    "report.json",
    "evidence.bin",
    "akcert.json",
    "cert.pem",
    "hcl-report.bin",
    "psa-2_0_0_sign1.bin",
];
