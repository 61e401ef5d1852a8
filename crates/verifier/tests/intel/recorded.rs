//! SGX and TDX quotes of real hardware, each at its own point in time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use verifier::evidence::EventLog;
use verifier::evidence::dcap::tcb::TcbStatus;
use verifier::evidence::tdx::event_log;
use verifier::time::parse_rfc3339;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
};

//= EV-COM-11: every field as decoded
#[test]
fn decoded_fields_equal_the_oracle() {
    for vector in vectors() {
        let appraisal = vector.appraise(&Case::none(), &lenient());

        let json = serde_json::to_value(&appraisal).expect("serialisable");
        assert_eq!(json["fields"], vector.expected["fields"], "{}", vector.id());
    }
}

//= EV-DCAP-2, EV-DCAP-4, EV-DCAP-5: real quotes up to the real root
//= EV-DCAP-9, EV-DCAP-10, EV-DCAP-11: status, date, advisories and number as the oracle says
//= EV-DCAP-13: the PCK extension of real platforms
#[test]
fn every_case_has_the_stated_outcome_at_its_own_time() {
    for vector in vectors() {
        for case in vector.cases() {
            let appraisal = vector.appraise(&case, &lenient());
            let at = format!("{} {}\n{appraisal}", vector.id(), case.expect);
            let Some(chain) = case.expect["signatures_and_chain"].as_str() else {
                assert!(!appraisal.accepted(), "{at}");
                continue;
            };
            assert_eq!(appraisal.authentic(), chain == "ok", "{at}");
            check_tcb(&appraisal, &case, &at);
            let reason = match case.expect["strict_policy"].as_str().unwrap_or_default() {
                "accept-if-status-allowed" => None,
                "reject: Debug mode is enabled" => Some(Reason::Debug),
                "reject: No matching TCB level found" => Some(Reason::TcbNotRecognised),
                "reject: SEPT_VE_DISABLE is not enabled" | "reject: Invalid MR service TD" => {
                    Some(Reason::ConfigurationNotAllowed)
                }
                other => panic!("{at}: unknown outcome {other}"),
            };
            assert_eq!(appraisal.reason(), reason, "{at}");
        }
    }
}

