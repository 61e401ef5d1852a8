//! The TEEP Broker's program.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Result;
use broker::{
    agent::Agent,
    capture::Capture,
    config::Config,
    loads::{Loads, Patience},
    moc::MocClient,
    session::Sessions,
    tam::TamClient,
    ua::{Care, Host, Identity},
    wake::{Rhythm, Wakes},
};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
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
    /// Reads the settings, says what is wrong with them, and ends
    Check {
        /// Settings (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::INFO).with_ansi(false).init();
    let done = match Arguments::parse().command {
        Command::Run { config } => Config::read(&config).and_then(run),
        Command::Check { config } => Config::read(&config).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> Result<()> {
    let (token, roots) = (config.token()?, config.roots()?);
    let agent = Agent::at(&config.agent_socket);
    let loads = Loads::new(agent.clone(), Patience::default());
    let identity = Identity { vendor: config.vendor_id, classes: config.class_ids.clone() };
    let host = Host::new(&config.state_dir, identity, Care::default(), loads.clone());
    let sessions = Arc::new(Sessions {
        tam: TamClient::new(roots.as_deref())?,
        moc: MocClient::new(&config, &token, roots.as_deref())?,
        host: host.clone(),
        capture: Capture::new(config.capture_dir.clone()),
    });
    loads.serve_with(Arc::clone(&sessions));
    host.resume().await?;
    let rhythm = Rhythm { policy_check_every: config.policy_check_every(), ..Rhythm::default() };
    let wakes = Arc::new(Wakes::new(agent, sessions, loads, rhythm));
    info!(device = %config.device, moc = %config.moc, "waiting to be woken");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = wakes.serve() => {}
        _ = terminate.recv() => info!("stopping"),
        _ = tokio::signal::ctrl_c() => info!("stopping"),
    }
    host.stop().await;
    Ok(())
}
