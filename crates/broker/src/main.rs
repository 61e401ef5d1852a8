//! The TEEP Broker's program.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use broker::{
    agent::Agent,
    capture::Capture,
    config::Config,
    moc::MocClient,
    session::Sessions,
    tam::TamClient,
    ua::Host,
    wake::{self, Loads},
};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::{filter::LevelFilter, fmt};

#[derive(Parser)]
#[command(name = "tamarack-broker", about = "TEEP Broker of a Confidential Computing Device", version)]
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
    let token = std::fs::read_to_string(&config.token_file)
        .with_context(|| format!("reading the device token {}", config.token_file.display()))?;
    let agent = Agent::at(&config.agent_socket);
    let loads = Loads::new(agent.clone());
    let host = Host::new(&config.state_dir, loads.clone());
    let sessions = Arc::new(Sessions {
        tam: TamClient::new()?,
        moc: MocClient::new(&config, token.trim())?,
        base: config.moc.clone(),
        host: host.clone(),
        capture: Capture::new(config.capture_dir.clone()),
    });
    loads.serve_with(sessions.clone());
    host.resume().await?;
    info!(device = %config.device, moc = %config.moc, "waiting to be woken");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = wake::serve(agent, sessions, loads) => {}
        _ = terminate.recv() => info!("stopping"),
        _ = tokio::signal::ctrl_c() => info!("stopping"),
    }
    host.stop().await;
    Ok(())
}
