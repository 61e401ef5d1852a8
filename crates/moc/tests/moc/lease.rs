//! Leases: a device renews them by attesting again, and one that does not loses them in time.

use api::{
    Deployment, DeviceState, DeviceView, Enforcement, Lease, PackageName, State, WakeReason,
};
use serde_json::json;

use crate::{
    audience::Caller,
    bench::{Bench, START_MS},
    case3::{Owner, attest, enrolled, request, view},
    sim::Sim,
};

/// A deployment that runs and whose lease has begun.
async fn running(bench: &Bench) -> (Caller, Sim, String) {
    let user = bench.tenant("acme").await;
    let mut device = enrolled(bench, "edge").await;
    let mut asked = request(false);
    asked["lease_s"] = json!(600);
    let placed: api::RequestPlaced = user.post(api::path::REQUESTS, &asked).await.expect(201);
    let (id, owner) = (placed.deployment, Owner::new());
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    let before = lease(&user, &id).await;
    assert_eq!((before.until_ms, before.renewals, before.ended), (None, 0, false));
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;
    assert_eq!(view(&user, &id).await.state, State::Running);
    bench.moc.sweep().await.unwrap();
    (user, device, id)
}

async fn lease(user: &Caller, id: &str) -> Lease {
    let shown: Deployment = view(user, id).await;
    shown.lease.unwrap()
}

async fn decisions(bench: &Bench, id: &str) -> Vec<String> {
    let log = bench.moc.store().decisions().await.unwrap();
    let subject = format!("deployment/{id}");
    let about = log.into_iter().filter(|leaf| leaf.entry.subject == subject);
    about
        .filter(|leaf| leaf.entry.decision.starts_with("lease"))
        .map(|leaf| format!("{}: {}", leaf.entry.decision, leaf.entry.reason))
        .collect()
}

#[tokio::test]
async fn a_lease_is_renewed_by_one_quote_and_then_by_the_agents_word_over_it() {
    let bench = Bench::start().await;
    let (user, mut device, id) = running(&bench).await;
    assert_eq!(lease(&user, &id).await.until_ms, Some(START_MS + 600_000));
    assert_eq!(device.wake().await, None, "half of it is still to come");
    let quotes = device.quotes;

    bench.clock.advance_ms(300_000);
    assert_eq!(device.work().await.reason, WakeReason::Attest);
    assert_eq!(device.wake().await, None);
    let first = lease(&user, &id).await;
    bench.clock.advance_ms(400_000);
    device.work().await;
    bench.clock.advance_ms(400_000);
    bench.moc.sweep().await.unwrap();
    device.work().await;

    let last = lease(&user, &id).await;
    assert_eq!((first.until_ms, first.renewals), (Some(START_MS + 900_000), 1));
    assert_eq!((last.until_ms, last.renewals), (Some(START_MS + 1_700_000), 3));
    assert_eq!((last.ended, last.enforcement), (false, Enforcement::NotEnforceable));
    assert_eq!(device.quotes, quotes + 1);
    assert_eq!(
        decisions(&bench, &id).await,
        [
            "lease begun: it runs",
            "lease renewed: by a new quote",
            "lease renewed: by the Agent, over the quote of an earlier renewal",
            "lease renewed: by the Agent, over the quote of an earlier renewal",
        ]
    );
}

#[tokio::test]
async fn an_agent_that_does_not_know_renewals_brings_a_quote_each_time() {
    let bench = Bench::start().await;
    let (user, mut device, id) = running(&bench).await;
    device.renews = false;
    let quotes = device.quotes;

    for _ in 0..2 {
        bench.clock.advance_ms(400_000);
        device.work().await;
    }

    assert_eq!(lease(&user, &id).await.renewals, 2);
    assert_eq!(device.quotes, quotes + 2);
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_for_good_and_says_that_nobody_enforces_it() {
    let bench = Bench::start().await;
    let (user, device, id) = running(&bench).await;

    bench.clock.advance_ms(599_999);
    bench.moc.sweep().await.unwrap();
    assert!(!lease(&user, &id).await.ended);
    bench.clock.advance_ms(1);
    bench.moc.sweep().await.unwrap();

    let ended = lease(&user, &id).await;
    assert_eq!((ended.ended, ended.renewals), (true, 0));
    assert_eq!(ended.enforcement, Enforcement::NotEnforceable);
    assert_eq!(device.wake().await, None, "what has ended is not renewed");
    let told = decisions(&bench, &id).await;
    assert_eq!(
        told.last().unwrap(),
        "lease ended: not renewed in time; not enforceable against the REE"
    );
}

#[tokio::test]
async fn the_word_of_another_agent_renews_nothing_and_a_new_quote_is_asked_for() {
    let bench = Bench::start_with("wake_again_ms = 100").await;
    let (user, mut device, id) = running(&bench).await;
    bench.clock.advance_ms(300_000);
    device.work().await;
    device.change_evidence_key();
    let quotes = device.quotes;

    bench.clock.advance_ms(300_000);
    device.work().await;

    assert_eq!(lease(&user, &id).await.renewals, 1);
    let shown: DeviceView = bench.operator.get(&api::path::device("edge")).await.expect(200);
    assert_eq!(shown.state, DeviceState::Attested, "its quote has not been asked for");
    device.work().await;
    assert_eq!(lease(&user, &id).await.renewals, 2);
    assert_eq!(device.quotes, quotes + 1);
}

#[tokio::test]
async fn a_deployment_that_does_not_run_any_more_as_deployed_is_not_renewed() {
    let bench = Bench::start_with("wake_again_ms = 100").await;
    let (user, mut device, id) = running(&bench).await;
    bench.clock.advance_ms(300_000);
    device.work().await;
    device.installed.clear();

    bench.clock.advance_ms(300_000);
    device.work().await;
    device.work().await;
    bench.clock.advance_ms(300_000);
    bench.moc.sweep().await.unwrap();

    let ended = lease(&user, &id).await;
    assert_eq!((ended.ended, ended.renewals), (true, 1));
}

#[tokio::test]
async fn a_lease_is_of_sixty_seconds_to_a_day() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    enrolled(&bench, "edge").await;

    for seconds in [0, 59, 86_401, u64::MAX] {
        let mut asked = request(false);
        asked["lease_s"] = json!(seconds);
        let refused = user.post(api::path::REQUESTS, &asked).await.refused(400, "malformed");
        assert_eq!(refused.check.as_deref(), Some("lease_s"));
    }
}
