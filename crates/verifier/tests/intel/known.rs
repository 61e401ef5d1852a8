//! What is remembered changes the cost of an appraisal, never its outcome.

use crate::vendor::{NOW, Shape, Vendor, World, enclave_body};
use verifier::cache::EndorsementCache;
use verifier::{
    Anchors, Appraisal, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, Timestamp,
    UserData, appraise,
};

//= EV-PERF-1: a known platform is appraised as an unknown one
//= EV-COM-1: equal inputs have equal results
#[test]
fn a_known_platform_has_the_same_appraisal_as_an_unknown_one() {
    let vendor = Vendor::new();
    let anchors = vendor.anchors();
    let endorsements =
        Endorsements::prepare(Kind::Sgx, &vendor.collateral(&World::sgx()), &anchors);
    let quote = vendor.quote(&enclave_body(), &Shape::default());

    let unknown = outcome(&quote, &endorsements, &anchors, NOW);
    let known = outcome(&quote, &endorsements, &anchors, NOW);

    assert!(unknown.accepted());
    assert_eq!(json(&unknown), json(&known));
}

//= EV-PERF-1: only time is checked again, and the quote itself
#[test]
fn a_known_platform_excuses_neither_a_changed_quote_nor_an_expired_chain() {
    let vendor = Vendor::new();
    let anchors = vendor.anchors();
    let endorsements =
        Endorsements::prepare(Kind::Sgx, &vendor.collateral(&World::sgx()), &anchors);
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    assert!(outcome(&quote, &endorsements, &anchors, NOW).accepted());

    let later = Timestamp(NOW.0 + 365 * 86_400);
    let expired = outcome(&quote, &endorsements, &anchors, later);
    assert_eq!(expired.reason(), Some(Reason::Expired));
    for at in 0..quote.len() {
        let mut changed = quote.clone();
        changed[at] ^= 1 << (at % 8);

        let appraisal = outcome(&changed, &endorsements, &anchors, NOW);

        assert!(!appraisal.accepted(), "octet {at}");
    }
}

//= EV-PERF-1: a revocation list invalidates what depends on it
#[test]
fn a_new_revocation_list_forgets_the_platforms_of_the_old_one() {
    let vendor = Vendor::new();
    let anchors = vendor.anchors();
    let cache = EndorsementCache::new(8);
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let appraise_in = |world: &World| {
        let prepared = cache.prepare(Kind::Sgx, &vendor.collateral(world), &anchors);
        outcome(&quote, &prepared, &anchors, NOW).reason()
    };
    let mut revoked = World::sgx();
    revoked.revoked_pcks.push(4);

    assert_eq!(appraise_in(&World::sgx()), None);
    assert_eq!(appraise_in(&revoked), Some(Reason::Revoked));
}

//= EV-PERF-1: the key names everything that was authenticated
#[test]
fn endorsements_are_remembered_for_their_own_anchors_only() {
    let vendor = Vendor::new();
    let cache = EndorsementCache::new(8);
    let collateral = vendor.collateral(&World::sgx());
    let quote = vendor.quote(&enclave_body(), &Shape::default());
    let appraise_under = |anchors: &Anchors| {
        let prepared = cache.prepare(Kind::Sgx, &collateral, anchors);
        outcome(&quote, &prepared, anchors, NOW).reason()
    };

    assert_eq!(appraise_under(&vendor.anchors()), None);
    assert_eq!(appraise_under(&Anchors::vendors()), Some(Reason::UntrustedRoot));
    assert_eq!(appraise_under(&vendor.anchors()), None);
}

fn outcome(
    quote: &[u8],
    endorsements: &Endorsements,
    anchors: &Anchors,
    now: Timestamp,
) -> Appraisal {
    let policy = Policy { emulated_allowed: true, reference_required: false, ..Policy::default() };
    let request = Request {
        kind: Kind::Sgx,
        evidence: quote,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors,
        reference: &ReferenceValues::default(),
        policy: &policy,
        now,
    };
    appraise(&request, endorsements)
}

fn json(appraisal: &Appraisal) -> String {
    serde_json::to_string(appraisal).expect("serialisable")
}
