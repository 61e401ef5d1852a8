use std::{collections::BTreeSet, path::Path};

use api::{
    Actor, Capacity, Constraints, DeviceState, Event, EventName, Hardware, InstanceType,
    PackageName, PostRequest, Problem, Resources, Role, Verdict,
};

use audit::tree::{self, Range};

use super::*;
use crate::deployment::{Failure, Machine, Plan};

async fn open(dir: &Path) -> Store {
    Store::open(dir).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;

    for number in 0..20 {
        store.commit(vec![tenant(&number.to_string())]).await.unwrap();
    }
    let digest = store.blobs().put(b"a payload").await.unwrap();
    copy(dir.path(), crashed.path());

    let reopened = open(crashed.path()).await;
    for number in 0..20 {
        let again = reopened.commit(vec![tenant(&number.to_string())]).await;
        assert!(matches!(again, Err(NotCommitted::Exists("tenant"))));
    }
    assert_eq!(reopened.blobs().get(digest).await.unwrap().unwrap(), b"a payload");
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();

    let mut writer = connect_writer(&dir.path().join("moc.db")).unwrap();

    let journal = sql::query("PRAGMA journal_mode").fetch_one(&mut writer).await.unwrap();
    assert_eq!(journal.text("journal_mode").unwrap(), Some("wal"));
    let synchronous = sql::query("PRAGMA synchronous").fetch_one(&mut writer).await.unwrap();
    assert_eq!(synchronous.int("synchronous").unwrap(), Some(FULL));
}

#[tokio::test]
async fn a_list_of_changes_is_applied_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(vec![tenant("a")]).await.unwrap();

    let refused = store.commit(vec![token("b", Role::TenantAdmin), tenant("a")]).await;

    assert!(matches!(refused, Err(NotCommitted::Exists("tenant"))));
    assert_eq!(store.token("b", 0).await.unwrap(), None);
    store.commit(vec![token("b", Role::TenantAdmin)]).await.unwrap();
    assert_eq!(store.token("b", 0).await.unwrap().unwrap().role, Role::TenantAdmin);
}

#[tokio::test]
async fn writes_that_wait_share_a_transaction_and_keep_their_own_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;

    let writes: Vec<_> = (0..200)
        .map(|number| {
            let store = store.clone();
            let name = (number % 100).to_string();
            tokio::spawn(async move { store.commit(vec![tenant(&name)]).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for write in writes {
        accepted += usize::from(write.await.unwrap());
    }

    assert_eq!(accepted, 100);
}

#[tokio::test]
async fn a_value_is_used_once_until_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let spend = || vec![Change::Use { value: vec![7; 64], until_ms: 100 }];

    store.commit(spend()).await.unwrap();

    assert!(matches!(store.commit(spend()).await, Err(NotCommitted::Used)));
    store.commit(vec![Change::Expire { now_ms: 99 }]).await.unwrap();
    assert!(matches!(store.commit(spend()).await, Err(NotCommitted::Used)));
    store.commit(vec![Change::Expire { now_ms: 100 }]).await.unwrap();
    store.commit(spend()).await.unwrap();
}

#[tokio::test]
async fn a_device_that_moved_on_since_it_was_read_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(vec![Change::AddDevice(device("edge"))]).await.unwrap();
    let read = store.device("edge").await.unwrap().unwrap();
    assert_eq!(read, device("edge"));
    let attested = DeviceRow {
        state: DeviceState::Attested,
        agent_key: Some(vec![1, 2]),
        agent_kid: Some("kid".into()),
        suite: Some(-9),
        emulated: Some(true),
        tcb_status: Some("UpToDate".into()),
        verdict: Some(Verdict { accepted: true, at_ms: 4, checks: Vec::new() }),
        ..read.clone()
    };

    store.commit(vec![Change::SaveDevice(attested.clone())]).await.unwrap();

    let again = store.commit(vec![Change::SaveDevice(read)]).await;
    assert!(matches!(again, Err(NotCommitted::Stale("device"))));
    let found = store.device_by_agent("kid").await.unwrap().unwrap();
    assert_eq!(found, DeviceRow { version: 1, ..attested });
}

#[tokio::test]
async fn two_devices_never_share_an_agents_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let with_key = |name: &str| DeviceRow { agent_kid: Some("kid".into()), ..device(name) };
    for name in ["one", "two"] {
        store.commit(vec![Change::AddDevice(device(name))]).await.unwrap();
    }

    store.commit(vec![Change::SaveDevice(with_key("one"))]).await.unwrap();

    let second = store.commit(vec![Change::SaveDevice(with_key("two"))]).await;
    assert!(matches!(second, Err(NotCommitted::Exists("agent key"))));
}

