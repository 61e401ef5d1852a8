//! `tamarack-moc`: first start, serving, and checking the configuration.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use moc::{
    app::Moc,
    clock::Clock,
    collateral::{self, Keeper, Periods, Wanted},
    config::{Config, Level, Log},
    http::{self, Identity},
    store,
    verification::Sources,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Messages are many small values that one thread makes and another drops: measured, the system's
/// allocator took a seventh of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Network M/OC: TAM, Verifier and placement.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys and store, and print the operator's token and the public keys, once.
    Init(File),
    /// Serve until SIGTERM. Policy, endorsements and reference values are read again when a file
    /// changes, and on SIGHUP; the TLS certificate and its key on SIGHUP.
    Serve(File),
    /// Copy store, blobs and private keys to a new folder; the M/OC may run meanwhile.
    Backup {
        #[command(flatten)]
        file: File,
        /// A folder that is empty or not there
        #[arg(long)]
        out: PathBuf,
    },
    /// Make the configuration's data folder, which is empty or not there, from a backup.
    Restore {
        #[command(flatten)]
        file: File,
        /// The backup
        #[arg(long)]
        from: PathBuf,
    },
    /// Print the OpenAPI document of the interface.
    Openapi,
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and every file that it names.
    Check(File),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The configuration, TOML.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Init(file) => init(&file),
        Command::Serve(file) => serve(&file),
        Command::Backup { file, out } => backup(&file, &out),
        Command::Restore { file, from } => restore(&file, &from),
        Command::Openapi => {
            write!(io::stdout(), "{}", http::openapi::document()).context("writing the document")
        }
        Command::Config { command: ConfigCommand::Check(file) } => check(&file),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let unusable = error.is::<moc::config::Unusable>()
                || error.is::<http::Unusable>()
                || error.is::<moc::verification::Unusable>()
                || error.is::<moc::tam::Unusable>()
                || error.is::<moc::app::NotInitialised>();
            let _written = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(if unusable { UNUSABLE } else { 1 })
        }
    }
}

fn init(file: &File) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    let initialised = runtime()?.block_on(async {
        let moc = Moc::open(&config, Clock::system()).await?;
        anyhow::Ok(moc.initialise(&config).await?)
    })?;
    let text = serde_json::to_string(&initialised).context("writing the result")?;
    writeln!(io::stdout(), "{text}").context("writing the result")
}

fn backup(file: &File, out: &Path) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    let made = runtime()?.block_on(store::back_up(&config.data_dir, out))?;
    tell(&made)
}

fn restore(file: &File, from: &Path) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    let restored = runtime()?.block_on(store::restore(from, &config.data_dir))?;
    tell(&restored)
}

fn tell(backup: &store::Backup) -> anyhow::Result<()> {
    let text = serde_json::to_string(backup).context("writing the result")?;
    writeln!(io::stdout(), "{text}").context("writing the result")
}

fn check(file: &File) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    let sources = Sources::read(&config.appraisal, Clock::system().now_ms())?;
    let identity = config.tls.as_ref().map(Identity::open).transpose()?;
    let _certificates = moc::tam::Certificates::read(&config.tam)?;
    let policy = &sources.policy;
    writeln!(
        io::stdout(),
        "valid: listens on {} by {}, TAM URI {}, policy `{}`, {} emulator anchors",
        config.listen,
        if identity.is_some() { "TLS 1.3" } else { "plain HTTP" },
        config.tam_uri(),
        policy.id,
        config.appraisal.emulated_anchors.len(),
    )
    .context("writing the result")
}

fn serve(file: &File) -> anyhow::Result<()> {
    let config = Config::load(&file.config)?;
    log(config.log);
    runtime()?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let identity = config.tls.as_ref().map(Identity::open).transpose()?.map(Arc::new);
    let moc = Arc::new(Moc::open(&config, Clock::system()).await?);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr().context("asking for the own address")?;
    tracing::info!(%address, tam_uri = %config.tam_uri(), "serving");

    let sweeper = tokio::spawn(sweep(moc.clone(), config.clone()));
    let reloader = tokio::spawn(reload(moc.clone(), config.clone(), identity.clone()));
    let keeper = keep(&moc, &config)?;
    let end = end(moc.clone())?;
    let served = http::serve(listener, identity, http::router(moc), &config.limits, end).await;
    sweeper.abort();
    reloader.abort();
    if let Some(keeper) = keeper {
        keeper.abort();
    }
    tracing::info!("ended");
    Ok(served?)
}

/// Keeps collateral fresh where a vendor's service is configured.
fn keep(moc: &Arc<Moc>, config: &Config) -> anyhow::Result<Option<JoinHandle<()>>> {
    let appraisal = &config.appraisal;
    let (Some(service), Some(directory)) = (&appraisal.collateral_service, &appraisal.collateral)
    else {
        return Ok(None);
    };
    let periods =
        Periods { endorsements_s: service.endorsements_s, revocation_s: service.revocation_s };
    let timeout = Duration::from_millis(service.timeout_ms);
    let store = collateral::Store::at(directory.clone());
    let keeper = Keeper::new(store, service.endpoints(), periods, timeout)
        .context("preparing to fetch collateral")?;
    let (wanted, queue) = Wanted::queue();
    moc.verification().ask(wanted);
    let (anchors, clock) = (moc.clone(), moc.clone());
    let anchors = move || anchors.verification().anchors();
    let now_ms = move || clock.clock().now_ms();
    Ok(Some(tokio::spawn(collateral::keep(Arc::new(keeper), queue, anchors, now_ms))))
}

/// SIGTERM or SIGINT.
fn end(moc: Arc<Moc>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        moc.close();
    })
}

async fn sweep(moc: Arc<Moc>, config: Config) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    let mut blobs_due = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        if tokio::time::Instant::now() >= blobs_due {
            blobs_due += SWEEP_BLOBS_EVERY;
            if let Err(error) = moc.sweep_blobs().await {
                tracing::error!(%error, "removing blobs");
            }
        }
        let now_ms = moc.clock().now_ms();
        match moc.verification().refresh(&config.appraisal, now_ms) {
            Ok(true) => tracing::info!("policy, endorsements or reference values have changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the old policy and endorsements stay"),
        }
        if let Err(error) = moc.sweep().await {
            tracing::error!(%error, "sweeping");
        }
    }
}

async fn reload(moc: Arc<Moc>, config: Config, identity: Option<Arc<Identity>>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let now_ms = Clock::system().now_ms();
        match moc.verification().reload(&config.appraisal, now_ms) {
            Ok(()) => tracing::info!("policy, endorsements and reference values were read again"),
            Err(error) => tracing::error!(%error, "the old policy and endorsements stay"),
        }
        match identity.as_ref().map(|identity| identity.reload()) {
            Some(Ok(())) => tracing::info!("the TLS certificate was read again"),
            Some(Err(error)) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "the old TLS certificate stays");
            }
            None => {}
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")
}

fn log(log: Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Others' crates do not know what must not be logged.
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("moc", level)
        .with_target("tamarack_moc", level);
    let layer = fmt::layer().with_writer(io::stderr);
    match log.json {
        true => tracing_subscriber::registry().with(layer.json().with_filter(targets)).init(),
        false => tracing_subscriber::registry().with(layer.with_filter(targets)).init(),
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SWEEP_BLOBS_EVERY: Duration = Duration::from_secs(3600);
/// Exit status for a configuration or store that cannot be used.
const UNUSABLE: u8 = 2;
