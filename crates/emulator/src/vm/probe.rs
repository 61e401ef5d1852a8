//! What this machine offers to confidential VMs.
//!
//! It looks, and asks QEMU for its version and its objects; no guest is started. What a trial
//! of KVM showed earlier is told.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::accelerator::Verdict;
use super::image::Architecture;
use super::machine::find;
use super::qemu;

/// What was found, and what to do about what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub name: String,
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
    /// It is there and can be used.
    Found,
    /// A part of it is there, or what it needs is not.
    Degraded,
    /// It is not there.
    Missing,
}

/// Looks at this machine; `cache` is where the verdict about KVM is kept.
pub fn probe(cache: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for architecture in [Architecture::X8664, Architecture::Aarch64] {
        let name = qemu::program(architecture);
        let version = find(name).ok().and_then(|program| ask(&program, "--version"));
        findings.push(qemu_finding(name, version.as_deref()));
        if Architecture::of_host() == Some(architecture) {
            findings.push(kvm(name, cache));
        }
        let objects = find(name).ok().and_then(|it| ask_all(&it, &["-object", "help"]));
        let objects = objects.unwrap_or_default();
        for (object, device) in objects_of(architecture) {
            findings.push(hardware(object, device, &objects, Path::new("/")));
        }
    }
    findings
}

/// Writes findings for people.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::from("confidential VMs\n");
    for Finding { name, status, reason, remedy, .. } in findings {
        let status = match status {
            Status::Found => "found",
            Status::Degraded => "degraded",
            Status::Missing => "missing",
        };
        let _ = writeln!(text, "  {status:<9} {name:<22} {reason}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "  {:<9} {:<22} help: {remedy}", "", "");
        }
    }
    text
}

fn qemu_finding(name: &str, version: Option<&str>) -> Finding {
    let (status, reason, remedy) = match version {
        Some(version) => (Status::Found, version.to_owned(), None),
        None => (
            Status::Missing,
            "no guest of this processor can be run".to_owned(),
            Some("`cargo xtask setup`, or install the package of that name"),
        ),
    };
    Finding { name: name.to_owned(), purpose: "vm", status, reason, remedy }
}

fn kvm(qemu: &'static str, cache: &Path) -> Finding {
    let opens = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    let verdict = find(qemu).ok().and_then(|qemu| Verdict::recall(&qemu, cache));
    kvm_finding(opens.map(drop).map_err(|error| error.kind()), verdict.map(|verdict| verdict.kvm))
}

fn kvm_finding(opens: Result<(), std::io::ErrorKind>, verdict: Option<bool>) -> Finding {
    let (status, reason, remedy) = match (opens, verdict) {
        (Err(kind), _) => (
            Status::Missing,
            format!("/dev/kvm: {kind}; QEMU interprets instead"),
            Some("add the user to the group `kvm`, or use a host with virtualisation"),
        ),
        (Ok(()), Some(true)) => (Status::Found, "a guest came up with it".to_owned(), None),
        (Ok(()), Some(false)) => (
            Status::Degraded,
            "it opens, but no guest came up with it in time; QEMU interprets instead".to_owned(),
            Some("`tamarack-tee run --accelerator kvm` tries again"),
        ),
        (Ok(()), None) => {
            (Status::Degraded, "it opens; the first boot will try it".to_owned(), None)
        }
    };
    Finding { name: "kvm".to_owned(), purpose: "vm", status, reason, remedy }
}

/// A TEE that the host's kernel and its QEMU must both know.
fn hardware(object: &str, device: &str, objects: &str, root: &Path) -> Finding {
    let known = objects.lines().any(|line| line.trim() == object);
    let there = root.join(device.trim_start_matches('/')).exists();
    let (status, reason, remedy) = match (known, there) {
        (true, true) => (Status::Found, format!("QEMU knows it, and {device} is there"), None),
        (true, false) => {
            (Status::Degraded, format!("QEMU knows it, but {device} is not there"), None)
        }
        (false, true) => (
            Status::Degraded,
            format!("{device} is there, but QEMU does not know it"),
            Some("install a newer QEMU"),
        ),
        (false, false) => (Status::Missing, format!("neither QEMU nor {device}"), None),
    };
    Finding { name: object.to_owned(), purpose: "vm", status, reason, remedy }
}

const fn objects_of(architecture: Architecture) -> &'static [(&'static str, &'static str)] {
    match architecture {
        Architecture::Aarch64 => &[("rme-guest", "/sys/firmware/acpi/tables/RME")],
        Architecture::X8664 => &[
            ("tdx-guest", "/sys/module/kvm_intel/parameters/tdx"),
            ("sev-snp-guest", "/sys/module/kvm_amd/parameters/sev_snp"),
            ("sev-guest", "/dev/sev"),
        ],
    }
}

/// The first line of what a program prints.
fn ask(program: &Path, argument: &str) -> Option<String> {
    Some(ask_all(program, &[argument])?.lines().next()?.to_owned())
}

fn ask_all(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_kvm_that_opens_counts_only_after_a_boot() {
        let status = |opens, verdict| kvm_finding(opens, verdict).status;

        assert_eq!(status(Ok(()), Some(true)), Status::Found);
        assert_eq!(status(Ok(()), Some(false)), Status::Degraded);
        assert_eq!(status(Ok(()), None), Status::Degraded);
        assert_eq!(status(Err(ErrorKind::NotFound), Some(true)), Status::Missing);
    }

    #[test]
    fn hardware_needs_its_device_and_a_qemu_that_knows_it() {
        let root = tempfile::tempdir().unwrap();
        let status = |objects| hardware("sev-guest", "/sev", objects, root.path()).status;
        assert_eq!(status("List of user creatable objects:\n  tdx-guest\n"), Status::Missing);
        assert_eq!(status("  sev-guest\n"), Status::Degraded);

        std::fs::write(root.path().join("sev"), "").unwrap();

        assert_eq!(status("  sev-guest\n"), Status::Found);
        assert_eq!(status(""), Status::Degraded);
    }

    #[test]
    fn a_missing_qemu_has_a_remedy() {
        assert_eq!(qemu_finding("qemu-system-x86_64", Some("QEMU 7.2")).remedy, None);
        let missing = qemu_finding("qemu-system-x86_64", None);
        assert_eq!(missing.status, Status::Missing);
        assert!(text(&[missing]).contains("help: `cargo xtask setup`"));
    }
}