#[tokio::test]
async fn a_deployment_comes_back_with_all_that_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (request, deployment, package, event) = (request(), deployment(), package(), event());
    let receipt =
        ReceiptRow { deployment: "d".into(), tenant: "t".into(), receipt: vec![9, 9], at_ms: 8 };

    store
        .commit(vec![
            Change::AddRequest(request),
            Change::AddDeployment(deployment.clone()),
            Change::AddPackage(package.clone()),
            Change::AddEvent(event.clone()),
            Change::AddReceipt(receipt.clone()),
            Change::AddReceipt(receipt.clone()),
        ])
        .await
        .unwrap();

    assert_eq!(store.deployment("d").await.unwrap().unwrap(), deployment);
    assert_eq!(store.package("d", PackageName::Ta).await.unwrap().unwrap(), package);
    assert_eq!(store.package("d", PackageName::Ua).await.unwrap(), None);
    assert_eq!(store.packages("d").await.unwrap().len(), 1);
    let newest = store.newest_package("edge", &package.manifest_component).await.unwrap();
    assert_eq!(newest, Some(package));
    assert_eq!(store.events("d").await.unwrap(), [event]);
    assert_eq!(store.receipts("d").await.unwrap(), [receipt]);
    assert_eq!(store.load().await.unwrap(), [("edge".to_owned(), 1)]);
    assert_eq!(store.open_deployments("edge").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_deployment_is_overdue_when_its_deadline_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = DeploymentRow { deadline_ms: Some(50), ..deployment() };
    store.commit(vec![Change::AddDeployment(row)]).await.unwrap();

    assert_eq!(store.overdue(49).await.unwrap().len(), 0);
    assert_eq!(store.overdue(50).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slot_is_given_out_once_while_there_are_any_and_given_back_by_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    attest(&store, "edge").await;
    for name in ["a", "b"] {
        store.commit(placed(name, None)).await.unwrap();
    }

    let third = store.commit(placed("c", None)).await;

    assert!(matches!(third, Err(NotCommitted::Stale("place"))));
    assert_eq!(store.deployment("c").await.unwrap(), None);
    let held = async |name: &str| {
        let found = store.of("t").reservation(name).await.unwrap();
        found.map(|place| (place.slot, place.fence))
    };
    assert_eq!((held("a").await, held("b").await), (Some((0, 1)), Some((1, 2))));
    assert_eq!(store.of("other").reservation("a").await.unwrap(), None);

    let mut failed = store.deployment("a").await.unwrap().unwrap();
    failed.machine.fail(Failure::stranded("edge", None));
    store.commit(vec![Change::SaveDeployment(failed)]).await.unwrap();
    store.commit(placed("c", None)).await.unwrap();

    assert_eq!((held("a").await, held("c").await), (None, Some((0, 3))));
}

#[tokio::test]
async fn who_acts_for_a_slot_that_is_gone_comes_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    attest(&store, "edge").await;
    store.commit(placed("a", None)).await.unwrap();
    let row = store.deployment("a").await.unwrap().unwrap();
    assert_eq!(row.fence, 1);
    let mut other = connect_writer(&dir.path().join("moc.db")).unwrap();
    other.run("UPDATE reservations SET fence = 7").unwrap();

    let late = store.commit(vec![Change::SaveDeployment(row)]).await;

    assert!(matches!(late, Err(NotCommitted::Stale("deployment"))));
}

