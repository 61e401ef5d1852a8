//! SEV-SNP reports of real hardware, each at its own point in time.

use crate::vectors::{Case, Vector, folder, vectors};
use verifier::evidence::snp::container::Container;
use verifier::evidence::snp::endorsement::VerifiedEndorsements;
use verifier::evidence::snp::product::Product;
use verifier::evidence::snp::report::SigningKey;
use verifier::evidence::snp::{self, MinimumTcb, Reference};
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
};

//= EV-COM-11: every field as decoded
#[test]
fn decoded_fields_equal_the_oracle() {
    for vector in reports() {
        let appraisal = Bench::new(&vector).appraise(&vector.file("report.bin"), Timestamp(0));

        let json = serde_json::to_value(&appraisal).expect("serialisable");
        assert_eq!(json["fields"], vector.expected["fields"], "{}", vector.name());
    }
}

//= EV-SNP-1, EV-SNP-2: real reports up to the real root
//= EV-SNP-3: VCEK certificates as AMD issues them
//= EV-SNP-4: validity of VCEK and VLEK at the given time
//= EV-SNP-5, EV-SNP-6: SPLs and chip ids of Milan, Genoa and Turin
//= EV-SNP-8: reported TCB below current
#[test]
fn every_case_has_the_stated_outcome_at_its_own_time() {
    for vector in reports() {
        for Case { at, expect } in vector.cases() {
            let bench = Bench::new(&vector);

            let appraisal = bench.appraise(&vector.file("report.bin"), at);

            let context = format!("{} {expect}\n{appraisal}", vector.name());
            assert_eq!(appraisal.emulated(), Some(false), "{context}");
            if expect["chain"] != "ok" {
                assert_eq!(appraisal.reason(), Some(Reason::Expired), "{context}");
                assert!(!appraisal.authentic(), "{context}");
                continue;
            }
            assert!(appraisal.authentic(), "{context}");
            match expect["strict_policy"].as_str().expect("an outcome") {
                "accept (given matching reference measurement)" => {
                    assert!(appraisal.accepted(), "{context}");
                    assert_eq!(appraisal.reference(), Some("the guest"), "{context}");
                }
                "reject: POLICY.DEBUG set" => {
                    assert_eq!(appraisal.reason(), Some(Reason::Debug), "{context}");
                }
                "reject: VMPL != 0 (only if policy demands 0)" => {
                    let refusal = appraisal.refusal().map(|(check, _)| check.name);
                    assert_eq!(refusal, Some("snp.vmpl"), "{context}");
                }
                other => panic!("{context}: unknown outcome {other}"),
            }
        }
    }
}

//= EV-SNP-1: signature; R no wider than P-384
//= EV-COM-4: changed, cut and extended reports
#[test]
fn derived_mutations_are_refused_without_panic() {
    for vector in reports() {
        let at = vector.cases()[0].at;
        let bench = Bench::new(&vector);
        let tests = vector.expected["derived_negative_tests"].as_array().expect("tests");
        assert!(tests.len() >= 5);
        for test in tests {
            let mut report = vector.file("report.bin");
            let expected = if let Some(at) = test["flip_bit_at"].as_u64() {
                report[at as usize] ^= 1;
                match at {
                    384 => Reason::MissingEndorsement,
                    720 => Reason::Malformed,
                    _ => Reason::BadSignature,
                }
            } else {
                report.truncate(test["truncate_to"].as_u64().expect("a length") as usize);
                Reason::Malformed
            };

            let appraisal = bench.appraise(&report, at);

            assert_eq!(appraisal.reason(), Some(expected), "{} {test}", vector.name());
            assert!(!appraisal.authentic() && appraisal.claims().is_none());
        }
    }
}

