//! How the confidential VM is whose Agent does not answer, by what its launcher left in a file
//! beside the Agent's socket. It is told to people; no decision hangs on it.

use std::{fmt, fs, path::Path};

use serde::Deserialize;

/// How a confidential VM is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Machine {
    /// Its guest starts.
    Booting,
    /// Its guest ends, to start again.
    Rebooting,
    /// It was told to stop and did.
    Stopped,
    /// The Agent in it ended by itself.
    Ended,
    /// Its guest ended without a word, broke a rule, or never came up.
    Crashed {
        /// What its launcher saw.
        why: String,
    },
    /// It was running and is gone, with its launcher.
    Killed,
}

/// The file, as `tamarack-tee` writes it; what else is in there is not for the Broker.
#[derive(Deserialize)]
struct Report {
    state: String,
    detail: Option<String>,
}

impl Machine {
    /// What became of the machine whose Agent listened on this socket and does not any more; `None`
    /// where the Agent is no machine's.
    #[must_use]
    pub fn gone_from(socket: &Path) -> Option<Self> {
        let text = fs::read(socket.with_extension("machine.json")).ok()?;
        let Report { state, detail } = serde_json::from_slice(&text).ok()?;
        Some(match state.as_str() {
            "booting" => Self::Booting,
            "rebooting" => Self::Rebooting,
            "stopped" => Self::Stopped,
            "ended" => Self::Ended,
            "crashed" => {
                let why = detail.unwrap_or_default();
                Self::Crashed { why: why.chars().take(DETAIL_CHARS_MAX).collect() }
            }
            // Who runs would have answered.
            "running" => Self::Killed,
            _ => return None,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booting => f.write_str("is booting; try again in some seconds"),
            Self::Rebooting => f.write_str("is rebooting; try again in some seconds"),
            Self::Stopped => f.write_str("was stopped; start it with `tamarack-tee run --vm`"),
            Self::Ended => f.write_str("ended because its Agent did; see the log of the TEE"),
            Self::Crashed { why } => write!(f, "crashed ({why}); start it again"),
            Self::Killed => f.write_str("was killed; start it with `tamarack-tee run --vm`"),
        }
    }
}

const DETAIL_CHARS_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_machine_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        assert_eq!(Machine::gone_from(&socket), None);
        let crashed = Machine::Crashed { why: "panic".to_owned() };
        for (state, machine) in [
            ("booting", Some(Machine::Booting)),
            ("running", Some(Machine::Killed)),
            ("rebooting", Some(Machine::Rebooting)),
            ("stopped", Some(Machine::Stopped)),
            ("ended", Some(Machine::Ended)),
            ("crashed", Some(crashed)),
            ("dreaming", None),
        ] {
            let json = format!(r#"{{"state":"{state}","boots":1,"detail":"panic"}}"#);
            fs::write(folder.path().join("agent.machine.json"), json).unwrap();
            assert_eq!(Machine::gone_from(&socket), machine, "{state}");
        }
    }
}
