//! iTrustee: reports and AK certificates of real servers, and of a vendor of our own.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::Value as Json;
use verifier::evidence::trustzone::itrustee::{Reference, TaReference};
use verifier::evidence::trustzone::{self, Software, Uuid};
use verifier::time::parse_rfc3339;
use verifier::value::Hex;
use verifier::{Anchors, Appraisal, Endorsements, Kind, Reason, ReferenceValues, Timestamp};

use crate::bench::Bench;
use crate::huawei::{Ak, NONCE, Report, Vendor, World, print, vendor};
use crate::vectors::{Vector, decode, vector, vectors};

//= EV-COM-11: every member as received
#[test]
fn decoded_fields_equal_the_oracle() {
    for vector in recorded() {
        let appraisal = Bench::new(Kind::TrustZone).appraise(&evidence(&vector));

        assert_eq!(shown(&appraisal)["fields"], vector.expected["fields"], "{}", vector.id());
    }
}

//= EV-KP-1: real DRK certificates up to the real root
//= EV-KP-2: real drk_sign, real AKs
//= EV-KP-3: real report_sign, and one that its authors broke
//= EV-KP-4: what real devices signed
//= EV-KP-8: a real group signature
#[test]
fn every_case_has_the_stated_outcome() {
    for vector in recorded() {
        let appraisal = meant(&vector).appraise(&evidence(&vector));

        let at = format!("{}\n{appraisal}", vector.id());
        let expect = vector.expected["cases"][0]["expect"].as_str().expect("an outcome");
        let (reason, check) = match expect {
            it if it.starts_with("chain and signatures ok") => (None, None),
            it if it.starts_with("reject: AK certificate chain verifies but the report") => {
                (Some(Reason::BadSignature), Some("itrustee.report.signature"))
            }
            it if it.starts_with("unsupported scheme") => {
                (Some(Reason::Unsupported), Some("itrustee.scenario"))
            }
            other => panic!("{at}: unknown outcome {other}"),
        };
        assert_eq!(appraisal.reason(), reason, "{at}");
        assert_eq!(appraisal.refusal().map(|(check, _)| check.name), check, "{at}");
        assert_eq!(appraisal.authentic(), reason.is_none(), "{at}");
        if reason.is_none() {
            assert_eq!(appraisal.emulated(), Some(false), "{at}");
            check_claims(&vector, &appraisal);
        }
    }
}

//= EV-KP-7: the DRK's common name is the device; no debug, no life cycle
fn check_claims(vector: &Vector, appraisal: &Appraisal) {
    let claims = appraisal.claims().expect("authentic");
    let subject = vector.expected["crypto"]["drk_subject"].as_str().expect("a subject");
    let device = claims.instance_id.as_ref().expect("a device").as_slice();
    assert!(subject.starts_with(&format!("CN={},", String::from_utf8_lossy(device))));
    assert_eq!((claims.debug, claims.lifecycle), (None, None));
    for (name, decoded) in [
        ("ta-img", "ta_img_hex"),
        ("ta-mem", "ta_mem_hex"),
        ("qta-img", "qta_img_hex"),
        ("qta-mem", "qta_mem_hex"),
    ] {
        let seen = claims.measurements.iter().find(|measured| measured.name == name);
        let seen = seen.map(|measured| hex::encode(measured.value.as_slice()));
        assert_eq!(seen.as_deref(), vector.expected["decoded"][decoded].as_str(), "{name}");
    }
}

//= EV-KP-1: at the time of the appraisal
#[test]
fn real_chains_are_refused_outside_their_validity() {
    for vector in recorded().into_iter().filter(|it| it.expected["crypto"]["ak_kty"] == "RSA") {
        let time = |name: &str| {
            let text = vector.expected["crypto"][name].as_str().expect("a time");
            parse_rfc3339(&text.replace("+00:00", "Z")).expect("a time")
        };
        let reason_at = |now| {
            let appraisal = Bench { now, ..meant(&vector) }.appraise(&evidence(&vector));
            appraisal.reason()
        };
        let (from, until) = (time("drk_not_before"), time("drk_not_after"));

        assert_ne!(reason_at(from), Some(Reason::NotYetValid));
        assert_ne!(reason_at(until), Some(Reason::Expired));
        assert_eq!(reason_at(Timestamp(from.0 - 1)), Some(Reason::NotYetValid));
        assert_eq!(reason_at(Timestamp(until.0 + 1)), Some(Reason::Expired));
    }
}