#[tokio::test]
async fn what_has_to_stand_apart_never_shares_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    attest(&store, "edge").await;
    store.commit(placed("a", Some("map"))).await.unwrap();

    let same = store.commit(placed("b", Some("map"))).await;

    assert!(matches!(same, Err(NotCommitted::Stale("place"))));
    assert_eq!(store.of("t").devices_apart("map").await.unwrap(), ["edge"]);
    assert_eq!(store.of("other").devices_apart("map").await.unwrap(), [""; 0]);
    store.commit(placed("b", Some("else"))).await.unwrap();
}

#[tokio::test]
async fn a_device_gives_no_more_than_it_has_and_none_of_what_nobody_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    attest(&store, "edge").await;
    let with = |name: &str, resources: Resources| {
        let mut changes = placed(name, None);
        changes[1] = Change::Reserve(NewReservation { resources, ..reservation(name, None) });
        changes
    };
    let memory = |memory_mib| Resources { memory_mib, cpu_milli: 0 };

    store.commit(with("a", memory(60))).await.unwrap();

    let more = store.commit(with("b", memory(5))).await;
    assert!(matches!(more, Err(NotCommitted::Stale("place"))));
    let uncounted = store.commit(with("b", Resources { memory_mib: 0, cpu_milli: 1 })).await;
    assert!(matches!(uncounted, Err(NotCommitted::Stale("place"))));
    store.commit(with("b", memory(4))).await.unwrap();
    let row = store.inventory().await.unwrap().remove(0);
    assert_eq!((row.usage.deployments, row.usage.resources), (2, memory(64)));
    assert_eq!(store.usage("a", "z").await.unwrap()[0].1, row.usage);
}

#[tokio::test]
async fn no_slot_is_given_out_on_a_device_that_is_not_attested() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(vec![Change::AddDevice(device("edge"))]).await.unwrap();

    let refused = store.commit(placed("a", None)).await;

    assert!(matches!(refused, Err(NotCommitted::Stale("device"))));
}

/// Deployments of a store of the fifth schema keep a slot, but those that have failed.
#[tokio::test]
async fn deployments_from_before_there_were_slots_hold_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = connect_writer(&dir.path().join("moc.db")).unwrap();
    schema::migrate_to(&mut writer, 5).await.unwrap();
    let open_machine = deployment().machine;
    let mut failed = open_machine.clone();
    failed.fail(Failure::stranded("edge", None));
    for (name, machine) in [("d1", &open_machine), ("d2", &open_machine), ("d3", &failed)] {
        sql::query(
            "INSERT INTO deployments (deployment, tenant, request, device, emulated, open, \
             machine, seq, created_ms) VALUES ($1, 't', 'r', 'edge', 1, $2, $3, 0, 1)",
        )
        .bind(name)
        .bind(i64::from(machine.is_open()))
        .bind(serde_json::to_string(machine).unwrap())
        .execute(&mut writer)
        .await
        .unwrap();
    }
    writer.close().unwrap();

    let store = open(dir.path()).await;

    let held = async |name: &str| store.of("t").reservation(name).await.unwrap().map(|r| r.slot);
    assert_eq!((held("d1").await, held("d2").await, held("d3").await), (Some(0), Some(1), None));
    let row = store.deployment("d1").await.unwrap().unwrap();
    store.commit(vec![Change::SaveDeployment(row)]).await.unwrap();
}

#[tokio::test]
async fn a_ticket_is_shown_once_and_forgotten_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = TicketRow {
        ticket: "hash".into(),
        errand: errand("edge"),
        woken_ms: Some(1),
        created_ms: 1,
        expires_ms: 10,
    };
    store.commit(vec![Change::AddTicket(row.clone())]).await.unwrap();
    assert_eq!(store.ticket("hash", 9).await.unwrap(), Some(row));
    assert_eq!(store.ticket("hash", 10).await.unwrap(), None);
    let show = || vec![Change::ShowTicket { ticket: "hash".into() }];

    store.commit(show()).await.unwrap();

    assert!(matches!(store.commit(show()).await, Err(NotCommitted::Used)));
    assert_eq!(store.ticket("hash", 9).await.unwrap(), None);
    assert_eq!(store.tickets("edge", 9).await.unwrap().len(), 1);
    store.commit(vec![Change::Expire { now_ms: 10 }]).await.unwrap();
    assert_eq!(store.tickets("edge", 9).await.unwrap(), []);
}

