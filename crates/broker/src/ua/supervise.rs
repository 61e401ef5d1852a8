//! Keeps a UA's process running.

use std::{
    fs::{File, OpenOptions},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, sync::watch, task::JoinHandle};
use tracing::{info, warn};

use super::{conversation, install::Placed};
use crate::{refusal::UaFailed, wake::Loads};

/// A UA that is kept running until this is dropped.
pub(super) struct Running {
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the UA and waits until its process is gone.
    pub(super) async fn stop(self) {
        self.ended.send_replace(true);
        // The task ends by itself; an error would only say that it was ended already.
        let _ended = self.task.await;
    }
}

/// Starts a UA and starts it again when it ends, with growing pauses.
pub(super) fn start(directory: &Path, placed: Placed, loads: Loads) -> Result<Running, UaFailed> {
    let log = directory.join(format!("{}.log", placed.name()));
    let program = placed.program(directory);
    let (ended, mut end) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut pause = PAUSE_MIN;
        while !*end.borrow() {
            match run(&program, &placed, &log, &loads, &mut end).await {
                Ok(status) => info!(ua = %placed.name(), %status, "ended"),
                Err(error) => warn!(ua = %placed.name(), %error, "did not start"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                _ = end.changed() => {}
            }
        }
    });
    Ok(Running { ended, task })
}

async fn run(
    program: &Path,
    placed: &Placed,
    log: &Path,
    loads: &Loads,
    end: &mut watch::Receiver<bool>,
) -> std::io::Result<String> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = Command::new(program)
        .args(placed.arguments())
        .env_clear()
        .current_dir(program.parent().unwrap_or(Path::new("/")))
        // Standard input is the application's way to the Broker, and its only authority.
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let stream = tokio::net::UnixStream::from_std(ours)?;
    let talk = tokio::spawn(conversation::serve(stream, loads.clone()));
    let status = tokio::select! {
        status = child.wait() => status?.to_string(),
        _ = end.wait_for(|end| *end) => {
            child.kill().await?;
            "stopped".to_owned()
        }
    };
    talk.abort();
    Ok(status)
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
