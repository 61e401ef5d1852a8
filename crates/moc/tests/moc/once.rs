//! Idempotency keys: the same request under the same key is done once.

use api::{DeviceState, DeviceView, TenantView};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    audience::{Answer, Caller, send},
    bench::Bench,
    case3::{NONCE_TEXT, Owner, enrolled, placed, view},
};

async fn post(by: &Caller, path: &str, key: &str, body: &Value) -> Answer {
    let request = by.request(Method::POST, path).header("idempotency-key", key);
    send(request.header("content-type", "application/json").body(body.to_string())).await
}

#[tokio::test]
async fn what_is_asked_for_twice_is_done_once_and_answered_alike() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, api::PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;
    let (path, ask) = (api::path::attestations(&id), json!({ "nonce": NONCE_TEXT }));

    let first = post(&user, &path, "one", &ask).await;
    let seq = view(&user, &id).await.seq;
    let again = post(&user, &path, "one", &ask).await;

    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(view(&user, &id).await.seq, seq);
    post(&user, &path, "two", &ask).await.refused(409, "conflict");
}

#[tokio::test]
async fn an_answer_with_a_secret_is_given_once() {
    let bench = Bench::start().await;
    let ask = json!({ "name": "acme" });

    let first = post(&bench.operator, api::path::TENANTS, "one", &ask).await;
    let again = post(&bench.operator, api::path::TENANTS, "one", &ask).await;

    assert_eq!(first.status, 201);
    let problem = again.refused(409, "conflict");
    assert_eq!(problem.check.as_deref(), Some("idempotency-key"));
    assert_eq!(problem.seen.as_deref(), Some("it holds a secret, which is told once"));
    let tenants: Vec<TenantView> = bench.operator.get(api::path::TENANTS).await.expect(200);
    assert_eq!(tenants.len(), 1);
}

#[tokio::test]
async fn what_was_refused_leaves_its_key_free() {
    let bench = Bench::start().await;
    enrolled(&bench, "edge").await;
    let path = api::path::orders("edge");

    let refused = post(&bench.operator, &path, "one", &json!({ "order": "dance" })).await;
    refused.refused(400, "malformed");
    let drained = post(&bench.operator, &path, "one", &json!({ "order": "drain" })).await;

    assert_eq!(drained.expect::<DeviceView>(200).state, DeviceState::Draining);
    let other = post(&bench.operator, &path, "one", &json!({ "order": "resume" })).await;
    other.refused(409, "conflict");
}

#[tokio::test]
async fn keys_of_one_holder_are_not_those_of_another_and_strangers_have_none() {
    let bench = Bench::start().await;
    let (one, two) = (bench.tenant("one").await, bench.tenant("two").await);
    let ask = json!({ "role": "tenant-user", "name": "ci" });

    assert_eq!(post(&one, api::path::TOKENS, "key", &ask).await.status, 201);
    assert_eq!(post(&two, api::path::TOKENS, "key", &ask).await.status, 201);
    let stranger = bench.caller("nobody");
    post(&stranger, api::path::TOKENS, "key", &ask).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn of_many_at_the_same_time_one_is_done() {
    let bench = Bench::start().await;
    let ask = json!({ "name": "acme" });

    let calls = (0..8).map(|_| {
        let (operator, ask) = (bench.operator.clone(), ask.clone());
        tokio::spawn(async move { post(&operator, api::path::TENANTS, "one", &ask).await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.unwrap());
    }

    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}