//= EV-SNP-1, EV-COM-2: nothing unauthenticated is believed
//= EV-COM-12: R and S in their raw encoding
#[test]
fn no_changed_bit_is_accepted() {
    for name in ["milan-v2-vcek", "turin-v5-vcek"] {
        let Some(vector) = reports().into_iter().find(|it| it.name() == name) else { return };
        let (at, bench) = (vector.cases()[0].at, Bench::new(&vector));
        let whole = vector.file("report.bin");
        assert!(bench.appraise(&whole, at).accepted());
        for octet in 0..whole.len() {
            let mut report = whole.clone();
            report[octet] ^= 1 << (octet % 8);

            let appraisal = bench.appraise(&report, at);

            assert!(!appraisal.authentic(), "{name} octet {octet}\n{appraisal}");
        }
    }
}

//= EV-COM-4: every length is checked
#[test]
fn no_shortened_or_extended_report_is_accepted() {
    for vector in reports().into_iter().filter(|it| it.name() == "genoa-v5-vcek") {
        let (at, bench) = (vector.cases()[0].at, Bench::new(&vector));
        let whole = vector.file("report.bin");
        for length in 0..whole.len() {
            let reason = bench.appraise(&whole[..length], at).reason();

            assert_eq!(reason, Some(Reason::Malformed), "{length}");
        }
        for more in [&[0][..], &[1; 24], &[0; 23], &[0xff; 100]] {
            let reason = bench.appraise(&[&whole, more].concat(), at).reason();

            assert_eq!(reason, Some(Reason::Malformed), "{more:?}");
        }
        // A table that only ends names no certificate.
        assert!(bench.appraise(&[&whole[..], &[0; 4096]].concat(), at).accepted());
    }
}

//= EV-SNP-4: SEV-Genoa 0x20001 is revoked, 0x20002 is not
#[test]
fn the_revoked_authority_of_genoa_is_refused_with_the_list() {
    for vector in vectors("sev-snp").into_iter().filter(|it| it.name() == "genoa-revoked-ask") {
        let certificates = folder(&vector.folder.join("../vendor-certs/genoa"));
        let serials = |with_list: bool| {
            let files = certificates.files();
            let files = files.filter(|(name, _)| with_list || *name != "ark_crl_2022-10.der");
            let anchors = Anchors::vendors();
            let verified = VerifiedEndorsements::default().with(files, &anchors);
            let authorities = verified.authorities(Product::Genoa, SigningKey::Vcek);
            let mut serials = authorities
                .map(|it| (it.serial.clone(), verified.revokes(&it.root, &it.serial)))
                .collect::<Vec<_>>();
            serials.sort();
            serials
        };

        assert_eq!(serials(false), [(vec![2, 0, 1], false), (vec![2, 0, 2], false)]);
        assert_eq!(serials(true), [(vec![2, 0, 1], true), (vec![2, 0, 2], false)]);
    }
}

//= EV-SNP-4: a list supplied is valid at the given time, a missing one is said to be missing
#[test]
fn a_revocation_list_is_required_and_must_be_in_time() {
    for vector in reports().into_iter().filter(|it| it.name() == "milan-v2-author-key") {
        let list = vector.file("../vendor-certs/milan/ark_crl_2022-05.der");
        let report = vector.file("report.bin");
        let (in_time, late) = (vector.cases()[0].at, Timestamp(1_683_759_600));
        let reason = |list: Option<&[u8]>, at| {
            let mut collateral = vector.collateral();
            if let Some(list) = list {
                collateral.insert("crl", list);
            }
            let mut bench = Bench { endorsements: prepare(&collateral), ..Bench::new(&vector) };
            bench.policy.snp.revocation_list_required = true;
            let appraisal = bench.appraise(&report, at);
            (appraisal.authentic(), appraisal.reason())
        };
        let mut broken = list.clone();
        *broken.last_mut().expect("octets") ^= 1;

        assert_eq!(reason(Some(&list), in_time), (true, None));
        assert_eq!(reason(Some(&list), late), (false, Some(Reason::Expired)));
        assert_eq!(reason(None, in_time), (true, Some(Reason::MissingEndorsement)));
        assert_eq!(reason(Some(&broken), in_time), (true, Some(Reason::BadSignature)));
    }
}