//= EV-COM-4: changed, cut and extended reports
#[test]
fn no_changed_bit_of_a_real_report_says_anything_else() {
    let Some(vector) = vector("trustzone/itrustee-report-no-as") else { return };
    let (bench, report) = (meant(&vector), evidence(&vector));
    let prepared = bench.prepare();
    let fields = shown(&bench.appraise_with(&report, &prepared))["fields"].clone();
    let end = report.trim_ascii_end().len();
    for at in (0..end).step_by(3) {
        let mut changed = report.clone();
        changed[at] ^= 1 << (at % 8);
        let appraisal = bench.appraise_with(&changed, &prepared);
        // Space between members is not signed: another space is the same report.
        let same = changed[at].is_ascii_whitespace() && shown(&appraisal)["fields"] == fields;
        assert!(!appraisal.accepted() || same, "octet {at}\n{appraisal}");

        assert!(!bench.appraise_with(&report[..at], &prepared).accepted(), "cut at {at}");
    }
    assert!(!bench.appraise(&[&report[..], b"{"].concat()).accepted());
}

#[test]
fn a_report_of_our_own_device_is_accepted() {
    let vendor = vendor();

    let appraisal = bench(vendor).appraise(&vendor.report(&Report::default()));

    assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    assert_eq!(appraisal.emulated(), Some(true));
    assert_eq!(appraisal.reference(), Some("ours"));
    assert_eq!(shown(&appraisal)["claims"]["generation"], "iTrustee");
    assert_eq!(shown(&appraisal)["trust"]["hardware"], -33, "an emulator is no hardware");
}

//= EV-KP-1: a failed chain is fatal
#[test]
fn a_chain_that_fails_is_fatal() {
    let vendor = vendor();
    let report = vendor.report(&Report::default());
    let outcome = |bench: &Bench| {
        let appraisal = bench.appraise(&report);
        assert!(!appraisal.authentic(), "{appraisal}");
        appraisal.reason()
    };
    let with = |world: &World| Bench { collateral: vendor.collateral(world), ..bench(vendor) };

    let strangers = Bench { anchors: Anchors::vendors(), ..bench(vendor) };
    assert_eq!(outcome(&strangers), Some(Reason::UntrustedRoot));
    let alone = Bench { collateral: verifier::Collateral::default(), ..bench(vendor) };
    assert_eq!(outcome(&alone), Some(Reason::UntrustedRoot));
    let world = World { product_signed_by_device: true, ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::UntrustedRoot));
    let world = World { product_is_authority: false, ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::UntrustedRoot));
    let world = World { other_product_key: true, ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::BadSignature));
    let world = World { product_until: "20231231235959Z", ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::Expired));
    let world = World { revoked: vec![3], ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::Revoked));
    let world = World { revoked: vec![4], ..World::default() };
    assert!(with(&world).appraise(&report).accepted());
    let world = World { revoked: vec![4], list_until: "20231231235959Z", ..World::default() };
    assert_eq!(outcome(&with(&world)), Some(Reason::StaleEndorsement));
}

//= EV-KP-1: the DRK is no authority, and may sign
#[test]
fn a_device_key_that_is_an_authoritys_or_may_not_sign_is_refused() {
    let vendor = vendor();
    for (authority, usage) in [(true, 0x80), (false, 0x20)] {
        let ak = Ak { drk_is_authority: authority, drk_usage: usage, ..Ak::default() };

        let reason = bench(vendor).appraise(&vendor.report(&Report { ak, ..Report::default() }));

        assert_eq!(reason.reason(), Some(Reason::BadSignature), "{reason}");
    }
}

//= EV-KP-2: RSA-PSS by the DRK over the AK payload; e = 65537, modulus 4096
//= EV-KP-3: the same by the AK over the report payload
#[test]
fn signatures_of_another_scheme_or_key_and_other_aks_are_refused() {
    let vendor = vendor();
    let ordinary = Report::default;
    for (report, reason) in [
        (Report { pkcs1: true, ..ordinary() }, Reason::BadSignature),
        (Report { signed_by_drk: true, ..ordinary() }, Reason::BadSignature),
        (Report { ak: Ak { pkcs1: true, ..Ak::default() }, ..ordinary() }, Reason::BadSignature),
        (
            Report { ak: Ak { signed_by_ak: true, ..Ak::default() }, ..ordinary() },
            Reason::BadSignature,
        ),
        (Report { ak: Ak { small: true, ..Ak::default() }, ..ordinary() }, Reason::Unsupported),
        (Report { ak: Ak { exponent: "Aw", ..Ak::default() }, ..ordinary() }, Reason::Unsupported),
        (Report { ak: Ak { kty: "EC", ..Ak::default() }, ..ordinary() }, Reason::Unsupported),
    ] {
        let appraisal = bench(vendor).appraise(&vendor.report(&report));

        assert_eq!(appraisal.reason(), Some(reason), "{appraisal}");
        assert!(!appraisal.authentic());
    }
}

