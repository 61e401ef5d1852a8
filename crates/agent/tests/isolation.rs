//! What a process can still do after the lockdown: a child of this test locks itself down, as a
//! worker does, and tries.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};

use agent::backend::process::lockdown::{self, Limits, Profile};

#[test]
fn files_can_neither_be_read_nor_written_nor_listed() {
    for attempt in ["read-file", "write-file", "list-folder", "read-own-memory-map"] {
        assert_eq!(outcome(attempt, ""), Outcome::Refused(libc::EPERM), "{attempt}");
    }
}

#[test]
fn nothing_can_be_reached_over_a_socket() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _unix = UnixListener::bind(&path).unwrap();

    let tcp = tcp.local_addr().unwrap().to_string();
    assert_eq!(outcome("connect-tcp", &tcp), Outcome::Refused(libc::EPERM));
    assert_eq!(outcome("connect-unix", path.to_str().unwrap()), Outcome::Refused(libc::EPERM));
    assert_eq!(outcome("bind-udp", ""), Outcome::Refused(libc::EPERM));
}

/// Only the Agent quotes, unseals and extends: to a Trusted Application the interfaces are closed.
#[test]
fn no_interface_of_a_tee_can_be_used() {
    // Stand-ins that everybody may use who is not locked down.
    let root = tempfile::tempdir().unwrap();
    for (attempt, path) in [
        ("make-report", "sys/kernel/config/tsm/report/own"),
        ("quote", "dev/attestation/user_report_data"),
        ("unseal", "dev/sev-guest"),
        ("extend", "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384"),
    ] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if attempt != "make-report" {
            std::fs::write(&path, "").unwrap();
        }
        let target = path.to_str().unwrap();

        assert_eq!(outcome(attempt, target), Outcome::Refused(libc::EPERM), "{attempt}");

        use_tee(attempt, target).unwrap();
    }
}

#[test]
fn no_other_program_can_be_started() {
    assert_eq!(outcome("spawn", ""), Outcome::Refused(libc::EPERM));
    assert_eq!(outcome("exec", ""), Outcome::Killed(libc::SIGSYS));
}

#[test]
fn other_processes_can_neither_be_signalled_nor_opened() {
    let me = std::process::id().to_string();

    assert_eq!(outcome("signal", &me), Outcome::Refused(libc::EPERM));
    assert_eq!(outcome("open-process", &me), Outcome::Killed(libc::SIGSYS));
}

#[test]
fn a_limit_cannot_be_raised_again() {
    assert_eq!(outcome("raise-limit", ""), Outcome::Refused(libc::EPERM));
}

#[test]
fn memory_ends_at_the_limit() {
    assert_eq!(outcome("take-memory", ""), Outcome::Refused(libc::ENOMEM));
}

#[test]
fn processor_time_ends_at_the_limit() {
    assert_eq!(outcome("spin", ""), Outcome::Killed(libc::SIGKILL));
}

#[test]
fn what_the_engine_needs_still_works() {
    assert_eq!(outcome("thread", ""), Outcome::Done);
}

#[test]
fn every_fence_of_this_machine_is_reported() {
    let names = outcome("report", "");

    if lockdown::landlock_status() == landlock::RulesetStatus::FullyEnforced {
        assert_eq!(names, Outcome::Done);
    } else {
        println!("skipped: this kernel has no full Landlock");
    }
}

/// Not a test of its own: it runs in the children that [`outcome`] starts.
#[test]
fn attempt() {
    let Ok(attempt) = std::env::var(ATTEMPT) else {
        return;
    };
    let target = std::env::var(TARGET).unwrap_or_default();
    let cpu_s_max = if attempt == "spin" { 1 } else { 60 };
    let enforced =
        lockdown::enter(Limits { address_space_bytes_max: 1 << 30, cpu_s_max }, Profile::Custodian)
            .unwrap();

    let result = match attempt.as_str() {
        "report" => {
            assert_eq!(enforced.0, ["no_new_privs", "landlock", "rlimits", "seccomp"]);
            Ok(())
        }
        "read-file" => File::open("/etc/passwd").map(drop),
        "write-file" => File::create("/tmp/tamarack-isolation").map(drop),
        "list-folder" => std::fs::read_dir("/").map(drop),
        "read-own-memory-map" => File::open("/proc/self/maps").map(drop),
        "make-report" | "quote" | "unseal" | "extend" => use_tee(&attempt, &target),
        "connect-tcp" => TcpStream::connect(target).map(drop),
        "connect-unix" => UnixStream::connect(target).map(drop),
        "bind-udp" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "spawn" => Command::new("/bin/true").status().map(drop),
        "exec" => Err(Command::new("/bin/true").exec()),
        "signal" => rustix::process::kill_process(pid(&target), rustix::process::Signal::TERM)
            .map_err(Into::into),
        "open-process" => {
            rustix::process::pidfd_open(pid(&target), rustix::process::PidfdFlags::empty())
                .map(drop)
                .map_err(Into::into)
        }
        "raise-limit" => {
            let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).map_err(Into::into)
        }
        "take-memory" => Vec::<u8>::new()
            .try_reserve_exact(2 << 30)
            .map_err(|_| std::io::Error::from_raw_os_error(libc::ENOMEM)),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "thread" => std::thread::Builder::new()
            .name("named".to_owned())
            .spawn(|| std::thread::sleep(std::time::Duration::from_millis(1)))
            .map(|thread| thread.join().unwrap()),
        other => panic!("no attempt is called {other}"),
    };

    std::process::exit(match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(255),
    });
}

/// What an attester does with an interface before anything else.
fn use_tee(attempt: &str, target: &str) -> std::io::Result<()> {
    let mut options = File::options();
    match attempt {
        "make-report" => std::fs::create_dir(target),
        "unseal" => options.read(true).write(true).open(target).map(drop),
        _ => options.write(true).open(target).and_then(|mut file| file.write_all(&[7; 48])),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused(i32),
    Killed(i32),
}

fn outcome(attempt: &str, target: &str) -> Outcome {
    let status: ExitStatus = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attempt", "--nocapture"])
        .env(ATTEMPT, attempt)
        .env(TARGET, target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(errno), _) => Outcome::Refused(errno),
        (None, signal) => Outcome::Killed(signal.unwrap_or_default()),
    }
}

fn pid(text: &str) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(text.parse().unwrap()).unwrap()
}

const ATTEMPT: &str = "TAMARACK_ISOLATION_ATTEMPT";
const TARGET: &str = "TAMARACK_ISOLATION_TARGET";
