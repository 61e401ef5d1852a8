//! SGX and TDX under a vendor of our own, in the shapes that no recorded quote has.

use crate::vendor::{NOW, Shape, Vendor, World, domain_body, enclave_body};
use serde_json::json;
use verifier::evidence::EventLog;
use verifier::evidence::dcap::tcb::TcbStatus;
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, UserData,
    appraise,
};

//= EV-DCAP-1: versions 3, 4 and 5, SGX in version 4
#[test]
fn an_enclave_is_accepted_in_every_quote_version() {
    let vendor = Vendor::new();
    for version in [3, 4, 5] {
        let quote = vendor.quote(&enclave_body(), &Shape { version, ..Shape::default() });

        let appraisal = Bench::sgx().appraise(&vendor, &quote);

        assert_eq!(appraisal.reason(), None, "version {version}\n{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        assert_eq!(appraisal.reference(), Some("the enclave"));
    }
}

//= EV-DCAP-1, EV-TDX-1: TD 1.0 and 1.5
#[test]
fn a_domain_is_accepted_in_every_quote_version_and_report() {
    let vendor = Vendor::new();
    for (version, length) in [(4, 584), (5, 584), (5, 648)] {
        let shape = Shape { version, ..Shape::default() };
        let quote = vendor.quote(&domain_body()[..length], &shape);

        let appraisal = Bench::tdx().appraise(&vendor, &quote);

        assert_eq!(appraisal.reason(), None, "version {version}\n{appraisal}");
        assert_eq!(appraisal.tcb().map(|tcb| tcb.status), Some("UpToDate"));
    }
}

#[test]
fn emulated_evidence_is_refused_unless_listed_and_allowed() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let mut bench = Bench::sgx();
    bench.policy.emulated_allowed = false;

    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::EmulatedNotAllowed));
    assert_eq!(bench.appraise(&vendor, &quote).emulated(), Some(true));

    let bench = Bench { anchors: Some(Anchors::vendors()), ..Bench::sgx() };
    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::UntrustedRoot));
}

#[test]
fn collateral_of_another_listed_vendor_does_not_count() {
    let (mine, other) = (Vendor::new(), Vendor::new());
    let quote = mine.quote(&enclave_body(), &Shape::default());
    let listed = |vendor: &Vendor| verifier::anchor::Listed {
        vendor: verifier::anchor::Vendor::Intel,
        name: "a vendor".into(),
        spki_sha256: Hex(verifier::crypto::sha256(&vendor.root_key.spki())),
    };
    let both = Anchors::vendors().with_emulator(listed(&mine)).with_emulator(listed(&other));
    let bench = Bench { anchors: Some(both.clone()), ..Bench::sgx() };
    let foreign = Endorsements::prepare(Kind::Sgx, &other.collateral(&bench.world), &both);

    let appraisal = bench.appraise_with(&mine, &quote, &foreign, UserData::Unchecked);

    assert_eq!(appraisal.reason(), Some(Reason::UntrustedRoot), "{appraisal}");
    assert_eq!(appraisal.refusal().map(|(check, _)| check.name), Some("dcap.collateral.anchor"));
}

//= EV-DCAP-6: no certificate on the path is listed
#[test]
fn revoked_certificates_are_refused() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    for (pck, authority) in [(4, 77), (77, 2), (77, 3)] {
        let mut bench = Bench::sgx();
        bench.world.revoked_pcks = vec![1_000_000, pck];
        bench.world.revoked_authorities = vec![authority];

        let appraisal = bench.appraise(&vendor, &quote);

        assert_eq!(appraisal.reason(), Some(Reason::Revoked), "{appraisal}");
        assert!(!appraisal.authentic());
    }
}

