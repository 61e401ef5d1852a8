//! Native applications as processes and in containers: that they work, and that nothing they try
//! gets them out. The program is `hostile.rs`, compiled here as one static file.

use std::io::BufRead as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use agent::attester::{Attester, RuntimeRegister, Unavailable};
use agent::backend::container::ContainerBackend;
use agent::backend::process::{Limits, ProcessBackend};
use agent::backend::{
    Backend, Crash, Failed, FaultCode, Holds, Instance, Program, Progress, Refusal,
};
use channel::call::{self, Service};
use channel::release::{self, Binding, Role};
use channel::{PrivateKey, Suites};
use cose::{Algorithm, Signer as _};
use device::broker::Piece;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use image::Recipe;
use keys::{SigningKey, SystemEntropy};
use rats::runtime::Event;

use crate::component;

#[test]
fn a_native_application_keeps_its_data_and_answers_with_it() {
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        assert_eq!(ta.ask("?"), "data?", "{kind:?}");
        assert_eq!(ta.ask("!"), "data!", "{kind:?}");
        assert_eq!(ta.claim().submodule.as_deref(), Some("native"));
    }
}

#[test]
fn a_container_runs_a_component_of_its_image_too() {
    let image = Recipe::of_program(image::architecture(), "ta.wasm", component::echo()).unwrap();

    let Some(mut ta) = Ta::of_image(&image.build()) else { return };

    assert_eq!(ta.ask("?"), "data?");
    assert_eq!(ta.claim().submodule.as_deref(), Some("wasmtime"));
}

#[test]
fn a_container_says_what_separates_it_and_which_image_it_is() {
    let Some(program) = program() else { return };
    let archive = image_of(program);
    let image = image::open(&archive, image::architecture(), image::Limits::DEFAULT).unwrap();

    let Some(ta) = Ta::of_image(&archive) else { return };

    let claim = ta.claim();
    assert_eq!(claim.kind.name(), "container");
    for fence in [
        "user-namespace",
        "pid-namespace",
        "mount-namespace",
        "network-namespace",
        "read-only-root",
        "no_capabilities",
        "no_new_privs",
        "rlimits",
        "seccomp",
    ] {
        assert!(claim.isolation.iter().any(|name| name == fence), "{fence}: {claim:?}");
    }
    let named = claim.image.unwrap();
    assert_eq!((named.manifest, named.config), (image.manifest_digest, image.config_digest));
}

#[test]
fn a_container_is_measured_before_it_starts_and_does_not_start_unmeasured() {
    let register = Arc::new(Register::default());
    let measured = Arc::new(RuntimeRegister::new(register.clone()));
    let backend = ContainerBackend::new(AGENT, LIMITS).with_register(measured);
    let image = Recipe::of_program(image::architecture(), "ta.wasm", component::echo()).unwrap();
    let archive = image.build();
    if started(&archive).is_none() {
        return;
    }

    register.broken.store(true, Ordering::SeqCst);
    let refused = backend.start(described(&archive)).err().unwrap();
    assert!(matches!(refused, Failed::NotMeasured(_)), "{refused:?}");

    register.broken.store(false, Ordering::SeqCst);
    let claim = backend.start(described(&archive)).unwrap().claim();
    backend.start(described(&archive)).unwrap();
    let event = Event::container(&[2; 32], &claim.image.unwrap());
    assert_eq!(*register.extended.lock().unwrap(), [cose::sha384(&event)]);
}

