//! The M/OC that is measured: the program itself, in a process of its own.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::field::Field;
use super::wire::Wire;

pub(crate) struct Server {
    child: Child,
    wire: Wire,
}

impl Server {
    pub(crate) async fn start(field: &Field) -> Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_tamarack-moc"))
            .args(["serve", "--config"])
            .arg(field.config())
            .stdin(Stdio::null())
            .spawn()
            .context("starting tamarack-moc")?;
        let mut server = Self { child, wire: field.wire()? };
        while server.wire.connect().await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("tamarack-moc ended with {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// CPU time of all its threads, in user and kernel mode.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The name of the program is in brackets and may hold anything.
        let (_, fields) = stat.rsplit_once(") ").context("reading stat")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let [user, system]: [f64; 2] = [fields[11].parse()?, fields[12].parse()?];
        Ok((user + system) / TICKS)
    }

    /// What it holds in memory and shares with nobody.
    pub(crate) fn memory_bytes(&self) -> Result<f64> {
        let rollup = fs::read_to_string(self.proc("smaps_rollup"))?;
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        Ok(kib.sum::<f64>() * 1024.)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().context("ending tamarack-moc")?;
        self.child.wait()?;
        Ok(())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// USER_HZ, which is 100 on every Linux.
const TICKS: f64 = 100.;