//= EV-DCAP-1, EV-DCAP-3, EV-DCAP-8: vendor, zeros, identity
//= EV-DCAP-13: no PCK chain
#[test]
fn a_quoting_enclave_that_is_not_the_vendors_is_refused() {
    let vendor = Vendor::new();
    let mut zeros = [0; 32];
    zeros[31] = 1;
    let ordinary = Shape::default;
    for (shape, reason) in [
        (Shape { qe_zeros: zeros, ..ordinary() }, Reason::BadSignature),
        (Shape { qe_attributes: 0x13, ..ordinary() }, Reason::MeasurementMismatch),
        (Shape { qe_attributes: 0x15, ..ordinary() }, Reason::MeasurementMismatch),
        (Shape { qe_vendor: 0x94, ..ordinary() }, Reason::Unsupported),
        (Shape { qe_svn: 1, ..ordinary() }, Reason::TcbNotRecognised),
        (Shape { certification: 3, ..ordinary() }, Reason::MissingEndorsement),
        (Shape { certification: 4, ..ordinary() }, Reason::Unsupported),
        (Shape { certification: 9, ..ordinary() }, Reason::Malformed),
        (Shape { version: 2, ..ordinary() }, Reason::Unsupported),
        (Shape { version: 6, ..ordinary() }, Reason::Unsupported),
    ] {
        let quote = vendor.quote(&enclave_body(), &shape);

        let appraisal = Bench::sgx().appraise(&vendor, &quote);

        let expected = if shape.qe_attributes == 0x15 { None } else { Some(reason) };
        assert_eq!(appraisal.reason(), expected, "{appraisal}");
    }
}

#[test]
fn a_chain_beside_the_collateral_serves_quotes_that_carry_only_a_platform_id() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape { certification: 3, ..Shape::default() });
    let bench = Bench::sgx();
    let mut collateral = vendor.collateral(&bench.world);
    collateral.insert("pck_chain.pem", vendor.chain());
    let endorsements = Endorsements::prepare(Kind::Sgx, &collateral, &vendor.anchors());

    let appraisal = bench.appraise_with(&vendor, &quote, &endorsements, UserData::Unchecked);

    assert_eq!(appraisal.reason(), None, "{appraisal}");
}

//= EV-DCAP-8, EV-DCAP-10: the level of the quoting enclave
#[test]
fn an_old_quoting_enclave_makes_the_platform_out_of_date() {
    let vendor = Vendor::new();
    for (qe_svn, status) in [(9, "UpToDate"), (7, "OutOfDate"), (3, "Revoked")] {
        let quote = vendor.quote(&enclave_body(), &Shape { qe_svn, ..Shape::default() });

        let appraisal = Bench::sgx().appraise(&vendor, &quote);

        let tcb = appraisal.tcb().expect("a status");
        assert_eq!(tcb.status, status);
        let allowed = status == "UpToDate";
        assert_eq!(appraisal.accepted(), allowed, "{appraisal}");
        assert_eq!(tcb.advisories.iter().any(|id| **id == *"INTEL-SA-QE"), qe_svn == 7);
    }
}

//= EV-DCAP-9: components 0 and 1 are the module identity's
#[test]
fn the_tdx_module_is_judged_by_its_own_identity() {
    let vendor = Vendor::new();
    for (svn, expected) in [
        ([5, 1, 5], Ok("UpToDate")),
        ([4, 1, 5], Ok("OutOfDate")),
        ([1, 1, 5], Err(Reason::TcbNotRecognised)),
        ([9, 2, 5], Err(Reason::TcbNotRecognised)),
        ([5, 1, 4], Ok("OutOfDate")),
        ([5, 1, 2], Err(Reason::TcbNotRecognised)),
        ([3, 0, 5], Ok("UpToDate")),
        ([2, 0, 5], Err(Reason::TcbNotRecognised)),
    ] {
        let mut body = domain_body();
        body[..3].copy_from_slice(&svn);
        let quote = vendor.quote(&body[..584], &Shape { version: 4, ..Shape::default() });

        let appraisal = Bench::tdx().appraise(&vendor, &quote);

        assert!(appraisal.authentic());
        match expected {
            Ok(status) => assert_eq!(appraisal.tcb().map(|tcb| tcb.status), Some(status)),
            Err(reason) => assert_eq!(appraisal.reason(), Some(reason), "{svn:?}\n{appraisal}"),
        }
    }
}

