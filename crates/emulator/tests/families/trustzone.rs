//! TrustZone with iTrustee and with OP-TEE, by our Verifier.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use emulator::Misbehaviour;
use emulator::family::intel::Freshness;
use emulator::family::{FamilyName, Software, Start, itrustee, optee};
use verifier::anchor::List;
use verifier::{
    Anchors, Appraisal, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, UserData,
};

use crate::bench::{
    CHALLENGE, PROGRAM, SETTINGS, collateral, emulation_allowed, evidence, now, refused_by,
};

const ALL: [FamilyName; 2] = [FamilyName::TrustZoneItrustee, FamilyName::TrustZoneOptee];

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
#[test]
fn an_honest_application_is_accepted_and_named_an_emulator() {
    for (family, generation) in ALL.into_iter().zip(["iTrustee", "OP-TEE"]) {
        let bench = Bench::new(family);

        let appraisal = bench.appraise(Misbehaviour::None);

        assert!(appraisal.accepted(), "{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        assert_eq!(appraisal.reference(), Some("tamarack-agent"));
        assert!(appraisal.bound());
        assert_eq!(appraisal.claims().unwrap().generation, Some(generation));
    }
    assert_eq!(Kind::from_media_type(itrustee::MEDIA_TYPE), Some(Kind::TrustZone));
    assert_eq!(Kind::from_media_type(optee::MEDIA_TYPE), Some(Kind::TrustZone));
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_itrustee_is_refused_by_the_check_meant_for_it() {
    let bench = Bench::new(FamilyName::TrustZoneItrustee);
    for (misbehaviour, reason, check) in [
        (Misbehaviour::ForeignRoot, Reason::BadSignature, "huawei.device.certificate"),
        // What is replayed is the report before.
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "itrustee.report.signature"),
        (Misbehaviour::Revoked, Reason::Revoked, "huawei.device.revocation"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "ta.mem"),
    ] {
        refused_by(&bench.appraise(misbehaviour), reason, check);
    }
    let old = bench.appraise(Misbehaviour::TcbOutOfDate);
    let names: Vec<_> = old.checks().failures().iter().map(|(check, _)| check.name).collect();
    assert_eq!(names, ["qta_img", "qta_mem"], "{old}");
    assert!(bench.appraise(Misbehaviour::None).accepted(), "a device is mended");
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_op_tee_is_refused_by_the_check_meant_for_it() {
    let bench = Bench::new(FamilyName::TrustZoneOptee);
    for (misbehaviour, reason, check) in [
        (Misbehaviour::ForeignRoot, Reason::UntrustedRoot, "optee.signature"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "optee.signature"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "digest"),
    ] {
        refused_by(&bench.appraise(misbehaviour), reason, check);
    }
}

#[test]
fn a_fault_that_the_format_cannot_show_is_refused_with_the_reason() {
    use Misbehaviour::{Debug, Revoked, TcbOutOfDate};
    let [itrustee, optee] = ALL;
    for (family, fault, why) in [
        (itrustee, Debug, "neither debugging nor a life cycle"),
        (optee, Debug, "neither debugging nor a life cycle"),
        (optee, Revoked, "no revocation list"),
        (optee, TcbOutOfDate, "signs no version"),
    ] {
        let refused = family.can_misbehave(fault).unwrap_err().to_string();

        assert!(refused.contains(why), "{refused}");
    }
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_device_is_refused_unless_it_is_listed_and_allowed() {
    for family in ALL {
        let bench = Bench::new(family);
        let report = bench.report(Misbehaviour::None);

        let strict = bench.judge(&report, &bench.anchors(), &Policy::default());
        assert_eq!(strict.reason(), Some(Reason::EmulatedNotAllowed));

        let unlisted = bench.judge(&report, &Anchors::vendors(), &emulation_allowed());
        assert_eq!(unlisted.reason(), Some(Reason::UntrustedRoot));
    }
}

#[test]
fn an_expired_list_of_the_vendor_is_refused() {
    let bench = Bench::new(FamilyName::TrustZoneItrustee);
    let report = bench.report(Misbehaviour::None);
    let mut vendor = itrustee::Vendor::open(&bench.vendor, now()).unwrap();
    vendor.set_freshness(Freshness::Expired, now()).unwrap();

    let appraisal = bench.judge(&report, &bench.anchors(), &emulation_allowed());

    assert_eq!(appraisal.reason(), Some(Reason::StaleEndorsement), "{appraisal}");
}

struct Bench {
    dir: tempfile::TempDir,
    family: FamilyName,
    vendor: PathBuf,
}

impl Bench {
    /// A vendor and a device with the keys that all tests share.
    fn new(family: FamilyName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = keys();
        for (from, to) in [
            ("vendor/keys", "vendor/keys"),
            ("device/itrustee", "device/itrustee"),
            ("device/optee", "device/optee"),
            ("device/itrustee/foreign-vendor/keys", "device/itrustee/foreign-vendor/keys"),
        ] {
            let to = dir.path().join(to);
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(made.join(from)).unwrap() {
                let file = file.unwrap().path();
                if file.extension().is_some_and(|extension| extension == "pk8") {
                    fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        let vendor = dir.path().join("vendor");
        Self { dir, family, vendor }
    }

    fn report(&self, misbehaviour: Misbehaviour) -> Vec<u8> {
        evidence(self.family, &self.vendor, &self.dir.path().join("device"), misbehaviour)
    }

    fn appraise(&self, misbehaviour: Misbehaviour) -> Appraisal {
        let report = self.report(misbehaviour);
        self.judge(&report, &self.anchors(), &emulation_allowed())
    }

    /// As the vendor lists them.
    fn anchors(&self) -> Anchors {
        emulator::vendor::publish(&self.vendor, now()).unwrap();
        let list = fs::read_to_string(self.vendor.join("anchors.toml")).unwrap();
        Anchors::vendors().with_list(List::from_toml(&list).unwrap())
    }

    fn judge(&self, report: &[u8], anchors: &Anchors, policy: &Policy) -> Appraisal {
        let collateral = collateral(&self.vendor.join("collateral"));
        let endorsements = Endorsements::prepare(Kind::TrustZone, &collateral, anchors);
        let reference: ReferenceValues = serde_json::from_value(
            self.family.measure(Software::Program(PROGRAM), SETTINGS).unwrap(),
        )
        .unwrap();
        let request = Request {
            kind: Kind::TrustZone,
            evidence: report,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors,
            reference: &reference,
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }
}

/// RSA keys are slow to make.
fn keys() -> PathBuf {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        for family in ALL {
            let start = Start {
                vendor_dir: &dir.path().join("vendor"),
                state_dir: &dir.path().join("device"),
                software: Software::Program(PROGRAM),
                settings: SETTINGS,
                misbehaviour: Misbehaviour::ForeignRoot,
                now: now(),
            };
            family.start(start).unwrap();
        }
        dir
    });
    keys.path().to_owned()
}
