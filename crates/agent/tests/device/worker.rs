//! The real worker process: what it enforces, and what becomes of it when its component is bad.

use std::sync::Arc;

use agent::backend::process::{Limits, ModuleCache, ProcessBackend};
use agent::backend::{Backend, Crash, Failed, FaultCode, Holds, Program};
use agent::seal::Sealer;
use agent::store::Folder;
use agent::ta::{Applications, Facts, Room, Standing};
use channel::Suites;
use cose::Thumbprint;
use device::broker::Piece;
use device::tee::SealingKey;
use rats::eat::InstanceType;
use suit::ComponentId;

use crate::component;

#[test]
fn a_worker_reports_what_it_really_enforces() {
    let instance = backend(LIMITS).start(program(&component::echo())).unwrap();

    let claim = instance.claim();

    assert_eq!(claim.kind.name(), "process");
    assert_eq!(claim.submodule.as_deref(), Some("wasmtime"));
    for fence in ["no_new_privs", "rlimits", "seccomp"] {
        assert!(claim.isolation.iter().any(|name| name == fence), "{fence}");
    }
}

#[test]
fn where_no_memory_may_become_code_a_component_is_interpreted() {
    let limits = Limits { interpret: true, ..LIMITS };

    let instance = backend(limits).start(program(&component::echo())).unwrap();

    let claim = instance.claim();
    assert_eq!(claim.submodule.as_deref(), Some("wasmtime-pulley"));
    assert!(claim.isolation.contains(&"no-code-generation".to_owned()), "{claim:?}");
}

#[test]
fn the_second_start_of_a_module_takes_the_code_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = || {
        let sealer = Sealer::new(&SealingKey::new([1; 32]));
        Arc::new(ModuleCache::on(Box::new(Folder::open(folder.path()).unwrap()), sealer))
    };
    let start = || backend(LIMITS).with_cache(cache()).start(program(&component::echo()));
    assert!(start().is_ok());
    let kept = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let made = std::fs::metadata(&kept).unwrap().modified().unwrap();

    assert!(start().is_ok());

    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), made, "not made again");
    std::fs::write(&kept, b"code of the REE").unwrap();
    assert!(start().is_ok());
    assert_ne!(std::fs::read(&kept).unwrap(), b"code of the REE");
}

#[test]
fn every_instance_and_every_exchange_has_its_own_key() {
    let echo = component::echo();
    let backend = backend(LIMITS);
    let mut one = backend.start(program(&echo)).unwrap();
    let two = backend.start(program(&echo)).unwrap();

    let mut made = || one.new_receiver(&Suites::default()).unwrap();
    let (first, second) = (made(), made());

    assert_ne!(one.service_key(), two.service_key());
    assert!(first.iter().all(|key| !second.contains(key)));
    assert!(!first.contains(one.service_key()));
}

#[test]
fn what_is_no_trusted_application_does_not_start() {
    for (module, fault) in [
        (b"not wasm".to_vec(), FaultCode::NotAComponent),
        (component::importing(), FaultCode::Imports),
        (wat::parse_str("(component)").unwrap(), FaultCode::Exports),
        (component::large(), FaultCode::NotStarted),
    ] {
        let limits = Limits { memory_bytes_max: 1 << 20, ..LIMITS };

        let started = backend(limits).start(program(&module));

        assert_eq!(started.err(), Some(Failed::Crashed(Crash::Fault(fault))));
    }
}

#[test]
fn a_component_that_never_ends_its_start_is_ended() {
    let limits = Limits { call_ms_max: 50, ..LIMITS };

    let started = backend(limits).start(program(&component::looping_at_start()));

    assert_eq!(started.err(), Some(Failed::Crashed(Crash::Fault(FaultCode::Deadline))));
}

#[test]
fn nothing_is_opened_without_a_receiver_and_nobody_is_served_without_a_release() {
    let mut instance = backend(LIMITS).start(program(&component::echo())).unwrap();

    let piece = Piece { stream: [1; 32], offset: 0, bytes: vec![0; 100] };
    let taken = instance.take(Thumbprint([1; 32]), piece, Holds::Data);
    assert!(matches!(taken, Err(Failed::Refused(_))));
    assert!(matches!(instance.call(vec![0; 100]), Err(Failed::Refused(_))));
    assert!(instance.alive());
}

#[test]
fn a_killed_worker_is_noticed_and_comes_back_without_its_data() {
    let applications = applications(backend(LIMITS));
    let ta = applications.start(facts(), component::echo().into()).unwrap();
    let before = ta.service_key().unwrap();

    ta.restart();

    assert_eq!(ta.standing(), Standing::AwaitingRelease);
    assert_ne!(ta.service_key().unwrap(), before);
}

#[test]
fn an_application_that_would_not_fit_is_refused_before_it_starts_and_a_newer_one_is_not() {
    let module = component::echo();
    let each_bytes = 4 << 20;
    let room = Room { total_bytes: 2 * (each_bytes + module.len() as u64), each_bytes };
    let applications = applications(backend(LIMITS)).with_room(room);
    let start = |name: &str, sequence_number| {
        let component = ComponentId::in_tee(Thumbprint([1; 32]), name).unwrap();
        let manifest = component.manifest().unwrap();
        let facts = Facts { component, manifest, sequence_number, ..facts() };
        applications.start(facts, module.clone().into())
    };
    for name in ["one", "two"] {
        applications.admit(start(name, 1).unwrap());
    }

    let needed = each_bytes + module.len() as u64;
    assert_eq!(start("three", 1).unwrap_err(), Failed::NoRoom { needed, free: 0 });
    assert!(start("two", 2).is_ok());
    applications.forget(&applications.all()[0].facts().manifest.clone());
    assert!(start("three", 1).is_ok());
}

#[test]
fn a_program_that_is_no_agent_is_not_taken_for_a_worker() {
    let started = ProcessBackend::new("/bin/true", LIMITS).start(program(&component::echo()));

    assert_eq!(started.err(), Some(Failed::Crashed(Crash::Gone)));
}

#[test]
fn an_application_that_does_not_start_waits_before_it_is_tried_again() {
    let applications = applications(ProcessBackend::new("/bin/true", LIMITS));
    applications.restore(facts(), component::echo().into()).unwrap();
    let ta = applications.component(&facts().component).unwrap();

    assert_eq!(ta.standing(), Standing::Crashed(Crash::Gone));
    assert_eq!(ta.call(Vec::new()), Err(Failed::Crashed(Crash::Gone)));
}

fn applications(backend: ProcessBackend) -> Applications {
    let backend: Arc<dyn Backend> = Arc::new(backend);
    Applications::new([(InstanceType::Process, backend)].into())
}

fn backend(limits: Limits) -> ProcessBackend {
    ProcessBackend::new(env!("CARGO_BIN_EXE_tamarack-agent"), limits)
}

fn program(module: &[u8]) -> Program<'_> {
    Program { manifest_digest: [2; 32], module }
}

fn facts() -> Facts {
    let component = ComponentId::in_tee(Thumbprint([1; 32]), "planner").unwrap();
    Facts {
        manifest: component.manifest().unwrap(),
        component,
        owner: Thumbprint([1; 32]),
        manifest_digest: [2; 32],
        sequence_number: 1,
        instance: InstanceType::Process,
    }
}

const LIMITS: Limits =
    Limits { memory_bytes_max: 4 << 20, call_ms_max: 10_000, cpu_s_max: 60, interpret: false };