//= EV-DCAP-10: relaunch advised
#[test]
fn a_domain_that_was_launched_before_the_update_is_told_to_relaunch() {
    let vendor = Vendor::new();
    let mut body = domain_body();
    body[..3].copy_from_slice(&[4, 1, 4]);
    let quote = vendor.quote(&body, &Shape { version: 5, ..Shape::default() });
    let mut bench = Bench::tdx();

    let strict = bench.appraise(&vendor, &quote);
    bench.policy.dcap.tcb_statuses.push(TcbStatus::TdRelaunchAdvised);
    let allowed = bench.appraise(&vendor, &quote);

    assert_eq!(strict.tcb().map(|tcb| tcb.status), Some("TDRelaunchAdvised"));
    assert_eq!(strict.reason(), Some(Reason::TcbStatusNotAllowed));
    assert!(strict.refusal().expect("refused").1.remedy.contains("anew"), "{strict}");
    assert_eq!(allowed.reason(), None, "{allowed}");
}

//= EV-DCAP-12: SEAM attributes and signer
#[test]
fn a_module_of_another_signer_or_with_attributes_is_refused() {
    let vendor = Vendor::new();
    for at in [64, 111, 112, 119] {
        let mut body = domain_body();
        body[at] = 1;
        let quote = vendor.quote(&body, &Shape { version: 5, ..Shape::default() });

        let appraisal = Bench::tdx().appraise(&vendor, &quote);

        assert_eq!(appraisal.reason(), Some(Reason::TcbNotRecognised), "{appraisal}");
    }
}

//= EV-SGX-1, EV-COM-10: DEBUG, INIT, PROVISIONKEY, EINITTOKENKEY
#[test]
fn unsafe_enclaves_are_refused_unless_the_policy_allows_them() {
    let vendor = Vendor::new();
    type Allow = fn(&mut Policy);
    let cases: [(u8, Reason, Option<Allow>); 4] = [
        (0x07, Reason::Debug, Some(|policy| policy.debug_allowed = true)),
        (0x04, Reason::ConfigurationNotAllowed, None),
        (0x15, Reason::ConfigurationNotAllowed, Some(|p| p.sgx.provision_key_allowed = true)),
        (0x25, Reason::ConfigurationNotAllowed, Some(|p| p.sgx.einittoken_key_allowed = true)),
    ];
    for (flags, reason, allow) in cases {
        let mut body = enclave_body();
        body[48] = flags;
        let quote = vendor.quote(&body, &Shape::default());
        let mut bench = Bench::sgx();

        assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(reason), "{flags:#x}");

        if let Some(allow) = allow {
            allow(&mut bench.policy);
            assert_eq!(bench.appraise(&vendor, &quote).reason(), None, "{flags:#x}");
        }
    }
}

//= EV-TDX-2, EV-COM-10: TUD, SEPT_VE_DISABLE, MIGRATABLE, MRSERVICETD, reserved bits
#[test]
fn unsafe_domains_are_refused_unless_the_policy_allows_them() {
    let vendor = Vendor::new();
    type Allow = fn(&mut Policy);
    let service = |policy: &mut Policy| policy.tdx.service_tds.push(Hex([0x5d; 48]));
    let cases: [(usize, u8, Reason, Option<Allow>); 8] = [
        (120, 0x01, Reason::Debug, Some(|policy| policy.debug_allowed = true)),
        (120, 0x10, Reason::ConfigurationNotAllowed, None),
        (121, 0x01, Reason::ConfigurationNotAllowed, None),
        (
            123,
            0x00,
            Reason::ConfigurationNotAllowed,
            Some(|p| p.tdx.sept_ve_disable_required = false),
        ),
        (123, 0x30, Reason::ConfigurationNotAllowed, None),
        (128, 0xe6, Reason::ConfigurationNotAllowed, None),
        (135, 0x01, Reason::ConfigurationNotAllowed, Some(|p| p.tdx.xfam_allowed = u64::MAX)),
        (647, 0x01, Reason::ConfigurationNotAllowed, None),
    ];
    for (at, value, reason, allow) in cases {
        let mut body = domain_body();
        body[at] = value;
        let quote = vendor.quote(&body, &Shape { version: 5, ..Shape::default() });
        let mut bench = Bench::tdx();

        let appraisal = bench.appraise(&vendor, &quote);
        assert_eq!(appraisal.reason(), Some(reason), "{at} {value:#x}\n{appraisal}");

        if let Some(allow) = allow {
            allow(&mut bench.policy);
            assert_eq!(bench.appraise(&vendor, &quote).reason(), None, "{at} {value:#x}");
        }
    }

    let mut body = domain_body();
    body[123] = 0x30;
    body[600..].fill(0x5d);
    let quote = vendor.quote(&body, &Shape { version: 5, ..Shape::default() });
    let mut bench = Bench::tdx();
    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::ConfigurationNotAllowed));
    service(&mut bench.policy);
    assert_eq!(bench.appraise(&vendor, &quote).reason(), None);
}

