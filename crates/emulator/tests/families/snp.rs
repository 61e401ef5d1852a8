//! AMD SEV-SNP, by our Verifier and by the crate `sev`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use device::tee::Quote;
use emulator::Misbehaviour;
use emulator::family::intel::Freshness;
use emulator::family::snp::{MEDIA_TYPE, Measurement, Product, Tcb, Vendor};
use emulator::family::{FamilyName, Software, Start};
use rats::binding::BoundQuote;
use rats::evidence::{Evidence, Hardware};
use sev::certs::snp::{Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use verifier::anchor::{Listed, Vendor as Maker};
use verifier::evidence::snp::product::Product as Line;
use verifier::evidence::snp::{MinimumTcb, Reference, Spelling};
use verifier::teep::Terms;
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, UserData,
    appraise_teep,
};

use crate::bench::{CHALLENGE, PROGRAM, SETTINGS, collateral, emulation_allowed, now, refused_by};

const PRODUCTS: [Product; 2] = [Product::Genoa, Product::Turin];

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
#[test]
fn an_honest_guest_is_accepted_and_named_an_emulator() {
    for product in PRODUCTS {
        let bench = Bench::new(product);

        let appraisal = bench.appraise(Misbehaviour::None);

        assert!(appraisal.accepted(), "{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        assert_eq!(appraisal.reference(), Some("program"));
        assert!(appraisal.bound());
        assert_eq!(appraisal.tcb().unwrap().status.to_string(), "MeetsMinimum");
    }
    assert_eq!(Kind::from_media_type(MEDIA_TYPE), Some(Kind::SevSnp));
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_a_guest_is_refused_by_the_check_meant_for_it() {
    let expected = [
        (Misbehaviour::Debug, Reason::Debug, "instance.debug"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "snp.report.signature"),
        (Misbehaviour::Replay, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::Revoked, Reason::Revoked, "snp.revocation"),
        (Misbehaviour::WrongReportData, Reason::BindingMismatch, "binding.user-data"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "measurement"),
    ];
    for product in PRODUCTS {
        for (misbehaviour, reason, check) in expected {
            refused_by(&Bench::new(product).appraise(misbehaviour), reason, check);
        }
        let old = Bench::new(product).appraise(Misbehaviour::TcbOutOfDate);
        assert_eq!(old.reason(), Some(Reason::TcbStatusNotAllowed), "{old}");
        assert_eq!(old.refusal().unwrap().0.name, "snp.tcb.reported");
    }
}

/// The certificates beside the report show whose it is.
#[test]
fn a_chip_of_another_vendor_is_refused_for_its_root() {
    let bench = Bench::new(Product::Genoa);
    let (report, table) = bench.quote(Misbehaviour::ForeignRoot);

    let alone = bench.judge(&report, &bench.anchors(), &bench.policy());
    assert_eq!(alone.reason(), Some(Reason::MissingEndorsement), "{alone}");

    let both = [report, table].concat();
    let both = bench.judge(&both, &bench.anchors(), &bench.policy());
    assert_eq!(both.reason(), Some(Reason::UntrustedRoot), "{both}");
}

#[test]
fn the_certificates_beside_a_report_spare_the_verifier_to_fetch_them() {
    let bench = Bench::new(Product::Genoa);
    let (report, table) = bench.quote(Misbehaviour::None);
    for file in fs::read_dir(bench.vendor.join("collateral")).unwrap() {
        let path = file.unwrap().path();
        if path.to_str().unwrap().contains("vcek") {
            fs::remove_file(path).unwrap();
        }
    }

    let alone = bench.judge(&report, &bench.anchors(), &bench.policy());
    let both = [report, table].concat();
    let both = bench.judge(&both, &bench.anchors(), &bench.policy());

    assert_eq!(alone.reason(), Some(Reason::MissingEndorsement));
    assert!(both.accepted(), "{both}");
}

/// In the Agent's evidence they are a message of their own beside the quote.
#[test]
fn the_certificates_in_teep_evidence_count_for_its_quote() {
    let bench = Bench::new(Product::Genoa);
    let binding = b"no binding, but bound".to_vec();
    let quote = bench.quote_over(Misbehaviour::None, &cose::sha512(&binding));
    let vcek = |path: &PathBuf| path.to_str().unwrap().contains("vcek");
    let files = fs::read_dir(bench.vendor.join("collateral")).unwrap();
    files.map(|file| file.unwrap().path()).filter(vcek).for_each(|path| {
        fs::remove_file(path).unwrap();
    });
    let terms = Terms {
        challenge: &[9; 32],
        event_log: None,
        anchors: &bench.anchors(),
        reference: &ReferenceValues { snp: vec![bench.reference()], ..Default::default() },
        policy: &bench.policy(),
        now: verifier::Timestamp(now().as_second()),
    };
    let refused_for = |endorsements: Option<Vec<u8>>| {
        let bound = BoundQuote { quote: quote.evidence.clone(), binding: binding.clone() };
        let hardware = Hardware {
            media_type: quote.media_type.clone(),
            bound,
            endorsements,
            runtime_log: None,
        };
        let evidence = Evidence { eat: vec![0xa0], hardware: Some(hardware) }.encode();
        let collateral = collateral(&bench.vendor.join("collateral"));
        let appraisal = appraise_teep(&evidence, &collateral, &terms).unwrap();
        appraisal.appraisal().refusal().unwrap().0.name
    };

    assert_eq!(refused_for(None), "snp.vek");
    assert_eq!(refused_for(quote.aux.clone()), "agent.binding");
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_guest_is_refused_unless_it_is_listed_and_allowed() {
    let bench = Bench::new(Product::Genoa);
    let (report, _) = bench.quote(Misbehaviour::None);

    let strict = Policy { emulated_allowed: false, ..bench.policy() };
    let strict = bench.judge(&report, &bench.anchors(), &strict);
    assert_eq!(strict.reason(), Some(Reason::EmulatedNotAllowed));

    let unlisted = bench.judge(&report, &Anchors::vendors(), &bench.policy());
    assert_eq!(unlisted.reason(), Some(Reason::UntrustedRoot));
}

#[test]
fn an_expired_list_is_refused_and_a_good_chip_beside_a_revoked_one_is_not() {
    let bench = Bench::new(Product::Genoa);
    assert!(!bench.appraise(Misbehaviour::Revoked).accepted());
    let good = bench.appraise(Misbehaviour::None);
    assert!(good.accepted(), "{good}");

    let mut vendor = Vendor::open(&bench.vendor, Product::Genoa, now()).unwrap();
    vendor.set_freshness(Freshness::Expired, now()).unwrap();
    assert_eq!(bench.appraise(Misbehaviour::None).reason(), Some(Reason::Expired));
}

#[test]
fn independent_verifier_accepts_an_emulated_report_under_its_root_and_no_other() {
    for product in PRODUCTS {
        let bench = Bench::new(product);
        let (report, table) = bench.quote(Misbehaviour::None);
        let judge = |report: &[u8], table: &[u8]| {
            let [vcek, ask, ark] = certificates(table);
            let chain = Chain::from_der(&ark, &ask, &vcek).unwrap();
            let report = AttestationReport::from_bytes(report).unwrap();
            (&chain, &report).verify()
        };

        judge(&report, &table).unwrap();

        let read = AttestationReport::from_bytes(&report).unwrap();
        assert_eq!(read.report_data.as_slice(), CHALLENGE);
        assert_eq!(read.measurement.as_slice(), bench.measurement.measurement);
        assert!(!read.policy.debug_allowed());
        let (other, _) = bench.quote(Misbehaviour::OtherKey);
        judge(&other, &table).unwrap_err();
        let (old, _) = bench.quote(Misbehaviour::TcbOutOfDate);
        judge(&old, &table).unwrap_err();
    }
}

struct Bench {
    dir: tempfile::TempDir,
    product: Product,
    vendor: PathBuf,
    measurement: Measurement,
}

impl Bench {
    /// A vendor with the keys that all tests share, and a device of its own.
    fn new(product: Product) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        lend_keys(&vendor, ["ark", "ask", "ask-retired"]);
        lend_keys(&dir.path().join("device/sev-snp/foreign-vendor"), ["ask", "ark", "ask-retired"]);
        let measurement = Measurement::of(PROGRAM, SETTINGS).unwrap();
        Self { dir, product, vendor, measurement }
    }

    /// The report, and the certificates beside it.
    fn quote(&self, misbehaviour: Misbehaviour) -> (Vec<u8>, Vec<u8>) {
        let quote = self.quote_over(misbehaviour, &CHALLENGE);
        (quote.evidence, quote.aux.unwrap())
    }

    fn quote_over(&self, misbehaviour: Misbehaviour, report_data: &[u8; 64]) -> Quote {
        let family = match self.product {
            Product::Genoa => FamilyName::SevSnp,
            Product::Turin => FamilyName::SevSnpTurin,
        };
        let start = Start {
            vendor_dir: &self.vendor,
            state_dir: &self.dir.path().join("device"),
            software: Software::Program(PROGRAM),
            settings: SETTINGS,
            misbehaviour,
            now: now(),
        };
        family.start(start).unwrap().quote(now(), report_data).unwrap()
    }

    fn reference(&self) -> Reference {
        let reference = Reference::try_from(Spelling {
            name: "program".to_owned(),
            measurement: Some(Hex(self.measurement.measurement)),
            host_data: Some(Hex(self.measurement.host_data)),
            ..Spelling::default()
        });
        reference.unwrap()
    }

    fn appraise(&self, misbehaviour: Misbehaviour) -> Appraisal {
        let (report, _) = self.quote(misbehaviour);
        self.judge(&report, &self.anchors(), &self.policy())
    }

    fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Maker::Amd,
            name: "bench".to_owned(),
            spki_sha256: Hex(Vendor::open(&self.vendor, self.product, now()).unwrap().anchor()),
        })
    }

    fn policy(&self) -> Policy {
        let line = match self.product {
            Product::Genoa => Line::Genoa,
            Product::Turin => Line::Turin,
        };
        let Tcb { bootloader, tee, snp, microcode, .. } = Tcb::UP_TO_DATE;
        let lowest = MinimumTcb { bootloader, tee, snp, microcode, ..MinimumTcb::none(line) };
        let mut policy = emulation_allowed();
        policy.snp.tcb_min = vec![lowest];
        policy
    }

    fn judge(&self, evidence: &[u8], anchors: &Anchors, policy: &Policy) -> Appraisal {
        let collateral = collateral(&self.vendor.join("collateral"));
        let endorsements = Endorsements::prepare(Kind::SevSnp, &collateral, anchors);
        let snp = vec![self.reference()];
        let request = Request {
            kind: Kind::SevSnp,
            evidence,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors,
            reference: &ReferenceValues { snp, ..ReferenceValues::default() },
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }
}