//= EV-KP-4: what is signed is the print, whatever the spaces; order and spelling count
#[test]
fn reports_may_be_spaced_otherwise_but_not_ordered_or_spelt_otherwise() {
    let vendor = vendor();
    let report = String::from_utf8(vendor.report(&Report::default())).expect("text");
    let reason = |text: &str| bench(vendor).appraise(text.as_bytes()).reason();
    assert_eq!(reason(&report), None);

    let dense = report.replace(['\n', '\t'], "");
    let wide = report.replace('\n', "\r\n").replace(":\t", " :   ");
    assert_eq!((reason(&dense), reason(&wide)), (None, None));

    let number = report.replace("3541669582407074", "\"3541669582407074\"");
    assert_eq!(reason(&number), Some(Reason::BadSignature));
    let swapped = dense.replace(
        "\"hash_alg\":\"HS256\",\"sign_alg\":\"PS256\",\"ta_mem\"",
        "\"sign_alg\":\"PS256\",\"hash_alg\":\"HS256\",\"ta_mem\"",
    );
    assert_ne!(swapped, dense);
    assert_eq!(reason(&swapped), Some(Reason::BadSignature));
    let fraction = report.replace("3541669582407074", "3541669582407074.0");
    assert_eq!(reason(&fraction), Some(Reason::Malformed));
    let twice = dense.replacen("\"tcb\":\"\"", "\"tcb\":\"\",\"tcb\":\"\"", 1);
    assert_eq!(reason(&twice), Some(Reason::Malformed));
    let beside = dense.replacen("\"report_sign\"", "\"note\":\"x\",\"report_sign\"", 1);
    assert_eq!(reason(&beside), Some(Reason::Malformed));
}

//= EV-KP-4: members that are not known here are signed all the same
#[test]
fn a_timestamp_may_be_text_and_members_may_be_added() {
    let vendor = vendor();
    let report = Report {
        timestamp: "\"9223372036854775800\"",
        extra: Some(("key", "{\"pub_key\":\"eyJh\"}")),
        ..Report::default()
    };

    let appraisal = bench(vendor).appraise(&vendor.report(&report));

    assert!(appraisal.accepted(), "{appraisal}");
    assert_eq!(shown(&appraisal)["fields"]["key"]["pub_key"], "eyJh");
}

//= EV-KP-5: the full nonce is compared
//= EV-KP-5: with IMA, the first half is the challenge and the last half the log's hash
#[test]
fn the_nonce_is_compared_whole_or_by_halves() {
    let vendor = vendor();
    let report = vendor.report(&Report::default());
    let mut bench = bench(vendor);
    for at in [0, 31, 32, 63] {
        let mut other = NONCE;
        other[at] ^= 1;
        bench.user_data = Some(other);
        assert_eq!(bench.appraise(&report).reason(), Some(Reason::BindingMismatch), "{at}");
    }
    bench.user_data = Some(NONCE);
    let short = vendor.report(&Report { nonce: NONCE[..32].to_vec(), ..Report::default() });
    assert_eq!(bench.appraise(&short).reason(), Some(Reason::BindingMismatch));
    let long = vendor.report(&Report { nonce: vec![1; 65], ..Report::default() });
    assert_eq!(bench.appraise(&long).reason(), Some(Reason::Malformed));

    bench.policy.trustzone.itrustee.ima_included = true;
    let mut expected = [0; 64];
    expected[..32].copy_from_slice(&NONCE[..32]);
    bench.user_data = Some(expected);
    let appraisal = bench.appraise(&report);
    assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    assert_eq!(shown(&appraisal)["claims"]["registers"][0]["value"], hex::encode(&NONCE[32..]));
    assert_eq!(bench.appraise(&short).reason(), Some(Reason::BindingMismatch));
    bench.user_data = Some([7; 64]);
    assert_eq!(bench.appraise(&report).reason(), Some(Reason::BindingMismatch));

    bench.user_data = Some(expected);
    change(&mut bench, |it| it.ima_log = NONCE.last_chunk().copied().map(Hex));
    assert!(bench.appraise(&report).accepted());
    change(&mut bench, |it| it.ima_log = Some(Hex([9; 32])));
    assert_eq!(bench.appraise(&report).reason(), Some(Reason::MeasurementMismatch));
}