fn check_tcb(appraisal: &Appraisal, case: &Case, at: &str) {
    let texts = |json: &Json| -> BTreeSet<String> {
        json.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let Some(tcb) = appraisal.tcb() else {
        assert!(case.expect["merged_status"].is_null(), "{at}");
        return;
    };
    if let Some(merged) = case.expect["merged_status"].as_str() {
        assert_eq!(tcb.status, merged, "{at}");
    }
    if let Some(platform) = case.expect["platform_tcb_status_by_table"].as_str() {
        assert_eq!(tcb.parts[0], ("platform", platform), "{at}");
    }
    if let Some(date) = case.expect["tcb_date"].as_str() {
        assert_eq!(tcb.date, parse_rfc3339(date), "{at}");
    }
    let advisories = tcb.advisories.iter().map(|id| id.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(advisories, texts(&case.expect["advisory_ids"]), "{at}");
    // The oracle names the number of the TCB info; a QE identity may be one evaluation behind.
    let number = u64::from(tcb.evaluation.expect("Intel numbers its evaluations"));
    let oracle = case.evaluation.expect("the oracle has a number");
    assert!(number == oracle || number + 1 == oracle, "{at}");
}

//= EV-COM-9: UpToDate is accepted, everything else refused
#[test]
fn the_strict_policy_accepts_up_to_date_platforms_only() {
    for vector in vectors() {
        for case in vector.cases() {
            let strict = Policy { reference_required: false, ..Policy::default() };

            let appraisal = vector.appraise(&case, &strict);

            let up_to_date = case.expect["merged_status"] == "UpToDate"
                && case.expect["strict_policy"] == "accept-if-status-allowed";
            assert_eq!(appraisal.accepted(), up_to_date, "{}\n{appraisal}", vector.id());
        }
    }
}

//= EV-DCAP-6, EV-DCAP-7: from the first to the last second, not outside
//= EV-COM-1: time is an argument
#[test]
fn evidence_is_refused_one_second_outside_the_validity_of_its_collateral() {
    for vector in vectors() {
        for case in vector.cases() {
            let Some((from, until)) = case.window else { continue };
            let reason_at = |seconds| {
                let at = Case { at: Timestamp(seconds), ..case.clone() };
                let appraisal = vector.appraise(&at, &lenient());
                let class = appraisal.reason();
                (appraisal.authentic(), class.filter(|_| !appraisal.authentic()))
            };

            assert_eq!(reason_at(from.0), (true, None), "{}", vector.id());
            assert_eq!(reason_at(until.0), (true, None), "{}", vector.id());
            assert_eq!(
                reason_at(from.0 - 1),
                (false, Some(Reason::NotYetValid)),
                "{}",
                vector.id()
            );
            assert_eq!(reason_at(until.0 + 1), (false, Some(Reason::Expired)), "{}", vector.id());
        }
    }
}

//= EV-COM-3: distinct reasons; EV-DCAP-13: no PCK, no acceptance
//= EV-COM-8: a root with another key
#[test]
fn evidence_without_what_it_needs_is_refused_for_that_reason() {
    for (id, reason) in [
        ("sgx/v3-encrypted-ppid", Reason::MissingEndorsement),
        ("sgx/v3-spr-nocollateral", Reason::MissingEndorsement),
        ("tdx/v4-untrusted-root", Reason::UntrustedRoot),
    ] {
        let Some(vector) = vectors().into_iter().find(|vector| vector.id() == id) else { continue };

        let appraisal = vector.appraise(&vector.cases()[0], &lenient());

        assert_eq!(appraisal.reason(), Some(reason), "{id}\n{appraisal}");
        assert!(!appraisal.authentic() && appraisal.claims().is_none());
    }
}

//= EV-COM-4: changed, cut and extended quotes
//= EV-DCAP-2: quote signature
#[test]
fn derived_mutations_are_refused_without_panic() {
    for vector in vectors() {
        let Some(case) = vector.cases().into_iter().next() else { continue };
        for test in vector.expected["derived_negative_tests"].as_array().into_iter().flatten() {
            let mut quote = vector.quote.clone();
            let expected = if let Some(at) = test["flip_bit_at"].as_u64() {
                quote[at as usize] ^= 1;
                // In version 5 that octet is the body type, without which nothing can be read.
                let body_type = quote[0] == 5 && at == 48;
                if body_type { Reason::Malformed } else { Reason::BadSignature }
            } else if let Some(length) = test["truncate_to"].as_u64() {
                quote.truncate(length as usize);
                Reason::Malformed
            } else {
                quote.push(1);
                Reason::Malformed
            };

            let appraisal = vector.appraise_bytes(&quote, &case, &lenient());

            assert_eq!(appraisal.reason(), Some(expected), "{} {test}", vector.id());
        }
    }
}

#[test]
fn zero_padding_is_not_part_of_a_quote() {
    for vector in vectors().into_iter().filter(|vector| vector.id() == "tdx/v4-emr-uptodate") {
        let padded = [&vector.quote[..], &[0; 3000]].concat();

        let appraisal = vector.appraise_bytes(&padded, &vector.cases()[0], &lenient());

        assert!(appraisal.accepted(), "{appraisal}");
    }
}

//= EV-COM-2, EV-COM-4: nothing unauthenticated is believed
//= EV-COM-12: signatures in their raw encoding
#[test]
fn no_changed_bit_is_accepted() {
    for id in ["sgx/v3-xeone-cfgsw", "tdx/v4-emr-uptodate"] {
        let Some(vector) = vectors().into_iter().find(|vector| vector.id() == id) else { continue };
        let case = &vector.cases()[0];
        let endorsements = vector.endorsements(case);
        for at in 0..vector.quote.len() {
            let mut quote = vector.quote.clone();
            quote[at] ^= 1 << (at % 8);

            let appraisal = vector.appraise_with(&quote, case, &lenient(), &endorsements);

            assert!(!appraisal.accepted(), "{id} octet {at}\n{appraisal}");
        }
    }
}

//= EV-COM-4: every length is checked
#[test]
fn no_shortened_quote_is_accepted() {
    for id in ["sgx/v3-xeone-cfgsw", "tdx/v5-alibaba-servicetd"] {
        let Some(vector) = vectors().into_iter().find(|vector| vector.id() == id) else { continue };
        let case = &vector.cases()[0];
        let endorsements = vector.endorsements(case);
        for length in 0..vector.quote.len() {
            let quote = &vector.quote[..length];

            let appraisal = vector.appraise_with(quote, case, &lenient(), &endorsements);

            assert_eq!(appraisal.reason(), Some(Reason::Malformed), "{id} {length}");
        }
    }
}

//= EV-COM-7: signed objects count as received
//= EV-DCAP-6: no list supplied is a missing endorsement
#[test]
fn collateral_that_lacks_a_file_or_has_a_changed_one_is_refused() {
    for vector in vectors().into_iter().filter(|vector| vector.id() == "sgx/v3-xeone-cfgsw") {
        let case = &vector.cases()[0];
        let whole = vector.collateral(case);
        for (name, bytes) in whole.files() {
            let others = || whole.files().filter(|(other, _)| *other != name);
            let lacking = Collateral::from_files(others());
            let appraisal = vector.appraise_collateral(&lacking, case);
            assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement), "{name}");

            for at in (0..bytes.len()).step_by(7) {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                let mut files = Collateral::from_files(others());
                files.insert(name, changed);

                let appraisal = vector.appraise_collateral(&files, case);

                let harmless =
                    name == "pck_crl_issuer_chain.pem" || name == "tcb_signing_chain.pem";
                assert!(!appraisal.accepted() || harmless, "{name} octet {at}\n{appraisal}");
            }
        }
    }
}