#[test]
fn the_file_system_of_the_machine_is_out_of_reach() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "the Broker's").unwrap();
    let secret = secret.to_str().unwrap();
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        for attempt in [
            format!("read {secret}"),
            format!("write {secret}"),
            "read /etc/passwd".to_owned(),
            "write /escape".to_owned(),
            "write /proc/sys/kernel/hostname".to_owned(),
            "read /proc/2/environ".to_owned(),
            format!("list {}", folder.path().display()),
        ] {
            let answer = ta.ask(&attempt);
            assert!(answer.starts_with("errno "), "{kind:?} {attempt}: {answer}");
        }
        for attempt in ["read /proc/self/maps", "read /proc/1/environ"] {
            // A runtime's container has a `/proc`, in which it finds itself alone.
            let answer = ta.ask(attempt);
            assert!(kind == Kind::Runtime || answer.starts_with("errno "), "{kind:?}: {answer}");
        }
        match kind {
            Kind::Process | Kind::Vm => {
                assert_eq!(ta.try_ask("mount"), Err(FaultCode::Trapped));
            }
            Kind::Container | Kind::Runtime => assert_eq!(ta.ask("mount"), errno(libc::EPERM)),
        }
    }
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "the Broker's");
}

/// Only the Agent quotes, unseals and extends.
#[test]
fn the_interfaces_of_a_tee_are_out_of_reach() {
    // Stand-ins that everybody may use who is not locked in.
    let root = tempfile::tempdir_in("/tmp").unwrap();
    let paths = [
        "dev/attestation/user_report_data",
        "dev/attestation/keys/_sgx_mrenclave",
        "dev/sev-guest",
        "dev/tdx_guest",
        "sys/kernel/config/tsm/report/agent/inblob",
        "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384",
    ];
    for path in paths {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "before").unwrap();
    }
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        for path in paths {
            let stand_in = root.path().join(path);
            for attempt in ["read", "write"] {
                for at in [stand_in.to_str().unwrap(), &format!("/{path}")] {
                    let answer = ta.ask(&format!("{attempt} {at}"));
                    assert!(answer.starts_with("errno "), "{kind:?} {attempt} {at}: {answer}");
                }
            }
            assert_eq!(std::fs::read_to_string(stand_in).unwrap(), "before");
        }
        let reports = root.path().join("sys/kernel/config/tsm/report/own");
        let answer = ta.ask(&format!("mkdir {}", reports.display()));
        assert!(answer.starts_with("errno "), "{kind:?}: {answer}");
        let kept = ta.ask("descriptors");
        assert_eq!(kept, "0 1 2", "{kind:?}: no channel to a TEE is handed down");
    }
}

#[test]
fn a_container_sees_its_image_and_nothing_else() {
    let Some(mut ta) = Ta::container() else { return };

    assert_eq!(ta.ask("list /"), "dev ta tmp");
    assert_eq!(ta.ask("list /dev"), "null random urandom zero");
    assert_eq!(ta.ask("list /tmp"), "");
    assert_eq!(ta.ask("write /tmp/tamarack-test-note"), "written");
    assert_eq!(ta.ask("write /ta"), errno(libc::EROFS));
    assert_eq!(ta.ask("env"), "");
    assert!(!std::path::Path::new("/tmp/tamarack-test-note").exists());
}

#[test]
fn a_container_of_an_oci_runtime_sees_its_image_and_says_what_separates_it() {
    let Some(mut ta) = Ta::runtime() else { return };

    assert_eq!(ta.ask("list /"), "dev proc ta tmp");
    assert_eq!(ta.ask("write /tmp/tamarack-test-note"), "written");
    assert_eq!(ta.ask("write /ta"), errno(libc::EROFS));
    assert_eq!(ta.ask("ptrace 1"), errno(libc::EPERM));
    assert_eq!(ta.ask("unshare"), errno(libc::EPERM));
    let claim = ta.claim();
    assert_eq!((claim.kind.name(), claim.submodule.as_deref()), ("container", Some("native")));
    for fence in ["oci-runtime", "user-namespace", "network-namespace", "read-only-root"] {
        assert!(claim.isolation.iter().any(|name| name == fence), "{fence}: {claim:?}");
    }
}

