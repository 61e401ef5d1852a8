//! TAs that UAs ask for, and the tickets that wait for them.

use std::{sync::Arc, time::Duration};

use broker::{
    loads::Patience,
    refusal::{AgentFailed, SessionFailed},
};
use device::{
    ComponentId, FailureCode,
    broker::{Reply, Request},
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::support::{
    Bench,
    agent::{Answer, FakeAgent, begin},
    care, patience, rhythm,
    server::{Server, status, teep, typed},
    until,
};

//= teep 14.100 (S): a policy-check trigger exists (TA invocation)
#[tokio::test]
async fn a_ua_that_asks_early_waits_for_the_ticket() {
    let load = Load::new(patience()).await;

    let asking = load.ask();
    until("RequestTA", || load.requests() == 1).await;
    assert!(load.bench.moc.posts().is_empty());
    load.wake("t-1").await;
    asking.await.unwrap().unwrap();

    assert_eq!(load.bench.moc.paths(), ["/tam/t-1"]);
}

#[tokio::test]
async fn a_ticket_that_comes_early_waits_for_the_ua() {
    let load = Load::new(patience()).await;

    load.wake("t-2").await;
    sleep(Duration::from_millis(30)).await;
    assert_eq!(load.requests(), 0);
    load.ask().await.unwrap().unwrap();

    assert_eq!(load.bench.moc.paths(), ["/tam/t-2"]);
}

#[tokio::test]
async fn the_broker_asks_in_place_of_a_ua_that_does_not() {
    let short = Patience { ua_within: Duration::from_millis(20), ..patience() };
    let load = Load::new(short).await;

    load.wake("t-3").await;
    until("a session", || !load.bench.moc.posts().is_empty()).await;

    assert_eq!(load.bench.moc.paths(), ["/tam/t-3"]);
    assert_eq!(load.requests(), 1);
}

#[tokio::test]
async fn a_newer_ticket_does_not_begin_the_wait_for_a_ua_anew() {
    let wait = Duration::from_millis(300);
    let load = Load::new(Patience { ua_within: wait, ..patience() }).await;
    let begun = Instant::now();

    // Wakes again and again, as a M/OC does that is less patient than this Broker.
    let mut number = 0;
    while load.bench.moc.posts().is_empty() {
        assert!(begun.elapsed() < 20 * wait, "the Broker never asks");
        number += 1;
        load.wake(&format!("t-{number}")).await;
        sleep(wait / 10).await;
    }

    assert!(number > 1, "there was no newer ticket");
    let [path] = &load.bench.moc.paths()[..] else { panic!("one session is enough") };
    assert!(path.starts_with("/tam/t-") && path != "/tam/t-1", "{path}: the newest counts");
}

#[tokio::test]
async fn a_ua_s_request_outlives_a_restart_of_the_agent() {
    let (server, waker) = moc().await;
    let uri = format!("{}/tam", server.base);
    let mut calls = 0;
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestTa { .. } => {
            calls += 1;
            if calls < 3 { Answer::HangUp } else { begin(9, &uri).into() }
        }
        _ => Reply::Nothing.into(),
    });
    let load = Load::with(agent, (server, waker), patience());

    let asking = load.ask();
    until("the third RequestTA", || load.requests() == 3).await;
    load.wake("t-7").await;
    asking.await.unwrap().unwrap();

    assert_eq!(load.bench.moc.paths(), ["/tam/t-7"]);
}

#[tokio::test]
async fn a_ticket_is_used_once_whoever_asks() {
    let short = Patience { ua_within: Duration::from_millis(40), ..patience() };
    let load = Load::new(short).await;

    load.wake("t-4").await;
    load.ask().await.unwrap().unwrap();
    sleep(Duration::from_millis(80)).await;

    assert_eq!(load.bench.moc.paths(), ["/tam/t-4"]);
}

#[tokio::test]
async fn without_a_ticket_the_session_goes_to_the_plain_address() {
    let short = Patience { ticket_within: Duration::from_millis(20), ..patience() };
    let load = Load::new(short).await;

    load.ask().await.unwrap().unwrap();

    assert_eq!(load.bench.moc.paths(), ["/tam"]);
}

#[tokio::test]
async fn a_ta_that_is_there_needs_no_session_and_no_ticket() {
    let agent = FakeAgent::start(|_| Reply::Nothing);
    let load = Load::with(agent, moc().await, patience());

    load.ask().await.unwrap().unwrap();

    assert!(load.bench.moc.posts().is_empty());
}

