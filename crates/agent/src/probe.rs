//! Finds out what this machine offers: isolation for Trusted Applications, and TEE interfaces.
//!
//! It only looks, with one exception: a thread restricts itself to learn what Landlock does.
//! Nothing here is a proof of anything to anybody; proofs are in evidence.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use landlock::RulesetStatus;
use serde::Serialize;

use crate::backend::process::lockdown;

/// What was found, and what to do about what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub name: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it can be used.
    pub status: Status,
    /// What was seen.
    pub reason: String,
    /// What would help; nothing when nothing is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
    /// Whether the Agent can attest through it.
    #[serde(skip_serializing_if = "Attester::is_none")]
    pub attester: Attester,
}

/// Whether the Agent can attest through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Attester {
    /// It can.
    Implemented,
    /// It is no interface for that.
    None,
    /// It cannot yet.
    Planned,
}

impl Attester {
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// What an interface is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Separating Trusted Applications.
    Isolation,
    /// Reaching a TEE.
    Tee,
}

/// Whether an interface can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is there and can be used.
    Found,
    /// A part of it is there, or it may not be used by this user.
    Degraded,
    /// It is not there.
    Missing,
}

/// Looks at this machine.
pub fn probe() -> Vec<Finding> {
    let mut findings = vec![landlock_finding(lockdown::landlock_status())];
    findings.extend(look(Path::new("/")));
    findings
}

/// Writes findings for people.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for purpose in [Purpose::Isolation, Purpose::Tee] {
        let title = match purpose {
            Purpose::Isolation => "isolation of Trusted Applications",
            Purpose::Tee => "TEE interfaces",
        };
        let _ = writeln!(text, "{title}");
        for finding in findings.iter().filter(|finding| finding.purpose == purpose) {
            let status = match finding.status {
                Status::Found => "found",
                Status::Degraded => "degraded",
                Status::Missing => "missing",
            };
            let _ = writeln!(text, "  {status:<9} {:<22} {}", finding.name, finding.reason);
            if let Some(remedy) = finding.remedy {
                let _ = writeln!(text, "  {:<9} {:<22} help: {remedy}", "", "");
            }
            if finding.attester == Attester::Planned {
                let _ = writeln!(text, "  {:<9} {:<22} the agent cannot use it yet", "", "");
            }
        }
    }
    text
}

/// Writes findings for programs.
pub fn json(findings: &[Finding]) -> String {
    serde_json::to_string_pretty(findings).expect("findings are plain values")
}

/// Everything that is found by looking at files below `root`.
fn look(root: &Path) -> Vec<Finding> {
    let mut findings = vec![seccomp(root), user_namespaces(root), control_groups(root)];
    findings.push(device(root, Purpose::Isolation, &KVM));
    findings.extend(TEES.iter().map(|tee| device(root, Purpose::Tee, tee)));
    findings
}

fn landlock_finding(status: RulesetStatus) -> Finding {
    let (status, reason, remedy) = match status {
        RulesetStatus::FullyEnforced => {
            (Status::Found, "files, network and scopes can be denied", None)
        }
        RulesetStatus::PartiallyEnforced => (
            Status::Degraded,
            "the kernel denies a part of what is asked",
            Some("use Linux 6.12 or newer; the system call filter still holds"),
        ),
        RulesetStatus::NotEnforced => (
            Status::Missing,
            "the kernel does not enforce it",
            Some("add `landlock` to the kernel's `lsm=` list; the system call filter still holds"),
        ),
    };
    Finding {
        name: "landlock",
        purpose: Purpose::Isolation,
        status,
        reason: reason.into(),
        remedy,
        attester: Attester::None,
    }
}

