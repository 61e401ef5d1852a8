//! Intel TDX, by our Verifier and by `dcap-qvl`.

use std::fs;
use std::path::PathBuf;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::{QuoteVerifier, VerifiedReport};
use emulator::Misbehaviour;
use emulator::family::FamilyName;
use emulator::family::intel::{Freshness, Tee, Vendor};
use emulator::family::tdx::{MEDIA_TYPE, Measurement};
use verifier::anchor::{Listed, Vendor as Maker};
use verifier::evidence::tdx::Reference;
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    UserData,
};

use crate::bench::{
    CHALLENGE, PROGRAM, SETTINGS, collateral, emulation_allowed, evidence, now, refused_by,
};

const GENERATIONS: [FamilyName; 2] = [FamilyName::Tdx, FamilyName::Tdx15];

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
#[test]
fn an_honest_domain_is_accepted_and_named_an_emulator() {
    for family in GENERATIONS {
        let bench = Bench::new(family);

        let appraisal = bench.appraise(Misbehaviour::None);

        assert!(appraisal.accepted(), "{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        assert_eq!(appraisal.reference(), Some("program"));
        assert!(appraisal.bound());
        assert_eq!(appraisal.tcb().unwrap().status.to_string(), "UpToDate");
    }
    assert_eq!(Kind::from_media_type(MEDIA_TYPE), Some(Kind::Tdx));
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_a_domain_is_refused_by_the_check_meant_for_it() {
    let expected = [
        (Misbehaviour::Debug, Reason::Debug, "instance.debug"),
        (Misbehaviour::ForeignRoot, Reason::UntrustedRoot, "dcap.pck.root"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "dcap.qe.binding"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::Revoked, Reason::Revoked, "dcap.pck.revocation"),
        (Misbehaviour::TcbOutOfDate, Reason::TcbStatusNotAllowed, "dcap.tcb.status"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "mrtd"),
    ];
    for family in GENERATIONS {
        for (misbehaviour, reason, check) in expected {
            refused_by(&Bench::new(family).appraise(misbehaviour), reason, check);
        }
    }
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_domain_is_refused_unless_it_is_listed_and_allowed() {
    let bench = Bench::new(FamilyName::Tdx);
    let quote = bench.quote(Misbehaviour::None);

    let strict = bench.judge(&quote, &bench.anchors(), &Policy::default());
    assert_eq!(strict.reason(), Some(Reason::EmulatedNotAllowed));

    let unlisted = bench.judge(&quote, &Anchors::vendors(), &emulation_allowed());
    assert_eq!(unlisted.reason(), Some(Reason::UntrustedRoot));
}

#[test]
fn expired_collateral_of_domains_is_refused() {
    let bench = Bench::new(FamilyName::Tdx);
    let mut vendor = Vendor::open(&bench.vendor, now()).unwrap();

    vendor.set_freshness(Freshness::Expired, now()).unwrap();
    assert_eq!(bench.appraise(Misbehaviour::None).reason(), Some(Reason::Expired));

    vendor.set_freshness(Freshness::Recent, now()).unwrap();
    assert!(bench.appraise(Misbehaviour::None).accepted());
}

#[test]
fn collateral_for_enclaves_does_not_vouch_for_domains() {
    let bench = Bench { tee: Tee::Sgx, ..Bench::new(FamilyName::Tdx) };

    refused_by(
        &bench.appraise(Misbehaviour::None),
        Reason::MissingEndorsement,
        "dcap.collateral.tee",
    );
}

#[test]
fn independent_verifier_accepts_emulated_domains_with_their_root_pinned() {
    for family in GENERATIONS {
        let bench = Bench::new(family);

        let report = bench.judge_independently(Misbehaviour::None).unwrap();

        assert_eq!(report.status, "UpToDate");
        assert!(report.advisory_ids.is_empty());
        let body = report.report.as_td10().unwrap();
        assert_eq!(body.mr_td, bench.measurement.mrtd);
        assert_eq!(body.mr_config_id, bench.measurement.mrconfigid);
        assert_eq!(body.report_data, CHALLENGE);
        assert_eq!(report.report.as_td15().is_some(), family == FamilyName::Tdx15);
    }
}

#[test]
fn independent_verifier_refuses_what_it_can_see() {
    for family in GENERATIONS {
        for misbehaviour in [
            Misbehaviour::Debug,
            Misbehaviour::ForeignRoot,
            Misbehaviour::OtherKey,
            Misbehaviour::Revoked,
        ] {
            let bench = Bench::new(family);
            bench.judge_independently(misbehaviour).unwrap_err();
        }
        let old = Bench::new(family).judge_independently(Misbehaviour::TcbOutOfDate).unwrap();
        assert_eq!(old.status, "OutOfDate");
        assert_eq!(old.advisory_ids, ["EMULATED-SA-00001", "EMULATED-SA-00002"]);
    }
}

struct Bench {
    dir: tempfile::TempDir,
    family: FamilyName,
    tee: Tee,
    vendor: PathBuf,
    measurement: Measurement,
}

impl Bench {
    fn new(family: FamilyName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        let measurement = Measurement::of(PROGRAM, SETTINGS).unwrap();
        Self { dir, family, tee: Tee::Tdx, vendor, measurement }
    }

    fn quote(&self, misbehaviour: Misbehaviour) -> Vec<u8> {
        evidence(self.family, &self.vendor, &self.dir.path().join("device"), misbehaviour)
    }

    fn appraise(&self, misbehaviour: Misbehaviour) -> Appraisal {
        let quote = self.quote(misbehaviour);
        self.judge(&quote, &self.anchors(), &emulation_allowed())
    }

    fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Maker::Intel,
            name: "bench".to_owned(),
            spki_sha256: Hex(Vendor::open(&self.vendor, now()).unwrap().anchor()),
        })
    }

    fn judge(&self, quote: &[u8], anchors: &Anchors, policy: &Policy) -> Appraisal {
        let vendor = Vendor::open(&self.vendor, now()).unwrap();
        let mut collateral = collateral(&vendor.collateral_dir());
        if self.tee == Tee::Sgx {
            let all = collateral.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
            let enclaves = all.filter(|(name, _)| !name.starts_with("tdx-"));
            collateral = Collateral::from_files(enclaves.collect::<Vec<_>>());
        }
        let endorsements = Endorsements::prepare(Kind::Tdx, &collateral, anchors);
        let zero = Some(Hex([0; 48]));
        let tdx = vec![Reference {
            name: "program".to_owned(),
            mrtd: Hex(self.measurement.mrtd),
            rtmr0: zero,
            rtmr1: zero,
            rtmr2: zero,
            rtmr3: zero,
            mrconfigid: Some(Hex(self.measurement.mrconfigid)),
            mrowner: zero,
            mrownerconfig: zero,
        }];
        let request = Request {
            kind: Kind::Tdx,
            evidence: quote,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors,
            reference: &ReferenceValues { tdx, ..ReferenceValues::default() },
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }

    fn judge_independently(&self, misbehaviour: Misbehaviour) -> anyhow::Result<VerifiedReport> {
        let quote = self.quote(misbehaviour);
        let vendor = Vendor::open(&self.vendor, now()).unwrap();
        let file = |name: &str| vendor.collateral_file(Tee::Tdx, name);
        let text = |name: &str| fs::read_to_string(file(name)).unwrap();
        let signature = |name: &str| hex::decode(text(name).trim_end()).unwrap();
        let bytes = |name: &str| fs::read(file(name)).unwrap();
        let collateral = QuoteCollateralV3 {
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
        };
        let verifier = QuoteVerifier::new(vendor.root().to_vec());
        verifier.verify(&quote, &collateral, now().as_second() as u64)
    }
}
