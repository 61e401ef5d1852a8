//! The TEEP Broker's program.

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use broker::{
    agent::Agent,
    capture::Capture,
    config::Config,
    join, launch,
    loads::{Loads, Patience},
    moc::MocClient,
    payloads::Payloads,
    probe,
    relay::Relay,
    session::Sessions,
    tam::TamClient,
    ua::{Care, Host, Identity},
    wake::{Rhythm, Wakes},
};
use clap::{Parser, Subcommand};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{info, warn};
use tracing_subscriber::{filter::LevelFilter, fmt};

#[derive(Parser)]
#[command(
    name = "tamarack-broker",
    about = "TEEP Broker of a Confidential Computing Device",
    version
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Relays TEEP and hosts Untrusted Applications until it is stopped
    Run {
        /// Settings (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Joins the settings' Network M/OC, once, and keeps the device's token where they say
    Join {
        /// Settings (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// File with the join token
        #[arg(long, value_name = "FILE")]
        join_token_file: PathBuf,
        /// The identity of this machine's hardware, hex, as the operator announced it
        #[arg(long, value_name = "HEX")]
        hardware_id: String,
    },
    /// Reads the settings, says what is wrong with them, and ends
    Check {
        /// Settings (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Says what this machine offers to separate UAs and to run each instance type
    Probe {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Becomes a UA's program; the Broker starts UAs this way
    #[command(hide = true)]
    Launch {
        /// Process that the program must not outlive
        #[arg(long, value_name = "ID")]
        parent: u32,
        /// What the UA may do (JSON)
        #[arg(long)]
        terms: String,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        line: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::INFO).with_ansi(false).init();
    let done = match Arguments::parse().command {
        Command::Run { config } => Config::read(&config).and_then(run),
        Command::Join { config, join_token_file, hardware_id } => {
            Config::read(&config).and_then(|config| joined(&config, &join_token_file, &hardware_id))
        }
        Command::Check { config } => Config::read(&config).and_then(|config| check(&config)),
        Command::Probe { json } => show(&probe::probe(), json),
        Command::Launch { parent, terms, line } => become_program(parent, &terms, &line),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Looks at what `run` would need, too.
fn check(config: &Config) -> Result<()> {
    TamClient::new(config.roots()?.as_deref())?;
    config.tees().iter().try_for_each(|tee| tee.token().map(drop))
}

#[tokio::main(flavor = "current_thread")]
async fn joined(config: &Config, token_file: &Path, hardware_id: &str) -> Result<()> {
    let token = std::fs::read_to_string(token_file)
        .with_context(|| format!("reading the join token {}", token_file.display()))?;
    join::join(config, token.trim(), hardware_id).await
}

fn show(findings: &[probe::Finding], json: bool) -> Result<()> {
    let mut text =
        if json { serde_json::to_string_pretty(findings)? } else { probe::text(findings) };
    if json {
        text.push('\n');
    }
    std::io::stdout().lock().write_all(text.as_bytes()).context("writing the findings")
}

fn become_program(parent: u32, terms: &str, line: &[OsString]) -> Result<()> {
    let (program, arguments) = line.split_first().context("no program to become")?;
    let error = launch::launch(parent, terms, Path::new(program), arguments);
    Err(error).with_context(|| format!("starting {}", program.display()))
}

/// What serves one TEE.
struct Serving {
    host: Host,
    wakes: Arc<Wakes>,
    relay: Option<Relay>,
}

impl Serving {
    async fn start(config: &Config) -> Result<Self> {
        let (token, roots) = (config.token()?, config.roots()?);
        let agent = Agent::at(&config.agent_socket);
        let loads = Loads::new(agent.clone(), Patience::default());
        let identity = Identity { vendor: config.vendor_id, classes: config.class_ids.clone() };
        let (launcher, grants) = (launch::launcher(), config.grants());
        let care = Care { launcher, grants, ..Care::default() };
        let host = Host::new(&config.state_dir, identity, care, loads.clone());
        let payloads = Payloads::default();
        let sessions = Arc::new(Sessions {
            tam: TamClient::new(roots.as_deref())?,
            moc: MocClient::new(config, &token, roots.as_deref())?,
            host: host.clone(),
            payloads: payloads.clone(),
            capture: Capture::new(config.capture_dir.clone()),
        });
        loads.serve_with(Arc::clone(&sessions));
        host.resume().await?;
        let every = config.policy_check_every();
        let rhythm = Rhythm { policy_check_every: every, ..Rhythm::default() };
        let relay = match config.relay_listen {
            Some(address) => Some(Relay::bind(address, agent.clone(), payloads).await?),
            None => None,
        };
        let wakes = Arc::new(Wakes::new(sessions, loads, rhythm));
        info!(device = %config.device, moc = %config.moc, "waiting to be woken");
        Ok(Self { host, wakes, relay })
    }
}

//= teep 14.98 (M): each TEE has its own wake-ups, sessions and UAs; none reaches another's Agent
#[tokio::main]
async fn run(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (mut hosts, mut wakes, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
    for tee in config.tees() {
        let serving = Serving::start(&tee).await;
        let Serving { host, wakes: woken, relay } =
            serving.with_context(|| format!("serving the TEE of `{}`", tee.device))?;
        tasks.spawn(Arc::clone(&woken).serve());
        tasks.spawn(relaying(relay));
        hosts.push(host);
        wakes.push(woken);
    }
    tokio::select! {
        _ = tasks.join_next() => {}
        _ = terminate.recv() => info!("stopping"),
        _ = tokio::signal::ctrl_c() => info!("stopping"),
    }
    tasks.shutdown().await;
    let last = Instant::now() + FINISH_WITHIN;
    for wakes in wakes {
        if !wakes.finished(last.saturating_duration_since(Instant::now())).await {
            warn!("some sessions did not end in time");
        }
    }
    for host in hosts {
        host.stop().await;
    }
    Ok(())
}

/// Without a relay there is nothing to wait for.
async fn relaying(relay: Option<Relay>) {
    match relay {
        Some(relay) => relay.serve().await,
        None => std::future::pending().await,
    }
}

/// How long a session may still take when the program is told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
