//! The operator's commands: tenants, credentials and devices.

mod token;

use std::path::PathBuf;

use anstream::println;
use api::{DeviceView, Hardware, InstanceType, Outcome, PostDevice, TenantView};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{connect, outcome::Failed};

/// `tamarack operator`.
#[derive(Debug, Args)]
pub struct Operator {
    /// The Network M/OC's address
    #[arg(long, value_name = "URL")]
    moc: String,
    /// File with the operator's token
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// File with trust anchors for TLS besides the platform's (PEM)
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tenants of the Network M/OC
    #[command(subcommand)]
    Tenant(Tenant),
    /// Credentials: roles, scopes, ends
    #[command(subcommand)]
    Token(token::Token),
    /// Confidential Computing Devices
    #[command(subcommand)]
    Device(Device),
}

#[derive(Debug, Subcommand)]
enum Tenant {
    /// Adds a tenant and prints its token, once
    Add {
        /// Its name
        name: String,
    },
    /// Lists all tenants
    List,
}

#[derive(Debug, Subcommand)]
enum Device {
    /// Adds a device and prints its Broker's token, once
    Add {
        /// Its name
        name: String,
        /// Its hardware family: SGX, TDX, SEV-SNP, SEV, CCA or TrustZone
        #[arg(long)]
        hardware: Hardware,
        /// An instance type that it offers (process, container, vm); may be repeated
        #[arg(long = "instance", required = true, value_parser = instance)]
        instances: Vec<InstanceType>,
        /// Where it stands
        #[arg(long)]
        zone: Option<String>,
    },
    /// Shows a device with its last verdict
    Show {
        /// Its name
        name: String,
    },
    /// Lists all devices
    List,
}

impl Operator {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn run(self) -> Result<(), Failed> {
        let moc = connect::moc(&self.moc, &self.token_file, self.roots.as_ref())?;
        match self.command {
            Command::Tenant(Tenant::Add { name }) => {
                let added = moc.add_tenant(&name).await?;
                print(self.json, &json!(added), || format!("tenant {name}: token {}", added.token));
            }
            Command::Tenant(Tenant::List) => {
                let tenants = moc.tenants().await?;
                print(self.json, &json!(tenants), || {
                    let line = |tenant: &TenantView| {
                        let TenantView { tenant, name, open_deployments, blob_bytes, .. } = tenant;
                        format!("{tenant}  {name}: {open_deployments} open, {blob_bytes} bytes")
                    };
                    tenants.iter().map(line).collect::<Vec<_>>().join("\n")
                });
            }
            Command::Token(token) => token.run(&moc, self.json).await?,
            Command::Device(Device::Add { name, hardware, instances, zone }) => {
                let device = PostDevice { device: name, hardware, instances, zone };
                let added = moc.add_device(&device).await?;
                print(self.json, &json!(added), || {
                    format!("device {}: token {}", added.device, added.token)
                });
            }
            Command::Device(Device::Show { name }) => {
                let device = moc.device(&name).await?;
                print(self.json, &json!(device), || shown(&device));
            }
            Command::Device(Device::List) => {
                let devices = moc.devices().await?;
                print(self.json, &json!(devices), || {
                    devices.iter().map(line).collect::<Vec<_>>().join("\n")
                });
            }
        }
        Ok(())
    }
}

fn print(as_json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) {
    if as_json {
        println!("{value:#}");
    } else {
        println!("{}", text());
    }
}

fn line(device: &DeviceView) -> String {
    let word = |known: Option<&str>| known.unwrap_or("unknown").to_owned();
    let emulated = device.emulated.map(|emulated| if emulated { "emulated" } else { "real" });
    format!(
        "{:<20} {:<11} {:<10} {:<9} TCB {}",
        device.device,
        format!("{:?}", device.state).to_lowercase(),
        device.hardware.as_str(),
        word(emulated),
        word(device.tcb_status.as_deref()),
    )
}

fn shown(device: &DeviceView) -> String {
    let mut text = line(device);
    for check in device.verdict.iter().flat_map(|verdict| &verdict.checks) {
        let mark = match check.outcome {
            Outcome::Passed => "✓",
            Outcome::Warned => "!",
            Outcome::Failed => "✗",
            Outcome::Skipped => "·",
        };
        text += &format!("\n  {mark} {}", check.check);
        if check.outcome == Outcome::Failed {
            text += &format!(": expected {}, seen {}", check.expected, check.seen);
        }
    }
    text
}

fn instance(text: &str) -> Result<InstanceType, String> {
    [InstanceType::Process, InstanceType::Container, InstanceType::Vm]
        .into_iter()
        .find(|instance| instance.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not one of process, container, vm"))
}