//= EV-COM-2, EV-COM-3, EV-COM-10: in order, each with its reason
#[test]
fn every_failure_of_an_authentic_quote_is_reported_at_once() {
    let vendor = Vendor::new();
    let mut body = enclave_body();
    body[48] = 0x07;
    let quote = vendor.quote(&body, &Shape { qe_svn: 7, ..Shape::default() });
    let bench = Bench { references: "", ..Bench::sgx() };

    let appraisal = bench.appraise(&vendor, &quote);

    let reasons = appraisal.checks().failures();
    let reasons = reasons.iter().map(|(_, failure)| failure.reason).collect::<Vec<_>>();
    assert_eq!(reasons, [Reason::TcbStatusNotAllowed, Reason::Debug, Reason::MeasurementMismatch]);
    assert!(appraisal.claims().is_some_and(|claims| claims.debug == Some(true)));
}

//= EV-SGX-1: MRENCLAVE, or MRSIGNER + ISVPRODID + minimum ISVSVN
#[test]
fn reference_values_name_an_enclave_or_its_signer() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let (enclave, signer) = ("e1".repeat(32), "51".repeat(32));
    let toml = |rest: &str| format!("[[sgx]]\nname = 'x'\n{rest}");
    for (reference, fits) in [
        (format!("mrenclave = '{enclave}'"), true),
        (format!("mrenclave = '{signer}'"), false),
        (format!("mrenclave = '{enclave}'\nisvsvn_min = 5"), false),
        (format!("mrsigner = '{signer}'\nisvprodid = 9\nisvsvn_min = 4"), true),
        (format!("mrsigner = '{signer}'\nisvprodid = 9\nisvsvn_min = 5"), false),
        (format!("mrsigner = '{signer}'\nisvprodid = 8\nisvsvn_min = 4"), false),
        (format!("mrenclave = '{enclave}'\nconfig_id = '{}'", "00".repeat(64)), true),
        (format!("mrenclave = '{enclave}'\nconfig_id = '{}'", "01".repeat(64)), false),
    ] {
        let text = toml(&reference);
        let bench = Bench { references: &text, ..Bench::sgx() };

        let appraisal = bench.appraise(&vendor, &quote);

        let reason = (!fits).then_some(Reason::MeasurementMismatch);
        assert_eq!(appraisal.reason(), reason, "{reference}\n{appraisal}");
    }
    for reference in [
        String::new(),
        format!("mrsigner = '{signer}'\nisvprodid = 9"),
        format!("mrsigner = '{signer}'\nisvsvn_min = 1"),
        format!("mrenclave = '{enclave}'\nmrsigner = '{signer}'"),
    ] {
        assert!(ReferenceValues::from_toml(&toml(&reference)).is_err(), "{reference}");
    }
}

//= EV-TDX-1: MRTD and RTMRs
#[test]
fn a_refusal_shows_the_closest_reference_value() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&domain_body(), &Shape { version: 5, ..Shape::default() });
    let hex = |octet: &str| octet.repeat(48);
    let references = format!(
        "[[tdx]]\nname = 'other firmware'\nmrtd = '{}'\nrtmr1 = '{}'\n\
         [[tdx]]\nname = 'old kernel'\nmrtd = '{}'\nrtmr1 = '{}'\n",
        hex("00"),
        hex("00"),
        hex("7d"),
        hex("00"),
    );
    let bench = Bench { references: &references, ..Bench::tdx() };

    let appraisal = bench.appraise(&vendor, &quote);

    let (check, failure) = appraisal.refusal().expect("refused");
    assert_eq!((check.name, failure.reason), ("rtmr1", Reason::MeasurementMismatch));
    assert!(failure.remedy.contains("`old kernel`"));
}

