//! Our Verifier accepts the emulated device when it is allowed by name, and refuses each
//! misbehaviour by the check that is meant for it.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

use std::fs;
use std::path::PathBuf;

use emulator::Misbehaviour;
use emulator::family::Family as _;
use emulator::family::sgx::{Freshness, MEDIA_TYPE, Machine, Measurement, Vendor};
use jiff::Timestamp;
use verifier::anchor::{Listed, Vendor as Maker};
use verifier::evidence::sgx::Reference;
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    UserData,
};

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
#[test]
fn an_honest_device_is_accepted_and_named_an_emulator() {
    let bench = Bench::new();

    let appraisal = bench.appraise(Misbehaviour::None);

    assert!(appraisal.accepted(), "{appraisal}");
    assert_eq!(appraisal.emulated(), Some(true));
    assert_eq!(appraisal.reference(), Some("program"));
    assert!(appraisal.bound());
    assert_eq!(appraisal.tcb().unwrap().status.to_string(), "UpToDate");
    assert_eq!(Kind::from_media_type(MEDIA_TYPE), Some(Kind::Sgx));
}

//= rats 11.17, 11.26 (M): debug, revoked, wrong root and an old TCB are each refused
//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_is_refused_by_the_check_meant_for_it() {
    let expected = [
        (Misbehaviour::Debug, Reason::Debug, "instance.debug"),
        (Misbehaviour::ForeignRoot, Reason::UntrustedRoot, "dcap.pck.root"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "dcap.qe.binding"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::Revoked, Reason::Revoked, "dcap.pck.revocation"),
        (Misbehaviour::TcbOutOfDate, Reason::TcbStatusNotAllowed, "dcap.tcb.status"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "mrenclave"),
    ];
    for (misbehaviour, reason, check) in expected {
        let appraisal = Bench::new().appraise(misbehaviour);

        let (refused_by, failure) = appraisal.refusal().unwrap();
        assert_eq!((failure.reason, refused_by.name), (reason, check), "{appraisal}");
        assert_eq!(appraisal.checks().failures().len(), 1, "{appraisal}");
    }
}

#[test]
fn a_device_that_behaves_again_is_accepted_again() {
    let bench = Bench::new();
    for misbehaviour in [Misbehaviour::Revoked, Misbehaviour::TcbOutOfDate] {
        assert!(!bench.appraise(misbehaviour).accepted());
        let appraisal = bench.appraise(Misbehaviour::None);
        assert!(appraisal.accepted(), "{appraisal}");
    }
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_device_is_refused_by_every_policy_that_does_not_name_it() {
    let bench = Bench::new();
    let quote = bench.quote(Misbehaviour::None);

    let strict = bench.judge(&quote, &bench.anchors(), &Policy::default());
    assert_eq!(strict.reason(), Some(Reason::EmulatedNotAllowed));

    let unlisted = bench.judge(&quote, &Anchors::vendors(), &emulation_allowed());
    assert_eq!(unlisted.reason(), Some(Reason::UntrustedRoot));
}

//= rats 11.26 (M): an expired chain is refused
#[test]
fn expired_collateral_is_refused() {
    let bench = Bench::new();
    let mut vendor = Vendor::open(&bench.vendor, bench.now).unwrap();

    vendor.set_freshness(Freshness::Expired, bench.now).unwrap();
    assert_eq!(bench.appraise(Misbehaviour::None).reason(), Some(Reason::Expired));

    vendor.set_freshness(Freshness::Recent, bench.now).unwrap();
    assert!(bench.appraise(Misbehaviour::None).accepted());
}

#[test]
fn collateral_that_nobody_renews_expires() {
    let mut bench = Bench::new();
    let quote = bench.quote(Misbehaviour::None);
    let policy = emulation_allowed();

    bench.now += jiff::SignedDuration::from_hours(30 * 24);
    assert!(bench.judge(&quote, &bench.anchors(), &policy).accepted());

    bench.now += jiff::SignedDuration::from_secs(1);
    let late = bench.judge(&quote, &bench.anchors(), &policy);
    assert_eq!(late.reason(), Some(Reason::Expired));
}

const CHALLENGE: [u8; 64] = [7; 64];

struct Bench {
    dir: tempfile::TempDir,
    vendor: PathBuf,
    measurement: Measurement,
    anchor: [u8; 32],
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        let measurement = Measurement::of(b"program", b"settings").unwrap();
        let now: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
        let anchor = Vendor::open(&vendor, now).unwrap().anchor();
        Self { dir, vendor, measurement, anchor, now }
    }

    fn quote(&self, misbehaviour: Misbehaviour) -> Vec<u8> {
        let measurement = self.measurement.clone();
        let dir = self.dir.path().join("device");
        let machine = Machine::start(&self.vendor, &dir, measurement, misbehaviour, self.now);
        machine.unwrap().quote(self.now, &CHALLENGE).unwrap().evidence
    }

    fn appraise(&self, misbehaviour: Misbehaviour) -> Appraisal {
        self.judge(&self.quote(misbehaviour), &self.anchors(), &emulation_allowed())
    }

    fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Maker::Intel,
            name: "bench".to_owned(),
            spki_sha256: Hex(self.anchor),
        })
    }

    fn judge(&self, quote: &[u8], anchors: &Anchors, policy: &Policy) -> Appraisal {
        let files = fs::read_dir(self.vendor.join("collateral")).unwrap().map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        });
        let endorsements =
            Endorsements::prepare(Kind::Sgx, &Collateral::from_files(files), anchors);
        let sgx = vec![Reference::enclave("program".to_owned(), self.measurement.mrenclave)];
        let request = Request {
            kind: Kind::Sgx,
            evidence: quote,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors,
            reference: &ReferenceValues { sgx, ..ReferenceValues::default() },
            policy,
            now: verifier::Timestamp(self.now.as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }
}

fn emulation_allowed() -> Policy {
    Policy { emulated_allowed: true, ..Policy::default() }
}
