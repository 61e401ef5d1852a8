use std::process::{Command, Stdio};

use super::*;

#[test]
fn a_report_carries_the_nonce_and_names_the_device_by_its_root_key() {
    let tee = Itrustee::over(Box::new(Fake::default()), "libqca.so".into()).unwrap();

    let quote = tee.quote([7; 64]).unwrap();

    assert_eq!(quote.media_type, "application/vnd.tamarack.trustzone-report+cbor");
    let report: Value = serde_json::from_slice(&quote.evidence).unwrap();
    assert_eq!(report["payload"]["nonce"], URL_SAFE_NO_PAD.encode([7; 64]));
    assert_eq!(report["payload"]["uuid"], AGENT);
    let again = Itrustee::over(Box::new(Fake::default()), "libqca.so".into()).unwrap();
    assert_eq!(tee.description(), again.description());
    assert_eq!(tee.description().ueid[1..], cose::sha256(b"cert"));
    assert!(tee.sealing_key("storage").unwrap_err().is_lack());
}

#[test]
fn failures_name_the_library_and_what_it_said() {
    let failed = |fake| Itrustee::over(Box::new(fake), "libqca.so".into()).unwrap_err();
    let fault = |problem| Fault::new(Path::new("libqca.so"), problem);

    let fake = Fake { fails: Some(("provisioning-input", 0xffff_0001)), ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Firmware(0xffff_0001)));
    let fake = Fake { fails: Some(("report-input", 0xffff_000f)), ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Firmware(0xffff_000f)));
    let fake = Fake { other_nonce: true, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::OtherData));
    let fake = Fake { no_json: true, ..Fake::default() };
    assert_eq!(failed(fake), fault(Problem::Malformed("report in JSON")));
}

#[test]
fn a_machine_without_driver_or_library_says_which() {
    let root = tempfile::tempdir().unwrap();
    let (driver, library) = (root.path().join(PATH), root.path().join(LIBRARIES[0]));
    let failed = || Itrustee::open(root.path()).unwrap_err();
    assert_eq!(failed(), Fault::new(&driver, Problem::Absent));

    for file in [&driver, &library] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    std::fs::write(&driver, "").unwrap();
    assert_eq!(failed(), Fault::new(&library, Problem::NoLibrary));

    std::fs::write(&library, "no library").unwrap();
    assert_eq!(failed(), Fault::new(&library, Problem::NoLibrary));
}

/// The real calls into a library, which is compiled here.
#[test]
fn the_library_is_loaded_and_called() {
    let root = tempfile::tempdir().unwrap();
    let (driver, library) = (root.path().join(PATH), root.path().join(LIBRARIES[1]));
    for file in [&driver, &library] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    std::fs::write(&driver, "").unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/attester/itrustee/libqca.rs");
    let built = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .stderr(Stdio::null())
        .status();
    assert!(built.unwrap().success());

    let tee = Itrustee::open(root.path()).unwrap();
    let quote = tee.quote([7; 64]).unwrap();

    let report: Value = serde_json::from_slice(&quote.evidence).unwrap();
    assert_eq!(report["payload"]["nonce"], URL_SAFE_NO_PAD.encode([7; 64]));
    assert_eq!(tee.description().ueid[1..], cose::sha256(b"of the library"));
}

/// The quoting TA of a test.
#[derive(Default)]
struct Fake {
    fails: Option<(&'static str, u32)>,
    other_nonce: bool,
    no_json: bool,
}

impl Qca for Fake {
    fn remote_attest(&self, request: &str) -> Result<Vec<u8>, u32> {
        let request: Value = serde_json::from_str(request).unwrap();
        if let Some((handler, code)) = self.fails
            && request["handler"] == handler
        {
            return Err(code);
        }
        if request["handler"] == "provisioning-input" {
            let asked = json!({ "version": VERSION, "scenario": SCENARIO, "hash_alg": "HS256" });
            assert_eq!(request["payload"], asked);
            return Ok(b"{}".to_vec());
        }
        assert_eq!(request["handler"], "report-input");
        assert_eq!(request["payload"]["with_tcb"], false);
        if self.no_json {
            return Ok(b"report".to_vec());
        }
        let mut payload = request["payload"].clone();
        if self.other_nonce {
            payload["nonce"] = json!(URL_SAFE_NO_PAD.encode([9; 64]));
        }
        let certificate = json!({ "signature": { "drk_cert": "cert" } });
        let report = json!({ "payload": payload, "akcert": { SCENARIO: certificate } });
        Ok(report.to_string().into_bytes())
    }
}