//= EV-DCAP-11, EV-COM-9: evaluation number and advisories are policy
#[test]
fn stale_or_refused_endorsements_are_the_policys_business() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let mut bench = Bench::sgx();
    bench.policy.dcap.evaluation_min = 21;
    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::StaleEndorsement));

    let mut bench = Bench::sgx();
    bench.world.tcb_info["tcbLevels"][1]["advisoryIDs"] = json!(["INTEL-SA-1"]);
    assert_eq!(bench.appraise(&vendor, &quote).reason(), None);
    bench.policy.dcap.advisories_refused.push("INTEL-SA-1".into());
    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::TcbStatusNotAllowed));

    let mut bench = Bench::sgx();
    bench.policy.dcap.collateral_required = false;
    let none =
        Endorsements::prepare(Kind::Sgx, &verifier::Collateral::default(), &vendor.anchors());
    let appraisal = bench.appraise_with(&vendor, &quote, &none, UserData::Unchecked);
    assert_eq!((appraisal.reason(), appraisal.tcb()), (None, None));
}

//= EV-DCAP-7: id, version, FMSPC, PCE id, dates
#[test]
fn tables_of_another_version_tee_or_platform_are_refused() {
    let vendor = Vendor::new();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    for (member, value, reason) in [
        ("version", json!(2), Reason::Unsupported),
        ("id", json!("TDX"), Reason::Unsupported),
        ("tcbType", json!(1), Reason::Unsupported),
        ("fmspc", json!("00606A000001"), Reason::MissingEndorsement),
        ("pceId", json!("0001"), Reason::MissingEndorsement),
        ("issueDate", json!("2026-12-01T00:00:00Z"), Reason::NotYetValid),
        ("nextUpdate", json!("2026-02-01T00:00:00Z"), Reason::Expired),
        ("tcbLevels", json!([]), Reason::TcbNotRecognised),
    ] {
        let mut bench = Bench::sgx();
        bench.world.tcb_info[member] = value;

        let appraisal = bench.appraise(&vendor, &quote);

        assert_eq!(appraisal.reason(), Some(reason), "{member}\n{appraisal}");
    }
    let mut bench = Bench::sgx();
    bench.world.qe_identity["version"] = json!(3);
    assert_eq!(bench.appraise(&vendor, &quote).reason(), Some(Reason::Unsupported));
    let mut bench = Bench::tdx();
    bench.world.qe_identity["version"] = json!(3);
    let quote = vendor.quote(&domain_body(), &Shape { version: 5, ..Shape::default() });
    assert_eq!(bench.appraise(&vendor, &quote).reason(), None);
}

#[test]
fn evidence_of_the_other_kind_is_unsupported() {
    let vendor = Vendor::new();
    let enclave = vendor.quote(&enclave_body(), &Shape { version: 4, ..Shape::default() });
    let domain = vendor.quote(&domain_body(), &Shape { version: 5, ..Shape::default() });

    assert_eq!(Bench::tdx().appraise(&vendor, &enclave).reason(), Some(Reason::Unsupported));
    assert_eq!(Bench::sgx().appraise(&vendor, &domain).reason(), Some(Reason::Unsupported));
}