//= EV-KP-6: qta_img, qta_mem, ta_img, ta_mem and the uuid
#[test]
fn an_application_or_quoting_ta_that_differs_is_refused() {
    let vendor = vendor();
    let refused = |edit: &dyn Fn(&mut Reference)| {
        let mut bench = bench(vendor);
        change(&mut bench, edit);
        let appraisal = bench.appraise(&vendor.report(&Report::default()));
        assert_eq!(appraisal.reason(), Some(Reason::MeasurementMismatch), "{appraisal}");
        assert!(appraisal.authentic());
        appraisal.refusal().map(|(check, _)| check.name)
    };
    let ta = |it: &mut Reference, edit: &dyn Fn(&mut TaReference)| {
        edit(it.ta.as_mut().expect("an application"));
    };

    assert_eq!(refused(&|it| it.qta_img = Hex([9; 32])), Some("qta_img"));
    assert_eq!(refused(&|it| it.qta_mem = Hex([9; 32])), Some("qta_mem"));
    assert_eq!(refused(&|it| ta(it, &|ta| ta.img = Hex([9; 32]))), Some("ta.img"));
    assert_eq!(refused(&|it| ta(it, &|ta| ta.mem = Hex([9; 32]))), Some("ta.mem"));
    assert_eq!(refused(&|it| ta(it, &|ta| ta.uuid = Uuid([9; 16]))), Some("ta.uuid"));
    assert_eq!(refused(&|it| it.ta = None), Some("ta.uuid"));
}

#[test]
fn a_reference_value_of_another_format_does_not_fit() {
    let vendor = vendor();
    let id = "ab".repeat(32);
    let mut bench = bench(vendor);
    bench.reference = ReferenceValues::from_toml(&format!(
        "[[trustzone]]\nname = 'x'\noptee = {{ ta = '00000000-0000-0000-0000-000000000000', \
         command = 'ta-memory', digest = '{id}' }}"
    ))
    .expect("reference values");

    let appraisal = bench.appraise(&vendor.report(&Report::default()));

    assert_eq!(appraisal.refusal().map(|(check, _)| check.name), Some("format"), "{appraisal}");
}

#[test]
fn an_ak_certificate_by_itself_answers_no_challenge() {
    let vendor = vendor();
    let certificate = print(&vendor.certificate(&Ak::default()));
    let mut bench = bench(vendor);
    change(&mut bench, |it| it.ta = None);

    let appraisal = bench.appraise(certificate.as_bytes());
    assert_eq!(appraisal.reason(), Some(Reason::BindingMismatch), "{appraisal}");

    bench.user_data = None;
    assert!(bench.appraise(certificate.as_bytes()).accepted());
    assert!(!bench.appraise(certificate.as_bytes()).bound());
}

//= EV-KP-8: group signatures and keys of an attestation service are refused, never tried
#[test]
fn other_scenarios_are_refused() {
    let vendor = vendor();
    let ordinary = Report::default;
    let wrapped = Report { scenario: "sce_as_no_daa", wrapped: true, ..ordinary() };
    let wrapped = Report { ak: Ak { scenario: "sce_as_no_daa", ..Ak::default() }, ..wrapped };
    for (report, reason) in [
        (wrapped, None),
        (Report { scenario: "sce_as_with_daa", ..ordinary() }, Some(Reason::Unsupported)),
        (Report { scenario: "sce_as_no_daa", pem: true, ..ordinary() }, Some(Reason::Unsupported)),
        (Report { scenario: "sce_other", ..ordinary() }, Some(Reason::Unsupported)),
        (Report { scenario: "sce_as_no_daa", ..ordinary() }, Some(Reason::Unsupported)),
        (Report { other_scenario_signed: true, ..ordinary() }, Some(Reason::Malformed)),
        (Report { version: "TEE.RA.2.0", ..ordinary() }, Some(Reason::Unsupported)),
        (
            Report { ak: Ak { kty: "DAA", ..Ak::default() }, ..ordinary() },
            Some(Reason::Unsupported),
        ),
    ] {
        let appraisal = bench(vendor).appraise(&vendor.report(&report));

        assert_eq!(appraisal.reason(), reason, "{}\n{appraisal}", report.scenario);
    }
}

