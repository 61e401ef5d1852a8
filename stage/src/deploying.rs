//! A `tamarack deploy` that is under way.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The command while it runs; it is ended when this is dropped.
#[derive(Debug)]
pub struct Deploying {
    child: Child,
    begun: Instant,
    output: File,
    said: File,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The JSON that it printed, or `null`.
    pub report: Value,
    /// What it said on standard error.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

impl Deploying {
    /// Starts the command; what it prints goes to files in `home` that nobody else sees.
    pub(crate) fn start(mut command: Command, home: &Path) -> Result<Self> {
        let begun = Instant::now();
        let (output, said) = (nameless(home)?, nameless(home)?);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(said.try_clone()?)
            .spawn()
            .context("starting tamarack deploy")?;
        Ok(Self { child, begun, output, said })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It goes on for longer.
    pub fn end_within(mut self, time: Duration) -> Result<Attempt> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.begun.elapsed() > time {
                let said = whole(&mut self.said)?;
                bail!("tamarack deploy goes on for more than {time:?}: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.begun.elapsed();
        let report = serde_json::from_str(&whole(&mut self.output)?).unwrap_or_default();
        let said = whole(&mut self.said)?;
        Ok(Attempt { code: status.code(), report, said, took })
    }
}

impl Drop for Deploying {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A file that goes away with its last descriptor.
fn nameless(directory: &Path) -> Result<File> {
    let path = directory.join("deploying");
    let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn whole(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}
