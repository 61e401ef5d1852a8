//! Where the parties' programs are: beside this one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anstream::eprintln;
use anyhow::{Context as _, Result, ensure};
use stage::Programs;

/// Finds the programs beside the running one, and the sample's Trusted Application; builds the
/// latter where it is missing and cargo and the sources are there.
pub(crate) fn find() -> Result<Programs> {
    let own = env::current_exe().context("finding this program")?;
    let directory = own.parent().context("this program lies nowhere")?;
    let missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|program| !directory.join(program).is_file()).collect();
    ensure!(
        missing.is_empty(),
        "{} not found in {}; in the sources, `cargo build --workspace` makes all of them",
        missing.join(", "),
        directory.display()
    );
    let programs = Programs::new(directory, &application(directory)?);
    Ok(match guests(directory) {
        Some(guests) => programs.with_guests(&guests),
        None => programs,
    })
}

/// Where the images of confidential VMs are: named, beside the programs, or where `cargo xtask
/// guest` puts them.
fn guests(directory: &Path) -> Option<PathBuf> {
    let named = env::var_os("TAMARACK_GUESTS").map(PathBuf::from);
    let above = directory.parent().unwrap_or(directory);
    let places = [directory.join("guests"), above.join("images")];
    let holds = |place: &PathBuf| {
        ["x86_64", "aarch64"].iter().any(|name| place.join(name).join("image.json").is_file())
    };
    named.or_else(|| places.into_iter().find(holds))
}

fn application(directory: &Path) -> Result<PathBuf> {
    if let Some(named) = env::var_os("TAMARACK_TA") {
        return Ok(PathBuf::from(named));
    }
    let installed = directory.join(APPLICATION);
    if installed.is_file() {
        return Ok(installed);
    }
    let sources = directory.ancestors().find(|above| above.join(SOURCES).is_file());
    let sources = sources.with_context(|| {
        format!("the sample's {APPLICATION} is neither beside the programs nor to be built")
    })?;
    // Beside the directory of the programs, which cargo names after the profile.
    let target = directory.parent().unwrap_or(directory).join("ta");
    let built = target.join(WASM).join("release").join(APPLICATION);
    if !built.is_file() {
        build(sources, &target)?;
    }
    fs::metadata(&built).with_context(|| format!("finding {}", built.display()))?;
    Ok(built)
}

fn build(sources: &Path, target: &Path) -> Result<()> {
    eprintln!("building the sample's Trusted Application");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--release", "--target", WASM]);
    cargo.arg("--manifest-path").arg(sources.join(SOURCES)).arg("--target-dir").arg(target);
    // The component must not depend on where the tree lies, or its digest would.
    cargo.env("RUSTFLAGS", format!("--remap-path-prefix={}=.", sources.display()));
    let status = cargo.stdin(Stdio::null()).status().context("starting cargo")?;
    ensure!(
        status.success(),
        "the sample's Trusted Application was not built; `rustup target add {WASM}` may be missing"
    );
    Ok(())
}

const PROGRAMS: [&str; 6] = [
    "tamarack-agent",
    "tamarack-broker",
    "tamarack-moc",
    "tamarack-tee",
    "route-relay",
    "route-vehicle",
];
const APPLICATION: &str = "route_planner.wasm";
const SOURCES: &str = "examples/route-planner/ta/Cargo.toml";
const WASM: &str = "wasm32-wasip2";