#[tokio::test]
async fn a_session_goes_on_when_the_ua_that_asked_has_ended() {
    let answered = Arc::new(Notify::new());
    let gate = Arc::clone(&answered);
    let tam = Server::answering(move |_| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.notified().await;
            teep("update")
        })
    })
    .await;
    let uri = tam.base.clone();
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestTa { .. } => begin(9, &uri),
        _ => Reply::Nothing,
    });
    let load = Load::with(agent, moc().await, patience());
    load.wake("t-6").await;

    let asking = load.ask();
    until("the TAM's turn", || !tam.posts().is_empty()).await;
    asking.abort();
    assert!(asking.await.is_err());
    answered.notify_one();

    until("the Agent's turn", || !load.bench.agent.messages().is_empty()).await;
}

#[tokio::test]
async fn a_component_that_is_none_is_passed_over() {
    let load = Load::new(patience()).await;

    load.say(r#"{"reason":"deploy","ticket":"t","load":["zz"]}"#).await;
    load.say(r#"{"reason":"deploy","ticket":"t","load":[]}"#).await;
    load.wake("t-5").await;
    load.ask().await.unwrap().unwrap();

    assert_eq!(load.bench.moc.paths(), ["/tam/t-5"]);
}

#[tokio::test]
async fn a_call_is_carried_to_the_ta_and_back() {
    let agent = FakeAgent::start(|request| match request {
        Request::CallTa { request, .. } if request == b"sealed" => {
            Reply::TaAnswer(b"sealed answer".to_vec())
        }
        _ => Reply::failed(FailureCode::Absent, "no such TA"),
    });
    let load = Load::with(agent, moc().await, patience());

    let answer = load.bench.loads.call_ta(&component(), b"sealed".to_vec()).await;
    let refused = load.bench.loads.call_ta(&component(), b"other".to_vec()).await;

    assert_eq!(answer.unwrap(), b"sealed answer");
    let Err(AgentFailed::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, FailureCode::Absent);
}

/// A Broker that is being served, and a M/OC that wakes it when a test says so.
struct Load {
    bench: Bench,
    /// Bodies of wake-ups.
    waker: mpsc::Sender<String>,
    serving: JoinHandle<()>,
}

impl Load {
    async fn new(patience: Patience) -> Self {
        let (moc, waker) = moc().await;
        let uri = format!("{}/tam", moc.base);
        let agent = FakeAgent::start(move |request| match request {
            Request::RequestTa { .. } => begin(9, &uri),
            _ => Reply::Nothing,
        });
        Self::with(agent, (moc, waker), patience)
    }

    fn with(
        agent: FakeAgent,
        (moc, waker): (Server, mpsc::Sender<String>),
        patience: Patience,
    ) -> Self {
        let bench = Bench::with(agent, moc, patience, care());
        let serving = tokio::spawn(bench.wakes(rhythm()).serve());
        Self { bench, waker, serving }
    }

    /// A UA asks for the TA.
    fn ask(&self) -> JoinHandle<Result<(), SessionFailed>> {
        let loads = self.bench.loads.clone();
        tokio::spawn(async move { loads.request_ta(&component()).await })
    }

    async fn wake(&self, ticket: &str) {
        let load: Vec<String> = component().elements().iter().map(hex::encode).collect();
        let load = serde_json::to_string(&load).unwrap();
        let body = format!(r#"{{"reason":"deploy","ticket":"{ticket}","load":{load}}}"#);
        self.say(&body).await;
    }

    async fn say(&self, body: &str) {
        self.waker.send(body.to_owned()).await.unwrap();
    }

    fn requests(&self) -> usize {
        self.bench.agent.count(|request| matches!(request, Request::RequestTa { .. }))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A M/OC that wakes the device with what is sent to it. As a TAM it has nothing to say.
async fn moc() -> (Server, mpsc::Sender<String>) {
    let (waker, receiver) = mpsc::channel(8);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let moc = Server::answering(move |seen| {
        let receiver = Arc::clone(&receiver);
        Box::pin(async move {
            if seen.method == "POST" {
                return status(204);
            }
            let body: Option<String> = receiver.lock().await.recv().await;
            typed("application/json", body.unwrap_or_default())
        })
    })
    .await;
    (moc, waker)
}

fn component() -> ComponentId {
    ComponentId::new(vec![vec![7; 32], b"planner".to_vec()]).unwrap()
}