//= EV-PERF-1: a remembered AK certificate costs less and means the same
#[test]
fn a_known_ak_certificate_excuses_nothing_else() {
    let vendor = vendor();
    let bench = bench(vendor);
    let prepared = bench.prepare();
    let report = vendor.report(&Report::default());

    let first = bench.appraise_with(&report, &prepared);
    let again = bench.appraise_with(&report, &prepared);
    assert_eq!(shown(&first), shown(&again));
    assert!(first.accepted());

    for other in [
        Report { signed_by_drk: true, ..Report::default() },
        Report { ak: Ak { signed_by_ak: true, ..Ak::default() }, ..Report::default() },
    ] {
        assert!(!bench.appraise_with(&vendor.report(&other), &prepared).accepted());
    }
}

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_text_is_read_without_panic(text in "\\{[ -~\n]{0,400}") {
        prop_assert!(!Bench::new(Kind::TrustZone).appraise(text.as_bytes()).accepted());
    }

    //= EV-COM-4: nothing of hostile input is accepted
    #[test]
    fn a_report_with_any_octets_overwritten_says_the_same_or_is_refused(
        at in any::<usize>(),
        octets in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        static SHARED: OnceLock<(Bench, Endorsements, Vec<u8>)> = OnceLock::new();
        let (bench, prepared, report) = SHARED.get_or_init(|| {
            let bench = bench(vendor());
            let prepared = bench.prepare();
            (bench, prepared, vendor().report(&Report::default()))
        });
        let mut changed = report.clone();
        let at = at % (report.len() - octets.len());
        changed[at..at + octets.len()].copy_from_slice(&octets);

        let appraisal = bench.appraise_with(&changed, prepared);

        if appraisal.accepted() {
            let same = bench.appraise_with(report, prepared);
            prop_assert_eq!(&shown(&appraisal)["fields"], &shown(&same)["fields"]);
        }
    }
}

fn shown(appraisal: &Appraisal) -> Json {
    serde_json::to_value(appraisal).expect("serialisable")
}

fn recorded() -> Vec<Vector> {
    let vectors = vectors("trustzone").into_iter();
    let vectors: Vec<_> = vectors.filter(|it| it.id().contains("itrustee")).collect();
    assert!(vectors.is_empty() || vectors.len() == 6, "all vectors are there");
    vectors
}

fn evidence(vector: &Vector) -> Vec<u8> {
    vector.file(if vector.has("report.json") { "report.json" } else { "akcert.json" })
}

/// A Verifier that means the vector's software, at the vector's time.
fn meant(vector: &Vector) -> Bench {
    let mut bench = Bench::new(Kind::TrustZone);
    bench.collateral = vector.collateral();
    let at = vector.expected["cases"][0]["verify_at"].as_str().expect("a time");
    bench.now = parse_rfc3339(at).expect("a time");
    let decoded = |name: &str| {
        let text = vector.expected["decoded"][name].as_str()?;
        Some(Hex(<[u8; 32]>::try_from(hex::decode(text).expect("hex")).expect("32 octets")))
    };
    let uuid = vector.expected["fields"]["uuid"].as_str().and_then(Uuid::parse);
    let ta = uuid.map(|uuid| TaReference {
        uuid,
        img: decoded("ta_img_hex").expect("an image"),
        mem: decoded("ta_mem_hex").expect("a memory"),
    });
    let nonce = vector.expected["fields"]["nonce"].as_str().map(decode);
    bench.user_data = nonce.map(|nonce| nonce.try_into().expect("64 octets"));
    let none = Hex([0; 32]);
    let reference = Reference {
        qta_img: decoded("qta_img_hex").unwrap_or(none),
        qta_mem: decoded("qta_mem_hex").unwrap_or(none),
        ta,
        ima_log: None,
    };
    bench.reference.trustzone.push(trustzone::Reference {
        name: "recorded".into(),
        software: Software::Itrustee(reference),
    });
    bench
}

/// A Verifier that accepts the emulated vendor and means its application.
fn bench(vendor: &Vendor) -> Bench {
    let mut bench = Bench::new(Kind::TrustZone);
    bench.anchors = vendor.anchors();
    bench.collateral = vendor.collateral(&World::default());
    bench.policy.emulated_allowed = true;
    bench.user_data = Some(NONCE);
    let ta = TaReference { uuid: crate::huawei::UUID, img: Hex([3; 32]), mem: Hex([4; 32]) };
    let reference =
        Reference { qta_img: Hex([1; 32]), qta_mem: Hex([2; 32]), ta: Some(ta), ima_log: None };
    bench.reference.trustzone.push(trustzone::Reference {
        name: "ours".into(),
        software: Software::Itrustee(reference),
    });
    bench
}

fn change(bench: &mut Bench, edit: impl FnOnce(&mut Reference)) {
    let Software::Itrustee(reference) = &mut bench.reference.trustzone[0].software else {
        panic!("an iTrustee reference value");
    };
    edit(reference);
}
