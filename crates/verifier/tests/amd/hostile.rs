//! Bytes that nobody made: whatever comes, an answer comes back.

use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::vendor::{NOW, Vendor, table};
use verifier::evidence::snp::container::Container;
use verifier::evidence::snp::endorsement::VerifiedEndorsements;
use verifier::evidence::snp::product::Product;
use verifier::evidence::snp::{self, MinimumTcb};
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request, UserData, appraise,
};

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..3000)) {
        let _ = Container::decode(&bytes);
        let _ = Container::decode(&[b"HCLA", &bytes[..]].concat());
        let _ = Container::decode(&[&shared().evidence[..1184], &bytes].concat());
        let files = [("a.der", &bytes[..]), ("b", &bytes)];
        let _ = VerifiedEndorsements::default().with(files, &shared().anchors);
    }

    //= EV-SNP-1: no report but the signed one
    #[test]
    fn a_report_with_any_octets_overwritten_is_refused(
        at in 0_usize..1184,
        octets in vec(any::<u8>(), 1..9),
    ) {
        let whole = &shared().evidence;
        let at = at.min(1184 - octets.len());
        let mut changed = whole.clone();
        changed[at..at + octets.len()].copy_from_slice(&octets);

        prop_assert_eq!(accepts(&changed), changed == *whole);
    }

    //= EV-SNP-2: no chain but the vendor's
    #[test]
    fn certificates_with_any_octet_changed_are_refused(
        at in 1184_usize + 96..6000,
        bit in 0_u32..8,
    ) {
        let whole = &shared().evidence;
        let mut changed = whole.clone();
        let at = at.min(whole.len() - 1);
        changed[at] ^= 1_u8 << bit;

        // Of the root only name and key count: it is pinned, not verified.
        let in_root = at >= whole.len() - shared().root_length;
        prop_assert!(!accepts(&changed) || in_root);
    }
}

struct Shared {
    evidence: Vec<u8>,
    root_length: usize,
    anchors: Anchors,
    policy: Policy,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let vendor = Vendor(Product::Turin);
        let (ark, ask, vek) = (vendor.ark(), vendor.ask(), vendor.certify(&vendor.vek(false)));
        let report = Vendor::sign(&vendor.body(5, false));
        let snp = snp::Policy {
            revocation_list_required: false,
            tcb_min: vec![MinimumTcb::none(Product::Turin)],
            ..snp::Policy::default()
        };
        Shared {
            evidence: [&report[..], &table(&[&vek, &ask, &ark])].concat(),
            root_length: ark.len(),
            anchors: Vendor::anchors(),
            policy: Policy {
                emulated_allowed: true,
                reference_required: false,
                snp,
                ..Policy::default()
            },
        }
    })
}

fn accepts(evidence: &[u8]) -> bool {
    static ENDORSEMENTS: OnceLock<Endorsements> = OnceLock::new();
    let shared = shared();
    let endorsements = ENDORSEMENTS.get_or_init(|| {
        Endorsements::prepare(Kind::SevSnp, &Collateral::default(), &shared.anchors)
    });
    let request = Request {
        kind: Kind::SevSnp,
        evidence,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors: &shared.anchors,
        reference: &ReferenceValues::default(),
        policy: &shared.policy,
        now: NOW,
    };
    appraise(&request, endorsements).accepted()
}
