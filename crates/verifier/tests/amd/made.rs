//! SEV-SNP under a vendor of our own, in the shapes that no recorded report has.

use std::sync::OnceLock;

use crate::vendor::{CSP, Digest, NOW, Vek, Vendor, chip_id, keys, table, wrapped};
use verifier::evidence::snp::product::Product;
use verifier::evidence::snp::{self, GuestPolicyBit, MinimumTcb, PlatformBit, Reference, Spelling};
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
};

//= EV-SNP-1, EV-SNP-2, EV-SNP-5, EV-SNP-6: VCEK and VLEK of every product and version
#[test]
fn every_product_version_and_key_is_accepted() {
    for product in Product::ALL {
        for (version, vlek) in [(2, false), (3, false), (5, false), (2, true), (5, true)] {
            let bench = Bench::new(product);
            let bench = if vlek { bench.with_vlek() } else { bench };

            let appraisal = bench.appraise(&Vendor::sign(&bench.vendor.body(version, vlek)));

            assert_eq!(appraisal.reason(), None, "{product} {version}\n{appraisal}");
            assert_eq!(appraisal.emulated(), Some(true));
            let claims = appraisal.claims().expect("authentic");
            assert_eq!(claims.generation, Some(product.as_str()));
            let id = claims.instance_id.as_ref().map(|id| id.as_slice().to_vec());
            assert_eq!(id, (!vlek).then(|| chip_id(product).to_vec()));
            assert_eq!(appraisal.tcb().map(|tcb| tcb.status), Some("MeetsMinimum"));
        }
    }
}

#[test]
fn emulated_evidence_is_refused_unless_listed_and_allowed() {
    let mut bench = Bench::milan();
    let report = bench.report();
    bench.policy.emulated_allowed = false;
    assert_eq!(bench.appraise(&report).reason(), Some(Reason::EmulatedNotAllowed));

    let unlisted = Bench { anchors: Anchors::vendors(), ..Bench::milan() };
    let appraisal = unlisted.appraise(&report);
    assert_eq!(appraisal.reason(), Some(Reason::UntrustedRoot), "{appraisal}");
    assert_eq!(appraisal.emulated(), None);
}

//= EV-SNP-1: unsigned reports, other algorithms and versions
#[test]
fn what_is_not_appraised_is_unsupported() {
    let bench = Bench::milan();
    for (at, octet) in [(0x000, 4), (0x000, 6), (0x034, 2), (0x048, 7 << 2), (0x048, 2 << 2)] {
        let mut body = bench.vendor.body(5, false);
        body[at] = octet;

        let appraisal = bench.appraise(&Vendor::sign(&body));

        assert_eq!(appraisal.reason(), Some(Reason::Unsupported), "{at:#x}\n{appraisal}");
    }
}

//= EV-SNP-1, EV-COM-12: R and S out of range
#[test]
fn numbers_that_are_no_signature_are_refused() {
    let bench = Bench::milan();
    let (whole, endorsements) = (bench.report(), bench.endorsements());
    let reason = |report: &[u8]| bench.appraise_with(report, NOW, &endorsements).reason();
    for (from, value) in [(0x2a0, 0), (0x2e8, 0), (0x2a0, 0xff), (0x2e8, 0xff)] {
        let mut report = whole.clone();
        report[from..from + 48].fill(value);
        assert_eq!(reason(&report), Some(Reason::BadSignature));
    }
    for at in (0x2d0..0x2e8).chain(0x318..1184) {
        let mut report = whole.clone();
        report[at] = 1;
        assert_eq!(reason(&report), Some(Reason::Malformed), "{at:#x}");
    }
}

//= EV-SNP-2: PSS with SHA-384, each authority under the root of its own product
#[test]
fn a_chain_that_is_not_the_vendors_is_refused() {
    let vendor = Vendor(Product::Milan);
    let weak = Vek { digest: Digest::Sha256, ..vendor.vek(false) };
    let foreign = vendor.authority("SEV-", keys().ask_key(), 2, Product::Genoa, ["2020", "2045"]);
    let collateral = |files: &[(&str, Vec<u8>)]| {
        let bench = Bench::milan();
        let names = files.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let rest = bench.collateral.files().filter(|(name, _)| !names.contains(name));
        let mut collateral = Collateral::from_files(rest);
        files.iter().for_each(|(name, bytes)| collateral.insert(*name, bytes.clone()));
        Bench { collateral, ..bench }
    };

    for bench in [
        collateral(&[("vek.der", vendor.certify(&weak))]),
        collateral(&[("ask.der", foreign)]),
        collateral(&[("ask.der", Vendor(Product::Genoa).ask())]),
        collateral(&[("ask.der", vendor.asvk())]),
    ] {
        let appraisal = bench.appraise(&bench.report());

        assert_eq!(appraisal.reason(), Some(Reason::BadSignature), "{appraisal}");
        assert!(!appraisal.authentic());
    }
}

