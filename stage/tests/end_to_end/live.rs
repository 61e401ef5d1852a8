//! Personalization Data that flows live through the Broker's relay: of any size, over cuts, in
//! constant memory, and never to a party that it is not for.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use device::{
    ComponentId, FailureCode,
    broker::{Piece, Reply, Request},
    frame,
};
use stage::{Canary, Device, Flow, Instance, Spec, Stage, User, flows};

use crate::troupe::{explained, get, limited, log, open_stage, refused, running, told, until};

#[test]
fn data_beyond_what_a_package_holds_flows_live_over_a_cut_in_constant_memory() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let canary = Canary::of(&flow);
    let project = project(&stage, &user, &flow, &canary, &device, DATA_BYTES);
    let before = [stage.moc.party.pid(), device.broker.pid()].map(peak_kib);

    let deploying = user.begin(&stage, &project, &device.name).unwrap();
    until("the appraisal", || log(&stage, "moc").contains("event=att:TEEP-Agent"));
    std::thread::sleep(Duration::from_millis(150));
    let moc_peak = peak_kib(stage.moc.party.pid());
    let first_broker = peak_kib(device.broker.pid());
    device.restart_broker().unwrap();
    assert!(!log(&stage, "moc").contains("event=PD->TA"), "too late to cut");
    let report = running(deploying.end_within(Duration::from_secs(120)).unwrap());

    let events: Vec<&str> =
        report["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, flow.load_sequence);
    assert_eq!(report["receipt"], true);
    assert!(!project.with_file_name("pd.suit").exists(), "no package holds the data");
    let second_broker = peak_kib(device.broker.pid());
    for (name, grown) in [
        ("the M/OC", moc_peak.max(peak_kib(stage.moc.party.pid())).saturating_sub(before[0])),
        ("the first Broker", first_broker.saturating_sub(before[1])),
        ("the second Broker", second_broker.saturating_sub(before[1])),
    ] {
        assert!(grown < 16 * 1024, "{name} grew by {grown} KiB for {DATA_BYTES} bytes of data");
    }
    let held = canary.search(&stage, &device).unwrap();
    assert_eq!(held, [], "the carriers hold the data");
    until("an answer", || {
        let ride = stage::Ride { from: "home", to: "work" };
        user.ride(&stage, &project, ride).is_ok()
    });
}

#[test]
fn a_tee_that_starts_anew_in_the_middle_gets_nothing_more_of_the_old_release() {
    let stage = open_stage!();
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let project = project(&stage, &user, &flow, &Canary::of(&flow), &device, DATA_BYTES);
    let deploying = user.begin(&stage, &project, &device.name).unwrap();
    until("the appraisal", || log(&stage, "moc").contains("event=att:TEEP-Agent"));
    std::thread::sleep(Duration::from_millis(2000));
    device.kill_tee().unwrap();
    device.start_tee().unwrap();

    let attempt = deploying.end_within(Duration::from_secs(120)).unwrap();

    let refusal = explained(refused(&stage, &user, &project, &attempt));
    assert_eq!((&*refusal.check, &*refusal.owner), ("release.live", "device"), "{refusal:#?}");
    assert!(!log(&stage, "edge-1-tee").contains("personalization data was released"));
    running(user.attempt(&stage, &project, &device.name).unwrap());
}

/// Where the data belongs to a package, the package goes through the TAM and names it by its
/// digest; the same bytes come live, past the M/OC, range by range.
#[test]
fn data_of_a_package_flows_live_past_the_moc_over_a_cut_in_constant_memory() {
    let mut stage = open_stage!();
    limited(&mut stage, "wake_again_ms = 3000");
    let mut device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    for case in [1, 4, 5] {
        let flow = flow(case);
        let canary = Canary::of(&flow);
        let project = project(&stage, &user, &flow, &canary, &device, DATA_BYTES);
        let before = [stage.moc.party.pid(), device.broker.pid()].map(peak_kib);
        let spool = project.with_file_name("pd.sealed");

        let deploying = user.begin(&stage, &project, &device.name).unwrap();
        until("the package", || spool.exists() && asked(&stage, &device, case));
        let first_broker = peak_kib(device.broker.pid());
        if case == 4 {
            device.restart_broker().unwrap();
        }
        let attempt = deploying.end_within(Duration::from_secs(120)).unwrap();

        if case == 4 && attempt.code == Some(3) {
            // The session died with its Broker, and nothing was installed: it begins anew.
            let refusal = explained(told(&project, &attempt));
            assert_eq!(refusal.owner, "device", "{refusal:#?}");
            running(user.attempt(&stage, &project, &device.name).unwrap());
        } else {
            let report = running(attempt);
            let events = report["events"].as_array().unwrap();
            let events: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
            let mut expected = flow.load_sequence.clone();
            if case == 5 {
                expected.insert(2, "att:TEEP-Agent".to_owned());
            }
            assert_eq!(events, expected, "case {case}");
            assert_eq!(report["receipt"], true);
        }
        assert!(!spool.exists(), "nothing is left beside the project");
        let grown = [
            ("the M/OC", peak_kib(stage.moc.party.pid()).saturating_sub(before[0])),
            (
                "the Broker",
                first_broker.max(peak_kib(device.broker.pid())).saturating_sub(before[1]),
            ),
        ];
        // Less than the data. In case 5 the UA that the TA hands out passes the Broker whole, too,
        // 5 MB in a few copies; that the data does not is what the other cases say.
        let data_kib = DATA_BYTES as u64 / 1024;
        let limit_kib = if case == 5 { data_kib + 12 * 1024 } else { data_kib };
        for (name, grown) in grown {
            assert!(grown < limit_kib, "case {case}: {name} grew by {grown} KiB");
        }
        assert_eq!(canary.search(&stage, &device).unwrap(), [], "the carriers hold the data");
        until("an answer", || {
            let ride = stage::Ride { from: "home", to: "work" };
            user.ride(&stage, &project, ride).is_ok()
        });
    }
}

