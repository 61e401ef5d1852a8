//! How devices join, what they are ordered to do, and how they end.

use api::{
    Deployment, DeviceAdded, DeviceState, DeviceView, JoinTokenView, JoinTokensAdded, Order,
    PackageName, PostDevice, RequestPlaced, State,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    audience::{Answer, send},
    bench::{Bench, sgx},
    case3::{Owner, attest, enrolled, placed, view},
    sim::Sim,
};

const HARDWARE: &str = "00112233445566778899aabbccddeeff";

async fn announce(bench: &Bench, device: &PostDevice, approved: bool) -> String {
    let asked = json!({ "devices": [device], "approved": approved });
    let added = bench.operator.post(api::path::JOIN_TOKENS, &asked).await;
    added.expect::<JoinTokensAdded>(201).tokens.remove(0).token
}

async fn join(bench: &Bench, token: &str, hardware_id: &str) -> Answer {
    let asked = json!({ "token": token, "hardware_id": hardware_id });
    bench.caller("").post(api::path::JOINS, &asked).await
}

fn bound(name: &str, hardware_id: &str) -> PostDevice {
    PostDevice { hardware_id: Some(hardware_id.into()), ..sgx(name) }
}

async fn order(bench: &Bench, device: &str, order: Order) -> Answer {
    let asked = json!({ "order": order, "reason": "a test" });
    bench.operator.post(&api::path::orders(device), &asked).await
}

async fn shown(bench: &Bench, device: &str) -> DeviceView {
    bench.operator.get(&api::path::device(device)).await.expect(200)
}

/// The hardware of an earlier simulated device under the name that it joined with.
fn on_hardware_of(bench: &Bench, first: &str, joined: &DeviceAdded) -> Sim {
    let added = DeviceAdded { device: first.into(), ..joined.clone() };
    let mut sim = Sim::new(bench, &added);
    sim.name.clone_from(&joined.device);
    sim
}

/// What the hardware of a simulated device is called.
async fn hardware_of(bench: &Bench, name: &str) -> String {
    enrolled(bench, name).await;
    shown(bench, name).await.seen_hardware_id.unwrap()
}

#[tokio::test]
async fn a_device_joins_is_appraised_and_takes_deployments_after_its_approval() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let hardware = hardware_of(&bench, "first").await;
    order(&bench, "first", Order::Retire).await.expect::<DeviceView>(200);
    let token = announce(&bench, &bound("edge", &hardware), false).await;

    let joined: DeviceAdded = join(&bench, &token, &hardware).await.expect(201);
    let mut device = on_hardware_of(&bench, "first", &joined);
    device.work().await;

    let waiting = shown(&bench, "edge").await;
    assert_eq!((waiting.state, waiting.seen_hardware_id), (DeviceState::Pending, Some(hardware)));
    assert!(waiting.verdict.unwrap().accepted);
    assert_eq!(device.wake().await, None);
    let ask = json!({ "case": 3, "instance": "process" });
    let refused = user.post(api::path::REQUESTS, &ask).await.refused(409, "no-place");
    assert_eq!(refused.candidates[0].seen, "pending");

    let approved: DeviceView = order(&bench, "edge", Order::Approve).await.expect(200);
    assert_eq!(approved.state, DeviceState::Attested);
    assert_eq!(approved.reason.as_deref(), Some("a test"));
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;
    assert_eq!(view(&user, &id).await.events.len(), 1);
    let log = bench.moc.store().decisions().await.unwrap();
    let about = log.iter().filter(|leaf| leaf.entry.subject == "device/edge");
    let told: Vec<&str> = about.map(|leaf| leaf.entry.decision.as_str()).collect();
    assert_eq!(told[..4], ["announced", "joined", "attested", "approved"]);
}