#[test]
fn containers_of_an_agent_that_was_killed_are_ended_by_the_next() {
    let Some(runtime) = oci_runtime() else { return };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "native::orphaned", "--nocapture"])
        .env(ORPHANED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    while !said.starts_with("running ") {
        said = lines.next().unwrap().unwrap();
    }
    let folder = std::path::PathBuf::from(said.trim_start_matches("running "));
    child.kill().unwrap();
    child.wait().unwrap();

    let next = ContainerBackend::new(AGENT, LIMITS).with_runtime(&runtime);

    assert!(!folder.exists(), "{}", folder.display());
    drop(next);
}

/// Not a test of its own: it runs in the child of the one above, and is killed.
#[test]
fn orphaned() {
    if std::env::var_os(ORPHANED).is_none() {
        return;
    }
    let _ta = Ta::runtime().unwrap();
    let user = rustix::process::geteuid().as_raw();
    let all = std::fs::read_dir(format!("/dev/shm/tamarack-containers-{user}")).unwrap();
    let own = format!("{}-", std::process::id());
    let place = all.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(&own));
    println!("\nrunning {}", place.unwrap().path().display());
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn an_oci_runtime_that_fails_is_an_answer_and_components_start_all_the_same() {
    let Some(program) = program() else { return };
    let backend = ContainerBackend::new(AGENT, LIMITS).with_runtime("/bin/false".as_ref());

    let Some(Failed::Runtime(failed)) = backend.start(described(&image_of(program))).err() else {
        panic!("it started");
    };

    assert_eq!((failed.program.as_str(), failed.step), ("/bin/false", "starting"));
    let image = Recipe::of_program(image::architecture(), "ta.wasm", component::echo()).unwrap();
    match backend.start(described(&image.build())) {
        Ok(_) | Err(Failed::Crashed(Crash::Gone | Crash::Fault(FaultCode::NotIsolated))) => {}
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn neither_network_nor_sockets_of_others_are_reached() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let _unix = UnixListener::bind(&path).unwrap();
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        for attempt in [
            format!("connect {}", tcp.local_addr().unwrap()),
            format!("send {}", udp.local_addr().unwrap()),
            format!("unix {}", path.display()),
        ] {
            let answer = ta.ask(&attempt);
            // A runtime's container has a loopback of its own, where nobody listens.
            let lost = kind == Kind::Runtime && answer == "sent";
            assert!(lost || answer.starts_with("errno "), "{kind:?} {attempt}: {answer}");
        }
    }
    assert!(udp.recv(&mut [0]).is_err());
}

#[test]
fn other_processes_are_neither_seen_nor_signalled_nor_traced() {
    let me = std::process::id();
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        let killed = ta.ask(&format!("kill {me}"));
        assert!(killed.starts_with("errno "), "{kind:?}: {killed}");
        let killed = ta.ask("kill 1");
        assert!(kind != Kind::Process || killed.starts_with("errno "), "{kind:?}: {killed}");
        assert_eq!(ta.ask("?"), "data?", "{kind:?}: its custodian goes on");
    }
    let Some(mut ta) = Ta::container() else { return };
    assert_eq!(ta.ask("ptrace 1"), errno(libc::EPERM));
    assert_eq!(ta.ask("unshare"), errno(libc::EPERM));
    assert_eq!(ta.ask("pids"), "2");
    if program().is_some() {
        let mut ta = Ta::process(&process_backend());
        assert_eq!(ta.try_ask("ptrace 1"), Err(FaultCode::Trapped), "the filter ends it");
    }
}

#[test]
fn nothing_of_the_machine_can_be_started() {
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        let answer = ta.ask("spawn /bin/true");
        assert!(answer.starts_with("errno "), "{kind:?}: {answer}");
        let answer = ta.ask("fork");
        let forked: u32 = answer.parse().unwrap();
        match kind {
            Kind::Process | Kind::Vm => assert_eq!(forked, 0, "one process"),
            Kind::Container | Kind::Runtime => assert!(forked < 64, "{forked} processes"),
        }
    }
}

#[test]
fn memory_ends_and_the_application_with_it_or_without() {
    for kind in kinds() {
        let mut ta = Ta::start(kind);

        match ta.try_ask("memory") {
            Ok(answer) => assert_eq!(answer, errno(libc::ENOMEM), "{kind:?}"),
            Err(fault) => assert_eq!(fault, FaultCode::Trapped, "{kind:?}"),
        }
    }
}

