//! Building what the demo and the end-to-end tests run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::run;

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
    Ok(stage::Programs::new(&target_directory()?.join("debug"), &ta(show)?))
}

/// Builds the sample's Trusted Application from its source.
fn ta(show: Show) -> Result<PathBuf> {
    wasm_target()?;
    let directory = run::root().join("examples/route-planner/ta");
    let target = target_directory()?.join("ta");
    let mut build = cargo_build(show);
    build.args(["--release", "--target", WASM, "--manifest-path"]);
    build.arg(directory.join("Cargo.toml")).arg("--target-dir").arg(&target);
    // The component must not depend on where the tree lies, or its digest would.
    build.env("RUSTFLAGS", format!("--remap-path-prefix={}=.", run::root().display()));
    run::must(&mut build).context("building the sample's Trusted Application")?;
    Ok(target.join(WASM).join("release/route_planner.wasm"))
}

/// Makes sure that the compiler has the WebAssembly target, and gets it where rustup is there.
pub(crate) fn wasm_target() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = run::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM).is_dir() {
        return Ok(());
    }
    anstream::eprintln!("getting the compiler's {WASM} target");
    let added = Command::new("rustup")
        .args(["target", "add", WASM])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !added {
        bail!("the compiler lacks the target {WASM}; install it with `rustup target add {WASM}`");
    }
    Ok(())
}

fn cargo_build(show: Show) -> Command {
    let mut build = run::cargo();
    build.args(["build", "--locked"]);
    if show == Show::Failures {
        build.arg("--quiet");
    }
    build
}

fn target_directory() -> Result<PathBuf> {
    let mut metadata = run::cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let metadata: serde_json::Value = serde_json::from_str(&run::output(&mut metadata)?)?;
    let directory = metadata["target_directory"].as_str().context("no target directory")?;
    Ok(PathBuf::from(directory))
}