//= EV-TDX-3: the digest of a runtime event
#[test]
fn a_runtime_event_counts_only_with_its_own_digest() {
    let vendor = Vendor::new();
    let kind = 0x0800_0001_u32;
    let digest = crate::vendor::sha384(&[&kind.to_le_bytes(), b":", b"app", b":", &[1, 2]]);
    let mut body = domain_body();
    body[328..520].fill(0);
    body[472..520].copy_from_slice(&crate::vendor::sha384(&[&[0; 48], &digest]));
    let quote = vendor.quote(&body, &Shape { version: 5, ..Shape::default() });
    let log = |payload: &str| {
        let digest = hex::encode(&digest);
        json!([{ "imr": 3, "event_type": kind, "digest": digest, "event": "app",
                 "event_payload": payload }])
        .to_string()
    };
    let bench = Bench { references: "", ..Bench::tdx() };
    let outcome = |log: Option<&str>, required| {
        let mut policy = bench.policy.clone();
        policy.reference_required = false;
        policy.tdx.event_log_required = required;
        let collateral = vendor.collateral(&bench.world);
        let anchors = vendor.anchors();
        let endorsements = Endorsements::prepare(Kind::Tdx, &collateral, &anchors);
        let request = Request {
            kind: Kind::Tdx,
            evidence: &quote,
            event_log: log.map(|log| EventLog::Dstack(log.as_bytes())),
            user_data: UserData::Unchecked,
            anchors: &anchors,
            reference: &ReferenceValues::default(),
            policy: &policy,
            now: NOW,
        };
        appraise(&request, &endorsements).reason()
    };

    assert_eq!(outcome(Some(&log("0102")), true), None);
    assert_eq!(outcome(Some(&log("0103")), false), Some(Reason::MeasurementMismatch));
    assert_eq!(outcome(Some("[]"), false), Some(Reason::MeasurementMismatch));
    assert_eq!(outcome(Some("{}"), false), Some(Reason::Malformed));
    assert_eq!(outcome(None, false), None);
    assert_eq!(outcome(None, true), Some(Reason::MissingEndorsement));
}

//= EV-COM-5: the full field
#[test]
fn the_user_data_must_be_the_expected_one() {
    let vendor = Vendor::new();
    let bench = Bench::sgx();
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let endorsements = bench.endorsements(&vendor);
    let outcome = |user_data: &[u8; 64]| {
        let expected = UserData::Exactly(user_data);
        let appraisal = bench.appraise_with(&vendor, &quote, &endorsements, expected);
        (appraisal.bound(), appraisal.reason())
    };

    assert_eq!(outcome(&[0xda; 64]), (true, None));
    assert_eq!(outcome(&[0xdb; 64]), (false, Some(Reason::BindingMismatch)));
}

/// A Verifier with a policy for emulated hardware and one world of the vendor.
struct Bench<'a> {
    kind: Kind,
    world: World,
    policy: Policy,
    references: &'a str,
    anchors: Option<Anchors>,
}

impl Bench<'_> {
    fn sgx() -> Self {
        Self::new(Kind::Sgx, World::sgx(), SGX_REFERENCE)
    }

    fn tdx() -> Self {
        Self::new(Kind::Tdx, World::tdx(), TDX_REFERENCE)
    }

    fn new(kind: Kind, world: World, references: &'static str) -> Self {
        let policy = Policy { emulated_allowed: true, ..Policy::default() };
        Self { kind, world, policy, references, anchors: None }
    }

    fn endorsements(&self, vendor: &Vendor) -> Endorsements {
        let anchors = self.anchors.clone().unwrap_or_else(|| vendor.anchors());
        Endorsements::prepare(self.kind, &vendor.collateral(&self.world), &anchors)
    }

    fn appraise(&self, vendor: &Vendor, quote: &[u8]) -> Appraisal {
        self.appraise_with(vendor, quote, &self.endorsements(vendor), UserData::Unchecked)
    }

    fn appraise_with(
        &self,
        vendor: &Vendor,
        quote: &[u8],
        endorsements: &Endorsements,
        user_data: UserData<'_>,
    ) -> Appraisal {
        let request = Request {
            kind: self.kind,
            evidence: quote,
            event_log: None,
            user_data,
            anchors: &self.anchors.clone().unwrap_or_else(|| vendor.anchors()),
            reference: &ReferenceValues::from_toml(self.references).expect("reference values"),
            policy: &self.policy,
            now: NOW,
        };
        appraise(&request, endorsements)
    }
}

const SGX_REFERENCE: &str = "[[sgx]]\nname = 'the enclave'\n\
    mrenclave = 'e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1'";
const TDX_REFERENCE: &str = "[[tdx]]\nname = 'the domain'\nmrtd = \
    '7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d\
    7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d7d'";
