//! What the machine is doing, in a file beside the Broker's socket, for the Broker to report.
//!
//! The file is for people and reports; no decision about trust hangs on it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use tracing::warn;

use super::qemu::Accelerator;
use crate::disk::{self, Access};

/// The file that tells how the machine is.
pub(super) struct Status {
    path: PathBuf,
    boots: u32,
}

/// How a machine is. One that was killed with its guest cannot say so: its last word stays, and
/// nobody listens on its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// The guest starts.
    Booting,
    /// The guest greeted.
    Running,
    /// The guest ends, to start again.
    Rebooting,
    /// The guest was told to stop and did.
    Stopped,
    /// The agent in the guest ended by itself.
    Ended,
    /// The guest ended without a word, broke a rule, or never came up.
    Crashed,
}

#[derive(Serialize)]
struct Report<'a> {
    state: State,
    boots: u32,
    accelerator: Option<&'static str>,
    detail: Option<&'a str>,
    pid: u32,
    since: String,
}

impl Status {
    pub(super) fn beside(socket: &Path) -> Self {
        Self { path: socket.with_extension("machine.json"), boots: 0 }
    }

    pub(super) fn booting(&mut self, accelerator: Accelerator) {
        self.boots += 1;
        self.say(State::Booting, Some(accelerator), None);
    }

    pub(super) fn say(&self, state: State, accelerator: Option<Accelerator>, detail: Option<&str>) {
        let report = Report {
            state,
            boots: self.boots,
            accelerator: accelerator.map(Accelerator::name),
            detail,
            pid: std::process::id(),
            since: Timestamp::now().to_string(),
        };
        let json = serde_json::to_vec(&report).expect("a report has text keys only");
        if let Err(error) = disk::write(&self.path, &json, Access::Public) {
            warn!(%error, "nobody hears how the machine is");
        }
    }
}
