//! `tamarack suit`: manifests for authors, from a readable description to a dry run.
//!
//! Everything that decides is in the library `suit`; here are files, words and exit codes.

mod binding;
mod build;
mod description;
mod device;
mod payloads;
mod refusal;
mod run;
mod show;
mod sign;
mod signer;
mod store;
mod told;
mod trust;
mod verify;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::{home::Home, outcome::Failed};

/// `tamarack suit`.
#[derive(Debug, Subcommand)]
pub enum Suit {
    /// Builds and signs a manifest from its description
    Build(build::Build),
    /// Adds a signature, or replaces those that are there
    Sign(sign::Sign),
    /// Checks who signed, what the signer may touch, and every digest
    Verify(verify::Verify),
    /// Explains an envelope, or writes its description
    Inspect(show::Inspect),
    /// Runs a procedure against a directory, as a device would
    Run(Box<run::Run>),
}

impl Suit {
    /// Runs the command; `home` is asked only where a key is needed and none is given.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self, home: &dyn Fn() -> Result<Home>) -> Result<(), Failed> {
        match self {
            Self::Build(build) => build.run(home),
            Self::Sign(sign) => sign.run(),
            Self::Verify(verify) => verify.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Run(run) => run.run(),
        }
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {what} {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
