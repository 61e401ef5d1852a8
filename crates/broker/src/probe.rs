//! Finds out what this machine offers to a Broker: fences for UAs, and what the device's Agent
//! needs of the machine below it for each instance type.
//!
//! It tries what can be tried without leaving anything behind. What it says is for the operator;
//! evidence says what was really enforced.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use landlock::{ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetStatus};
use serde::Serialize;

/// What was looked for, in the form that `tamarack-agent probe` has too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether it can be used.
    pub status: Status,
    /// What was seen.
    pub reason: String,
    /// What would help; nothing when nothing is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

/// Whether something can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is there and works.
    Found,
    /// It works in part.
    Degraded,
    /// It is not there, or does not work.
    Missing,
}

/// Looks at this machine.
#[must_use]
pub fn probe() -> Vec<Finding> {
    let mut findings = vec![landlock(), users(), namespaces()];
    findings.extend(control_groups(Path::new("/sys/fs/cgroup")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    findings.extend(RUNTIMES.iter().map(|name| runtime(name, &folders)));
    findings.extend(MACHINES.iter().map(|name| emulator(name, &folders)));
    findings
}

/// Writes findings for people.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { name, purpose, status, reason, remedy } in findings {
        let status = match status {
            Status::Found => "found",
            Status::Degraded => "degraded",
            Status::Missing => "missing",
        };
        let _ = writeln!(text, "{status:<9} {name:<20} {purpose:<11} {reason}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:<9} {:<20} {:<11} help: {remedy}", "", "", "");
        }
    }
    text
}

fn landlock() -> Finding {
    // A thread restricts itself, and ends.
    let tried = std::thread::spawn(|| {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V6)).ok()?;
        Some(ruleset.create().ok()?.restrict_self().ok()?.ruleset)
    });
    let (status, reason, remedy) = match tried.join().ok().flatten() {
        Some(RulesetStatus::FullyEnforced) => (Status::Found, "files can be denied", None),
        Some(RulesetStatus::PartiallyEnforced) => {
            (Status::Degraded, "a part of what is asked is denied", Some("use Linux 6.12 or newer"))
        }
        Some(RulesetStatus::NotEnforced) | None => (
            Status::Missing,
            "the kernel does not enforce it",
            Some("add `landlock` to the kernel's `lsm=` list"),
        ),
    };
    Finding { name: "landlock", purpose: "UA", status, reason: reason.into(), remedy }
}

fn users() -> Finding {
    let root = rustix::process::geteuid().is_root();
    let (status, reason, remedy) = if root {
        (Status::Found, "each UA is a user of its own", None)
    } else {
        (
            Status::Degraded,
            "UAs are the Broker's user, apart by Landlock only",
            Some("run the Broker as root, or one Broker for each tenant"),
        )
    };
    Finding { name: "users", purpose: "UA", status, reason: reason.into(), remedy }
}

/// Makes every namespace of a container, in a process that ends at once.
fn namespaces() -> Finding {
    let all = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts"];
    let tried = within(Command::new("unshare").args(all).args(["--cgroup", "--fork", "true"]));
    let (status, reason) = match tried {
        Ok(took) => (Status::Found, format!("made in {} ms", took.as_millis())),
        Err(reason) => (Status::Missing, reason),
    };
    let remedy = (status != Status::Found).then_some(
        "allow user namespaces (user.max_user_namespaces, \
         kernel.apparmor_restrict_unprivileged_userns); container instances need them",
    );
    Finding { name: "namespaces", purpose: "container", status, reason, remedy }
}

