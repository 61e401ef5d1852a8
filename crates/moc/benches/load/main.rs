//! How many attested sessions a Network M/OC serves in a second of its CPU time, beside the bare
//! signatures and key agreements of such a session; and whether that holds with 100,000 devices.
//!
//! `cargo bench --package tamarack-moc --bench load` prints a JSON list of rows; `--quick` takes a
//! tenth of the devices and of the time and says so in the rows' names. `cargo xtask bench moc`
//! runs it, and docs/benchmarks.md explains it.

#[path = "../../tests/moc/certificate.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "the tests issue more certificates than a server needs"
)]
mod certificate;
mod device;
mod field;
mod floor;
mod server;
mod wire;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bench::Row;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use device::Device;
use field::Field;
use floor::Floor;
use server::Server;

/// How much is measured.
struct Size {
    /// The devices that are enrolled, few and many.
    devices: [usize; 2],
    /// For how long leases are renewed, seconds.
    held_s: u64,
    /// What a row's name ends with, so that nobody takes less for all.
    said: &'static str,
}

const FULL: Size = Size { devices: [1_000, 100_000], held_s: 300, said: "" };
const QUICK: Size =
    Size { devices: [1_000, 10_000], held_s: 30, said: " (quick: a tenth of devices and time)" };

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let size = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => FULL,
        ["--quick"] => QUICK,
        _ => bail!("nothing but --quick is understood"),
    };
    let rows = measure(&size)?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &rows)?;
    writeln!(out)?;
    Ok(())
}

fn measure(size: &Size) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the devices' runtime")?;
    let mut floor = Floor::new()?;
    let [few, many] = size.devices;
    let small = runtime.block_on(run(few, None, &mut floor))?;
    let large = runtime.block_on(run(many, Some(size.held_s), &mut floor))?;
    let bare = floor.session_seconds();

    let said = |name: String| format!("{name}{}", size.said);
    let session = "attested session: QueryRequest to Success, SGX evidence, one manifest";
    let mut rows = vec![
        Row::of_floor(said(format!("{session}, {many} devices")), [large.session_s, bare], 0.7),
        Row::of_floor(said(format!("{session}, {few} devices")), [small.session_s, bare], 0.7),
        Row::times(
            said(format!("cost of a session with {many} devices, to that with {few}")),
            [large.session_s, small.session_s],
            1.2,
        ),
        Row::at_most(said("p99 of a session, 128 at a time".into()), large.p99_ms, "ms", 1_000.),
        Row::at_most(
            said(format!("memory for each device beyond {few}, of {many}")),
            (large.memory_bytes - small.memory_bytes).max(0.) / (many - few) as f64,
            "bytes",
            4096.,
        ),
        Row::at_most(
            said(format!("store for each of {many} devices")),
            large.store_bytes / many as f64,
            "bytes",
            16_384.,
        ),
    ];
    if let Some(held) = large.held {
        rows.extend(held.rows(size));
    }
    Ok(rows)
}

/// What one M/OC came to.
struct Measured {
    session_s: f64,
    p99_ms: f64,
    memory_bytes: f64,
    store_bytes: f64,
    held: Option<Held>,
}

/// What renewing leases came to.
struct Held {
    devices: usize,
    seconds: f64,
    wanted: usize,
    done: usize,
    p99_ms: f64,
    renewal_s: f64,
}

impl Held {
    fn rows(&self, size: &Size) -> Vec<Row> {
        let Self { devices, seconds, done, wanted, p99_ms, renewal_s } = self;
        let said = |name: String| format!("{name}{}", size.said);
        let rate = *wanted as f64 / size.held_s as f64;
        let what = format!("{devices} devices with leases of {LEASE_S} s, for {} s", size.held_s);
        vec![
            Row::at_least(
                said(format!("renewals: {what}")),
                *done as f64 / seconds,
                "/s",
                // Whoever comes last is not waited for.
                rate * 0.99,
            ),
            Row::at_most(said("p99 of a renewal".into()), *p99_ms, "ms", 500.),
            // With 167 a second, half of one processor.
            Row::within(said("CPU time of a renewal".into()), *renewal_s, 3_000.),
        ]
    }
}

