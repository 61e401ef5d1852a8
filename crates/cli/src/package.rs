//! `tamarack package`: makes what a package carries.

mod build;

use std::{fs, path::PathBuf};

use anstream::println;
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use sdk::package::image_of;
use serde_json::json;

use crate::home::Home;

/// `tamarack package`.
#[derive(Debug, Subcommand)]
pub enum Package {
    /// Builds and signs the packages of a project that hold no Personalization Data
    Build(build::Build),
    /// Makes an OCI image of one component or static program, the same bytes every time
    Image(Image),
}

/// `tamarack package image`.
#[derive(Debug, Args)]
pub struct Image {
    /// A WebAssembly component, or a static program for x86_64 or aarch64
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Where the image goes: an OCI image layout in a tar archive
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Package {
    /// Runs the command.
    ///
    /// # Errors
    /// A file does not read or write, or no image can be made of it.
    pub fn run(self, home: &dyn Fn() -> Result<Home>) -> Result<()> {
        match self {
            Self::Build(build) => build.run(&home()?),
            Self::Image(image) => image.run(),
        }
    }
}

impl Image {
    fn run(self) -> Result<()> {
        let program = fs::read(&self.program)
            .with_context(|| format!("reading {}", self.program.display()))?;
        let shown = self.program.display().to_string();
        let archive = image_of(program).with_context(|| format!("imaging {shown}"))?;
        fs::write(&self.out, &archive)
            .with_context(|| format!("writing {}", self.out.display()))?;
        let digest = image::manifest_digest(&archive)?;
        if self.json {
            let image = format!("sha256:{}", hex::encode(digest));
            println!("{:#}", json!({ "image": image, "bytes": archive.len(), "out": self.out }));
        } else {
            println!("sha256:{}  {} bytes", hex::encode(digest), archive.len());
        }
        Ok(())
    }
}
