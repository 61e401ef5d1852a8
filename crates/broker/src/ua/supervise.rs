//! Keeps a UA's process running.

use std::{
    ffi::OsString,
    io::{self, PipeReader},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    Grants, conversation, log,
    placed::{self, Placed},
    rights::{Form, Invocation},
};
use crate::{launch::Terms, loads::Loads};

/// How UAs are started and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// The command that a UA's terms, program and arguments are given to; with none the program
    /// is started directly.
    pub launcher: Vec<OsString>,
    /// What of the machine UAs may have.
    pub grants: Grants,
    /// The first pause before a UA that has ended is started again; it doubles.
    pub pause_min: Duration,
    /// The longest pause. A UA that ran for longer counts as well again.
    pub pause_max: Duration,
    /// How long a UA has to end when it is asked to.
    pub end_within: Duration,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            launcher: Vec::new(),
            grants: Grants::default(),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(30),
            end_within: Duration::from_secs(2),
        }
    }
}

/// A UA that is kept running until this is dropped.
pub(super) struct Running {
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the UA and waits until its process is gone.
    pub(super) async fn stop(self) {
        self.end.send_replace(true);
        // An error says that the task has panicked; its process was killed with it.
        let _ended = self.task.await;
    }
}

/// Starts a UA and starts it again when it ends, with growing pauses.
pub(super) fn start(directory: &Path, placed: Placed, care: Care, loads: Loads) -> Running {
    let (end, ended) = watch::channel(false);
    let ua = Ua { directory: directory.to_path_buf(), placed, care, loads };
    let task = tokio::spawn(ua.keep_running(ended));
    Running { end, task }
}

struct Ua {
    directory: PathBuf,
    placed: Placed,
    care: Care,
    loads: Loads,
}

impl Ua {
    async fn keep_running(self, mut end: watch::Receiver<bool>) {
        let name = self.placed.name();
        let mut pause = self.care.pause_min;
        loop {
            let began = Instant::now();
            match self.run(&mut end).await {
                Ok(Some(status)) => warn!(ua = name, %status, ?pause, "ended by itself"),
                Ok(None) => {
                    info!(ua = name, "ended");
                    return;
                }
                Err(error) => warn!(ua = name, %error, ?pause, "did not start"),
            }
            if began.elapsed() > self.care.pause_max {
                pause = self.care.pause_min;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(self.care.pause_max),
                () = asked(&mut end) => return,
            }
        }
    }

    /// Runs the UA once; `None` when it was asked to end.
    async fn run(&self, end: &mut watch::Receiver<bool>) -> io::Result<Option<ExitStatus>> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(ours)?;
        let (mut child, words) = self.spawn(theirs)?;
        let words = tokio::spawn(log::keep(words, self.placed.log(&self.directory)));
        let talk = tokio::spawn(conversation::serve(stream, self.loads.clone()));
        let status = tokio::select! {
            status = child.wait() => Some(status?),
            () = asked(end) => {
                self.end(&mut child).await?;
                None
            }
        };
        talk.abort();
        // What is left of its group would hold the pipe open.
        let _silent = timeout(self.care.end_within, words).await;
        Ok(status)
    }

    fn spawn(&self, socket: UnixStream) -> io::Result<(Child, PipeReader)> {
        let program = self.placed.program(&self.directory);
        let room = self.placed.room(&self.directory);
        placed::private(&room)?;
        let (words, speech) = io::pipe()?;
        let invocation = self.placed.invocation();
        let mut line = self.care.launcher.iter().map(OsString::as_os_str);
        let mut command = match line.next() {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                command.args(line).arg("--terms").arg(self.terms()?).arg("--").arg(&program);
                command
            }
            None => Command::new(&program),
        };
        command
            .args(&invocation.arguments)
            .env_clear()
            .current_dir(room)
            // Standard input is the application's way to the Broker, and its only authority.
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(speech.try_clone()?)
            .stderr(speech)
            .process_group(0)
            .kill_on_drop(true);
        Ok((command.spawn()?, words))
    }

    /// How long it has to end. The keeper of a container sees to its end, and is not hurried.
    fn end_within(&self) -> Duration {
        match self.placed.invocation().instance {
            Form::Process => self.care.end_within,
            Form::Container => self.care.end_within.max(CONTAINER_END),
        }
    }

    /// What the launcher is told.
    fn terms(&self) -> io::Result<String> {
        let Invocation { instance, network, folders, limits, .. } =
            self.placed.invocation().clone();
        let runtime = self.care.grants.runtime.clone();
        Ok(serde_json::to_string(&Terms { instance, network, folders, limits, runtime })?)
    }

    /// Asks the UA and its children to end, and makes them.
    async fn end(&self, child: &mut Child) -> io::Result<()> {
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        signal(group, Signal::TERM);
        if timeout(self.end_within(), child.wait()).await.is_err() {
            child.start_kill()?;
            child.wait().await?;
        }
        signal(group, Signal::KILL);
        Ok(())
    }
}

/// Waits until the UA is to end: somebody said so, or nobody holds it any more.
async fn asked(end: &mut watch::Receiver<bool>) {
    let _either = end.wait_for(|end| *end).await;
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // An error says that nobody of the group is left.
        let _gone = kill_process_group(group, signal);
    }
}

/// The runtime is asked three times at most, and each takes tenths of a second on a busy machine.
const CONTAINER_END: Duration = Duration::from_secs(30);
