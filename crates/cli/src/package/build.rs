//! `tamarack package build`: what of a project is built once, without a device.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anstream::println;
use anyhow::{Context as _, Result};
use api::PackageName;
use clap::Args;
use keys::file;
use sdk::{
    Project,
    deploy::{Act, Material, script},
    package::Package,
};
use serde_json::{Value, json};

use crate::home::Home;

/// `tamarack package build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The project file
    #[arg(long, value_name = "FILE", default_value = "tamarack.toml")]
    project: PathBuf,
    /// Where they go: an envelope for each package, and the payloads that devices fetch
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The owner's signing key [default: the home's]
    #[arg(long, value_name = "FILE")]
    signer: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Build {
    /// Runs the command.
    ///
    /// # Errors
    /// The project cannot be used, or a file does not read or write.
    pub(super) fn run(self, home: &Home) -> Result<()> {
        let Self { project, out, signer, json } = self;
        let project = Project::read(&project).map_err(anyhow::Error::from)?;
        let moc = home.account()?.moc;
        let key = signer.unwrap_or_else(|| home.owner_key());
        let owner = file::load(&key).with_context(|| format!("reading {}", key.display()))?;
        let base = moc.trim_end_matches('/').to_owned();
        let uri = |sha256: &str| format!("{base}{}", api::path::blob(sha256));
        let material = Material::of(&project, &owner, &uri).map_err(anyhow::Error::from)?;
        fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
        let report = build(&project, &material, &out)?;
        if json {
            println!("{report:#}");
        } else {
            tell(&report);
        }
        Ok(())
    }
}

/// Writes what is built once, and says what is sealed late.
fn build(project: &Project, material: &Material, out: &Path) -> Result<Value> {
    let mut built = vec![written(PackageName::Ta, &material.ta, out)?];
    for (name, package) in [(PackageName::Ua, &material.ua), (PackageName::UaTa, &material.ua_ta)] {
        if let Some(package) = package {
            built.push(written(name, package, out)?);
        }
    }
    let acts = script(project.case, project.ua.is_some());
    let late = acts.iter().filter_map(|act| match act {
        Act::Release(name) => Some(name.figure()),
        Act::Hand(_) | Act::Attest(_) => None,
    });
    let packages = acts.iter().filter_map(|act| match act {
        Act::Release(name) | Act::Hand(name) => Some(name.figure()),
        Act::Attest(_) => None,
    });
    Ok(json!({
        "case": project.case,
        "instance": project.instance,
        "packages": packages.collect::<Vec<_>>(),
        "built_once": built,
        "sealed_late": late.collect::<Vec<_>>(),
    }))
}

fn written(name: PackageName, package: &Package, out: &Path) -> Result<Value> {
    let path = out.join(format!("{name}.suit"));
    fs::write(&path, &package.built.envelope)
        .with_context(|| format!("writing {}", path.display()))?;
    for blob in &package.blobs {
        let path = out.join(&blob.sha256);
        fs::write(&path, &blob.bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    let digest = sdk::package::manifest_digest(&package.built.digest);
    Ok(json!({
        "package": name.figure(),
        "file": path,
        "manifest": hex::encode(digest),
        "owner": package.built.owner.to_string(),
        "fetched": package.blobs.iter().map(|blob| &blob.sha256).collect::<Vec<_>>(),
    }))
}

fn tell(report: &Value) {
    for built in report["built_once"].as_array().into_iter().flatten() {
        let text = |member: &str| built[member].as_str().unwrap_or_default().to_owned();
        println!("{:<12} {}  manifest {}", text("package"), text("file"), text("manifest"));
    }
    for late in report["sealed_late"].as_array().into_iter().flatten() {
        println!(
            "{:<12} sealed by `tamarack deploy`, for one device and one attestation",
            late.as_str().unwrap_or_default()
        );
    }
}
