//! Installs what the instance types need, by package name; a second run finds nothing to do.
//!
//! Nothing of it is needed for confidential processes. What cannot be installed is said, with the
//! command that would, and the tests that need it are skipped by name.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    build,
    guest::{self, PROCESSORS, is_program, quietly},
};

/// A package of Debian, and what shows that it is there.
struct Package {
    name: &'static str,
    shows: Shows,
    needed_for: &'static str,
}

enum Shows {
    Program(&'static str),
    File(&'static str),
}

const PACKAGES: &[Package] = &[
    Package {
        name: "runc",
        shows: Shows::Program("runc"),
        needed_for: "containers by an OCI runtime, instead of by our own launcher",
    },
    Package {
        name: "qemu-system-x86",
        shows: Shows::Program("qemu-system-x86_64"),
        needed_for: "confidential VMs of SEV-SNP, SEV and TDX",
    },
    Package {
        name: "seabios",
        shows: Shows::File("/usr/share/seabios/bios-256k.bin"),
        needed_for: "the firmware of those VMs",
    },
    Package {
        name: "qemu-system-arm",
        shows: Shows::Program("qemu-system-aarch64"),
        needed_for: "confidential VMs of CCA",
    },
    Package {
        name: "gcc-aarch64-linux-gnu",
        shows: Shows::Program("aarch64-linux-gnu-gcc"),
        needed_for: "the Agent in those VMs",
    },
    Package {
        name: "libc6-dev-arm64-cross",
        shows: Shows::File("/usr/aarch64-linux-gnu/lib/libc.a"),
        needed_for: "the Agent in those VMs",
    },
];

/// Installs what is missing; `dry` only says what that is. Fails when something stays missing.
pub(crate) fn run(dry: bool) -> Result<()> {
    let missing = attempt(dry)?;
    if missing.is_empty() {
        anstream::println!("everything is there");
        return Ok(());
    }
    for line in &missing {
        anstream::println!("missing: {line}");
    }
    bail!("{} things are missing; confidential processes run without them", missing.len())
}

/// The same for a test run, which goes on without what stays missing.
pub(crate) fn for_tests() -> Result<()> {
    build::targets()?;
    for line in attempt(false)? {
        anstream::println!("missing: {line}");
    }
    Ok(())
}

/// Installs, and gives what stays missing with its remedy.
fn attempt(dry: bool) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    packages(dry, &mut missing);
    let images = build::target_directory()?.join("images");
    for processor in PROCESSORS {
        let target = processor.target;
        if !build::has_target(target)? && (dry || !build::add_target(target)) {
            missing.push(format!("the compiler's target {target}: rustup target add {target}"));
        }
        let kernel = images.join("kernels").join(processor.name).join("vmlinuz");
        if kernel.is_file() {
            continue;
        }
        if dry {
            let package = format!("linux-image-cloud-{}", processor.debian);
            missing.push(format!("a kernel from the package {package}, no root needed"));
            continue;
        }
        anstream::eprintln!("getting a kernel for {} guests", processor.name);
        if let Err(error) = processor.get_kernel(&images) {
            missing.push(format!("a kernel for {} guests: {error:#}", processor.name));
        }
    }
    Ok(missing)
}

/// Installs packages, if this is Debian or its like and this process may.
fn packages(dry: bool, missing: &mut Vec<String>) {
    let absent = || -> Vec<&Package> { PACKAGES.iter().filter(|it| !it.is_there()).collect() };
    let names =
        |packages: &[&Package]| -> Vec<&str> { packages.iter().map(|it| it.name).collect() };
    let wanted = absent();
    if wanted.is_empty() {
        return;
    }
    let command = format!("apt-get install --no-install-recommends {}", names(&wanted).join(" "));
    let mut said = String::new();
    if !dry && guest::is_root() && is_program("apt-get") {
        anstream::eprintln!("{command}");
        if let Err(error) = install(&names(&wanted)) {
            said = format!(" ({error:#})");
        }
    }
    let absent = absent();
    for package in &absent {
        missing.push(format!("{}, for {}", package.name, package.needed_for));
    }
    if !absent.is_empty() {
        let by_whom = if guest::is_root() { "" } else { "as root: " };
        anstream::println!("what installs the packages: {by_whom}{command}{said}");
    }
}

/// The lists of a fresh machine are empty or old, so a failure is tried again with new ones.
fn install(names: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // Another installation may be under way.
        command.args(["-o", "DPkg::Lock::Timeout=600", "--quiet=2"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        quietly(&mut command)
    };
    let install = [&["install", "--yes", "--no-install-recommends"], names].concat();
    apt(&install).or_else(|_| {
        apt(&["update"])?;
        apt(&install)
    })
}

impl Package {
    fn is_there(&self) -> bool {
        match self.shows {
            Shows::Program(program) => is_program(program),
            Shows::File(path) => std::path::Path::new(path).is_file(),
        }
    }
}