#[tokio::test]
async fn a_join_token_counts_once_for_its_hardware_and_until_its_end() {
    let bench = Bench::start().await;
    let token = announce(&bench, &bound("edge", HARDWARE), false).await;
    let listed: Vec<JoinTokenView> = bench.operator.get(api::path::JOIN_TOKENS).await.expect(200);
    assert_eq!((listed.len(), listed[0].hardware_id.as_str()), (1, HARDWARE));

    let other = "ff".repeat(16);
    let refused = join(&bench, &token, &other).await.refused(403, "untrusted");
    assert_eq!(refused.check.as_deref(), Some("device.hardware-id"));
    assert_eq!(refused.seen, Some(other));
    join(&bench, "tamarack-join-none", HARDWARE).await.refused(401, "unauthenticated");
    join(&bench, &token, HARDWARE).await.expect::<DeviceAdded>(201);
    join(&bench, &token, HARDWARE).await.refused(401, "unauthenticated");

    let token = announce(&bench, &bound("late", HARDWARE), false).await;
    bench.clock.advance_ms(604_800_000);
    join(&bench, &token, HARDWARE).await.refused(401, "unauthenticated");
    let token = announce(&bench, &bound("late", HARDWARE), false).await;
    let listed: Vec<JoinTokenView> = bench.operator.get(api::path::JOIN_TOKENS).await.expect(200);
    let end = bench.operator.request(Method::DELETE, &api::path::join_token(&listed[0].id));
    assert_eq!(send(end).await.status, 204);
    join(&bench, &token, HARDWARE).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_device_that_shows_other_hardware_than_it_was_announced_with_is_quarantined() {
    let bench = Bench::start().await;
    let token = announce(&bench, &bound("edge", HARDWARE), true).await;
    let joined: DeviceAdded = join(&bench, &token, HARDWARE).await.expect(201);

    Sim::new(&bench, &joined).work().await;

    let shown = shown(&bench, "edge").await;
    assert_eq!(shown.state, DeviceState::Quarantined);
    let verdict = shown.verdict.unwrap();
    let failed = verdict.checks.iter().find(|check| check.outcome == api::Outcome::Failed);
    let failed = failed.unwrap();
    assert_eq!((failed.check.as_str(), failed.expected.as_str()), ("device.hardware-id", HARDWARE));
    assert_eq!(Some(&failed.seen), shown.seen_hardware_id.as_ref());
}

#[tokio::test]
async fn a_manifest_is_imported_as_a_whole_or_not_at_all() {
    let bench = Bench::start().await;
    let post = async |devices: Value| {
        bench.operator.post(api::path::JOIN_TOKENS, &json!({ "devices": devices })).await
    };
    let many: Vec<PostDevice> =
        (0..1000).map(|number| bound(&format!("edge-{number}"), HARDWARE)).collect();
    let taken = [bound("edge-0", HARDWARE), bound("other", HARDWARE)];

    let added: JoinTokensAdded = post(json!(many)).await.expect(201);
    assert_eq!((added.tokens.len(), added.tokens[999].device.as_str()), (1000, "edge-999"));
    post(json!(taken)).await.refused(409, "conflict");
    bench.device("known").await;
    post(json!([bound("other", HARDWARE), bound("known", HARDWARE)]))
        .await
        .refused(409, "conflict");
    for (device, check) in [
        (json!([]), "devices"),
        (json!(vec![bound("x", HARDWARE); 1001]), "devices"),
        (json!([bound("other", HARDWARE), sgx("unbound")]), "hardware_id"),
        (json!([bound("other", HARDWARE), bound("x", "0011")]), "hardware_id"),
        (json!([bound("other", HARDWARE), bound("X", HARDWARE)]), "name"),
    ] {
        let problem = post(device).await.refused(400, "malformed");
        assert_eq!(problem.check.as_deref(), Some(check));
    }
    let long = json!({ "devices": [bound("other", HARDWARE)], "expires_in_s": 0 });
    let refused = bench.operator.post(api::path::JOIN_TOKENS, &long).await;
    assert_eq!(refused.refused(400, "malformed").check.as_deref(), Some("expires_in_s"));

    let client = sdk::MocClient::new(&bench.url, bench.operator.token(), None).unwrap();
    let listed = client.join_tokens().await.unwrap();
    assert!(listed.len() == 1000 && listed.iter().all(|token| token.device != "other"));
}

/// Every order in every state: either where it leads, or a conflict that names the state.
#[tokio::test]
async fn an_order_leads_where_the_table_says_and_nowhere_else() {
    use DeviceState::{Attested, Draining, Enrolled, Pending, Quarantined, Retired};
    let bench = Bench::start().await;
    let table = [
        (Pending, [Some(Enrolled), None, None, Some(Quarantined), Some(Retired)]),
        (Attested, [None, Some(Draining), None, Some(Quarantined), Some(Retired)]),
        (Draining, [None, None, Some(Attested), Some(Quarantined), Some(Retired)]),
        (Quarantined, [None, None, None, None, Some(Retired)]),
        (Retired, [None; 5]),
    ];
    for (number, (state, outcomes)) in table.into_iter().enumerate() {
        for (order, expected) in Order::ALL.into_iter().zip(outcomes) {
            let name = format!("{}-{number}", order.as_str());
            bring(&bench, &name, state).await;
            let answer = self::order(&bench, &name, order).await;
            let Some(expected) = expected else {
                let problem = answer.refused(409, "conflict");
                assert_eq!(problem.check.as_deref(), Some("device.state"));
                assert_eq!(problem.seen, Some(format!("{name} is {}", state.as_str())));
                assert_eq!(shown(&bench, &name).await.state, state);
                continue;
            };
            assert_eq!(answer.expect::<DeviceView>(200).state, expected, "{order} in {state:?}");
        }
    }
    order(&bench, "none", Order::Drain).await.refused(404, "not-found");
    let long = json!({ "order": "drain", "reason": "x".repeat(201) });
    let refused = bench.operator.post(&api::path::orders("drain-1"), &long).await;
    assert_eq!(refused.refused(400, "malformed").check.as_deref(), Some("reason"));
}

/// Makes a device that stands there.
async fn bring(bench: &Bench, name: &str, state: DeviceState) {
    if state == DeviceState::Pending {
        let token = announce(bench, &bound(name, HARDWARE), false).await;
        join(bench, &token, HARDWARE).await.expect::<DeviceAdded>(201);
        return;
    }
    enrolled(bench, name).await;
    let first = match state {
        DeviceState::Draining => Order::Drain,
        DeviceState::Quarantined => Order::Quarantine,
        DeviceState::Retired => Order::Retire,
        _ => return,
    };
    order(bench, name, first).await.expect::<DeviceView>(200);
}

#[tokio::test]
async fn a_device_that_drains_goes_on_with_what_it_has_and_takes_nothing_new() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;

    order(&bench, "edge", Order::Drain).await.expect::<DeviceView>(200);

    let ask = json!({ "case": 3, "instance": "process" });
    let refused = user.post(api::path::REQUESTS, &ask).await.refused(409, "no-place");
    assert_eq!(refused.candidates[0].seen, "draining");
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    assert_eq!(view(&user, &id).await.events.len(), 2);
    assert_eq!(shown(&bench, "edge").await.state, DeviceState::Draining);
    order(&bench, "edge", Order::Resume).await.expect::<DeviceView>(200);
    placed(&user, false).await;
}

