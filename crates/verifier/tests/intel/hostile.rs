//! Bytes that nobody made: whatever comes, an answer comes back.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::vendor::{NOW, Shape, Vendor, World, domain_body};
use verifier::evidence::dcap::quote::Quote;
use verifier::evidence::dcap::tcb::{QeIdentity, TcbInfo};
use verifier::evidence::tdx::event_log;
use verifier::evidence::{EventLog, MAX_EVENT_LOG, MAX_EVIDENCE};
use verifier::x509::{Certificate, RevocationList, decode_pem};
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    TeepEvidence, UserData, appraise,
};

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..2000)) {
        let _ = Quote::decode(&bytes);
        let _ = Certificate::decode(&bytes);
        let _ = RevocationList::decode(&bytes);
        let _ = decode_pem(&bytes);
        let _ = TcbInfo::decode(&bytes);
        let _ = QeIdentity::decode(&bytes);
        let _ = Collateral::decode(&bytes);
        let _ = TeepEvidence::decode(&bytes);
        for log in [EventLog::Ccel(&bytes), EventLog::Dstack(&bytes)] {
            let _ = event_log::verify(log, &[&[0; 48]; 4]);
        }
    }

    //= EV-COM-4: no panic on hostile input, and nothing of it is accepted
    #[test]
    fn a_quote_with_any_octets_overwritten_is_refused(
        at in 0_usize..6000,
        octets in vec(any::<u8>(), 1..9),
    ) {
        let vendor = shared();
        let quote = &vendor.quote;
        let at = at % (quote.len() - octets.len());
        let mut changed = quote.clone();
        changed[at..at + octets.len()].copy_from_slice(&octets);

        let accepted = accepts(&changed, &vendor.endorsements, &vendor.anchors);

        prop_assert_eq!(accepted, changed == *quote);
    }

    //= EV-COM-4: no panic on hostile input
    #[test]
    fn a_certificate_with_any_octet_changed_is_not_the_authoritys(
        at in any::<usize>(),
        octet in any::<u8>(),
    ) {
        let vendor = shared();
        let chain = decode_pem(&vendor.chain).expect("a chain");
        let authority = Certificate::decode(&chain[1]).expect("a certificate");
        let mut changed = chain[0].clone();
        let at = at % changed.len();
        changed[at] = octet;

        let signed = Certificate::decode(&changed).is_ok_and(|it| it.is_signed_by(&authority));

        prop_assert_eq!(signed, changed == chain[0]);
    }
}

//= EV-COM-4: evidence above 64 KiB and event logs above 1 MiB are refused
#[test]
fn what_is_too_large_is_refused_unread() {
    let vendor = shared();
    let large = [&vendor.quote[..], &vec![0; MAX_EVIDENCE]].concat();
    assert!(!accepts(&large, &vendor.endorsements, &vendor.anchors));

    let log = vec![0; MAX_EVENT_LOG + 1];
    let refusal = event_log::verify(EventLog::Ccel(&log), &[&[0; 48]; 4]);
    assert!(matches!(refusal, Err(event_log::NotTheLog::Malformed(_))));
}

#[test]
fn evidence_of_a_kind_that_is_not_prepared_is_refused() {
    let vendor = shared();
    let other = Endorsements::prepare(Kind::Cca, &Collateral::default(), &vendor.anchors);

    let request = request(&vendor.quote, &vendor.anchors);

    assert_eq!(appraise(&request, &other).reason(), Some(Reason::MissingEndorsement));
}

struct Shared {
    quote: Vec<u8>,
    chain: Vec<u8>,
    anchors: Anchors,
    endorsements: Endorsements,
}

fn shared() -> &'static Shared {
    static SHARED: std::sync::OnceLock<Shared> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let vendor = Vendor::new();
        let anchors = vendor.anchors();
        let collateral = vendor.collateral(&World::tdx());
        Shared {
            quote: vendor.quote(&domain_body(), &Shape { version: 5, ..Shape::default() }),
            chain: vendor.chain(),
            endorsements: Endorsements::prepare(Kind::Tdx, &collateral, &anchors),
            anchors,
        }
    })
}

fn accepts(quote: &[u8], endorsements: &Endorsements, anchors: &Anchors) -> bool {
    appraise(&request(quote, anchors), endorsements).accepted()
}

fn request<'a>(quote: &'a [u8], anchors: &'a Anchors) -> Request<'a> {
    static POLICY: std::sync::OnceLock<(Policy, ReferenceValues)> = std::sync::OnceLock::new();
    let (policy, reference) = POLICY.get_or_init(|| {
        let policy =
            Policy { emulated_allowed: true, reference_required: false, ..Policy::default() };
        (policy, ReferenceValues::default())
    });
    Request {
        kind: Kind::Tdx,
        evidence: quote,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors,
        reference,
        policy,
        now: NOW,
    }
}
