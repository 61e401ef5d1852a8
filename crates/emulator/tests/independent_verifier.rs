//! An independent verifier judges the emulated evidence, with the emulator's root pinned.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::fs;
use std::path::PathBuf;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};
use emulator::Misbehaviour;
use emulator::family::Family as _;
use emulator::family::sgx::{Freshness, Machine, Measurement, Vendor};
use jiff::Timestamp;

#[test]
fn independent_verifier_accepts_the_emulated_quote_with_its_root_pinned() {
    let bench = Bench::new();

    let report = bench.judge(Misbehaviour::None, Settings::default()).unwrap();

    assert_eq!(report.status, "UpToDate");
    assert!(report.advisory_ids.is_empty());
    let body = report.report.as_sgx().unwrap();
    assert_eq!(body.mr_enclave, bench.measurement.mrenclave);
    assert_eq!(body.mr_signer, bench.measurement.mrsigner);
    assert_eq!(body.report_data, [7; 64]);
}

#[test]
fn independent_verifier_refuses_the_emulated_quote_without_its_root() {
    let bench = Bench::new();
    let quote = bench.quote(Misbehaviour::None);

    let judged = QuoteVerifier::new_prod().verify(&quote, &bench.collateral(), bench.seconds());

    judged.unwrap_err();
}

#[test]
fn independent_verifier_sees_an_old_tcb_with_its_advisories() {
    let report = Bench::new().judge(Misbehaviour::TcbOutOfDate, Settings::default()).unwrap();

    assert_eq!(report.status, "OutOfDate");
    assert_eq!(report.advisory_ids, ["EMULATED-SA-00001", "EMULATED-SA-00002"]);
}

#[test]
fn independent_verifier_refuses_debug_mode_unless_it_is_allowed() {
    let bench = Bench::new();

    bench.judge(Misbehaviour::Debug, Settings::default()).unwrap_err();

    let allow = Settings { allow_debug: true };
    assert_eq!(bench.judge(Misbehaviour::Debug, allow).unwrap().status, "UpToDate");
}

#[test]
fn independent_verifier_refuses_a_foreign_root_a_revoked_device_and_another_key() {
    let expected = [
        (Misbehaviour::ForeignRoot, "InvalidSignatureForPublicKey"),
        (Misbehaviour::Revoked, "CertRevoked"),
        (Misbehaviour::OtherKey, "QE report hash mismatch"),
    ];
    for (misbehaviour, expected) in expected {
        let bench = Bench::new();
        let error = bench.judge(misbehaviour, Settings::default()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(expected), "{misbehaviour:?}: {error}");
    }
}

#[test]
fn independent_verifier_accepts_a_good_device_beside_a_revoked_one() {
    let bench = Bench::new();
    bench.judge(Misbehaviour::Revoked, Settings::default()).unwrap_err();

    assert_eq!(bench.judge(Misbehaviour::None, Settings::default()).unwrap().status, "UpToDate");
}

#[test]
fn independent_verifier_refuses_expired_collateral() {
    let bench = Bench::new();
    let mut vendor = Vendor::open(&bench.vendor, bench.now).unwrap();

    vendor.set_freshness(Freshness::Expired, bench.now).unwrap();
    bench.judge(Misbehaviour::None, Settings::default()).unwrap_err();

    vendor.set_freshness(Freshness::Recent, bench.now).unwrap();
    bench.judge(Misbehaviour::None, Settings::default()).unwrap();
}

#[test]
fn what_a_device_says_falsely_is_in_an_otherwise_good_quote() {
    let bench = Bench::new();
    let report_data = |misbehaviour| {
        let report = bench.judge(misbehaviour, Settings::default()).unwrap();
        *report.report.as_sgx().unwrap()
    };

    assert_ne!(report_data(Misbehaviour::WrongReportData).report_data, [7; 64]);
    let wrong = report_data(Misbehaviour::WrongMeasurement);
    assert_ne!(wrong.mr_enclave, bench.measurement.mrenclave);
}

#[derive(Clone, Copy, Default)]
struct Settings {
    allow_debug: bool,
}

struct Bench {
    dir: tempfile::TempDir,
    vendor: PathBuf,
    measurement: Measurement,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        let measurement = Measurement::of(b"program", b"settings").unwrap();
        Self { dir, vendor, measurement, now: "2026-07-01T12:00:00Z".parse().unwrap() }
    }

    fn quote(&self, misbehaviour: Misbehaviour) -> Vec<u8> {
        let measurement = self.measurement.clone();
        let dir = self.dir.path().join("device");
        let machine = Machine::start(&self.vendor, &dir, measurement, misbehaviour, self.now);
        machine.unwrap().quote(self.now, &[7; 64]).unwrap().evidence
    }

    fn judge(
        &self,
        misbehaviour: Misbehaviour,
        settings: Settings,
    ) -> anyhow::Result<VerifiedReport> {
        let quote = self.quote(misbehaviour);
        let root = Vendor::open(&self.vendor, self.now).unwrap().root().to_vec();
        let verifier = QuoteVerifier::new(root).allow_debug(settings.allow_debug);
        verifier.verify(&quote, &self.collateral(), self.seconds())
    }

    fn seconds(&self) -> u64 {
        self.now.as_second() as u64
    }

    fn collateral(&self) -> QuoteCollateralV3 {
        let dir = self.vendor.join("collateral");
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let signature = |name: &str| hex::decode(text(name).trim_end()).unwrap();
        let bytes = |name: &str| fs::read(dir.join(name)).unwrap();
        QuoteCollateralV3 {
            pck_crl_issuer_chain: text("pck_crl_issuer_chain.pem"),
            root_ca_crl: bytes("root_ca_crl.der"),
            pck_crl: bytes("pck_crl.der"),
            tcb_info_issuer_chain: text("tcb_signing_chain.pem"),
            tcb_info: text("tcb_info.json"),
            tcb_info_signature: signature("tcb_info.sig.hex"),
            qe_identity_issuer_chain: text("tcb_signing_chain.pem"),
            qe_identity: text("qe_identity.json"),
            qe_identity_signature: signature("qe_identity.sig.hex"),
            pck_certificate_chain: None,
        }
    }
}