//= EV-DCAP-7: FMSPC and PCE id
#[test]
fn collateral_of_another_platform_is_a_missing_endorsement() {
    let all = vectors();
    let find = |id: &str| all.iter().find(|vector| vector.id() == id);
    let (Some(mine), Some(other)) = (find("sgx/v3-xeone-cfgsw"), find("sgx/v3-icx-debug")) else {
        return;
    };
    let case = &mine.cases()[1];
    let foreign = other.collateral(&other.cases()[1]);

    let appraisal =
        mine.appraise_collateral(&foreign, &Case { at: Timestamp(1_756_530_546), ..case.clone() });

    assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement), "{appraisal}");
}

//= EV-TDX-3: CCEL and dstack logs
#[test]
fn event_logs_replay_to_the_quoted_registers() {
    for (id, file) in [
        ("tdx/v4-emr-dstack-eventlog", "dstack_event_log.json"),
        ("tdx/v4-gcp-cos-ccel", "ccel_data.bin"),
    ] {
        let Some(vector) = vectors().into_iter().find(|vector| vector.id() == id) else { continue };
        let bytes = fs::read(vector.folder.join(file)).expect("readable");
        let count = vector.expected["event_log"]["events"].as_u64().expect("a number");
        let registers = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].map(|name| {
            let text = vector.expected["fields"][name].as_str().expect("text");
            <[u8; 48]>::try_from(hex::decode(text).expect("hexadecimal")).expect("48 octets")
        });
        let registers = registers.each_ref();

        let events =
            event_log::verify(log_of(file, &bytes), &registers).expect("the log of this quote");
        assert!(events.len() as u64 + 1 >= count, "{id}: {} of {count}", events.len());

        for at in (0..bytes.len()).step_by(97) {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            if let Ok(other) = event_log::verify(log_of(file, &changed), &registers) {
                assert!(same_digests(&other, &events), "{id} octet {at}");
            }
            assert!(event_log::verify(log_of(file, &bytes[..at]), &registers).is_err());
        }
    }
}

fn log_of<'a>(file: &str, bytes: &'a [u8]) -> EventLog<'a> {
    if file == "ccel_data.bin" { EventLog::Ccel(bytes) } else { EventLog::Dstack(bytes) }
}

/// Descriptions of boot events are not measured, so they may change; digests may not.
fn same_digests(a: &[event_log::Event], b: &[event_log::Event]) -> bool {
    let digests = |events: &[event_log::Event]| -> Vec<_> {
        let measured = events.iter().filter(|event| event.kind != 3 && event.register.is_some());
        measured.map(|event| (event.register, event.digest)).collect()
    };
    digests(a) == digests(b)
}