#[tokio::test]
async fn an_exchange_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let row = exchange(1, 5);
    store.commit(vec![Change::AddExchange(row.clone())]).await.unwrap();
    assert_eq!(store.exchange(&[1], 9).await.unwrap(), Some(row));
    let spend = || vec![Change::SpendExchange { correlation: vec![1] }];

    store.commit(spend()).await.unwrap();

    assert!(matches!(store.commit(spend()).await, Err(NotCommitted::Used)));
    assert_eq!(store.exchange(&[1], 9).await.unwrap(), None);
}

//= teep 14.31 (S): outstanding requests per device are bounded, the oldest is dropped
//= teep 15.115: the table of tokens has a cap and a time limit
#[tokio::test]
async fn the_oldest_exchange_of_a_device_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;

    for number in 1..=5 {
        store.commit(vec![Change::AddExchange(exchange(number, number.into()))]).await.unwrap();
    }

    assert_eq!(store.exchange(&[1], 0).await.unwrap(), None);
    assert!(store.exchange(&[2], 0).await.unwrap().is_some());
    assert_eq!(store.waiting().await.unwrap(), 4);
}

#[tokio::test]
async fn a_result_is_decided_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let pending = ResultRow {
        attestation: "a".into(),
        tenant: "t".into(),
        deployment: "d".into(),
        device: "edge".into(),
        user_nonce: vec![1; 32],
        state: ResultState::Pending,
        cmw: None,
        verdict: None,
        problem: None,
        created_ms: 1,
        decided_ms: None,
    };
    let refused = ResultRow {
        state: ResultState::Refused,
        problem: Some(Problem { status: 403, ..Problem::default() }),
        decided_ms: Some(2),
        ..pending.clone()
    };
    store.commit(vec![Change::AddResult(pending.clone())]).await.unwrap();
    assert_eq!(store.results("d").await.unwrap(), [pending]);

    store.commit(vec![Change::DecideResult(refused.clone())]).await.unwrap();

    let again = store.commit(vec![Change::DecideResult(refused.clone())]).await;
    assert!(matches!(again, Err(NotCommitted::Stale("attestation"))));
    assert_eq!(store.result("a").await.unwrap(), Some(refused));
}

#[tokio::test]
async fn decisions_are_a_merkle_tree_whose_stored_nodes_make_its_proofs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for number in 0..13_u64 {
        store.commit(vec![Change::AddDecision(decision(number))]).await.unwrap();
    }

    let leaves = store.decisions().await.unwrap();
    let size = store.log_size().await.unwrap();
    let root = store.log_hashes(&[Range::tree(size)]).await.unwrap()[0];

    assert_eq!(size, 13);
    assert_eq!(store.log(11, 1).await.unwrap(), leaves[11..12]);
    for (position, leaf) in (0..).zip(&leaves) {
        assert_eq!((leaf.entry.position, leaf.entry.at_ms), (position, position));
        let path = tree::inclusion(position, size).unwrap();
        let path = store.log_hashes(&path).await.unwrap();
        assert_eq!(tree::included(position, size, tree::leaf(&leaf.bytes), &path), Some(root));
    }
}

#[tokio::test]
async fn a_refused_list_of_changes_leaves_nothing_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(vec![tenant("a"), Change::AddDecision(decision(0))]).await.unwrap();

    let refused = store.commit(vec![Change::AddDecision(decision(1)), tenant("a")]).await;

    assert!(refused.is_err());
    assert_eq!(store.log_size().await.unwrap(), 1);
    store.commit(vec![Change::AddDecision(decision(1))]).await.unwrap();
    assert_eq!(store.log(1, 9).await.unwrap()[0].entry.position, 1);
}

