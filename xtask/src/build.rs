//! Building what the demo and the end-to-end tests run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{guest, run};

/// The programs of the field, by package.
const PROGRAMS: [&str; 7] = [
    "tamarack-agent",
    "tamarack-broker",
    "tamarack-cli",
    "tamarack-emulator",
    "tamarack-moc",
    "route-relay",
    "route-vehicle",
];

/// The target of Trusted Applications that are WebAssembly components.
const WASM: &str = "wasm32-wasip2";

/// The machines that the sample is built for as a program.
const MACHINES: [&str; 2] = ["x86_64", "aarch64"];

/// Whether cargo shows its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// It does.
    Progress,
    /// It shows failures only.
    Failures,
}

/// Builds every program and the sample's Trusted Application; says where they are.
pub(crate) fn all(show: Show) -> Result<stage::Programs> {
    let mut build = cargo_build(show);
    build.args(PROGRAMS.iter().flat_map(|package| ["--package", package]));
    run::must(&mut build)?;
    let programs = target_directory()?.join("debug");
    for machine in MACHINES {
        native_ta(show, machine, &programs)?;
    }
    Ok(stage::Programs::new(&programs, &ta(show)?))
}

/// The same, with the images of the confidential VMs that this machine can build and run.
pub(crate) fn with_guests(show: Show) -> Result<stage::Programs> {
    Ok(all(show)?.with_guests(&guest::all(show)?))
}

/// Builds the sample's Trusted Application as a static program, beside the programs of the field.
///
/// The compiler's own linker serves both machines, so that no other compiler is needed.
fn native_ta(show: Show, machine: &str, programs: &Path) -> Result<()> {
    let triple = format!("{machine}-unknown-linux-musl");
    target(&triple)?;
    let directory = run::root().join("examples/route-planner/ta");
    let target = target_directory()?.join("ta");
    let mut build = cargo_build(show);
    build.args(["--release", "--features", "native", "--bin", "route-planner", "--target"]);
    build.arg(&triple).arg("--manifest-path").arg(directory.join("Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    let flags = "-Clinker=rust-lld -Clink-self-contained=yes";
    build.env("RUSTFLAGS", format!("--remap-path-prefix={}=. {flags}", run::root().display()));
    run::must(&mut build).context("building the sample's Trusted Application as a program")?;
    let built = target.join(&triple).join("release/route-planner");
    let here = programs.join(format!("route-planner-{machine}"));
    fs::copy(&built, &here).with_context(|| format!("copying {}", built.display()))?;
    Ok(())
}

/// Builds the sample's Trusted Application from its source.
fn ta(show: Show) -> Result<PathBuf> {
    target(WASM)?;
    let directory = run::root().join("examples/route-planner/ta");
    let target = target_directory()?.join("ta");
    let mut build = cargo_build(show);
    build.args(["--release", "--lib", "--target", WASM, "--manifest-path"]);
    build.arg(directory.join("Cargo.toml")).arg("--target-dir").arg(&target);
    // The component must not depend on where the tree lies, or its digest would.
    build.env("RUSTFLAGS", format!("--remap-path-prefix={}=.", run::root().display()));
    run::must(&mut build).context("building the sample's Trusted Application")?;
    Ok(target.join(WASM).join("release/route_planner.wasm"))
}

/// Makes sure that the compiler has what the sample needs.
pub(crate) fn targets() -> Result<()> {
    target(WASM)?;
    MACHINES.iter().try_for_each(|machine| target(&format!("{machine}-unknown-linux-musl")))
}

/// Makes sure that the compiler has a target, and gets it where rustup is there.
fn target(triple: &str) -> Result<()> {
    if has_target(triple)? || add_target(triple) {
        return Ok(());
    }
    bail!("the compiler lacks the target {triple}; install it with `rustup target add {triple}`")
}

/// Whether the compiler has a target.
pub(crate) fn has_target(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = run::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir())
}

/// Gets a target, where rustup is there.
pub(crate) fn add_target(target: &str) -> bool {
    anstream::eprintln!("getting the compiler's {target} target");
    let mut rustup = Command::new("rustup");
    let added = rustup.args(["target", "add", target]).stdin(Stdio::null()).status();
    added.is_ok_and(|status| status.success())
}

pub(crate) fn cargo_build(show: Show) -> Command {
    let mut build = run::cargo();
    build.args(["build", "--locked"]);
    if show == Show::Failures {
        build.arg("--quiet");
    }
    build
}

/// Where the programs of the field are built to.
pub(crate) fn directory() -> Result<PathBuf> {
    Ok(target_directory()?.join("debug"))
}

pub(crate) fn target_directory() -> Result<PathBuf> {
    let mut metadata = run::cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let metadata: serde_json::Value = serde_json::from_str(&run::output(&mut metadata)?)?;
    let directory = metadata["target_directory"].as_str().context("no target directory")?;
    Ok(PathBuf::from(directory))
}
