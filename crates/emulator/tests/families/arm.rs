//! Arm CCA and TrustZone, by our Verifier; each device is enrolled with a key of its own.

use std::path::PathBuf;

use emulator::Misbehaviour;
use emulator::family::arm::enrolment::{Enrolled, enrolled};
use emulator::family::{self, FamilyName, Start, arm, cca, trustzone};
use verifier::anchor::{Device, ListedDevice, Vendor as Maker};
use verifier::evidence::arm::component::Component;
use verifier::evidence::arm::{PlatformReference, RealmReference};
use verifier::evidence::trustzone::Software;
use verifier::evidence::trustzone::psa;
use verifier::value::{Hex, Octets};
use verifier::{
    Anchors, Appraisal, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, UserData,
};

use crate::bench::{
    CHALLENGE, PROGRAM, SETTINGS, collateral, emulation_allowed, evidence, now, refused_by,
};

const REALMS: [FamilyName; 2] = [FamilyName::Cca, FamilyName::CcaLegacy];
const ALL: [FamilyName; 3] = [FamilyName::Cca, FamilyName::CcaLegacy, FamilyName::TrustZone];

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
#[test]
fn an_honest_device_is_accepted_and_named_an_emulator() {
    for family in ALL {
        let bench = Bench::new(family);

        let appraisal = bench.appraise(Misbehaviour::None);

        assert!(appraisal.accepted(), "{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        assert_eq!(appraisal.reference(), Some("program"));
        assert!(appraisal.bound());
    }
    assert_eq!(Kind::from_media_type(cca::MEDIA_TYPE), Some(Kind::Cca));
    assert_eq!(Kind::from_media_type(trustzone::MEDIA_TYPE), Some(Kind::TrustZone));
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_a_realm_is_refused_by_the_check_meant_for_it() {
    let expected = [
        (Misbehaviour::ForeignRoot, Reason::UntrustedRoot, "cca.platform.signature"),
        (Misbehaviour::OtherKey, Reason::BindingMismatch, "cca.realm.binding"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::TcbOutOfDate, Reason::MeasurementMismatch, "component"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "rim"),
    ];
    for family in REALMS {
        for (misbehaviour, reason, check) in expected {
            refused_by(&Bench::new(family).appraise(misbehaviour), reason, check);
        }
    }
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_a_secure_partition_is_refused_by_the_check_meant_for_it() {
    let expected = [
        (Misbehaviour::ForeignRoot, Reason::UntrustedRoot, "psa.signature"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "psa.signature"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::TcbOutOfDate, Reason::MeasurementMismatch, "component"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "component"),
    ];
    for (misbehaviour, reason, check) in expected {
        refused_by(&Bench::new(FamilyName::TrustZone).appraise(misbehaviour), reason, check);
    }
}

#[test]
fn a_life_cycle_that_allows_debugging_is_refused_twice() {
    for family in ALL {
        let appraisal = Bench::new(family).appraise(Misbehaviour::Debug);

        let failures = appraisal.checks().failures();
        let names: Vec<_> = failures.iter().map(|(check, _)| check.name).collect();
        assert_eq!(names, ["instance.debug", "device.lifecycle"], "{appraisal}");
    }
}

#[test]
fn a_fault_that_the_family_cannot_have_is_refused_with_the_reason() {
    for family in ALL {
        let dir = tempfile::tempdir().unwrap();
        let start = Start {
            vendor_dir: &dir.path().join("vendor"),
            state_dir: &dir.path().join("device"),
            software: family::Software::Program(PROGRAM),
            settings: SETTINGS,
            misbehaviour: Misbehaviour::Revoked,
            now: now(),
        };

        let refused = family.start(start).map(|_| ()).unwrap_err();

        assert!(refused.to_string().contains("no revocation list"), "{refused}");
    }
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_device_is_refused_unless_it_is_listed_and_allowed() {
    for family in ALL {
        let bench = Bench::new(family);
        let token = bench.token(Misbehaviour::None);

        let strict = bench.judge(&token, &bench.anchors(), &Policy::default());
        assert_eq!(strict.reason(), Some(Reason::EmulatedNotAllowed));

        let unlisted = bench.judge(&token, &Anchors::vendors(), &emulation_allowed());
        assert_eq!(unlisted.reason(), Some(Reason::UntrustedRoot));
    }
}

//= EV-CCA-7: REM ← H(REM ‖ value), from zero
#[test]
fn what_a_realm_extends_is_in_its_token() {
    let bench = Bench::new(FamilyName::Cca);
    let dir = bench.dir.path().join("device");
    let measurement = cca::Measurement::of(PROGRAM, SETTINGS).unwrap();
    let profile = cca::Profile::Tag2023;
    let mut realm: Box<dyn family::Family> = Box::new(
        cca::Machine::start(&bench.vendor, &dir, profile, measurement, Misbehaviour::None).unwrap(),
    );
    realm.extend(1, &[9; 64]).unwrap();

    let token = realm.quote(now(), &CHALLENGE).unwrap().evidence;

    let appraisal = bench.judge(&token, &bench.anchors(), &emulation_allowed());
    refused_by(&appraisal, Reason::MeasurementMismatch, "rem1");
    let registers = &appraisal.claims().unwrap().registers;
    assert_eq!(registers[1].value.as_slice(), realm.read(1).unwrap());
}

struct Bench {
    dir: tempfile::TempDir,
    family: FamilyName,
    kind: Kind,
    vendor: PathBuf,
}

impl Bench {
    fn new(family: FamilyName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        let kind = if family == FamilyName::TrustZone { Kind::TrustZone } else { Kind::Cca };
        Self { dir, family, kind, vendor }
    }

    fn token(&self, misbehaviour: Misbehaviour) -> Vec<u8> {
        evidence(self.family, &self.vendor, &self.dir.path().join("device"), misbehaviour)
    }

    fn appraise(&self, misbehaviour: Misbehaviour) -> Appraisal {
        let token = self.token(misbehaviour);
        self.judge(&token, &self.anchors(), &emulation_allowed())
    }

    fn anchors(&self) -> Anchors {
        let devices = enrolled(&self.vendor).unwrap();
        devices.into_iter().fold(Anchors::vendors(), |anchors, device| {
            let Enrolled { family, instance, spki_sha256 } = device;
            anchors.with_device(ListedDevice {
                vendor: Maker::Arm,
                name: family,
                spki_sha256: Hex(spki_sha256),
                device: Device::Instance(Octets::new(&instance)),
                emulated: true,
            })
        })
    }

    fn judge(&self, token: &[u8], anchors: &Anchors, policy: &Policy) -> Appraisal {
        let collateral = collateral(&self.vendor.join("collateral"));
        let endorsements = Endorsements::prepare(self.kind, &collateral, anchors);
        let request = Request {
            kind: self.kind,
            evidence: token,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors,
            reference: &reference_values(),
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }
}

/// What the program measures as, on firmware that is up to date.
fn reference_values() -> ReferenceValues {
    let realm = cca::Measurement::of(PROGRAM, SETTINGS).unwrap();
    let zero = Some(Octets::new(&[0; 32]));
    let cca = vec![verifier::evidence::cca::Reference {
        name: "program".to_owned(),
        platform: PlatformReference {
            implementation_id: Hex(realm.platform.implementation_id),
            configuration: None,
            components: components(&realm.platform.components),
        },
        realm: RealmReference {
            rim: Octets::new(&realm.rim),
            rpv: Some(Hex(realm.rpv)),
            rem0: zero.clone(),
            rem1: zero.clone(),
            rem2: zero.clone(),
            rem3: zero,
        },
    }];
    let partition = trustzone::Measurement::of(PROGRAM, SETTINGS).unwrap();
    let trustzone = vec![verifier::evidence::trustzone::Reference {
        name: "program".to_owned(),
        software: Software::Psa(psa::Reference {
            implementation_id: Hex(partition.implementation_id),
            components: components(&partition.components),
            certification_reference: None,
        }),
    }];
    ReferenceValues { cca, trustzone, ..ReferenceValues::default() }
}

fn components(measured: &[arm::Component]) -> Vec<Component> {
    let listed = measured.iter().map(|component| Component {
        kind: Some(component.kind.to_owned()),
        measurement: Octets::new(&component.measurement),
        signer_id: Some(Octets::new(&component.signer_id)),
        version: Some(component.version.to_owned()),
    });
    listed.collect()
}