#[test]
fn a_package_whose_data_nobody_gives_live_installs_nothing() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(4);
    let project = project(&stage, &user, &flow, &Canary::of(&flow), &device, 0);
    let text = fs::read_to_string(&project).unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = elsewhere.local_addr().unwrap().to_string();
    fs::write(&project, text.replace(&device.relay, &address)).unwrap();

    let attempt = user.attempt(&stage, &project, &device.name).unwrap();

    let refusal = explained(told(&project, &attempt));
    assert_eq!(refusal.check, "suit.operation-failed", "{refusal:#?}");
    let told = log(&stage, "edge-1-tee");
    assert!(told.contains("nobody gave the payload at the relay"), "{told}");
    assert!(!told.contains("personalization data was released"));
    fs::write(&project, &text).unwrap();
    running(user.attempt(&stage, &project, &device.name).unwrap());
}

#[test]
fn a_relay_that_is_not_there_is_said_and_nothing_moves() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let project = project(&stage, &user, &flow, &Canary::of(&flow), &device, 0);
    let text = fs::read_to_string(&project).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    fs::write(&project, text.replace(&device.relay, &nobody)).unwrap();

    let attempt = user.attempt(&stage, &project, &device.name).unwrap();

    assert_eq!(attempt.code, Some(4), "{:#} {}", attempt.report, attempt.said);
    assert!(attempt.said.contains(&nobody), "{}", attempt.said);
    assert!(!log(&stage, "edge-1-tee").contains("personalization data was released"));
    fs::write(&project, &text).unwrap();
    running(user.attempt(&stage, &project, &device.name).unwrap());
}

#[test]
fn the_relay_carries_releases_alone_and_a_stranger_s_opens_nothing() {
    let stage = open_stage!();
    let device = stage.device(&Spec::sgx("edge-1")).unwrap();
    let user = stage.user("oda").unwrap();
    let flow = flow(3);
    let project = project(&stage, &user, &flow, &Canary::of(&flow), &device, 0);
    let report = running(user.attempt(&stage, &project, &device.name).unwrap());
    let component = component(&stage, &user, report["deployment"].as_str().unwrap());

    let mut relay = TcpStream::connect(&device.relay).unwrap();
    let ask = |relay: &mut TcpStream, request: &Request| -> FailureCode {
        match frame::ask(relay, request).unwrap() {
            Reply::Failed(failure) => failure.code,
            other => panic!("{other:?}"),
        }
    };
    for request in [Request::Describe, Request::RequestPolicyCheck] {
        assert_eq!(ask(&mut relay, &request), FailureCode::Unsupported);
    }
    let piece = |bytes: &[u8]| Piece { stream: [1; 32], offset: 0, bytes: bytes.to_vec() };
    let take = |component, bytes| Request::TakeRelease { component, piece: piece(bytes) };
    let nobody = ComponentId::new(vec![vec![7; 32], b"nobody".to_vec()]).unwrap();
    assert_eq!(ask(&mut relay, &take(nobody, b"?")), FailureCode::Absent);
    // No exchange is open any more, and without one nothing is taken.
    assert_eq!(ask(&mut relay, &take(component, &[0; 4096])), FailureCode::Untrusted);
}

/// The project of a row, whose data flows live; blanks bring it to its size.
pub(crate) fn project(
    stage: &Stage,
    user: &User,
    flow: &Flow,
    canary: &Canary,
    device: &Device,
    bytes: usize,
) -> PathBuf {
    let project = flow.project(stage, user, canary).unwrap();
    let text = fs::read_to_string(&project).unwrap();
    let relayed = format!("file = \"pd.json\"\nrelay = \"{}\"", device.relay);
    fs::write(&project, text.replace("file = \"pd.json\"", &relayed)).unwrap();
    let mut data = canary.data();
    data.resize(bytes.max(data.len()), b' ');
    fs::write(project.with_file_name("pd.json"), data).unwrap();
    project
}

/// The TA of a deployment, by the owner's key and its name.
fn component(stage: &Stage, user: &User, deployment: &str) -> ComponentId {
    let shown = get(stage, user, &format!("/v1/deployments/{deployment}"));
    assert_eq!(shown["state"], "running", "{shown:#}");
    let home = fs::read(user.home().join("owner.pub")).unwrap();
    let owner = cose::Key::decode(&home).unwrap().thumbprint();
    ComponentId::new(vec![owner.0.to_vec(), flow(3).name().into_bytes()]).unwrap()
}

/// Whether the TEE has been handed the package that holds the data.
fn asked(stage: &Stage, device: &Device, case: u8) -> bool {
    let log = log(stage, &format!("{}-tee", device.name));
    let manifest = format!("case-{case}-");
    log.lines().any(|line| line.contains("a manifest is authentic") && line.contains(&manifest))
}

/// A row with UA as a process on SGX.
fn flow(case: u8) -> Flow {
    let wanted = |flow: &Flow| {
        (flow.case, &*flow.hardware, flow.instance, flow.with_ua)
            == (case, "SGX", Instance::Process, true)
    };
    flows().into_iter().find(wanted).unwrap()
}

/// The most memory that a process had.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// More than a package can hold, and a frame between Agent and TA.
const DATA_BYTES: usize = 20 * 1024 * 1024;