//= EV-SNP-4: revoked ASK, ASVK and VLEK
#[test]
fn revoked_certificates_are_refused() {
    for (vlek, serial, revoked) in [
        (false, 2, true),
        (false, 3, false),
        (true, 3, true),
        (true, 7, true),
        (true, 2, false),
        (true, 8, false),
    ] {
        let mut bench = Bench::milan();
        if vlek {
            bench = bench.with_vlek();
        }
        bench.collateral.insert("crl", bench.vendor.list(&[1_000_000, serial]));

        let appraisal = bench.appraise(&Vendor::sign(&bench.vendor.body(3, vlek)));

        let reason = revoked.then_some(Reason::Revoked);
        assert_eq!(appraisal.reason(), reason, "{vlek} {serial}\n{appraisal}");
        assert_eq!(appraisal.authentic(), !revoked);
    }
}

//= EV-SNP-4: from the first to the last second, not outside
#[test]
fn evidence_is_refused_one_second_outside_the_validity_of_its_endorsements() {
    let bench = Bench::milan();
    let report = bench.report();
    let reason = |bench: &Bench, at| bench.appraise_at(&report, Timestamp(at)).reason();
    let (list_from, list_until) = (1_704_067_200, 1_767_225_600);
    assert_eq!(reason(&bench, list_from), None);
    assert_eq!(reason(&bench, list_until), None);
    assert_eq!(reason(&bench, list_from - 1), Some(Reason::NotYetValid));
    assert_eq!(reason(&bench, list_until + 1), Some(Reason::Expired));

    let mut bench = bench;
    bench.policy.snp.revocation_list_required = false;
    let rest = bench.collateral.files().filter(|(name, _)| *name != "crl");
    bench.collateral = Collateral::from_files(rest);
    let (vek_from, vek_until) = (1_672_531_200, 1_893_456_000);
    assert_eq!(reason(&bench, vek_from), None);
    assert_eq!(reason(&bench, vek_until), None);
    assert_eq!(reason(&bench, vek_from - 1), Some(Reason::NotYetValid));
    assert_eq!(reason(&bench, vek_until + 1), Some(Reason::Expired));
    let old = bench.vendor;
    let old = old.authority("SEV-", keys().ask_key(), 2, Product::Milan, ["2020", "2024"]);
    bench.collateral.insert("ask.der", old);
    assert_eq!(reason(&bench, NOW.0), Some(Reason::Expired));
}

