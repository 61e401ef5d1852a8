//! Collateral that is renewed: forecasts, spellings of lists, limits of age, and what debugging
//! that a policy allows means for a result.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use verifier::evidence::dcap::tcb::TcbStatus;
use verifier::time::parse_rfc3339;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise, forecast,
};

#[test]
fn newer_tcb_info_tells_beforehand_which_platform_it_will_refuse() {
    let Some(bench) = Bench::of("sgx/v3-icx-debug", "2024-06-29T22:38:27Z") else { return };
    let (today, newer) = (bench.files("collateral-2024-06"), bench.files("collateral-2025-08"));
    // Only the statement and its signature are new; the lists are those of today.
    let mut later = today.clone();
    for name in ["tcb_info.json", "tcb_info.sig.hex"] {
        later.insert(name, newer.file(name).expect("a file"));
    }
    let policy = hardening_allowed();

    let forecast = forecast(&bench.request(&policy), &prepare(&today), &prepare(&later));

    let status = |tcb: Option<&verifier::Tcb>| tcb.map(|tcb| tcb.status);
    assert_eq!(status(forecast.before()), Some("SWHardeningNeeded"));
    assert_eq!(status(forecast.after()), Some("OutOfDate"));
    assert!(!forecast.passes() && forecast.device().is_some());
    let (check, failure) = forecast.checks().first_failure().expect("a reason");
    assert_eq!((check.name, failure.reason), ("dcap.tcb.status", Reason::TcbStatusNotAllowed));
    assert!(failure.remedy.contains("SVN 12 < 14"), "{}", failure.remedy);
}

#[test]
fn a_forecast_with_forged_or_foreign_collateral_promises_nothing() {
    let Some(bench) = Bench::of("sgx/v3-icx-debug", "2024-06-29T22:38:27Z") else { return };
    let Some(other) = Bench::of("tdx/v4-emr-uptodate", "2025-06-20T00:00:00Z") else { return };
    let today = bench.files("collateral-2024-06");
    let mut forged = today.clone();
    let json = today.file("tcb_info.json").expect("a file");
    let text = String::from_utf8(json.to_vec()).expect("text");
    forged.insert("tcb_info.json", text.replacen("OutOfDate", "UpToDate\u{20}", 1));
    let policy = hardening_allowed();
    let reason = |newer: &Collateral| {
        let forecast = forecast(&bench.request(&policy), &prepare(&today), &prepare(newer));
        assert!(!forecast.passes() && forecast.after().is_none());
        forecast.checks().first_failure().map(|(_, failure)| failure.reason)
    };

    assert_eq!(reason(&forged), Some(Reason::BadSignature));
    assert_eq!(reason(&other.files("collateral-2025-06")), Some(Reason::MissingEndorsement));
    assert_eq!(reason(&Collateral::default()), Some(Reason::MissingEndorsement));
}

//= rats 11.17 (M): a debug bit never yields affirming
#[test]
fn debugging_that_the_policy_allows_warns_and_no_more() {
    let Some(bench) = Bench::of("sgx/v3-icx-debug", "2024-06-29T22:38:27Z") else { return };
    let prepared = prepare(&bench.files("collateral-2024-06"));
    let policy = Policy { reference_required: false, ..hardening_allowed() };
    let allowed = Policy { debug_allowed: true, ..policy.clone() };
    let status = |policy: &Policy| {
        let appraisal = appraise(&bench.request(policy), &prepared);
        (appraisal.accepted(), appraisal.trust().status().name())
    };

    assert_eq!(status(&policy), (false, "contraindicated"));
    assert_eq!(status(&allowed), (true, "warning"));
}

//= EV-DCAP-6: the same lists in every spelling that services and caches have
#[test]
fn revocation_lists_count_as_der_pem_and_hexadecimal() {
    let Some(bench) = Bench::of("tdx/v4-emr-uptodate", "2025-06-20T00:00:00Z") else { return };
    let files = bench.files("collateral-2025-06");
    let list = |name: &str| files.file(name).expect("a file").to_vec();
    let mut respelt = files.clone();
    respelt.insert("root_ca_crl.der", hex::encode(list("root_ca_crl.der")));
    let policy = Policy { reference_required: false, ..Policy::default() };

    let accepted =
        |files: &Collateral| appraise(&bench.request(&policy), &prepare(files)).accepted();
    assert!(accepted(&files) && accepted(&respelt));

    let rest = files.files().filter(|(name, _)| *name != "pck_crl.der");
    let mut renamed = Collateral::from_files(rest);
    assert!(!accepted(&renamed));
    renamed.insert("pck_crl.crl", list("pck_crl.der"));
    assert!(accepted(&renamed));
}