/// Copies the keys of one vendor, which are slow to make, to where they are the ARK, the ASK and
/// the retired ASK of another one, for each product.
fn lend_keys(vendor: &Path, names: [&str; 3]) {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let start = Start {
            vendor_dir: &dir.path().join("vendor"),
            state_dir: &dir.path().join("device"),
            software: Software::Program(PROGRAM),
            settings: SETTINGS,
            misbehaviour: Misbehaviour::Revoked,
            now: now(),
        };
        FamilyName::SevSnp.start(start).unwrap();
        dir
    });
    let keys = keys.path().join("vendor/keys");
    fs::create_dir_all(vendor.join("keys")).unwrap();
    for (own, lent) in ["ark", "ask", "ask-retired"].into_iter().zip(names) {
        for product in ["genoa", "turin"] {
            let from = keys.join(format!("genoa-{lent}.pk8"));
            fs::copy(from, vendor.join(format!("keys/{product}-{own}.pk8"))).unwrap();
        }
    }
}

/// The three certificates of a table.
fn certificates(table: &[u8]) -> [Vec<u8>; 3] {
    let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap()) as usize;
    [0, 1, 2].map(|entry| {
        let (offset, length) = (number(24 * entry + 16), number(24 * entry + 20));
        table[offset..offset + length].to_vec()
    })
}
