//! Where requests find their place: constraints, room, slots that nobody else has, and their end.

use api::{
    Capacity, Constraints, Deployment, DeviceView, InstanceType, PostDevice, PostRequest,
    RequestPlaced, Resources, Strategy, TcbLevel,
};
use serde_json::json;

use crate::{
    audience::{Answer, Caller},
    bench::{Bench, sgx},
    case3::view,
    sim::Sim,
};

/// An attested device.
async fn attested(bench: &Bench, device: &PostDevice) -> Sim {
    let added = bench.add(device).await;
    let mut sim = Sim::new(bench, &added);
    sim.work().await;
    sim
}

fn with_slots(name: &str, slots: u64) -> PostDevice {
    PostDevice { capacity: Capacity { slots: Some(slots), ..Capacity::default() }, ..sgx(name) }
}

fn asked(constraints: Constraints) -> PostRequest {
    PostRequest {
        case: 3,
        lease_s: None,
        instance: InstanceType::Process,
        hardware: Vec::new(),
        with_ua: false,
        device: None,
        zone: None,
        emulated: true,
        constraints,
    }
}

async fn ask(user: &Caller, constraints: Constraints) -> Answer {
    user.post(api::path::REQUESTS, &asked(constraints)).await
}

#[tokio::test]
async fn a_request_finds_the_device_that_meets_every_constraint() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let capacity = Capacity { slots: Some(3), memory_mib: Some(1024), cpu_milli: Some(2000) };
    let near = PostDevice {
        jurisdiction: Some("JP".into()),
        latency_ms: Some(4),
        capacity,
        ..sgx("near")
    };
    let far = PostDevice { latency_ms: Some(80), ..near.clone() };
    attested(&bench, &near).await;
    attested(&bench, &PostDevice { device: "far".into(), ..far }).await;
    attested(&bench, &sgx("unknown")).await;
    let constraints = Constraints {
        latency_ms_max: Some(10),
        tcb_min: Some(TcbLevel::UpToDate),
        attested_within_s: Some(60),
        jurisdictions: vec!["JP".into()],
        resources: Resources { memory_mib: 600, cpu_milli: 500 },
        ..Constraints::default()
    };

    let placed: RequestPlaced = ask(&user, constraints.clone()).await.expect(201);

    assert_eq!(placed.device, "near");
    assert_eq!(
        placed.reasons[1..],
        [
            "far: latency: expected at most 10 ms, seen 80 ms",
            "unknown: jurisdiction: expected JP, seen unknown",
        ]
    );
    let shown: DeviceView = bench.operator.get(&api::path::device("near")).await.expect(200);
    let left = Capacity { slots: Some(2), memory_mib: Some(424), cpu_milli: Some(1500) };
    assert_eq!((shown.headroom, shown.deployments), (left, 1));
    assert_eq!(shown.tcb_level, Some(TcbLevel::UpToDate));
    assert_eq!(shown.attested_at_ms, Some(bench.clock.now_ms()));

    let problem = ask(&user, constraints.clone()).await.refused(409, "no-place");
    let memory = problem.candidates.iter().find(|out| out.device == "near").unwrap();
    assert_eq!((memory.constraint.as_str(), memory.seen.as_str()), ("memory", "424 MiB"));
    assert_eq!(problem.detail.as_deref(), Some("left out by jurisdiction 1, latency 1, memory 1"));
    bench.clock.advance_ms(61_000);
    let problem = ask(&user, constraints).await.refused(409, "no-place");
    let old = problem.candidates.iter().find(|out| out.device == "near").unwrap();
    assert_eq!((old.constraint.as_str(), old.seen.as_str()), ("attestation-age", "61 s ago"));
}

#[tokio::test]
async fn what_is_asked_of_a_place_is_read_strictly() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    for (constraints, check) in [
        (json!({ "jurisdictions": ["jp"] }), "jurisdiction"),
        (json!({ "apart": "Map" }), "name"),
        (json!({ "resources": { "memory_mib": 1_u64 << 41 } }), "resources"),
        (json!({ "tcb_min": "UpToDate" }), "json"),
        (json!({ "colour": "red" }), "json"),
    ] {
        let asked = json!({ "case": 3, "instance": "process", "constraints": constraints });
        let problem = user.post(api::path::REQUESTS, &asked).await.refused(400, "malformed");
        assert_eq!(problem.check.as_deref(), Some(check));
    }
    for (member, value, check) in [
        ("jurisdiction", json!("Japan"), "jurisdiction"),
        ("capacity", json!({ "slots": 1_u64 << 41 }), "capacity"),
    ] {
        let mut device = json!(sgx("edge"));
        device[member] = value;
        let refused = bench.operator.post(api::path::DEVICES, &device).await;
        assert_eq!(refused.refused(400, "malformed").check.as_deref(), Some(check));
    }
}