#[test]
fn collateral_that_is_older_than_the_policy_allows_is_stale() {
    let Some(bench) = Bench::of("tdx/v4-emr-uptodate", "2025-06-20T00:00:00Z") else { return };
    let prepared = prepare(&bench.files("collateral-2025-06"));
    let reason = |age_s_max| {
        let dcap = verifier::evidence::dcap::Policy { age_s_max, ..Default::default() };
        let policy = Policy { dcap, reference_required: false, ..Policy::default() };
        appraise(&bench.request(&policy), &prepared).reason()
    };

    assert_eq!(reason(None), None);
    assert_eq!(reason(Some(7 * 86_400)), None);
    assert_eq!(reason(Some(60)), Some(Reason::StaleEndorsement));
}

#[test]
fn what_kind_of_collateral_a_file_is_and_its_dates_follow_from_its_contents() {
    use verifier::collateral::{Class, Dated};

    let Some(bench) = Bench::of("tdx/v4-emr-uptodate", "2025-06-20T00:00:00Z") else { return };
    let (older, newer) = (bench.files("collateral-2025-06"), bench.files("collateral-2026-08"));
    let class = |name: &str| Dated::of(older.file(name)?).map(|dated| dated.class);

    assert_eq!(class("tcb_info.json"), Some(Class::Statement));
    assert_eq!(class("pck_crl.der"), Some(Class::Revocation));
    assert_eq!(class("tcb_signing_chain.pem"), Some(Class::Certificate));
    assert_eq!(class("tcb_info.sig.hex"), None);
    assert!(newer.is_no_older_than(&older) && !older.is_no_older_than(&newer));
}

proptest! {
    //= EV-PERF-2: a cache changes what an appraisal costs, never what it says
    #[test]
    fn a_cache_never_changes_a_verdict(
        changes in proptest::collection::vec((0_usize..5_000, 0_u8..8, any::<bool>()), 1..4),
        late in 0_i64..400,
    ) {
        let Some(bench) = Bench::of("tdx/v4-emr-uptodate", "2025-06-20T00:00:00Z") else {
            return Ok(());
        };
        let files = bench.files("collateral-2025-06");
        let shared = prepare(&files);
        let policy = Policy { reference_required: false, ..Policy::default() };
        for (at, bit, changed) in changes {
            let mut evidence = bench.evidence.clone();
            if changed {
                let at = at % evidence.len();
                evidence[at] ^= 1 << bit;
            }
            let now = bench.now.after(late * 86_400);
            let request = Request { evidence: &evidence, now, ..bench.request(&policy) };

            let with = appraise(&request, &shared);
            let without = appraise(&request, &prepare(&files));

            prop_assert_eq!(json(&with), json(&without));
        }
    }
}

struct Bench {
    folder: std::path::PathBuf,
    kind: Kind,
    evidence: Vec<u8>,
    anchors: Anchors,
    reference: ReferenceValues,
    now: Timestamp,
}

impl Bench {
    /// A recorded quote at a point in time; nothing without the vectors.
    fn of(vector: &str, at: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence");
        let folder = root.join(vector);
        let evidence = fs::read(folder.join("quote.bin")).ok()?;
        Some(Self {
            folder,
            kind: vector.split('/').next()?.parse().ok()?,
            evidence,
            anchors: Anchors::vendors(),
            reference: ReferenceValues::default(),
            now: parse_rfc3339(at)?,
        })
    }

    fn files(&self, folder: &str) -> Collateral {
        let files = fs::read_dir(self.folder.join(folder)).expect("a folder");
        Collateral::from_files(files.map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, fs::read(path).expect("a file"))
        }))
    }

    fn request<'a>(&'a self, policy: &'a Policy) -> Request<'a> {
        Request {
            kind: self.kind,
            evidence: &self.evidence,
            event_log: None,
            user_data: UserData::Unchecked,
            anchors: &self.anchors,
            reference: &self.reference,
            policy,
            now: self.now,
        }
    }
}

fn hardening_allowed() -> Policy {
    let tcb_statuses = vec![TcbStatus::UpToDate, TcbStatus::SwHardeningNeeded];
    let dcap =
        verifier::evidence::dcap::Policy { tcb_statuses, evaluation_min: 0, ..Default::default() };
    Policy { dcap, ..Policy::default() }
}

fn prepare(files: &Collateral) -> Endorsements {
    Endorsements::prepare(Kind::Tdx, files, &Anchors::vendors())
}

fn json(appraisal: &Appraisal) -> String {
    serde_json::to_string(appraisal).expect("serialisable")
}
