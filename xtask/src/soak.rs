//! Doing one thing very often, to see what fails now and then, and what is left behind.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use device::broker::{Reply, Request};
use device::frame;
use serde::Serialize;
use serde_json::Value;

use crate::{build, guest, run};

/// What many boots showed.
#[derive(Serialize)]
struct Report {
    processor: &'static str,
    boots: u32,
    failed: Vec<String>,
    /// From the start of the software TEE to the Agent's first answer, milliseconds.
    ready_ms: Spread,
    /// From the signal to the end of the machine, milliseconds.
    stop_ms: Spread,
    /// Processes, sockets and files that were not there before.
    left: Vec<String>,
    ok: bool,
}

#[derive(Serialize)]
struct Spread {
    min: u64,
    median: u64,
    max: u64,
}

/// Boots and stops confidential VMs, one after the other, for each processor that can be run here.
pub(crate) fn vm(boots: u32, only: Option<&str>, json: bool) -> Result<()> {
    let programs = build::directory()?;
    let mut build = build::cargo_build(build::Show::Failures);
    run::must(build.args(["--package", "tamarack-emulator"]))?;
    let images = guest::only(build::Show::Failures, only)?;
    let mut reports = Vec::new();
    for processor in guest::PROCESSORS {
        let image = images.join(processor.name);
        let asked = only.is_none_or(|only| only == processor.name);
        if asked && image.join("image.json").is_file() {
            reports.push(soak(&programs.join("tamarack-tee"), &image, processor.name, boots)?);
        }
    }
    ensure!(!reports.is_empty(), "no image of a guest; `cargo xtask setup` says what is missing");
    if json {
        anstream::println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(show);
    }
    if reports.iter().all(|report| report.ok) { Ok(()) } else { bail!("not every boot went well") }
}

fn show(report: &Report) {
    let Report { processor, boots, failed, ready_ms, stop_ms, left, .. } = report;
    let well = boots - u32::try_from(failed.len()).unwrap_or(u32::MAX).min(*boots);
    anstream::println!(
        "{processor}: {well} of {boots} boots; ready in {} ms [{}..{}], stopped in {} ms [{}..{}]",
        ready_ms.median,
        ready_ms.min,
        ready_ms.max,
        stop_ms.median,
        stop_ms.min,
        stop_ms.max
    );
    failed.iter().for_each(|failure| anstream::println!("  failed: {failure}"));
    left.iter().for_each(|what| anstream::println!("  left behind: {what}"));
}

fn soak(tee: &Path, image: &Path, processor: &'static str, boots: u32) -> Result<Report> {
    let directory = std::env::temp_dir().join(format!("tamarack-soak-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("agent.toml"), SETTINGS)?;
    let family = if processor == "aarch64" { "cca" } else { "tdx" };
    let before = processes()?;
    let (mut ready, mut stop, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for boot in 1..=boots {
        match once(tee, image, family, &directory) {
            Ok((up, down)) => {
                ready.push(up);
                stop.push(down);
            }
            Err(error) => failed.push(format!("boot {boot}: {error:#}")),
        }
    }
    let mut left: Vec<String> =
        processes()?.into_iter().filter(|process| !before.contains(process)).collect();
    for entry in fs::read_dir(directory.join("storage"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".unfinished") {
            left.push(name);
        }
    }
    fs::remove_dir_all(&directory)?;
    let ok = failed.is_empty() && left.is_empty();
    let (ready_ms, stop_ms) = (spread(ready), spread(stop));
    Ok(Report { processor, boots, failed, ready_ms, stop_ms, left, ok })
}

/// Boots, asks the Agent what it is, and stops; gives how long the first and the last took.
fn once(tee: &Path, image: &Path, family: &str, directory: &Path) -> Result<(u64, u64)> {
    let socket = directory.join("agent.sock");
    let log = File::create(directory.join("log"))?;
    let began = Instant::now();
    let mut command = Command::new(tee);
    command.args(["run", "--family", family, "--vm"]).arg(image);
    for (option, file) in [
        ("vendor", "vendor"),
        ("state", "state"),
        ("settings", "agent.toml"),
        ("storage", "storage"),
    ] {
        command.arg(format!("--{option}")).arg(directory.join(file));
    }
    command.arg("--broker-socket").arg(&socket);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    let mut machine = Machine(child.context("starting the software TEE")?);
    let asked = ask(&socket, &mut machine).with_context(|| last_words(directory));
    let ready = millis(began);
    asked?;
    let told = Instant::now();
    run::must(Command::new("kill").arg(machine.0.id().to_string()))?;
    let status = machine.0.wait()?;
    ensure!(status.success(), "it ended with {status}: {}", last_words(directory));
    let state: Value = serde_json::from_slice(&fs::read(socket.with_extension("machine.json"))?)?;
    ensure!(state["state"] == "stopped", "it says of itself {state}");
    Ok((ready, millis(told)))
}

/// Asks as a Broker does; the connection waits for the guest.
fn ask(socket: &Path, machine: &mut Machine) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(error).context("connecting"),
            Err(_) => {}
        }
        if let Some(status) = machine.0.try_wait()? {
            bail!("it ended at once, with {status}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    stream.set_read_timeout(Some(READY_WITHIN))?;
    let reply: Reply = frame::ask(&mut stream, &Request::Describe).context("asking the Agent")?;
    let Reply::Description(_) = reply else { bail!("the Agent answered {reply:?}") };
    Ok(())
}

/// A software TEE that is ended when a boot fails.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Every QEMU and software TEE that runs, by number and name.
fn processes() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let mut name = String::new();
        let Ok(mut file) = File::open(entry.path().join("comm")) else { continue };
        let _gone = file.read_to_string(&mut name);
        let name = name.trim();
        let parent = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        // Those of others on this machine have parents; what we leave behind has none.
        let orphan = parent.lines().any(|line| line == "PPid:\t1");
        if orphan && (name.starts_with("qemu-system") || name.starts_with("tamarack-tee")) {
            found.push(format!("{} {name}", entry.file_name().to_string_lossy()));
        }
    }
    Ok(found)
}

fn last_words(directory: &Path) -> String {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

fn spread(mut all: Vec<u64>) -> Spread {
    all.sort_unstable();
    let at = |place: usize| all.get(place).copied().unwrap_or_default();
    Spread { min: at(0), median: at(all.len() / 2), max: at(all.len().saturating_sub(1)) }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Of a TAM that nobody plays: its key is the base point of P-256.
const SETTINGS: &str = "vendor_id = \"d98dfd44-7114-5376-bf7c-3adfb4712dd2\"\n\
    class_id = \"7b397450-6111-5eb1-8e91-ba8b2c60eede\"\n\
    instances = [\"container\", \"vm\"]\n\
    [[tam]]\n\
    uri = \"http://127.0.0.1:1/tam\"\n\
    keys = [\"a4010220012158206b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    2258204fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5\"]\n";

const READY_WITHIN: Duration = Duration::from_secs(90);