//= EV-SNP-3, EV-SNP-5, EV-SNP-6: extensions in the widths that AMD has issued, and no other
#[test]
fn certificates_of_keys_are_read_strictly() {
    for product in Product::ALL {
        let vendor = Vendor(product);
        let ordinary = || vendor.vek(false);
        let hwid = ordinary().hwid;
        let high = |spl: &[u8]| Some([&[2, spl.len() as u8], spl].concat());
        let usage = crate::vendor::der::extension(
            &[0x55, 0x1d, 0x13],
            true,
            &[0x30, 0x03, 0x01, 0x01, 0xff],
        );
        let reasons = [
            (Vek { hwid: wrapped(&hwid), ..ordinary() }, None),
            (Vek { product: format!("{product}-B0"), ..ordinary() }, None),
            (Vek { serial: 9, ..ordinary() }, None),
            (Vek { hwid: hwid[1..].to_vec(), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { hwid: wrapped(&hwid[1..]), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { hwid: Vec::new(), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { product: "Naples".into(), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { snp: high(&[0x98]), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { snp: high(&[1, 0x18]), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { snp: Some(vec![0x04, 1, 4]), ..ordinary() }, Some(Reason::Malformed)),
            (Vek { snp: high(&[0, 0x98]), ..ordinary() }, Some(Reason::MissingEndorsement)),
            (Vek { more: usage, ..ordinary() }, Some(Reason::Malformed)),
        ];
        for (index, (vek, reason)) in reasons.into_iter().enumerate() {
            let mut bench = Bench::new(product);
            bench.collateral.insert("vek.der", vendor.certify(&vek));

            let appraisal = bench.appraise(&bench.report());

            assert_eq!(appraisal.reason(), reason, "{product} {index}\n{appraisal}");
        }
    }
}

//= EV-SNP-5: SPLs above 127 take two content octets
#[test]
fn high_versions_are_read() {
    let mut bench = Bench::milan();
    let tcb = [0x80, 0xff, 0, 0, 0, 0, 0x98, 0xdb];
    let vek = Vek { tcb, ..bench.vendor.vek(false) };
    bench.collateral.insert("vek.der", bench.vendor.certify(&vek));
    let mut body = bench.vendor.body(3, false);
    for at in [0x038, 0x180, 0x1e0, 0x1f0] {
        body[at..at + 8].copy_from_slice(&tcb);
    }

    assert_eq!(bench.appraise(&Vendor::sign(&body)).reason(), None);
}

//= EV-SNP-5, EV-SNP-6: component by component, and the whole chip id
#[test]
fn a_report_of_another_chip_or_tcb_needs_another_certificate() {
    for product in Product::ALL {
        let bench = Bench::new(product);
        let used = if product == Product::Turin { [0, 1, 2, 3, 7] } else { [0, 1, 6, 7, 7] };
        let places = used.map(|part| 0x180 + part).into_iter().chain([0x1a0, 0x1a7, 0x1a8, 0x1df]);
        for at in places {
            let mut body = bench.vendor.body(3, false);
            body[at] ^= 1;

            let appraisal = bench.appraise(&Vendor::sign(&body));

            let reason = Some(Reason::MissingEndorsement);
            assert_eq!(appraisal.reason(), reason, "{product} {at:#x}\n{appraisal}");
        }
    }
}

//= EV-SNP-5: the processor must be of the product that endorses it
#[test]
fn a_processor_of_another_product_is_refused() {
    let bench = Bench::milan();
    for cpuid in [[0x19, 0x11], [0x1a, 0x02], [0x17, 0x31], [0, 0]] {
        let mut body = bench.vendor.body(3, false);
        body[0x188..0x18a].copy_from_slice(&cpuid);

        let appraisal = bench.appraise(&Vendor::sign(&body));

        assert_eq!(appraisal.reason(), Some(Reason::Unsupported), "{appraisal}");
        assert_eq!(appraisal.refusal().map(|(check, _)| check.name), Some("snp.product"));
    }
}

//= EV-SNP-7: DEBUG, MIGRATE_MA, ABI, SMT, single socket, VMPL, platform info
#[test]
fn what_the_policy_does_not_allow_is_refused_by_name() {
    type Edit = fn(&mut [u8], &mut snp::Policy);
    let edits: [(&str, Edit); 13] = [
        ("instance.debug", |body, _| body[0x00a] |= 8),
        ("snp.policy.reserved", |body, _| body[0x00a] &= !2),
        ("snp.policy.migration-agent", |body, _| body[0x00a] |= 4),
        ("snp.policy.abi", |_, policy| policy.abi_min = [1, 56]),
        ("snp.policy.cxl", |body, _| body[0x00a] |= 0x20),
        ("snp.policy.smt", |_, policy| policy.guest_policy_refused = vec![GuestPolicyBit::Smt]),
        ("snp.policy.single-socket", |_, policy| {
            policy.guest_policy_required = vec![GuestPolicyBit::SingleSocket];
        }),
        ("snp.vmpl", |body, _| body[0x030] = 1),
        ("snp.vmpl", |_, policy| policy.vmpls = vec![1, 2]),
        ("snp.vmpl", |body, policy| {
            body[0x030..0x034].fill(0xff);
            policy.vmpls = (0..=255).collect();
        }),
        ("snp.platform.alias-check-complete", |body, _| body[0x040] &= !0x20),
        ("snp.platform.smt", |_, policy| policy.platform_refused = vec![PlatformBit::Smt]),
        ("snp.platform.ciphertext-hiding", |_, policy| {
            policy.platform_required = vec![PlatformBit::CiphertextHiding];
        }),
    ];
    for (name, edit) in edits {
        let mut bench = Bench::milan();
        let mut body = bench.vendor.body(5, false);
        edit(&mut body, &mut bench.policy.snp);

        let appraisal = bench.appraise(&Vendor::sign(&body));

        let (check, failure) = appraisal.refusal().expect("refused");
        assert_eq!(check.name, name, "{appraisal}");
        let debug = name == "instance.debug";
        let reason = if debug { Reason::Debug } else { Reason::ConfigurationNotAllowed };
        assert_eq!(failure.reason, reason);
        assert!(appraisal.authentic() && !failure.remedy.is_empty());
    }
}

//= EV-SNP-7: a trusted migration agent may move the guest
#[test]
fn a_listed_migration_agent_is_accepted() {
    let mut bench = Bench::milan();
    let mut body = bench.vendor.body(5, false);
    body[0x00a] |= 4;
    body[0x160..0x180].fill(0x4d);
    bench.policy.snp.migration_agents = vec![Hex([0x4d; 32])];

    assert!(bench.appraise(&Vendor::sign(&body)).accepted());
}

//= EV-SNP-7: minimum for reported, committed and launch TCB, firmware and mitigations
//= EV-SNP-8: committed below the minimum can be rolled back
#[test]
fn every_version_of_the_platform_has_its_minimum() {
    type Edit = fn(&mut [u8], &mut snp::Policy);
    let edits: [(&str, Edit); 9] = [
        ("snp.tcb.reported", |_, policy| policy.tcb_min[0].snp = 25),
        ("snp.tcb.reported", |_, policy| {
            let rule = MinimumTcb { microcode: 220, ..policy.tcb_min[0] };
            policy.tcb_min.push(MinimumTcb { model: Some(1), ..rule });
        }),
        ("snp.tcb.committed", |body, policy| {
            policy.tcb_min[0].bootloader = 4;
            body[0x1e0] = 3;
        }),
        ("snp.tcb.launch", |body, _| body[0x1f6] = 23),
        ("snp.tcb.order", |body, _| body[0x03f] = 218),
        ("snp.tcb.minimum", |_, policy| policy.tcb_min.clear()),
        ("snp.firmware.committed", |_, policy| policy.firmware_min = [1, 55, 30]),
        ("snp.mitigations", |_, policy| policy.mitigations_required = 0x4),
        ("snp.mitigations", |body, policy| {
            body[0] = 3;
            policy.mitigations_required = 0x1;
        }),
    ];
    for (name, edit) in edits {
        let mut bench = Bench::milan();
        let mut body = bench.vendor.body(5, false);
        edit(&mut body, &mut bench.policy.snp);

        let appraisal = bench.appraise(&Vendor::sign(&body));

        let failed = appraisal.checks().failures();
        let failed = failed.iter().map(|(check, _)| check.name).collect::<Vec<_>>();
        assert!(failed.contains(&name), "{name}\n{appraisal}");
        let class = [Reason::TcbStatusNotAllowed, Reason::TcbNotRecognised];
        assert!(class.contains(&appraisal.reason().expect("refused")));
        assert!(appraisal.authentic());
    }
}

#[test]
fn a_minimum_counts_for_its_processor_only() {
    let mut bench = Bench::milan();
    let low = bench.policy.snp.tcb_min[0];
    let high = MinimumTcb { microcode: 255, ..low };
    bench.policy.snp.tcb_min = vec![
        low,
        MinimumTcb { model: Some(8), ..high },
        MinimumTcb { stepping: Some(2), ..high },
        MinimumTcb { product: Product::Genoa, ..high },
        MinimumTcb { fmc: 255, ..low },
    ];

    assert!(bench.appraise(&bench.report()).accepted());
    // A report of version 2 names no processor, so that every rule of its product counts.
    let old = bench.appraise(&Vendor::sign(&bench.vendor.body(2, false)));
    assert_eq!(old.reason(), Some(Reason::TcbStatusNotAllowed), "{old}");
    assert_eq!(old.tcb().map(|tcb| tcb.status), Some("BelowMinimum"));
}

//= EV-SNP-8: reported below current and committed is legitimate
#[test]
fn a_rollback_window_is_accepted() {
    let bench = Bench::milan();
    let mut body = bench.vendor.body(5, false);
    body[0x03f] = 221;
    body[0x1e7] = 220;

    assert!(bench.appraise(&Vendor::sign(&body)).accepted());
}

//= EV-SNP-6: the CSP id against policy
#[test]
fn a_cloud_providers_key_counts_only_when_the_provider_is_listed() {
    let mut bench = Bench::milan().with_vlek();
    let report = Vendor::sign(&bench.vendor.body(3, true));
    assert!(bench.appraise(&report).accepted());

    bench.policy.snp.csp_ids = vec!["CN=another-cloud".into()];

    let appraisal = bench.appraise(&report);
    assert_eq!(appraisal.refusal().map(|(check, _)| check.name), Some("snp.csp"));
    // The VCEK of the chip does not sign what says that a VLEK did.
    let appraisal = Bench::milan().appraise(&report);
    assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement));
}

//= EV-SNP-9: digests of id and author key as reference values pin them
#[test]
fn a_guest_is_known_by_its_measurement_or_by_who_signed_its_image() {
    let spelt = |edit: fn(&mut Spelling)| {
        let mut spelt = Spelling {
            name: "image".into(),
            id_key_digest: Some(Hex([0x1d; 48])),
            image_id: Some(Hex([0x1a; 16])),
            guest_svn_min: Some(3),
            ..Spelling::default()
        };
        edit(&mut spelt);
        Reference::try_from(spelt).expect("a reference value")
    };
    let outcome = |reference, author_key: bool| {
        let mut bench = Bench::milan();
        bench.reference.snp = vec![reference];
        let mut body = bench.vendor.body(3, false);
        body[0x048] = author_key.into();
        bench.appraise(&Vendor::sign(&body)).reason()
    };
    let author: fn(&mut Spelling) = |spelt| spelt.author_key_digest = Some(Hex([0xa0; 48]));

    assert_eq!(outcome(spelt(|_| ()), false), None);
    assert_eq!(outcome(spelt(author), true), None);
    assert_eq!(outcome(spelt(|spelt| spelt.family_id = Some(Hex([0xfa; 16]))), false), None);
    assert_eq!(outcome(spelt(|spelt| spelt.host_data = Some(Hex([0; 32]))), false), None);
    for other in [
        spelt(author),
        spelt(|spelt| spelt.guest_svn_min = Some(4)),
        spelt(|spelt| spelt.id_key_digest = Some(Hex([1; 48]))),
        spelt(|spelt| spelt.image_id = Some(Hex([1; 16]))),
        spelt(|spelt| spelt.family_id = Some(Hex([1; 16]))),
        spelt(|spelt| spelt.host_data = Some(Hex([1; 32]))),
        Reference::guest("another".into(), [1; 48]),
    ] {
        assert_eq!(outcome(other, false), Some(Reason::MeasurementMismatch));
    }
}

//= EV-SNP-2: certificates that the host supplied count as any others
//= EV-PERF-1: a table is verified once
#[test]
fn a_certificate_table_can_bring_the_endorsements() {
    let vendor = Vendor(Product::Genoa);
    let mut bench = Bench::new(Product::Genoa);
    bench.collateral = Collateral::from_files([("crl", vendor.list(&[]))]);
    let report = Vendor::sign(&vendor.body(5, false));
    let (ark, ask, vek) = (vendor.ark(), vendor.ask(), vendor.certify(&vendor.vek(false)));
    bench.policy.snp.revocation_list_required = false;
    let appraise = |certificates: &[&[u8]]| {
        bench.appraise(&[&report[..], &table(certificates)].concat()).reason()
    };

    assert_eq!(appraise(&[&vek, &ask, &ark]), None);
    assert_eq!(appraise(&[b"not a certificate", &vek, &ask, &ark]), None);
    assert_eq!(appraise(&[&ask, &ark]), Some(Reason::MissingEndorsement));
    assert_eq!(appraise(&[&vek, &ark]), Some(Reason::BadSignature));
    assert_eq!(appraise(&[]), Some(Reason::MissingEndorsement));

    let evidence = [&report[..], &table(&[&vek, &ask, &ark])].concat();
    let endorsements = bench.endorsements();
    let [first, second] =
        [(); 2].map(|()| bench.appraise_with(&evidence, NOW, &endorsements).to_string());
    assert_eq!(first, second);
    for at in 1184..1184 + 96 {
        let mut changed = evidence.clone();
        changed[at] ^= 0x80;
        let appraisal = bench.appraise_with(&changed, NOW, &endorsements);
        let guid = (at - 1184) % 24 < 16;
        assert!(!appraisal.accepted() || guid, "octet {at}\n{appraisal}");
    }
}

#[test]
fn the_policy_is_written_in_toml() {
    let policy = Policy::from_toml(
        "[snp]\nvmpls = [0, 2]\nguest_policy_required = ['aes-256-xts', 'single-socket']\n\
         platform_required = ['alias-check-complete', 'ecc']\nfirmware_min = [1, 55, 29]\n\
         mitigations_required = 0xb\ncsp_ids = ['CN=cloud']\n\
         [[snp.tcb_min]]\nproduct = 'genoa'\nmodel = 0xa0\nsnp = 23\nmicrocode = 25\n",
    )
    .expect("a valid policy");

    assert_eq!(policy.snp.vmpls, [0, 2]);
    assert_eq!(policy.snp.tcb_min[0].model, Some(0xa0));
    assert!(policy.snp.revocation_list_required && policy.snp.tcb_min_required);
    assert!(Policy::from_toml("[snp]\ntcb = 1").is_err());
    assert!(Policy::from_toml("[[snp.tcb_min]]\nproduct = 'naples'").is_err());
    let references = ReferenceValues::from_toml("[[snp]]\nname = 'x'\nimage_id = '00'");
    assert!(references.is_err());
}

/// What the vendor publishes of one product; signing it takes time, so it is made once.
fn ordinary(vendor: Vendor) -> Collateral {
    static MADE: [OnceLock<Collateral>; 3] = [const { OnceLock::new() }; 3];
    let make = || {
        Collateral::from_files([
            ("ark.der", vendor.ark()),
            ("ask.der", vendor.ask()),
            ("asvk.der", vendor.asvk()),
            ("vek.der", vendor.certify(&vendor.vek(false))),
            ("crl", vendor.list(&[])),
        ])
    };
    MADE[vendor.0 as usize].get_or_init(make).clone()
}

/// One vendor with everything that an appraisal needs.
#[derive(Clone)]
pub(crate) struct Bench {
    vendor: Vendor,
    anchors: Anchors,
    collateral: Collateral,
    pub(crate) policy: Policy,
    pub(crate) reference: ReferenceValues,
}

impl Bench {
    pub(crate) fn milan() -> Self {
        Self::new(Product::Milan)
    }

    fn new(product: Product) -> Self {
        let vendor = Vendor(product);
        let minimum = MinimumTcb { snp: 4, ..MinimumTcb::none(product) };
        let minimum =
            if product == Product::Milan { MinimumTcb { snp: 24, ..minimum } } else { minimum };
        let snp = snp::Policy { tcb_min: vec![minimum], ..snp::Policy::default() };
        let snp = snp::Policy { csp_ids: vec![CSP.into()], ..snp };
        let guest = Reference::guest("the guest".into(), [0x3e; 48]);
        Self {
            vendor,
            anchors: Vendor::anchors(),
            collateral: ordinary(vendor),
            policy: Policy { emulated_allowed: true, snp, ..Policy::default() },
            reference: ReferenceValues { snp: vec![guest], ..ReferenceValues::default() },
        }
    }

    fn with_vlek(mut self) -> Self {
        self.collateral.insert("vek.der", self.vendor.certify(&self.vendor.vek(true)));
        self
    }

    /// An ordinary report.
    fn report(&self) -> Vec<u8> {
        Vendor::sign(&self.vendor.body(5, false))
    }

    pub(crate) fn endorsements(&self) -> Endorsements {
        Endorsements::prepare(Kind::SevSnp, &self.collateral, &self.anchors)
    }

    fn appraise(&self, evidence: &[u8]) -> Appraisal {
        self.appraise_at(evidence, NOW)
    }

    fn appraise_at(&self, evidence: &[u8], now: Timestamp) -> Appraisal {
        self.appraise_with(evidence, now, &self.endorsements())
    }

    pub(crate) fn appraise_with(
        &self,
        evidence: &[u8],
        now: Timestamp,
        endorsements: &Endorsements,
    ) -> Appraisal {
        let request = Request {
            kind: Kind::SevSnp,
            evidence,
            event_log: None,
            user_data: UserData::Exactly(&[0xda; 64]),
            anchors: &self.anchors,
            reference: &self.reference,
            policy: &self.policy,
            now,
        };
        appraise(&request, endorsements)
    }
}