fn seccomp(root: &Path) -> Finding {
    let path = root.join("proc/sys/kernel/seccomp/actions_avail");
    let (status, reason, remedy) = match std::fs::read_to_string(&path) {
        Ok(actions) if ["kill_process", "errno"].iter().all(|a| actions.contains(a)) => {
            (Status::Found, "system calls can be filtered".to_owned(), None)
        }
        Ok(actions) => (
            Status::Degraded,
            format!("the kernel offers only: {}", actions.trim()),
            Some("use Linux 4.14 or newer"),
        ),
        Err(error) => (
            Status::Missing,
            seen(&path, &error),
            Some("use a kernel with CONFIG_SECCOMP_FILTER; without it no TA is started"),
        ),
    };
    Finding {
        name: "seccomp",
        purpose: Purpose::Isolation,
        status,
        reason,
        remedy,
        attester: Attester::None,
    }
}

fn user_namespaces(root: &Path) -> Finding {
    let number = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let restricted = "proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    let (status, reason, remedy) = match number("proc/sys/user/max_user_namespaces") {
        None | Some(0) => (
            Status::Missing,
            "the kernel allows none",
            Some("raise user.max_user_namespaces for container instances"),
        ),
        Some(_) if number(restricted) == Some(1) => (
            Status::Degraded,
            "AppArmor denies them to unconfined programs",
            Some("give the agent an AppArmor profile, or set the restriction to 0"),
        ),
        Some(_) => (Status::Found, "container instances can have their own", None),
    };
    let reason = reason.to_owned();
    Finding {
        name: "user namespaces",
        purpose: Purpose::Isolation,
        status,
        reason,
        remedy,
        attester: Attester::None,
    }
}

fn control_groups(root: &Path) -> Finding {
    let path = root.join("sys/fs/cgroup/cgroup.controllers");
    let (status, reason, remedy) = match std::fs::read_to_string(&path) {
        Ok(controllers) if controllers.split_whitespace().any(|c| c == "memory") => {
            (Status::Found, "version 2, with memory".to_owned(), None)
        }
        Ok(_) => (
            Status::Degraded,
            "version 2, without memory".to_owned(),
            Some("delegate the memory controller; resource limits hold meanwhile"),
        ),
        Err(error) => (
            Status::Missing,
            seen(&path, &error),
            Some("mount version 2 and delegate it; resource limits hold meanwhile"),
        ),
    };
    Finding {
        name: "control groups",
        purpose: Purpose::Isolation,
        status,
        reason,
        remedy,
        attester: Attester::None,
    }
}

/// An interface that is a device node or a folder.
struct Interface {
    name: &'static str,
    path: &'static str,
    remedy: &'static str,
    attester: Attester,
}

fn device(root: &Path, purpose: Purpose, interface: &Interface) -> Finding {
    let path = root.join(interface.path);
    let access = std::fs::OpenOptions::new().read(true).open(&path);
    let (status, reason) = match access {
        Ok(_) => (Status::Found, format!("/{}", interface.path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Status::Missing, seen(&path, &error))
        }
        Err(error) => (Status::Degraded, seen(&path, &error)),
    };
    let remedy = (status != Status::Found).then_some(interface.remedy);
    let attester = interface.attester;
    Finding { name: interface.name, purpose, status, reason, remedy, attester }
}

fn seen(path: &Path, error: &io::Error) -> String {
    let path: PathBuf = Path::new("/").join(path);
    format!("{}: {}", path.display(), error.kind())
}

const KVM: Interface = Interface {
    name: "kvm",
    path: "dev/kvm",
    remedy: "give the agent's user access to /dev/kvm for VM instances",
    attester: Attester::None,
};