#[test]
fn the_dstack_compose_hash_is_in_a_proven_event() {
    let id = "tdx/v4-emr-dstack-eventlog";
    for vector in vectors().into_iter().filter(|vector| vector.id() == id) {
        let bytes = fs::read(vector.folder.join("dstack_event_log.json")).expect("readable");
        let compose = fs::read(vector.folder.join("app_compose.json")).expect("readable");
        let case = &vector.cases()[0];
        let endorsements = vector.endorsements(case);
        let policy = lenient();
        let request = vector.request(&vector.quote, case, &policy);
        let request = Request { event_log: Some(EventLog::Dstack(&bytes)), ..request };

        let appraisal = appraise(&request, &endorsements);

        assert!(appraisal.accepted(), "{appraisal}");
        let registers = appraisal.claims().expect("authentic").registers.iter();
        let registers = registers
            .map(|register| <[u8; 48]>::try_from(register.value.as_slice()).expect("48 octets"))
            .collect::<Vec<_>>();
        let registers = [&registers[0], &registers[1], &registers[2], &registers[3]];
        let events = event_log::verify(EventLog::Dstack(&bytes), &registers).expect("proven");
        let hash = events.iter().find(|event| event.name == "compose-hash").expect("the event");
        assert_eq!(hash.payload, verifier::crypto::sha256(&compose));
    }
}

//= EV-COM-5: the full field
#[test]
fn user_data_is_compared_whole() {
    for vector in vectors().into_iter().filter(|vector| vector.id() == "tdx/v4-emr-uptodate") {
        let case = &vector.cases()[0];
        let endorsements = vector.endorsements(case);
        let policy = lenient();
        let text = vector.expected["fields"]["report_data"].as_str().expect("text");
        let right = <[u8; 64]>::try_from(hex::decode(text).expect("hexadecimal")).expect("64");
        let mut wrong = right;
        wrong[63] ^= 1;
        let outcome = |user_data: &[u8; 64]| {
            let request = vector.request(&vector.quote, case, &policy);
            let request = Request { user_data: UserData::Exactly(user_data), ..request };
            let appraisal = appraise(&request, &endorsements);
            (appraisal.bound(), appraisal.reason())
        };

        assert_eq!(outcome(&right), (true, None));
        assert_eq!(outcome(&wrong), (false, Some(Reason::BindingMismatch)));
    }
}

#[test]
fn the_remedy_names_what_to_update() {
    for vector in vectors().into_iter().filter(|vector| vector.id() == "sgx/v3-icx-outofdate") {
        let policy = Policy {
            dcap: verifier::evidence::dcap::Policy {
                tcb_statuses: vec![TcbStatus::UpToDate, TcbStatus::SwHardeningNeeded],
                ..lenient().dcap
            },
            ..lenient()
        };

        let appraisal = vector.appraise(&vector.cases()[0], &policy);

        let (check, failure) = appraisal.refusal().expect("refused");
        assert_eq!(check.name, "dcap.tcb.status");
        assert_eq!(
            failure.remedy,
            "update BIOS and platform software: Early Microcode Update (BIOS) SVN 7 < 11, \
             SGX Late Microcode Update (OS/VMM) SVN 9 < 11, \
             required for SWHardeningNeeded by TCB info of 2023-05-15, evaluation 15"
        );
    }
}

struct Vector {
    folder: PathBuf,
    expected: Json,
    quote: Vec<u8>,
}

#[derive(Clone)]
struct Case {
    collateral: Option<String>,
    at: Timestamp,
    window: Option<(Timestamp, Timestamp)>,
    evaluation: Option<u64>,
    expect: Json,
}

impl Case {
    fn none() -> Self {
        let at = Timestamp(1_735_689_600);
        Self { collateral: None, at, window: None, evaluation: None, expect: Json::Null }
    }
}

impl Vector {
    fn id(&self) -> String {
        let kind = self.folder.parent().and_then(Path::file_name).expect("a kind");
        let name = self.folder.file_name().expect("a name");
        format!("{}/{}", kind.to_string_lossy(), name.to_string_lossy())
    }

