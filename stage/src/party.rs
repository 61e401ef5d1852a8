//! A running program.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::http::{self, Ask};

/// A program that runs until it is dropped; what it says goes to its log.
#[derive(Debug)]
pub struct Party {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Party {
    /// Starts a program.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes that it started and that run.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        numbers.filter(|process| parent(*process) == Some(self.pid())).collect()
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal, by the signal's name.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "{} cannot be sent {name}", self.name);
        Ok(())
    }

    /// Waits until a condition holds; fails with the end of the log when the program ended or the
    /// time is over.
    ///
    /// # Errors
    /// See above.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !holds() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}:\n{}", self.name, self.last_words());
            }
            if started.elapsed() > READY_WITHIN {
                bail!("{}: no {what} within {READY_WITHIN:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits as [`until`](Self::until) does, for a program that runs on.
    ///
    /// # Errors
    /// The time is over.
    pub(crate) fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !holds() {
            if started.elapsed() > READY_WITHIN {
                bail!("{}: no {what} within {READY_WITHIN:?}:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks it to read its files again.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(crate) fn hang_up(&self) -> Result<()> {
        let asked = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status()?;
        ensure!(asked.success(), "{} takes no signal: {asked}", self.name);
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // The number of a process that has ended may be another one's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ended = Command::new("kill").arg(self.child.id().to_string()).status();
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if started.elapsed() > STOPPED_WITHIN {
                let _killed = self.child.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _reaped = self.child.wait();
    }
}

/// Who started a process. Its name stands in brackets and may hold anything.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a program to its end and reads the JSON that it prints.
///
/// # Errors
/// It failed, or printed something else.
pub(crate) fn json(command: &mut Command) -> Result<Value> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    if !output.status.success() {
        bail!(
            "{shown} failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
    }
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{shown} printed no JSON: {}", String::from_utf8_lossy(&output.stdout))
    })
}

/// A port of loopback that was free a moment ago.
///
/// # Errors
/// None is free.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether an HTTP server answers with success.
pub(crate) fn answers(port: u16, path: &str) -> bool {
    let ready = Ask { method: "GET", path, headers: &[], body: &[] };
    http::ask(port, &ready).is_ok_and(|answer| (200..300).contains(&answer.status))
}

/// Long enough for an emulated processor to boot a guest.
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(5);