#[test]
fn an_application_that_never_answers_ends_or_floods_is_ended() {
    for kind in kinds() {
        for (attempt, fault) in [
            ("spin", FaultCode::Deadline),
            ("exit", FaultCode::Trapped),
            ("flood", FaultCode::Trapped),
        ] {
            let mut ta = Ta::start(kind);

            assert_eq!(ta.try_ask(attempt), Err(fault), "{kind:?} {attempt}");
            wait_until("its end", || !ta.instance.alive());
        }
    }
}

#[test]
fn what_is_no_static_program_for_this_machine_is_refused() {
    let dynamic = std::fs::read("/bin/true").unwrap();
    let mut foreign = program().unwrap_or(&dynamic).to_vec();
    foreign[18] ^= 0xff;

    for program in [&dynamic[..], &foreign, b"\x7fELF"] {
        let started = process_backend().start(described(program));
        assert_eq!(started.err(), Some(Failed::Crashed(Crash::Fault(FaultCode::NotAProgram))));
    }
}

#[test]
fn a_hostile_image_is_refused_by_name_before_anything_starts() {
    let backend = container_backend();

    let other = if image::architecture() == "amd64" { "arm64" } else { "amd64" };
    let foreign = Recipe::of_program(other, "ta", b"\x7fELF".to_vec()).unwrap().build();
    for content in [b"no image".to_vec(), component::echo(), foreign] {
        let started = backend.start(described(&content));
        assert!(matches!(started.err(), Some(Failed::Image(_))));
    }
    let script = Recipe::of_program(image::architecture(), "ta", b"#!/bin/sh".to_vec()).unwrap();
    let started = backend.start(described(&script.build()));
    if let Some(Failed::Crashed(Crash::Fault(fault))) = started.err() {
        assert!(matches!(fault, FaultCode::NotExecuted | FaultCode::NotIsolated), "{fault:?}");
    } else {
        panic!("it started");
    }
}

#[test]
fn fifty_starts_and_stops_leave_no_process_mount_group_or_descriptor() {
    // In a process and a group of its own: other tests start and stop applications meanwhile.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "native::cycles", "--nocapture"])
        .env(CYCLES, "50")
        .process_group(0)
        .status()
        .unwrap();

    assert!(status.success());
}

/// Not a test of its own: it runs in the child of the one above.
#[test]
fn cycles() {
    let Some(cycles) = std::env::var(CYCLES).ok().and_then(|count| count.parse().ok()) else {
        return;
    };
    for kind in kinds() {
        drop(Ta::start(kind));
        wait_until("the end of the first", || Left::now().processes == 1);
        let before = Left::now();

        for _ in 0..cycles {
            drop(Ta::start(kind));
        }

        wait_until("everything gone", || Left::now() == before);
    }
}

/// What could be left behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Of the group, orphans included.
    processes: usize,
    mounts: usize,
    groups: usize,
    descriptors: usize,
}

impl Left {
    fn now() -> Self {
        let me = std::process::id();
        let groups = ["memory", "pids", ""].into_iter().flat_map(|hierarchy| {
            let ours = format!("/sys/fs/cgroup/{hierarchy}/tamarack");
            std::fs::read_dir(ours).into_iter().flatten().flatten()
        });
        let own = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&format!("{me}-"));
        Self {
            processes: processes_of(me),
            mounts: std::fs::read_to_string("/proc/self/mounts").unwrap().lines().count(),
            groups: groups.filter(|entry| own(&entry.file_name())).count(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }
}

/// How many processes a process group has.
fn processes_of(group: u32) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    // `self` and `thread-self` are this process once more.
    let numbered = |name: &std::ffi::OsStr| name.to_string_lossy().parse::<u32>().is_ok();
    let all = all.filter(|entry| numbered(&entry.file_name()));
    let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // The name stands in brackets and may hold anything. What has ended and waits for the
    // machine's first process to notice is gone for us.
    let alive = stats.filter(|stat| {
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        let fields: Vec<&str> = rest.split_whitespace().take(3).collect();
        fields[0] != "Z" && fields[2].parse() == Ok(group)
    });
    alive.count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no {what}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Process,
    /// A process to which its whole VM belongs.
    Vm,
    Container,
    /// A container of an OCI runtime.
    Runtime,
}

