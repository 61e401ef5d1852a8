//! Confidential VMs: from the start of the machine to a TA that runs in it, over the time that the
//! same kernel and initial RAM disk take to a first byte with nobody in them.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use device::broker::{Reply, Request};
use device::frame;
use serde_json::Value;
use stage::{Device, Flow, Hardware, Instance, Layout, Programs, Spec, Stage};

use super::Row;
use crate::{build, run};

/// The rows of every processor whose image can be built here.
pub(super) fn rows() -> Result<Vec<Row>> {
    let programs = build::with_guests(build::Show::Failures)?;
    let mut rows = Vec::new();
    for hardware in [Hardware::Tdx, Hardware::Cca] {
        if let Some(image) = hardware.image(&programs) {
            rows.extend(of(&programs, hardware, &image)?);
        }
    }
    Ok(rows)
}

/// One deployment on a machine that is then started again and again: cold, and with its TA.
fn of(programs: &Programs, hardware: Hardware, image: &Path) -> Result<Vec<Row>> {
    let directory = std::env::temp_dir().join(format!("tamarack-bench-{}", std::process::id()));
    let stage = Stage::set(Layout::below(&directory)?, programs.clone())?;
    let spec = Spec::vm("edge-1", hardware).with_instances(&[Instance::Vm]);
    let mut device = stage.device(&spec)?;
    let ran = flow(hardware)?.run(&stage, &stage.user("oda")?, &device)?;
    ensure!(ran.ok, "the TA was not deployed: {:?}", ran.why);
    let socket = stage.layout.device("edge-1").join("agent.sock");
    let (mut values, mut floors) = (Vec::new(), Vec::new());
    let mut memory_mib = 0.0;
    for _ in 0..RUNS {
        floors.push(bare(programs, image)?);
        values.push(cold(&mut device, &socket)?);
        memory_mib = resident_mib(&device);
        device.kill_tee()?;
    }
    drop(device);
    drop(stage);
    std::fs::remove_dir_all(&directory)?;
    let (value, floor) = (median(values), median(floors));
    let processor = hardware.processor().unwrap_or_default();
    let name = format!("confidential VM, {processor}, cold: goal for value - floor");
    let over = Row {
        name,
        value,
        unit: "ms".to_owned(),
        floor: Some(floor),
        peer: None,
        ratio: Some(value / floor),
        goal: OVER_FLOOR_MS,
        ok: value - floor <= OVER_FLOOR_MS,
    };
    let name = format!("confidential VM, {processor}: memory with an idle TA");
    Ok(vec![over, Row::below(name, memory_mib, "MiB", MEMORY_MIB)])
}

/// The row of the figures that is deployed: case 3 without UA.
fn flow(hardware: Hardware) -> Result<Flow> {
    let fits = |flow: &Flow| {
        let vm = flow.case == 3 && flow.instance == Instance::Vm && !flow.with_ua;
        vm && flow.ran_on().is_ok_and(|on| on == hardware)
    };
    stage::flows().into_iter().find(fits).context("the figures have no such row")
}

/// From the start of the software TEE to a TA that runs and awaits its data.
fn cold(device: &mut Device, socket: &Path) -> Result<f64> {
    // The socket is there when the machine starts; a connection waits for the guest.
    let _off = device.kill_tee();
    let began = Instant::now();
    device.start_tee()?;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    while began.elapsed() < READY_WITHIN {
        let reply: Reply = frame::ask(&mut stream, &Request::Describe)?;
        let Reply::Description(text) = reply else { bail!("the Agent answered {reply:?}") };
        let description: Value = serde_json::from_str(&text)?;
        if description["applications"][0]["state"] == "awaiting release" {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    bail!("no TA within {READY_WITHIN:?}")
}

fn bare(programs: &Programs, image: &Path) -> Result<f64> {
    let mut command = programs.command("tamarack-tee");
    let printed = run::output(command.args(["bare-boot", "--vm"]).arg(image))?;
    let printed: Value = serde_json::from_str(&printed)?;
    printed["ms"].as_f64().context("no time of a bare boot")
}

/// What QEMU holds in memory.
fn resident_mib(device: &Device) -> f64 {
    let resident = |process: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    device.tee.children().iter().filter_map(resident).sum::<f64>() / 1024.0
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

const MEMORY_MIB: f64 = 640.0;
const OVER_FLOOR_MS: f64 = 150.0;
const READY_WITHIN: Duration = Duration::from_secs(120);
const RUNS: usize = 20;