#[tokio::test]
async fn a_step_is_in_the_log_with_the_digest_of_its_statement() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;

    store.commit(vec![Change::AddEvent(event())]).await.unwrap();

    let found = store.of("t").log_about("deployment/d").await.unwrap();
    assert_eq!(found[0].entry.decision, "UA->REE");
    assert_eq!(found[0].entry.statement, Some(cose::sha256(&event().statement)));
    assert_eq!(store.of("other").log_about("deployment/d").await.unwrap(), []);
}

/// A store of the first schema, with decisions in it, is what `0001_first.sql` alone makes.
#[tokio::test]
async fn decisions_of_the_first_schema_move_into_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = connect_writer(&dir.path().join("moc.db")).unwrap();
    schema::migrate_to(&mut writer, 1).await.unwrap();
    for number in 1..4 {
        let text = format!(
            "INSERT INTO decisions VALUES ({number}, 't', {number}, 'device/edge', 'attested', \
             'why', 'p', 'd{number}')"
        );
        writer.run(&text).unwrap();
    }
    writer.close().unwrap();

    let store = open(dir.path()).await;

    let times: Vec<u64> =
        store.decisions().await.unwrap().iter().map(|leaf| leaf.entry.at_ms).collect();
    assert_eq!(times, [1, 2, 3]);
    store.commit(vec![Change::AddDecision(decision(4))]).await.unwrap();
    assert_eq!(store.log_size().await.unwrap(), 4);
}

#[tokio::test]
async fn a_blob_has_the_digest_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let named = BlobDigest::of(b"one");

    let mut upload = store.blobs().upload(named).await.unwrap();
    upload.write(b"other").await.unwrap();
    let refused = upload.finish().await;

    let other = BlobDigest::of(b"other");
    assert!(matches!(refused, Err(UploadRefused::Digest { seen }) if seen == other));
    assert_eq!(store.blobs().len(named).await.unwrap(), None);
    assert_eq!(std::fs::read_dir(dir.path().join("blobs/unfinished")).unwrap().count(), 0);
}

#[test]
fn a_blob_is_named_in_lower_case() {
    let name = BlobDigest::of(b"one").to_string();

    assert_eq!(name.parse(), Ok(BlobDigest::of(b"one")));
    for wrong in [name.to_uppercase(), name[1..].to_owned(), format!("{name}0"), "../x".into()] {
        assert_eq!(wrong.parse::<BlobDigest>(), Err(NotADigest), "{wrong}");
    }
}

#[tokio::test]
async fn a_store_is_open_in_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;

    let second = Store::open(dir.path()).await;

    assert!(matches!(second, Err(StoreFailed::InUse(_))));
    drop(first);
    assert!(Store::open(dir.path()).await.is_ok());
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    let mut connection = connect_writer(&dir.path().join("moc.db")).unwrap();
    connection.run("INSERT INTO schema_versions (version, sha256) VALUES (99, 'x')").unwrap();

    let refused = Store::open(dir.path()).await;

    assert!(matches!(refused, Err(StoreFailed::Newer { found: 99, known: 8 })));
}

const FULL: i64 = 2;

fn tenant(name: &str) -> Change {
    Change::AddTenant { tenant: name.into(), name: name.into(), at_ms: 1 }
}

fn token(hash: &str, role: Role) -> Change {
    Change::AddToken(TokenRow {
        hash: hash.into(),
        name: "test".into(),
        role,
        tenant: "t".into(),
        device: String::new(),
        scopes: BTreeSet::new(),
        created_ms: 1,
        expires_ms: None,
    })
}