#[tokio::test]
async fn a_quarantine_by_order_outlasts_good_evidence_and_ends_with_a_new_enrolment() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, Owner::new().ta(1)).await;
    let under_way = device.wake().await.unwrap().ticket.unwrap();

    order(&bench, "edge", Order::Quarantine).await.expect::<DeviceView>(200);

    let failed: Deployment = view(&user, &id).await;
    assert_eq!(failed.failure.unwrap().seen.as_deref(), Some("edge quarantined"));
    let handle = device.policy_check();
    device.session(handle, &api::path::tam_ticket(&under_way)).await;
    let handle = device.policy_check();
    device.session(handle, api::path::TAM).await;
    assert_eq!(device.installed.len(), 0);
    assert_eq!(shown(&bench, "edge").await.state, DeviceState::Quarantined);
    assert_eq!(device.wake().await, None);

    bench.operator.post(&api::path::enrolments("edge"), &json!({})).await;
    device.work().await;
    assert_eq!(shown(&bench, "edge").await.state, DeviceState::Attested);
}

#[tokio::test]
async fn a_device_that_is_retired_ends_with_everything_on_it_and_its_tee_may_come_again() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    user.upload(&id, PackageName::Pd, owner.pd(1)).await;
    device.work().await;
    assert_eq!(view(&user, &id).await.state, State::Running);

    order(&bench, "edge", Order::Retire).await.expect::<DeviceView>(200);

    let ended = view(&user, &id).await;
    assert_eq!((ended.state, ended.reservation), (State::Failed, None));
    assert_eq!(ended.failure.unwrap().seen.as_deref(), Some("edge retired"));
    device.broker.get(&api::path::wake("edge")).await.refused(401, "unauthenticated");
    let path = api::path::enrolments("edge");
    bench.operator.post(&path, &json!({})).await.refused(409, "conflict");
    bench.operator.post(api::path::DEVICES, &sgx("edge")).await.refused(409, "conflict");

    // The same Agent with the same keys, as another device.
    let again = bench.device("again").await;
    device.broker = bench.caller(&again.token);
    device.name = "again".into();
    device.work().await;
    assert_eq!(shown(&bench, "again").await.state, DeviceState::Attested);
    let placed: RequestPlaced = placed(&user, false).await;
    assert!(placed.reasons.iter().all(|reason| !reason.contains("edge")), "{placed:?}");
}

#[tokio::test]
async fn who_guesses_join_tokens_has_to_wait_and_leaves_nothing() {
    let bench = Bench::start_with("teep_burst_max = 3\nteep_per_second_max = 1\n").await;
    let before = bench.moc.store().log_size().await.unwrap();

    for _ in 0..3 {
        join(&bench, "tamarack-join-guess", HARDWARE).await.refused(401, "unauthenticated");
    }
    let refused = join(&bench, "tamarack-join-guess", HARDWARE).await;

    refused.refused(429, "too-many");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(bench.moc.store().log_size().await.unwrap(), before);
}