//= EV-SNP-2, EV-SNP-5, EV-SNP-6: keys of nobody, of another chip, of another TCB
#[test]
fn a_key_that_is_not_that_of_the_report_does_not_count() {
    let all = reports();
    let find = |name: &str| all.iter().find(|vector| vector.name() == name);
    let Some(bare) = find("milan-v2-azure-bare") else { return };
    let at = bare.cases()[0].at;
    let report = bare.file("report.bin");
    let with_only = |file: &str, bytes: Vec<u8>| {
        let collateral = Collateral::from_files([(file, bytes)]);
        Bench { endorsements: prepare(&collateral), ..Bench::new(bare) }.appraise(&report, at)
    };

    for bad in ["bad-vcek-invalid-legacy.der", "bad-vcek-invalid-new.der"] {
        let appraisal = with_only(bad, bare.file(bad));
        assert_eq!(appraisal.reason(), Some(Reason::BadSignature), "{appraisal}");
    }
    let other = find("milan-v2-vcek").expect("a vector").file("vcek.der");
    let appraisal = with_only("vcek.der", other);
    assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement), "{appraisal}");
    assert_eq!(with_only("readme", vec![7]).reason(), Some(Reason::MissingEndorsement));
    assert_eq!(with_only("vcek.der", vec![7]).reason(), Some(Reason::Malformed));

    let mut cut = bare.file("vcek.der");
    cut[400] ^= 1;
    assert!(!with_only("vcek.der", cut).authentic());
}

//= EV-SNP-5: endorsements are looked up by chip and reported TCB
#[test]
fn the_remedy_names_the_certificate_to_fetch() {
    for vector in reports().into_iter().filter(|it| it.name() == "turin-v5-vcek") {
        let endorsements = prepare(&Collateral::default());
        let bench = Bench { endorsements, ..Bench::new(&vector) };

        let appraisal = bench.appraise(&vector.file("report.bin"), vector.cases()[0].at);

        let (check, failure) = appraisal.refusal().expect("refused");
        assert_eq!((check.name, failure.reason), ("snp.vek", Reason::MissingEndorsement));
        assert_eq!(
            failure.remedy,
            "fetch https://kdsintf.amd.com/vcek/v1/Turin/59790fb1c39f35c1\
             ?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81"
        );
    }
}

//= EV-SNP-10: the report in an HCL blob binds the runtime JSON
#[test]
fn a_paravisors_claims_are_bound_and_need_to_be_allowed() {
    for vector in reports().into_iter().filter(|it| it.name() == "milan-v2-azure-hcl") {
        let (at, mut bench) = (vector.cases()[0].at, Bench::new(&vector));
        let hcl = vector.file("hcl-report.bin");
        let refusal = bench.appraise(&hcl, at);
        assert_eq!(refusal.refusal().map(|(check, _)| check.name), Some("snp.paravisor"));

        bench.policy.snp.paravisor_allowed = true;
        let refusal = bench.appraise(&hcl, at);
        assert_eq!(refusal.refusal().map(|(check, _)| check.name), Some("snp.vtpm"));

        bench.policy.snp.vtpm_quote_required = false;
        let appraisal = bench.appraise(&hcl, at);
        assert!(appraisal.accepted(), "{appraisal}");
        let inner = Container::decode(&hcl).expect("an HCL report");
        assert_eq!(inner.report.signed(), &vector.file("report.bin")[..672]);
        let exactly = |user_data| bench.appraise_bound(&hcl, at, UserData::Exactly(user_data));
        assert!(exactly(&[0; 64]).bound());
        assert_eq!(exactly(inner.report.report_data()).reason(), Some(Reason::BindingMismatch));

        for octet in 0..hcl.len() {
            let mut changed = hcl.clone();
            changed[octet] ^= 1 << (octet % 7);
            assert!(!bench.appraise(&changed, at).accepted(), "octet {octet}");
        }
        for length in 0..HCL_LENGTH {
            assert!(!bench.appraise(&hcl[..length], at).accepted(), "length {length}");
        }
    }
}