/// The kinds that can be tried here; what is missing says so.
fn kinds() -> Vec<Kind> {
    let Some(program) = program() else { return Vec::new() };
    let mut kinds = vec![Kind::Process, Kind::Vm];
    if container_of(&image_of(program)).is_some() {
        kinds.push(Kind::Container);
    }
    if Ta::runtime().is_some() {
        kinds.push(Kind::Runtime);
    }
    kinds
}

/// A running application whose owner released `data` to it.
struct Ta {
    instance: Box<dyn Instance>,
    caller: PrivateKey,
    counter: u64,
}

impl Ta {
    fn start(kind: Kind) -> Self {
        match kind {
            Kind::Process => Self::process(&process_backend()),
            Kind::Vm => Self::process(&ProcessBackend::of_vm(AGENT, LIMITS)),
            Kind::Container => Self::container().unwrap(),
            Kind::Runtime => Self::runtime().unwrap(),
        }
    }

    fn process(backend: &ProcessBackend) -> Self {
        let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
        let program = described(program().unwrap());
        Self::released(backend.start(program).unwrap(), &owner)
    }

    fn container() -> Option<Self> {
        Self::of_image(&image_of(program()?))
    }

    fn runtime() -> Option<Self> {
        static BACKEND: OnceLock<Option<ContainerBackend>> = OnceLock::new();
        let backend = || Some(ContainerBackend::new(AGENT, LIMITS).with_runtime(&oci_runtime()?));
        let backend = BACKEND.get_or_init(backend).as_ref()?;
        let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
        match backend.start(described(&image_of(program()?))) {
            Ok(instance) => Some(Self::released(instance, &owner)),
            Err(Failed::Runtime(failed)) if std::env::var_os("TAMARACK_CONTAINERS").is_none() => {
                println!("skipped: {failed}");
                None
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn of_image(archive: &[u8]) -> Option<Self> {
        let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
        Some(Self::released(started(archive)?, &owner))
    }

    fn released(mut instance: Box<dyn Instance>, owner: &SigningKey) -> Self {
        let caller = PrivateKey::generate(&mut SystemEntropy);
        let receiver = instance.new_receiver(&Suites::default()).unwrap().remove(0);
        instance.bind(receiver.thumbprint(), [7; 32]).unwrap();
        let owner_id = owner.key().thumbprint();
        let (manifest_digest, eat_digest) = ([2; 32], [7; 32]);
        let binding = Binding { owner: owner_id, manifest_digest, eat_digest, role: Role::Ta };
        let callers = [caller.public().clone()];
        let seal = |data: &[u8]| {
            let entropy = &mut SystemEntropy;
            release::seal(owner, &receiver, &binding, "edge-7", &callers, data, entropy).unwrap().0
        };
        let release = Piece { stream: [1; 32], offset: 0, bytes: seal(b"data") };
        let opened = instance.take(owner_id, release, Holds::Data).unwrap();
        assert!(matches!(opened, Progress::Opened(_)), "{opened:?}");
        Self { instance, caller, counter: 0 }
    }

    fn claim(&self) -> rats::eat::Instance {
        self.instance.claim()
    }

    fn ask(&mut self, request: &str) -> String {
        self.try_ask(request).unwrap()
    }

    fn try_ask(&mut self, request: &str) -> Result<String, FaultCode> {
        self.counter += 1;
        let key = self.instance.service_key().clone();
        let service = Service { key, manifest_digest: [2; 32] };
        let (sealed, awaiting) = call::request(
            &service,
            &self.caller,
            self.counter,
            request.as_bytes(),
            &mut SystemEntropy,
        )
        .unwrap();
        match self.instance.call(sealed) {
            Ok(answer) => {
                let answer = awaiting.open(&answer).unwrap();
                Ok(String::from_utf8(answer.expose().to_vec()).unwrap())
            }
            Err(Failed::Crashed(Crash::Fault(fault))) => Err(fault),
            Err(Failed::Refused(Refusal::Application)) => panic!("it refuses"),
            other => panic!("{other:?}"),
        }
    }
}

fn started(archive: &[u8]) -> Option<Box<dyn Instance>> {
    match container_backend().start(described(archive)) {
        Ok(instance) => Some(instance),
        Err(Failed::Crashed(Crash::Gone | Crash::Fault(FaultCode::NotIsolated)))
            if std::env::var_os("TAMARACK_CONTAINERS").is_none() =>
        {
            println!("skipped: this machine lets nobody make the namespaces of a container");
            None
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn container_of(archive: &[u8]) -> Option<Box<dyn Instance>> {
    started(archive)
}

/// The OCI runtime of this machine.
fn oci_runtime() -> Option<std::path::PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = folders.iter().map(|folder| std::path::Path::new(folder).join("runc"));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: this machine has no runc");
    }
    found
}

fn image_of(program: &[u8]) -> Vec<u8> {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let build =
        || Recipe::of_program(image::architecture(), "ta", program.to_vec()).unwrap().build();
    IMAGE.get_or_init(build).clone()
}

fn process_backend() -> ProcessBackend {
    ProcessBackend::new(AGENT, LIMITS)
}

fn container_backend() -> &'static ContainerBackend {
    static BACKEND: OnceLock<ContainerBackend> = OnceLock::new();
    BACKEND.get_or_init(|| ContainerBackend::new(AGENT, LIMITS))
}

fn described(module: &[u8]) -> Program<'_> {
    Program { manifest_digest: [2; 32], module }
}

fn errno(number: i32) -> String {
    format!("errno {number}")
}

/// The test's program, where the compiler has a target for static programs.
fn program() -> Option<&'static [u8]> {
    static PROGRAM: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("hostile");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/hostile.rs");
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(rustc)
            .args([
                "--edition",
                "2021",
                "-O",
                "-C",
                "panic=abort",
                "-C",
                "strip=symbols",
                "--target",
                &target,
                "-o",
            ])
            .args([out.as_os_str(), source.as_ref()])
            .stderr(Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            println!("skipped: the compiler lacks {target}; `rustup target add {target}`");
            return None;
        }
        Some(std::fs::read(out).unwrap())
    });
    program.as_deref()
}