fn device(name: &str) -> DeviceRow {
    DeviceRow {
        device: name.into(),
        hardware: Hardware::Sgx,
        instances: vec![InstanceType::Process],
        zone: "north".into(),
        jurisdiction: "JP".into(),
        latency_ms: Some(5),
        capacity: Capacity { slots: Some(2), memory_mib: Some(64), cpu_milli: None },
        state: DeviceState::Enrolled,
        version: 0,
        agent_key: None,
        agent_kid: None,
        report_key: None,
        receipt_key: None,
        suite: None,
        emulated: None,
        tcb_status: None,
        verdict: None,
        attested_ms: None,
        duty: Duty::Serving,
        hardware_id: "0a".into(),
        seen_hardware_id: String::new(),
        reason: String::new(),
        epoch: 0,
        created_ms: 3,
    }
}

async fn attest(store: &Store, name: &str) {
    store.commit(vec![Change::AddDevice(device(name))]).await.unwrap();
    let attested = DeviceRow { state: DeviceState::Attested, ..device(name) };
    store.commit(vec![Change::SaveDevice(attested)]).await.unwrap();
}

fn placed(name: &str, apart: Option<&str>) -> Vec<Change> {
    let row = DeploymentRow { deployment: name.into(), ..deployment() };
    vec![Change::AddDeployment(row), Change::Reserve(reservation(name, apart))]
}

fn reservation(name: &str, apart: Option<&str>) -> NewReservation {
    NewReservation {
        device: "edge".into(),
        deployment: name.into(),
        tenant: "t".into(),
        apart: apart.map(str::to_owned),
        resources: Resources::default(),
    }
}

fn decision(at_ms: u64) -> NewDecision {
    NewDecision {
        tenant: "t".into(),
        at_ms,
        subject: "device/edge".into(),
        decision: "attested".into(),
        reason: "why".into(),
    }
}

fn request() -> RequestRow {
    let body = PostRequest {
        case: 3,
        lease_s: None,
        instance: InstanceType::Process,
        hardware: vec![Hardware::Sgx],
        with_ua: true,
        device: None,
        zone: None,
        emulated: true,
        constraints: Constraints::default(),
    };
    RequestRow {
        request: "r".into(),
        tenant: "t".into(),
        body,
        device: "edge".into(),
        reasons: vec!["edge: chosen".into()],
        created_ms: 4,
    }
}

fn deployment() -> DeploymentRow {
    let plan =
        Plan { case: 3, instance: InstanceType::Process, hardware: Hardware::Sgx, with_ua: true };
    DeploymentRow {
        deployment: "d".into(),
        tenant: "t".into(),
        request: "r".into(),
        device: "edge".into(),
        emulated: true,
        machine: Machine::new(plan).unwrap(),
        seq: 0,
        deadline_ms: None,
        fence: 0,
        reserved_until_ms: Some(9),
        created_ms: 4,
    }
}

fn package() -> PackageRow {
    PackageRow {
        deployment: "d".into(),
        package: PackageName::Ta,
        tenant: "t".into(),
        device: "edge".into(),
        sha256: "00".into(),
        owner: "11".into(),
        owner_key: vec![1],
        manifest_component: vec!["11".into(), "22".into()],
        components: vec![vec!["11".into(), "33".into()]],
        manifest_digest: "44".into(),
        sequence_number: 5,
        created_ms: 6,
    }
}

fn event() -> EventRow {
    EventRow {
        deployment: "d".into(),
        tenant: "t".into(),
        event: Event {
            seq: 1,
            event: EventName::UaToRee,
            actor: Actor::Broker,
            at_ms: 7,
            digest: "55".into(),
            cause: Some("66".into()),
        },
        statement: vec![1, 2, 3],
    }
}

fn errand(device: &str) -> Errand {
    Errand {
        tenant: "t".into(),
        device: device.into(),
        deployment: "d".into(),
        attestation: String::new(),
        purpose: Purpose::Deploy,
        step: "UA->REE".into(),
    }
}

fn exchange(correlation: u8, created_ms: u64) -> ExchangeRow {
    ExchangeRow {
        correlation: vec![correlation],
        errand: errand("edge"),
        session: vec![4, 5],
        created_ms,
        expires_ms: 1_000,
    }
}

/// What a crash leaves: the files as they are, whoever still has them open.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