fn control_groups(root: &Path) -> Vec<Finding> {
    let unified = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let one = |controller: &'static str, name: &'static str| {
        let legacy = root.join(controller);
        let own = if unified.split_whitespace().any(|found| found == controller) {
            Some(root.to_path_buf())
        } else {
            legacy.join("cgroup.procs").exists().then_some(legacy)
        };
        let (status, reason) = match own {
            None => (Status::Missing, format!("no {controller} controller")),
            Some(folder) => {
                let trial = folder.join(format!("tamarack-probe-{}", std::process::id()));
                match fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial)) {
                    Ok(()) => (Status::Found, format!("groups in {}", folder.display())),
                    Err(error) => (Status::Degraded, format!("{}: {error}", folder.display())),
                }
            }
        };
        let remedy = (status != Status::Found)
            .then_some("run the Agent as root, or delegate a group; rlimits hold meanwhile");
        Finding { name, purpose: "container", status, reason, remedy }
    };
    vec![one("memory", "memory groups"), one("pids", "process groups")]
}

fn runtime(name: &'static str, folders: &[PathBuf]) -> Finding {
    let Some(program) = found(name, folders) else {
        let remedy = Some("optional: our own launcher runs containers; cargo xtask setup");
        let reason = "not on the PATH".to_owned();
        return Finding { name, purpose: "container", status: Status::Missing, reason, remedy };
    };
    let (status, reason) = match within(Command::new(&program).arg("--version")) {
        Ok(_) => (Status::Found, program.display().to_string()),
        Err(reason) => (Status::Degraded, format!("{}: {reason}", program.display())),
    };
    let remedy = (status != Status::Found).then_some("install it again; cargo xtask setup");
    Finding { name, purpose: "container", status, reason, remedy }
}

fn emulator(name: &'static str, folders: &[PathBuf]) -> Finding {
    let (status, reason) = match found(name, folders) {
        Some(program) => (Status::Found, program.display().to_string()),
        None => (Status::Missing, "not on the PATH".to_owned()),
    };
    let remedy = (status != Status::Found).then_some("cargo xtask setup, for VM instances");
    Finding { name, purpose: "vm", status, reason, remedy }
}

fn found(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a program to its end, which has to be a success and to come soon.
fn within(command: &mut Command) -> Result<Duration, String> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = quiet.spawn().map_err(|error| error.to_string())?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(began.elapsed()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if began.elapsed() > TRIAL_MAX => {
                let _killed = child.kill();
                let _reaped = child.wait();
                return Err(format!("no end within {TRIAL_MAX:?}"));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error.to_string()),
        }
    }
}

const MACHINES: [&str; 2] = ["qemu-system-x86_64", "qemu-system-aarch64"];
const RUNTIMES: [&str; 5] = ["runc", "crun", "youki", "kata-runtime", "runsc"];
/// A machine under load is slow; one that does not answer is not.
const TRIAL_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_machine_is_told_with_a_remedy_for_everything_that_is_missing() {
        let empty = tempfile::tempdir().unwrap();
        let folders = [empty.path().to_path_buf()];

        let mut findings = control_groups(empty.path());
        findings.extend(RUNTIMES.iter().map(|name| runtime(name, &folders)));
        findings.extend(MACHINES.iter().map(|name| emulator(name, &folders)));

        assert!(findings.iter().all(|finding| finding.status == Status::Missing));
        assert!(findings.iter().all(|finding| finding.remedy.is_some()));
    }

    #[test]
    fn what_is_there_is_found_and_what_does_not_work_is_degraded() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_path_buf()];
        let put = |name: &str, script: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let path = folder.path().join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        put("runc", "#!/bin/sh\nexit 0\n");
        put("crun", "#!/bin/sh\nexit 1\n");
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory\n").unwrap();

        let [runc, crun] = ["runc", "crun"].map(|name| runtime(name, &folders));
        let groups = control_groups(folder.path());

        assert_eq!((runc.status, runc.remedy), (Status::Found, None));
        assert_eq!(crun.status, Status::Degraded);
        assert!(crun.reason.contains("exit status: 1"), "{}", crun.reason);
        assert_eq!([groups[0].status, groups[1].status], [Status::Found, Status::Missing]);
    }

    #[test]
    fn every_finding_is_told_in_both_forms() {
        let findings = vec![users()];

        assert!(text(&findings).contains("users"));
        assert!(serde_json::to_string(&findings).unwrap().contains("\"purpose\":\"UA\""));
    }
}