/// A TEE of which there is nothing but a register.
#[derive(Default)]
struct Register {
    extended: Mutex<Vec<[u8; 48]>>,
    broken: AtomicBool,
}

impl Attester for Register {
    fn description(&self) -> &Description {
        unreachable!("nobody asks")
    }

    fn quote(&self, _: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        Err(Unavailable::Unexpected)
    }

    fn sealing_key(&self, _: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::Unexpected)
    }

    fn extend(&self, index: u64, digest: &[u8]) -> Result<(), Unavailable> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Unavailable::Unexpected);
        }
        assert_eq!(index, 3);
        self.extended.lock().unwrap().push(digest.try_into().unwrap());
        Ok(())
    }

    fn read(&self, _: u64) -> Result<Vec<u8>, Unavailable> {
        Ok(vec![0; 48])
    }
}

/// How many cycles the child of a test is to run.
/// Tells a child of this test that it will be killed.
const ORPHANED: &str = "TAMARACK_TEST_ORPHANED";
const CYCLES: &str = "TAMARACK_CYCLES";
const AGENT: &str = env!("CARGO_BIN_EXE_tamarack-agent");
const LIMITS: Limits =
    Limits { memory_bytes_max: 32 << 20, call_ms_max: 3_000, cpu_s_max: 60, interpret: false };
