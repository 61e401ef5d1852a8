//! The operator's commands: tenants, credentials and devices.

mod device;
mod joining;
mod token;

use std::path::PathBuf;

use anstream::println;
use api::TenantView;
use clap::{Args, Subcommand};
use serde_json::json;

pub(crate) use device::instance;

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
    /// Tokens with which devices join
    #[command(subcommand)]
    JoinToken(joining::JoinToken),
    /// Confidential Computing Devices
    #[command(subcommand)]
    Device(device::Device),
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
            Command::JoinToken(token) => token.run(&moc, self.json).await?,
            Command::Device(device) => device.run(&moc, self.json).await?,
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