    fn cases(&self) -> Vec<Case> {
        let time = |json: &Json| json.as_str().and_then(parse_rfc3339);
        let case = |json: &Json| Case {
            collateral: json["collateral"].as_str().map(str::to_owned),
            at: time(&json["verify_at"]).unwrap_or(Case::none().at),
            window: time(&json["all_valid_from"]).zip(time(&json["all_valid_to"])),
            evaluation: json["tcb_evaluation_data_number"].as_u64(),
            expect: json["expect"].clone(),
        };
        let cases = self.expected["cases"].as_array().into_iter().flatten();
        cases.filter(|json| json["expect"].is_object()).map(case).collect()
    }

    fn collateral(&self, case: &Case) -> Collateral {
        let Some(name) = &case.collateral else { return Collateral::default() };
        let entries = fs::read_dir(self.folder.join(name)).expect("a folder");
        Collateral::from_files(entries.map(|entry| {
            let entry = entry.expect("an entry");
            let bytes = fs::read(entry.path()).expect("readable");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        }))
    }

    fn kind(&self) -> Kind {
        if self.id().starts_with("sgx") { Kind::Sgx } else { Kind::Tdx }
    }

    fn endorsements(&self, case: &Case) -> Endorsements {
        Endorsements::prepare(self.kind(), &self.collateral(case), &Anchors::vendors())
    }

    fn request<'a>(&self, quote: &'a [u8], case: &Case, policy: &'a Policy) -> Request<'a> {
        Request {
            kind: self.kind(),
            evidence: quote,
            event_log: None,
            user_data: UserData::Unchecked,
            anchors: Box::leak(Box::new(Anchors::vendors())),
            reference: Box::leak(Box::new(ReferenceValues::default())),
            policy,
            now: case.at,
        }
    }

    fn appraise(&self, case: &Case, policy: &Policy) -> Appraisal {
        self.appraise_bytes(&self.quote, case, policy)
    }

    fn appraise_bytes(&self, quote: &[u8], case: &Case, policy: &Policy) -> Appraisal {
        self.appraise_with(quote, case, policy, &self.endorsements(case))
    }

    fn appraise_collateral(&self, collateral: &Collateral, case: &Case) -> Appraisal {
        let endorsements = Endorsements::prepare(self.kind(), collateral, &Anchors::vendors());
        self.appraise_with(&self.quote, case, &lenient(), &endorsements)
    }

    fn appraise_with(
        &self,
        quote: &[u8],
        case: &Case,
        policy: &Policy,
        endorsements: &Endorsements,
    ) -> Appraisal {
        appraise(&self.request(quote, case, policy), endorsements)
    }
}

/// Everything that a vendor may say is allowed; what makes an instance unsafe is not.
fn lenient() -> Policy {
    Policy {
        reference_required: false,
        dcap: verifier::evidence::dcap::Policy {
            tcb_statuses: vec![
                TcbStatus::UpToDate,
                TcbStatus::SwHardeningNeeded,
                TcbStatus::ConfigurationNeeded,
                TcbStatus::ConfigurationAndSwHardeningNeeded,
                TcbStatus::OutOfDate,
                TcbStatus::OutOfDateConfigurationNeeded,
            ],
            evaluation_min: 0,
            ..Default::default()
        },
        ..Policy::default()
    }
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn vectors() -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence");
    if !root.is_dir() {
        println!("skipped: ../shared/vectors is absent");
        return Vec::new();
    }
    let mut vectors = Vec::new();
    for kind in ["sgx", "tdx"] {
        for entry in fs::read_dir(root.join(kind)).expect("a folder") {
            let folder = entry.expect("an entry").path();
            let Ok(expected) = fs::read(folder.join("expected.json")) else { continue };
            let expected = serde_json::from_slice(&expected).expect("JSON");
            let quote = fs::read(folder.join("quote.bin")).expect("a quote");
            vectors.push(Vector { folder, expected, quote });
        }
    }
    vectors.sort_by(|a, b| a.folder.cmp(&b.folder));
    assert!(vectors.len() >= 24, "all vectors are there");
    vectors
}