const TEES: &[Interface] = &[
    Interface {
        name: "configfs-tsm",
        path: "sys/kernel/config/tsm/report",
        remedy: "mount configfs inside a TDX, SEV-SNP or CCA guest with Linux 6.7 or newer",
        attester: Attester::Implemented,
    },
    Interface {
        name: "sev-guest",
        path: "dev/sev-guest",
        remedy: "run inside an SEV-SNP virtual machine with the sev-guest module",
        attester: Attester::Implemented,
    },
    Interface {
        name: "efi-secret",
        path: "sys/kernel/security/secrets/coco/6f8b2a70-3c51-4d0e-9a6e-7d2f10c4e5b3",
        remedy: "have the owner launch an SEV guest, with securityfs mounted and efi_secret loaded",
        attester: Attester::Implemented,
    },
    Interface {
        name: "gramine",
        path: "dev/attestation",
        remedy: "run as an SGX enclave of Gramine with `sgx.remote_attestation = \"dcap\"`",
        attester: Attester::Implemented,
    },
    Interface {
        name: "tdx registers",
        path: "sys/devices/virtual/misc/tdx_guest/measurements",
        remedy: "run inside a TDX virtual machine with Linux 6.16 or newer",
        attester: Attester::Implemented,
    },
    Interface {
        name: "tdx-guest",
        path: "dev/tdx_guest",
        remedy: "run inside a TDX virtual machine with Linux 6.2 or newer, and qgs on its host",
        attester: Attester::Implemented,
    },
    Interface {
        name: "sgx",
        path: "dev/sgx_enclave",
        remedy: "switch SGX on in the firmware; the user needs the group of the device",
        attester: Attester::Planned,
    },
    Interface {
        name: "sgx provisioning",
        path: "dev/sgx_provision",
        remedy: "needed for quotes; the user needs the group `sgx_prv`",
        attester: Attester::Planned,
    },
    Interface {
        name: "op-tee",
        path: "dev/tee0",
        remedy: "boot OP-TEE with its attestation PTA below Linux and load the optee driver",
        attester: Attester::Implemented,
    },
    Interface {
        name: "itrustee",
        path: "dev/tc_ns_client",
        remedy: "boot iTrustee below Linux, load Huawei's driver and install its libqca.so",
        attester: Attester::Implemented,
    },
    Interface {
        name: "csv-guest",
        path: "dev/csv-guest",
        remedy: "run inside a CSV virtual machine with the csv-guest module",
        attester: Attester::Planned,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_nothing_is_reported_with_a_remedy_for_everything() {
        let empty = tempfile::tempdir().unwrap();

        let findings = look(empty.path());

        assert!(findings.iter().all(|finding| finding.status == Status::Missing));
        assert!(findings.iter().all(|finding| finding.remedy.is_some()));
        // What the Agent tries by itself is listed.
        for interface in crate::attester::Interface::ALL {
            let path = format!("/{}", interface.path());
            let listed = findings.iter().find(|finding| finding.reason.contains(&path)).unwrap();
            assert_eq!(listed.attester, Attester::Implemented, "{path}");
        }
    }

    #[test]
    fn what_is_there_is_found_without_a_remedy() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        put("proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n");
        put("proc/sys/user/max_user_namespaces", "100\n");
        put("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        put("dev/sev-guest", "");
        put("dev/attestation/quote", "");

        let findings = look(root.path());

        for name in ["seccomp", "user namespaces", "control groups", "sev-guest", "gramine"] {
            let finding = findings.iter().find(|finding| finding.name == name).unwrap();
            assert_eq!((finding.status, finding.remedy), (Status::Found, None), "{name}");
        }
    }

    #[test]
    fn what_is_there_in_part_is_degraded() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        put("proc/sys/user/max_user_namespaces", "100");
        put("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1");
        put("sys/fs/cgroup/cgroup.controllers", "cpu");

        let findings = look(root.path());

        for name in ["user namespaces", "control groups"] {
            let finding = findings.iter().find(|finding| finding.name == name).unwrap();
            assert_eq!(finding.status, Status::Degraded, "{name}");
        }
    }

    #[test]
    fn both_forms_name_every_finding() {
        let findings = vec![landlock_finding(RulesetStatus::NotEnforced)];

        assert!(text(&findings).contains("missing   landlock"));
        assert!(json(&findings).contains("\"status\": \"missing\""));
    }
}