#[tokio::test]
async fn deployments_of_one_name_stand_apart_and_those_of_another_tenant_do_not_matter() {
    let bench = Bench::start().await;
    let (acme, rival) = (bench.tenant("acme").await, bench.tenant("rival").await);
    attested(&bench, &sgx("one")).await;
    attested(&bench, &sgx("two")).await;
    let pack = || Constraints {
        apart: Some("map".into()),
        strategy: Strategy::Pack,
        ..Constraints::default()
    };

    let first: RequestPlaced = ask(&acme, pack()).await.expect(201);
    let second: RequestPlaced = ask(&acme, pack()).await.expect(201);
    let third = ask(&acme, pack()).await.refused(409, "no-place");
    let other: RequestPlaced = ask(&rival, pack()).await.expect(201);

    assert_eq!((first.device.as_str(), second.device.as_str()), ("one", "two"));
    assert!(third.candidates.iter().all(|out| out.constraint == "apart"));
    assert_eq!(other.device, "one");
}

#[tokio::test]
async fn spread_and_pack_go_opposite_ways() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    attested(&bench, &sgx("one")).await;
    attested(&bench, &sgx("two")).await;
    let place = async |strategy| {
        let constraints = Constraints { strategy, ..Constraints::default() };
        let placed: RequestPlaced = ask(&user, constraints).await.expect(201);
        placed.device
    };

    assert_eq!(place(Strategy::Pack).await, "one");
    assert_eq!(place(Strategy::Pack).await, "one");
    assert_eq!(place(Strategy::Spread).await, "two");
    assert_eq!(place(Strategy::Spread).await, "two");
    assert_eq!(place(Strategy::Spread).await, "one");
}

#[tokio::test]
async fn two_replicas_never_give_the_same_slot() {
    let bench = Bench::start().await;
    let tenant: api::TenantAdded =
        bench.operator.post(api::path::TENANTS, &json!({ "name": "acme" })).await.expect(201);
    let user = bench.caller(&tenant.token);
    attested(&bench, &with_slots("one", 5)).await;
    attested(&bench, &with_slots("two", 4)).await;
    let replica = bench.replica().await;
    let pack = Constraints { strategy: Strategy::Pack, ..Constraints::default() };
    let asked = asked(pack);

    let asking: Vec<_> = (0..24)
        .map(|number| {
            let moc = if number % 2 == 0 { bench.moc.clone() } else { replica.clone() };
            let (asked, tenant) = (asked.clone(), tenant.tenant.clone());
            tokio::spawn(async move { moc.place(&tenant, &asked, None).await })
        })
        .collect();
    let mut placed = Vec::new();
    for one in asking {
        placed.extend(one.await.unwrap().ok());
    }

    let mut places = Vec::new();
    for one in &placed {
        let shown = view(&user, &one.deployment).await;
        let place = shown.reservation.unwrap();
        places.push((shown.device, place.slot, place.fence));
    }
    places.sort();
    let (devices, fences): (Vec<_>, Vec<u64>) =
        places.iter().map(|(device, slot, fence)| ((device.as_str(), *slot), *fence)).unzip();
    let all = (0..5).map(|slot| ("one", slot)).chain((0..4).map(|slot| ("two", slot)));
    assert_eq!(devices, all.collect::<Vec<_>>());
    assert!(fences[..5].windows(2).all(|pair| pair[0] < pair[1]), "{fences:?}");
    user.post(api::path::REQUESTS, &asked).await.refused(409, "no-place");
}

#[tokio::test]
async fn a_place_is_given_back_when_nobody_goes_on_and_not_before() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    attested(&bench, &with_slots("edge", 1)).await;
    let first: RequestPlaced = ask(&user, Constraints::default()).await.expect(201);
    ask(&user, Constraints::default()).await.refused(409, "no-place");
    let until_ms = view(&user, &first.deployment).await.reservation.unwrap().until_ms;
    assert_eq!(until_ms, Some(bench.clock.now_ms() + 3_600_000));

    bench.clock.advance_ms(3_599_999);
    bench.moc.sweep().await.unwrap();
    assert!(view(&user, &first.deployment).await.failure.is_none());
    bench.clock.advance_ms(1);
    bench.moc.sweep().await.unwrap();

    let ended: Deployment = view(&user, &first.deployment).await;
    let failure = ended.failure.unwrap();
    assert_eq!(failure.check.as_deref(), Some("reservation"));
    assert_eq!(
        failure.expected.as_deref(),
        Some("TA->ConfidentialProcess (draft section 4.3) within 3600 s")
    );
    assert_eq!(ended.reservation, None);
    let second: RequestPlaced = ask(&user, Constraints::default()).await.expect(201);
    let place = view(&user, &second.deployment).await.reservation.unwrap();
    assert_eq!((place.slot, place.fence), (0, 2));
}