//= EV-COM-5: the full field
#[test]
fn user_data_is_compared_whole() {
    for vector in reports().into_iter().filter(|it| it.name() == "genoa-v5-vcek") {
        let (at, bench) = (vector.cases()[0].at, Bench::new(&vector));
        let report = vector.file("report.bin");
        let mut right = [0; 64];
        let text = vector.expected["fields"]["report_data"].as_str().expect("text");
        hex::decode_to_slice(text, &mut right).expect("64 octets");
        let mut wrong = right;
        wrong[63] ^= 1;
        let exactly = |user_data| bench.appraise_bound(&report, at, UserData::Exactly(user_data));

        assert!(exactly(&right).accepted() && exactly(&right).bound());
        assert_eq!(exactly(&wrong).reason(), Some(Reason::BindingMismatch));
    }
}

//= EV-SNP-7: what the policy does not say is refused
#[test]
fn the_strict_policy_asks_for_a_list_and_a_minimum() {
    for vector in reports().into_iter().filter(|it| it.name() == "turin-v5-vcek") {
        let bench = Bench { policy: Policy::default(), ..Bench::new(&vector) };

        let appraisal = bench.appraise(&vector.file("report.bin"), vector.cases()[0].at);

        let refused = appraisal.checks().failures();
        let refused = refused.iter().map(|(check, _)| check.name).collect::<Vec<_>>();
        assert_eq!(refused, ["snp.revocation-list", "snp.tcb.minimum"], "{appraisal}");
        assert_eq!(appraisal.tcb().map(|tcb| tcb.status), Some("NoMinimum"));
    }
}

/// One vector with everything that its appraisal needs.
#[derive(Clone)]
struct Bench {
    endorsements: Endorsements,
    policy: Policy,
    reference: ReferenceValues,
}

impl Bench {
    /// The vector's files, its own measurement, and a policy that asks only for what it can have.
    fn new(vector: &Vector) -> Self {
        let mut measurement = [0; 48];
        let text = vector.expected["fields"]["measurement"].as_str().expect("text");
        hex::decode_to_slice(text, &mut measurement).expect("48 octets");
        let minimum = |product| MinimumTcb { snp: 4, ..MinimumTcb::none(product) };
        let policy = snp::Policy {
            revocation_list_required: false,
            tcb_min: Product::ALL.map(minimum).into(),
            platform_required: Vec::new(),
            csp_ids: vec!["CN=cc-us-east-2.amazonaws.com".into()],
            ..snp::Policy::default()
        };
        let snp = vec![Reference::guest("the guest".into(), measurement)];
        Self {
            endorsements: prepare(&vector.collateral()),
            policy: Policy { snp: policy, ..Policy::default() },
            reference: ReferenceValues { snp, ..ReferenceValues::default() },
        }
    }

    fn appraise(&self, evidence: &[u8], now: Timestamp) -> Appraisal {
        self.appraise_bound(evidence, now, UserData::Unchecked)
    }

    fn appraise_bound(
        &self,
        evidence: &[u8],
        now: Timestamp,
        user_data: UserData<'_>,
    ) -> Appraisal {
        let request = Request {
            kind: Kind::SevSnp,
            evidence,
            event_log: None,
            user_data,
            anchors: &Anchors::vendors(),
            reference: &self.reference,
            policy: &self.policy,
            now,
        };
        appraise(&request, &self.endorsements)
    }
}

fn prepare(collateral: &Collateral) -> Endorsements {
    Endorsements::prepare(Kind::SevSnp, collateral, &Anchors::vendors())
}

/// The vectors with a report.
fn reports() -> Vec<Vector> {
    let vectors = vectors("sev-snp");
    let all = vectors.into_iter().filter(|vector| vector.folder.join("report.bin").exists());
    let all = all.collect::<Vec<_>>();
    assert!(all.is_empty() || all.len() >= 11, "all vectors are there");
    all
}

/// Headers, report and claims of the recorded HCL report; zeros follow.
const HCL_LENGTH: usize = 2346;
