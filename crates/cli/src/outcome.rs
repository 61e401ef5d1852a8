//! How a command ends: its exit code, and what it prints when it fails.

use std::process::ExitCode;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use sdk::{CallFailed, Refusal};
use serde_json::json;

/// Why a command did not succeed. The exit code follows from it.
#[derive(Debug)]
pub enum Failed {
    /// Unusable input or a mistake in the call: exit code 2.
    Unusable(anyhow::Error),
    /// Somebody refused and said why: exit code 3.
    Refused {
        /// The reason.
        refusal: Box<Refusal>,
        /// What was done before.
        report: serde_json::Value,
    },
    /// Somebody does not answer: exit code 4.
    Unreachable(anyhow::Error),
}

impl Failed {
    /// Prints the failure and gives the exit code.
    #[must_use]
    pub fn tell(self, as_json: bool) -> ExitCode {
        match self {
            Self::Unusable(error) => complain(&error, as_json, 2),
            Self::Unreachable(error) => complain(&error, as_json, 4),
            Self::Refused { refusal, mut report } => {
                if as_json {
                    report["refused"] = json!(refusal);
                    println!("{report:#}");
                } else {
                    refused(&refusal);
                }
                ExitCode::from(3)
            }
        }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Unusable(error)
    }
}

impl From<CallFailed> for Failed {
    fn from(failed: CallFailed) -> Self {
        match failed {
            CallFailed::Refused(problem) => {
                Self::Refused { refusal: Box::new(Refusal::from(*problem)), report: json!({}) }
            }
            CallFailed::Unidentified { base, source } => {
                Self::Refused { refusal: Box::new(source.refusal(&base)), report: json!({}) }
            }
            other @ CallFailed::Unreachable { .. } => Self::Unreachable(other.into()),
            other => Self::Unusable(other.into()),
        }
    }
}

fn complain(error: &anyhow::Error, as_json: bool, code: u8) -> ExitCode {
    if as_json {
        println!("{:#}", json!({ "error": format!("{error:#}") }));
    }
    eprintln!("{RED}error{RED:#}: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  cause: {cause}");
    }
    ExitCode::from(code)
}

fn refused(refusal: &Refusal) {
    eprintln!("{RED}refused{RED:#}: {}", refusal.check);
    eprintln!("  expected: {}", refusal.expected);
    eprintln!("      seen: {}", refusal.seen);
    eprintln!("    to fix: {}", refusal.owner);
    eprintln!("    remedy: {}", refusal.remedy);
}

const RED: Style = AnsiColor::Red.on_default().bold();
