//! What wakes the Broker: the M/OC, and the clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broker::{refusal::SessionFailed, wake::Rhythm};
use device::broker::{Reply, Request};

use crate::support::{
    Bench,
    agent::{FakeAgent, begin},
    rhythm,
    server::{Seen, Server, status, teep, typed},
    until,
};

//= teep 14.100 (S): a policy-check trigger exists (the M/OC's wake-up)
#[tokio::test]
async fn a_wake_up_starts_a_session_under_its_ticket() {
    let moc = waking(vec![r#"{"reason":"enrol","ticket":"t-1"}"#]).await;
    let agent = FakeAgent::with_one_tam(&format!("{}/tam", moc.base), vec![]);
    let bench = Bench::new(agent, moc);

    let serving = tokio::spawn(bench.wakes(rhythm()).serve());
    until("a session", || !bench.moc.posts().is_empty()).await;
    serving.abort();

    assert_eq!(bench.moc.paths(), ["/tam/t-1"]);
    let polls: Vec<Seen> = bench.moc.seen().into_iter().filter(|s| s.method == "GET").collect();
    assert_eq!(polls[0].path, "/v1/devices/edge-7/wake");
    assert_eq!(polls[0].header("authorization"), Some("Bearer device-token"));
}

//= teep 14.100 (S): a policy-check trigger exists (timer)
#[tokio::test]
async fn the_clock_starts_a_policy_check_when_nobody_else_does() {
    let moc = waking(vec![]).await;
    let agent = FakeAgent::with_one_tam(&format!("{}/tam", moc.base), vec![]);
    let bench = Bench::new(agent, moc);
    let often = Rhythm { policy_check_every: Duration::from_millis(20), ..rhythm() };

    let serving = tokio::spawn(bench.wakes(often).serve());
    until("two sessions", || bench.moc.posts().len() >= 2).await;
    serving.abort();

    assert!(bench.moc.paths().iter().all(|path| path == "/tam"));
}

#[tokio::test]
async fn a_moc_that_fails_or_babbles_is_asked_again() {
    let moc = waking(vec!["", "no JSON", "[]", r#"{"reason":"deploy","ticket":"t"}"#]).await;
    let agent = FakeAgent::with_one_tam(&format!("{}/tam", moc.base), vec![]);
    let bench = Bench::new(agent, moc);

    let serving = tokio::spawn(bench.wakes(rhythm()).serve());
    until("a session", || !bench.moc.posts().is_empty()).await;
    serving.abort();

    assert_eq!(bench.moc.paths(), ["/tam/t"]);
}

#[tokio::test]
async fn every_tam_that_the_agent_names_has_its_turn_even_after_a_failure() {
    let broken = Server::start(|_| status(500)).await;
    let good = Server::start(|_| status(204)).await;
    let mut names = vec![begin(2, &good.base), begin(1, &broken.base)];
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestPolicyCheck => names.pop().unwrap_or(Reply::Nothing),
        _ => Reply::Nothing,
    });
    let bench = Bench::new(agent, Server::silent().await);

    let failed = bench.check(None).await.unwrap_err();

    assert!(matches!(failed, SessionFailed::Tam { .. }));
    assert_eq!((broken.posts().len(), good.posts().len()), (1, 1));
}

#[tokio::test]
async fn policy_checks_at_the_same_time_do_not_take_each_others_tams() {
    let moc = Server::start(|_| status(204)).await;
    let uri = format!("{}/tam", moc.base);
    let mut calls = 0;
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestPolicyCheck => {
            calls += 1;
            if calls % 2 == 1 { begin(calls, &uri) } else { Reply::Nothing }
        }
        _ => Reply::Nothing,
    });
    let bench = Bench::new(agent, moc);
    let wakes = bench.wakes(rhythm());

    let tickets = ["a", "b", "c", "d"];
    let checks = tickets.map(|ticket| {
        let wakes = Arc::clone(&wakes);
        tokio::spawn(async move { wakes.policy_check(Some(ticket)).await })
    });
    for check in checks {
        check.await.unwrap().unwrap();
    }

    let mut paths = bench.moc.paths();
    paths.sort();
    assert_eq!(paths, tickets.map(|ticket| format!("/tam/{ticket}")));
}

#[tokio::test]
async fn an_agent_that_names_tams_without_end_is_left() {
    let moc = Server::silent().await;
    let uri = format!("{}/tam", moc.base);
    let agent = FakeAgent::start(move |_| begin(1, &uri));
    let bench = Bench::new(agent, moc);

    let failed = bench.check(None).await.unwrap_err();

    assert!(matches!(failed, SessionFailed::Agent(_)), "{failed:?}");
    assert!(bench.moc.posts().is_empty());
}

/// A M/OC that wakes the device with these bodies, one after the other, and then no more. An
/// empty one is a server error. TAMs have nothing to say.
async fn waking(bodies: Vec<&'static str>) -> Server {
    let next = Arc::new(AtomicUsize::new(0));
    Server::answering(move |seen| {
        let (next, bodies) = (Arc::clone(&next), bodies.clone());
        Box::pin(async move {
            if seen.method == "POST" {
                return status(204);
            }
            match bodies.get(next.fetch_add(1, Ordering::SeqCst)) {
                Some(&"") => status(500),
                Some(body) => typed("application/json", *body),
                None => std::future::pending().await,
            }
        })
    })
    .await
}

#[tokio::test]
async fn a_wake_up_of_a_size_that_no_wake_up_has_is_refused() {
    let moc = Server::start(|_| typed("application/json", "x".repeat(1 << 20))).await;

    let woken = crate::support::client(&moc.base).wake().await;

    let limit = 64 * 1024;
    assert_eq!(woken, Err(broker::refusal::TamFailed::TooLarge { limit }));
    let moc = Server::start(|_| teep("")).await;
    assert!(crate::support::client(&moc.base).wake().await.is_err());
}

/// A session under way when the program is told to stop comes to its end.
#[tokio::test]
async fn the_end_of_the_program_lets_a_session_finish() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let moc = Server::answering(move |seen| {
        let mut gone = gone.clone();
        Box::pin(async move {
            match (seen.method.as_str(), seen.body.is_empty()) {
                ("GET", _) => typed("application/json", r#"{"reason":"other"}"#),
                (_, true) => {
                    gone.wait_for(|gone| *gone).await.unwrap();
                    teep("question")
                }
                (_, false) => status(204),
            }
        })
    })
    .await;
    let agent = FakeAgent::with_one_tam(&format!("{}/tam", moc.base), vec![Some(vec![7])]);
    let bench = Bench::new(agent, moc);
    let wakes = bench.wakes(rhythm());
    let serving = tokio::spawn(Arc::clone(&wakes).serve());
    until("a session", || !bench.moc.posts().is_empty()).await;
    serving.abort();
    let _aborted = serving.await;

    assert!(!wakes.finished(Duration::ZERO).await);
    go.send(true).unwrap();

    assert!(wakes.finished(Duration::from_secs(20)).await);
    assert!(bench.moc.posts().iter().any(|seen| seen.body == [7]));
}
