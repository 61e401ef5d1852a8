//! Fuzzing with libFuzzer on the stable compiler: its counters come from LLVM's own pass.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Builds and runs one target, or all of them one after another.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<()> {
    let known = targets()?;
    let chosen: Vec<&String> =
        known.iter().filter(|name| target.is_none_or(|wanted| wanted == name.as_str())).collect();
    if chosen.is_empty() {
        bail!("no such target; there are {}", known.join(", "));
    }
    compiler()?;
    let programs = build(target)?;
    let mut findings = 0;
    for name in &chosen {
        findings += usize::from(!fuzz(&programs, name, seconds)?);
    }
    if findings > 0 {
        bail!("{findings} of {} targets have a finding", chosen.len());
    }
    Ok(())
}

/// The names of the binaries.
fn targets() -> Result<Vec<String>> {
    let directory = run::root().join("fuzz/src/bin");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).context("listing fuzz/src/bin")? {
        let path = entry?.path();
        let name = path.file_stem().context("a file without a name")?;
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// libFuzzer is C++, and is compiled from source.
fn compiler() -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "g++".into());
    let found = Command::new(&compiler)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let compiler = compiler.to_string_lossy();
        bail!("fuzzing needs a C++ compiler: `{compiler}` does not run; install g++ or set CXX");
    }
    Ok(())
}

/// Builds with the counters and says where the programs are.
fn build(target: Option<&str>) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = run::output(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("the compiler does not name its host")?;
    let directory = run::root().join(DIRECTORY);
    let mut build = run::cargo();
    // The flags are for the programs alone, which naming the machine achieves: build scripts and
    // procedural macros do without.
    build.env("RUSTFLAGS", FLAGS.join(" ")).args(["build", "--release", "--locked", "--target"]);
    build.arg(host).arg("--manifest-path").arg(run::root().join("fuzz/Cargo.toml"));
    build.arg("--target-dir").arg(&directory);
    match target {
        Some(name) => build.args(["--bin", name]),
        None => build.arg("--bins"),
    };
    run::must(&mut build).context("building the fuzz targets")?;
    Ok(Path::new(DIRECTORY).join(host).join("release"))
}

/// Runs one target; whether it came through without a finding.
fn fuzz(programs: &Path, name: &str, seconds: u32) -> Result<bool> {
    let learnt = Path::new(DIRECTORY).join("corpus").join(name);
    let findings = Path::new(DIRECTORY).join("findings").join(name);
    for directory in [&learnt, &findings] {
        fs::create_dir_all(run::root().join(directory))
            .with_context(|| format!("making {}", directory.display()))?;
    }
    let program = programs.join(name);
    let started = Instant::now();
    let output = Command::new(run::root().join(&program))
        .current_dir(run::root())
        .arg(&learnt)
        .arg(Path::new("fuzz/corpus").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let executions = figure(&log, "stat::number_of_executed_units:");
    let clean = output.status.success();
    let colour = if clean { run::GREEN } else { run::RED };
    anstream::println!(
        "{}{name:<20}{} {executions:>12} executions {:>6.1} s {:>3} findings",
        colour.render(),
        colour.render_reset(),
        started.elapsed().as_secs_f64(),
        u8::from(!clean),
    );
    if !clean {
        explain(&program, name, &log);
    }
    Ok(clean)
}

/// Shows what broke and how to see it again.
fn explain(program: &Path, name: &str, log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let cause = lines.iter().position(|line| line.contains("panicked at") || is_error(line));
    for line in lines.iter().skip(cause.unwrap_or_default()).take(4) {
        anstream::println!("  {}", line.chars().take(200).collect::<String>());
    }
    let written = lines.iter().find_map(|line| line.split("Test unit written to ").nth(1));
    let Some(input) = written else { return };
    anstream::println!("  repeat:  {} {input}", program.display());
    anstream::println!("  keep it: cp {input} fuzz/corpus/{name}/");
}

fn is_error(line: &str) -> bool {
    line.contains("ERROR: libFuzzer")
}

fn figure(log: &str, label: &str) -> u64 {
    let value = log.lines().rev().find_map(|line| line.trim().strip_prefix(label));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Where everything goes that fuzzing makes.
const DIRECTORY: &str = "target/fuzz";

const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