/// Serves `devices`, each of which attests and installs once, as far as [`SESSIONS`] go.
async fn run(devices: usize, held_s: Option<u64>, floor: &mut Floor) -> Result<Measured> {
    let sessions = SESSIONS.min(devices);
    let field = Field::prepare(devices, sessions + WARM_UP).await?;
    let store_bytes = field.store_bytes()?;
    let server = Server::start(&field).await?;
    let devices = Arc::new(field.devices());
    // Caches fill, and statements are prepared.
    load(&server, &devices, 0..WARM_UP).await?;

    let (mut cpu_s, mut waits) = (0., Vec::new());
    let step = sessions / ROUNDS;
    for round in 0..ROUNDS {
        floor.round();
        let before = server.cpu_seconds()?;
        let from = WARM_UP + round * step;
        waits.extend(load(&server, &devices, from..from + step).await?);
        cpu_s += server.cpu_seconds()? - before;
    }
    let memory_bytes = server.memory_bytes()?;
    let held = match held_s {
        Some(seconds) => Some(hold(&server, &devices, seconds).await?),
        None => None,
    };
    server.stop().await?;
    Ok(Measured {
        session_s: cpu_s / (step * ROUNDS) as f64,
        p99_ms: p99_ms(&mut waits),
        memory_bytes,
        store_bytes,
        held,
    })
}

/// These devices attest and install, [`AT_A_TIME`] at a time; how long each waited.
async fn load(
    server: &Server,
    devices: &Arc<Vec<Device>>,
    range: std::ops::Range<usize>,
) -> Result<Vec<Duration>> {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for index in range {
        let (devices, wire) = (devices.clone(), server.wire());
        let permit = room.clone().acquire_owned().await?;
        tasks.spawn(async move {
            let begun = Instant::now();
            devices[index].install(&wire).await?;
            drop(permit);
            anyhow::Ok(begun.elapsed())
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = tasks.join_next().await {
        waits.push(done??);
    }
    Ok(waits)
}

/// Renews leases at the rate at which these devices need it.
async fn hold(server: &Server, devices: &Arc<Vec<Device>>, seconds: u64) -> Result<Held> {
    let every = Duration::from_secs_f64(LEASE_S as f64 / devices.len() as f64);
    let wanted = (seconds as f64 / every.as_secs_f64()) as usize;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut tasks = JoinSet::new();
    let mut waits = Vec::new();
    // A renewal that did not come through is one that was not held.
    let mut keep = |done: Result<Result<Duration>, JoinError>| match done {
        Ok(Ok(wait)) => waits.push(wait),
        Ok(Err(error)) => eprintln!("a renewal failed: {error:#}"),
        Err(error) => eprintln!("a renewal failed: {error:#}"),
    };
    let (begun, cpu_s) = (Instant::now(), server.cpu_seconds()?);
    for index in 0..wanted {
        ticks.tick().await;
        let (devices, wire) = (devices.clone(), server.wire());
        tasks.spawn(async move {
            let begun = Instant::now();
            devices[index % devices.len()].renew(&wire).await?;
            anyhow::Ok(begun.elapsed())
        });
        while let Some(done) = tasks.try_join_next() {
            keep(done);
        }
    }
    while let Some(done) = tasks.join_next().await {
        keep(done);
    }
    anyhow::ensure!(!waits.is_empty(), "no renewal came through");
    Ok(Held {
        devices: devices.len(),
        seconds: begun.elapsed().as_secs_f64(),
        wanted,
        done: waits.len(),
        renewal_s: (server.cpu_seconds()? - cpu_s) / waits.len() as f64,
        p99_ms: p99_ms(&mut waits),
    })
}

fn p99_ms(waits: &mut [Duration]) -> f64 {
    waits.sort_unstable();
    let at = (waits.len() * 99).div_ceil(100).saturating_sub(1);
    waits.get(at).map_or(f64::INFINITY, |wait| wait.as_secs_f64() * 1e3)
}

/// Sessions that are measured with each number of devices.
const SESSIONS: usize = 1_000;
/// Sessions before those.
const WARM_UP: usize = 200;
/// Between which the floor is measured.
const ROUNDS: usize = 10;
const AT_A_TIME: usize = 128;
/// How long a lease lasts, seconds.
const LEASE_S: u64 = 600;
