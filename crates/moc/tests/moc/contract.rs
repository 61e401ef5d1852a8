//! The HTTP contract: each path with success, without a token, with the wrong role, and for
//! somebody else's things.

use api::{BlobStored, PackageName, PackageStored, Role, Scope};
use reqwest::Method;
use serde_json::json;

use crate::{
    audience::{Caller, send},
    bench::Bench,
    case3::{NONCE_TEXT, Owner, attest, enrolled, placed, view},
    sim::Sim,
};

/// Every path with the scope that it asks for, and a role that does not have it.
fn paths(deployment: &str, attestation: &str, blob: &str) -> Vec<(Method, String, &'static str)> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    vec![
        (get.clone(), api::path::METRICS.into(), "devices:read"),
        (get.clone(), api::path::TENANTS.into(), "tenants:read"),
        (post.clone(), api::path::TENANTS.into(), "tenants:write"),
        (get.clone(), api::path::TOKENS.into(), "tokens:write"),
        (post.clone(), api::path::TOKENS.into(), "tokens:write"),
        (Method::DELETE, api::path::token("t"), "tokens:write"),
        (post.clone(), api::path::DEVICES.into(), "devices:write"),
        (get.clone(), api::path::DEVICES.into(), "devices:read"),
        (get.clone(), api::path::device("edge"), "devices:read"),
        (post.clone(), api::path::enrolments("edge"), "devices:write"),
        (get.clone(), api::path::wake("edge"), "device"),
        (get.clone(), api::path::blob(blob), "device"),
        (put.clone(), api::path::blob(blob), "deployments:write"),
        (post.clone(), api::path::REQUESTS.into(), "deployments:write"),
        (get.clone(), api::path::deployment(deployment), "deployments:read"),
        (put, api::path::package(deployment, PackageName::Ta), "deployments:write"),
        (post, api::path::attestations(deployment), "deployments:write"),
        (get.clone(), api::path::attestation(deployment, attestation), "deployments:read"),
        (get.clone(), api::path::receipts(deployment), "deployments:read"),
        (get.clone(), api::path::proofs(deployment), "deployments:read"),
        (get.clone(), api::path::CHECKPOINT.into(), "audit:read"),
        (get.clone(), api::path::entries(0), "audit:read"),
        (get.clone(), api::path::entry(0), "audit:read"),
        (get, api::path::consistency(1), "audit:read"),
    ]
}

#[tokio::test]
async fn every_path_asks_for_a_credential_with_its_scope() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let device = enrolled(&bench, "edge").await;
    let callers = [
        (Role::Operator, bench.operator.clone()),
        (Role::TenantAdmin, user.clone()),
        (Role::Device, device.broker.clone()),
        (Role::SecurityOfficer, bench.holder(Role::SecurityOfficer, &[]).await),
        (Role::Auditor, bench.holder(Role::Auditor, &[]).await),
    ];
    let id = placed(&user, false).await.deployment;

    for (method, path, scope) in paths(&id, "a", &"0".repeat(64)) {
        for token in ["", "tamarack-tenant-unknown"] {
            let caller = Caller::new(&bench.url, token);
            let answer = send(caller.request(method.clone(), &path)).await;
            answer.refused(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let needed: Scope = scope.parse().unwrap();
        for (role, caller) in &callers {
            let answer = send(caller.request(method.clone(), &path)).await;
            if role.scopes().contains(&needed) {
                assert_ne!(answer.status, 401, "{method} {path} by {role}");
                continue;
            }
            let problem = answer.refused(403, "forbidden");
            assert_eq!(problem.expected.as_deref(), Some(scope), "{method} {path}");
            let seen = format!("a credential of a {role} without it");
            assert_eq!(problem.seen, Some(seen));
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_or_device_looks_like_nothing() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let foreign = bench.tenant("rival").await;
    let mut device = enrolled(&bench, "edge").await;
    let other = bench.device("other").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let attestation = attest(&user, &id).await;
    device.work().await;

    foreign.get(&api::path::deployment(&id)).await.refused(404, "not-found");
    foreign.get(&api::path::attestation(&id, &attestation)).await.refused(404, "not-found");
    foreign.get(&api::path::receipts(&id)).await.refused(404, "not-found");
    let asked = json!({ "nonce": NONCE_TEXT });
    foreign.post(&api::path::attestations(&id), &asked).await.refused(404, "not-found");
    let path = api::path::package(&id, PackageName::Pd);
    let answer = foreign.put(&path, api::media::SUIT_ENVELOPE, owner.pd(1)).await;
    answer.refused(404, "not-found");
    let mine = placed(&foreign, false).await.deployment;
    foreign.get(&api::path::attestation(&mine, &attestation)).await.refused(404, "not-found");
    let other = Caller::new(&bench.url, &other.token);
    other.get(&api::path::wake("edge")).await.refused(404, "not-found");
}

#[tokio::test]
async fn requests_are_read_strictly() {
    let bench = Bench::start().await;
    let operator = &bench.operator;
    let post = |body: &str, media_type: &str| {
        let request = operator.request(Method::POST, api::path::TENANTS);
        send(request.header("content-type", media_type.to_owned()).body(body.to_owned()))
    };

    let json = "application/json";
    assert_eq!(post("{", json).await.refused(400, "malformed").check.unwrap(), "json");
    post(r#"{"name":"a","admin":true}"#, json).await.refused(400, "malformed");
    post(r#"{"name":"a"}"#, "text/plain").await.refused(415, "media-type");
    post(&format!("\"{}\"", "x".repeat(70_000)), json).await.refused(413, "too-large");
    for name in ["", "Upper", "-a", "a/b", &"a".repeat(65)] {
        let body = json!({ "name": name }).to_string();
        let problem = post(&body, json).await.refused(400, "malformed");
        assert_eq!(problem.check.as_deref(), Some("name"));
    }
    assert_eq!(post(r#"{"name":"a"}"#, "application/json; charset=utf-8").await.status, 201);
    post(r#"{"name":"a"}"#, json).await.refused(409, "conflict");
}

#[tokio::test]
async fn what_does_not_exist_is_explained() {
    let bench = Bench::start().await;
    let operator = &bench.operator;

    operator.get("/v2").await.refused(404, "not-found");
    operator.get("/v1/requests").await.refused(405, "method");
    operator.get("/v1/devices/none").await.refused(404, "not-found");
    let path = api::path::enrolments("none");
    operator.post(&path, &json!({})).await.refused(404, "not-found");
    assert_eq!(operator.get("/healthz").await.status, 204);
    assert_eq!(operator.get("/readyz").await.status, 204);
}

#[tokio::test]
async fn a_device_has_instances_that_exist_on_its_hardware() {
    let bench = Bench::start().await;
    let add = async |instances: &[&str]| {
        let body = json!({ "device": "edge", "hardware": "SGX", "instances": instances });
        bench.operator.post(api::path::DEVICES, &body).await
    };

    add(&["vm"]).await.refused(400, "malformed");
    add(&[]).await.refused(400, "malformed");
    assert_eq!(add(&["process", "container"]).await.status, 201);
    add(&["process"]).await.refused(409, "conflict");
}

#[tokio::test]
async fn a_case_that_is_not_served_is_unsupported_and_a_place_that_does_not_exist_is_explained() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let ask = async |case: u8, hardware: &str| {
        let body = json!({ "case": case, "instance": "process", "hardware": [hardware] });
        user.post(api::path::REQUESTS, &body).await
    };

    assert_eq!(ask(9, "SGX").await.refused(422, "unsupported").check.unwrap(), "case");
    let problem = ask(3, "TrustZone").await.refused(409, "no-place");
    assert_eq!(problem.candidates[0].constraint, "hardware");
    assert_eq!(problem.candidates[0].seen, "SGX");
    assert_eq!(
        placed(&user, true).await.reasons[0],
        "edge: chosen: emulated SGX, choice 1 of the request, 0 deployments, spread"
    );
}

#[tokio::test]
async fn a_blob_is_taken_by_its_digest_and_given_in_parts() {
    let bench = Bench::start_with("blob_bytes_max = 100000\n").await;
    let user = bench.tenant("acme").await;
    let device = enrolled(&bench, "edge").await;
    let content: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    let name = hexadecimal(&cose::sha256(&content));
    let path = api::path::blob(&name);
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta_at(&bench.url, &content)).await;

    device.broker.get(&path).await.refused(404, "not-found");
    let other = api::path::blob(&"0".repeat(64));
    let wrong = user.put(&other, api::media::OCTETS, content.clone()).await;
    assert_eq!(wrong.refused(400, "malformed").seen, Some(name.clone()));
    let large = [&content[..], b"x"].concat();
    user.put(&path, api::media::OCTETS, large).await.refused(413, "too-large");
    user.put("/v1/blobs/x", api::media::OCTETS, Vec::new()).await.refused(400, "malformed");
    let stored: BlobStored = user.put(&path, api::media::OCTETS, content.clone()).await.expect(201);
    assert_eq!((stored.sha256, stored.bytes), (name, 100_000));
    let _again: BlobStored = user.put(&path, api::media::OCTETS, content.clone()).await.expect(200);

    let whole = device.broker.get(&path).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
    assert!(whole.body == content);
    let range =
        |range: &str| send(device.broker.request(Method::GET, &path).header("range", range));
    let part = range("bytes=70000-79999").await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 70000-79999/100000"));
    assert!(part.body == content[70_000..80_000]);
    let outside = range("bytes=100000-").await;
    assert_eq!(outside.header("content-range"), "bytes */100000");
    outside.refused(416, "range");
}

#[tokio::test]
async fn what_another_tenant_brought_is_nobody_elses_without_its_bytes() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let rival = bench.tenant("rival").await;
    let content = b"what acme computes with".to_vec();
    let path = api::path::blob(&hexadecimal(&cose::sha256(&content)));
    let unknown = api::path::blob(&hexadecimal(&cose::sha256(b"what nobody has")));
    let _stored: BlobStored =
        user.put(&path, api::media::OCTETS, content.clone()).await.expect(201);

    let guess = b"a guess".to_vec();
    for caller in [&rival, &user] {
        let known = caller.put(&path, api::media::OCTETS, guess.clone()).await;
        let known = known.refused(400, "malformed");
        let fresh = caller.put(&unknown, api::media::OCTETS, guess.clone()).await;
        let fresh = fresh.refused(400, "malformed");
        let same = api::Problem { expected: known.expected.clone(), ..fresh };
        assert_eq!(known, same);
    }
    let _first: BlobStored =
        rival.put(&path, api::media::OCTETS, content.clone()).await.expect(201);
    let _again: BlobStored = rival.put(&path, api::media::OCTETS, content).await.expect(200);
}

#[tokio::test]
async fn a_device_gets_what_a_deployment_for_it_names_and_nothing_else() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let rival = bench.tenant("rival").await;
    let device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    let stranger = bench.device("other").await;
    let stranger = Sim::new(&bench, &stranger);
    let [named, unnamed, foreign] = ["named", "unnamed", "foreign"].map(|text| text.as_bytes());
    let blob = |content: &[u8]| api::path::blob(&hexadecimal(&cose::sha256(content)));
    for (caller, content) in [(&user, named), (&user, unnamed), (&rival, foreign)] {
        let stored = caller.put(&blob(content), api::media::OCTETS, content.to_vec()).await;
        let _stored: BlobStored = stored.expect(201);
    }
    let envelope = Owner::new().ta_at(&bench.url, named);

    device.broker.get(&blob(named)).await.refused(404, "not-found");
    user.upload(&id, PackageName::Ta, envelope.clone()).await;

    assert_eq!(device.broker.get(&blob(named)).await.body, named);
    assert_eq!(device.broker.get(&blob(&envelope)).await.body, envelope);
    device.broker.get(&blob(unnamed)).await.refused(404, "not-found");
    stranger.broker.get(&blob(named)).await.refused(404, "not-found");
    stranger.broker.get(&blob(&envelope)).await.refused(404, "not-found");

    let second = placed(&user, false).await.deployment;
    user.upload(&second, PackageName::Ta, Owner::new().ta_at(&bench.url, foreign)).await;
    device.broker.get(&blob(foreign)).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_package_that_names_too_many_blobs_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    let paths: String = (0..257)
        .map(|number: u32| api::path::blob(&hexadecimal(&cose::sha256(&number.to_be_bytes()))))
        .collect();

    let path = api::path::package(&id, PackageName::Ta);
    let envelope = Owner::new().ta_of(paths.as_bytes());
    let refused = user.put(&path, api::media::SUIT_ENVELOPE, envelope).await;

    let problem = refused.refused(422, "unsupported");
    assert_eq!(problem.check.as_deref(), Some("package.blobs"));
    assert_eq!(view(&user, &id).await.needs, [api::Need::Ta]);
}

#[tokio::test]
async fn a_package_is_stored_once_and_the_same_bytes_again_are_fine() {
    let bench = Bench::start_with("package_bytes_max = 10000\n").await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, true).await.deployment;
    let path = api::path::package(&id, PackageName::Ta);
    let put = |envelope| user.put(&path, api::media::SUIT_ENVELOPE, envelope);
    let envelope = owner.ta(1);

    user.put(&path, "application/cbor", envelope.clone()).await.refused(415, "media-type");
    put(vec![0; 10_001]).await.refused(413, "too-large");
    put(b"x".to_vec()).await.refused(400, "malformed");
    let first: PackageStored = put(envelope.clone()).await.expect(201);
    let second: PackageStored = put(envelope.clone()).await.expect(200);
    assert_eq!(first, second);
    assert_eq!(first.sequence_number, 1);
    let problem = put(owner.ta(2)).await.refused(409, "conflict");
    assert_eq!(problem.check.as_deref(), Some("once"));
    let path = api::path::package(&id, PackageName::Ta).replace("/ta", "/root");
    user.put(&path, api::media::SUIT_ENVELOPE, envelope).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_nonce_has_32_bytes() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    let path = api::path::attestations(&id);
    let early = user.post(&path, &json!({ "nonce": NONCE_TEXT })).await;
    assert_eq!(early.refused(409, "conflict").check.as_deref(), Some("order"));
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;

    for wrong in ["", "AAAA", "!", &"A".repeat(44)] {
        user.post(&path, &json!({ "nonce": wrong })).await.refused(400, "malformed");
    }
    attest(&user, &id).await;
}

#[tokio::test]
async fn a_long_poll_returns_when_something_changes() {
    let bench = Bench::start_with("poll_ms_max = 25000\n").await;
    let user = bench.tenant("acme").await;
    let device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    let seq = view(&user, &id).await.seq;

    let broker = device.broker.clone();
    let wake = api::path::wake("edge");
    let woken = tokio::spawn(async move { broker.get(&wake).await });
    let (watcher, path) = (user.clone(), api::path::deployment_after(&id, seq));
    let changed = tokio::spawn(async move { watcher.get(&path).await });
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let wrong = format!("{}?wait=soon", api::path::deployment(&id));
    user.get(&wrong).await.refused(400, "malformed");

    let changed: api::Deployment = changed.await.unwrap().expect(200);
    assert!(changed.seq > seq);
    let wake: api::Wake = woken.await.unwrap().expect(200);
    assert_eq!(wake.reason, api::WakeReason::Deploy);
}

#[tokio::test]
async fn the_end_of_the_program_ends_long_polls() {
    let bench = Bench::start_with("poll_ms_max = 25000\n").await;
    let device = enrolled(&bench, "edge").await;

    let wake = api::path::wake("edge");
    let poll = device.broker.get(&wake);
    let end = async {
        tokio::task::yield_now().await;
        bench.moc.close();
    };

    let (answer, ()) = tokio::join!(poll, end);
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn plain_http_is_served_on_loopback_alone() {
    let bench = Bench::start().await;
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();

    let (router, end) = (moc::http::router(bench.moc.clone()), std::future::pending());
    let refused = moc::http::serve(listener, None, router, bench.moc.limits(), end).await;

    assert!(matches!(refused, Err(moc::http::NotServed::NotLoopback(_))));
}

#[tokio::test]
async fn the_operator_is_made_once() {
    let bench = Bench::start().await;
    let config = crate::bench::config(bench.dir.path(), "");

    let again = bench.moc.initialise(&config).await;

    assert!(matches!(again, Err(moc::app::NotInitialised::Already)));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
