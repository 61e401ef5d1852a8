//! `tamarack operator device`: the inventory.

use std::time::{SystemTime, UNIX_EPOCH};

use api::{Capacity, DeviceView, Hardware, InstanceType, Order, Outcome, PostDevice, PostOrder};
use clap::{Args, Subcommand};
use sdk::MocClient;
use serde_json::json;

use super::print;
use crate::outcome::Failed;

/// `tamarack operator device`.
#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// Adds a device and prints its Broker's token, once
    Add(Add),
    /// Shows a device with its last verdict
    Show {
        /// Its name
        name: String,
    },
    /// Lists all devices
    List,
    /// Has a device appraised anew; the way out of quarantine
    Enrol {
        /// Its name
        name: String,
    },
    /// Lets a device that has joined take deployments
    Approve(Ordered),
    /// Has a device take nothing new, and go on with what it has
    Drain(Ordered),
    /// Has a device that drains take deployments again
    Resume(Ordered),
    /// Has a device take nothing and fails what is under way, whatever its evidence says
    Quarantine(Ordered),
    /// Ends a device for good
    Retire(Ordered),
}

/// Whom an order is for, and why.
#[derive(Debug, Args)]
pub(super) struct Ordered {
    /// Its name
    name: String,
    /// Why, for whoever looks at the device or the log
    #[arg(long)]
    reason: Option<String>,
}

/// `tamarack operator device add`.
#[derive(Debug, Args)]
pub(super) struct Add {
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
    /// Whose law it is subject to: a country of ISO 3166-1, such as JP
    #[arg(long, value_name = "COUNTRY")]
    jurisdiction: Option<String>,
    /// How long the way from the access network to it is, milliseconds
    #[arg(long, value_name = "MS")]
    latency_ms: Option<u32>,
    /// The identity of its hardware, hex: its evidence has to show it [default: any]
    #[arg(long, value_name = "HEX")]
    hardware_id: Option<String>,
    /// How many deployments it takes at a time
    #[arg(long, value_name = "NUMBER")]
    slots: Option<u64>,
    /// Memory for deployments, MiB
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u64>,
    /// Processors for deployments, thousandths of one
    #[arg(long, value_name = "THOUSANDTHS")]
    cpu_milli: Option<u64>,
}

impl Device {
    pub(super) async fn run(self, moc: &MocClient, as_json: bool) -> Result<(), Failed> {
        match self {
            Self::Add(add) => {
                let added = moc.add_device(&add.asked()).await?;
                print(as_json, &json!(added), || {
                    format!("device {}: token {}", added.device, added.token)
                });
            }
            Self::Show { name } => {
                let device = moc.device(&name).await?;
                print(as_json, &json!(device), || shown(&device));
            }
            Self::List => {
                let devices = moc.devices().await?;
                print(as_json, &json!(devices), || {
                    devices.iter().map(line).collect::<Vec<_>>().join("\n")
                });
            }
            Self::Enrol { name } => {
                let opened = moc.enrol(&name).await?;
                print(as_json, &json!(opened), || format!("{name}: its next session decides"));
            }
            Self::Approve(whom) => whom.give(Order::Approve, moc, as_json).await?,
            Self::Drain(whom) => whom.give(Order::Drain, moc, as_json).await?,
            Self::Resume(whom) => whom.give(Order::Resume, moc, as_json).await?,
            Self::Quarantine(whom) => whom.give(Order::Quarantine, moc, as_json).await?,
            Self::Retire(whom) => whom.give(Order::Retire, moc, as_json).await?,
        }
        Ok(())
    }
}

impl Ordered {
    async fn give(self, order: Order, moc: &MocClient, as_json: bool) -> Result<(), Failed> {
        let asked = PostOrder { order, reason: self.reason };
        let device = moc.order(&self.name, &asked).await?;
        print(as_json, &json!(device), || line(&device));
        Ok(())
    }
}

impl Add {
    pub(super) fn asked(self) -> PostDevice {
        PostDevice {
            device: self.name,
            hardware: self.hardware,
            instances: self.instances,
            zone: self.zone,
            jurisdiction: self.jurisdiction,
            latency_ms: self.latency_ms,
            hardware_id: self.hardware_id,
            capacity: Capacity {
                slots: self.slots,
                memory_mib: self.memory_mib,
                cpu_milli: self.cpu_milli,
            },
        }
    }
}

fn line(device: &DeviceView) -> String {
    let word = |known: Option<&str>| known.unwrap_or("unknown").to_owned();
    let emulated = device.emulated.map(|emulated| if emulated { "emulated" } else { "real" });
    format!(
        "{:<20} {:<11} {:<10} {:<9} TCB {:<10} {:<12} zone {:<8} {}",
        device.device,
        device.state.as_str(),
        device.hardware.as_str(),
        word(emulated),
        word(device.tcb_status.as_deref()),
        age(device.attested_at_ms),
        word(device.zone.as_deref()),
        room(device),
    )
}

/// How long ago the last positive appraisal was, by this machine's clock.
fn age(attested_at_ms: Option<u64>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    match attested_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms) / 1000) {
        None => "not attested".to_owned(),
        Some(seconds @ 0..120) => format!("{seconds} s ago"),
        Some(seconds @ 120..7200) => format!("{} min ago", seconds / 60),
        Some(seconds) => format!("{} h ago", seconds / 3600),
    }
}

fn room(device: &DeviceView) -> String {
    let of = |has: Option<u64>, left: Option<u64>, unit: &str| {
        has.map(|has| format!("{} of {has} {unit} free", left.unwrap_or_default()))
    };
    let (has, left) = (&device.capacity, &device.headroom);
    let parts = [
        of(has.slots, left.slots, "slots"),
        of(has.memory_mib, left.memory_mib, "MiB"),
        of(has.cpu_milli, left.cpu_milli, "m CPU"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => format!("{} deployments", device.deployments),
        false => parts.join(", "),
    }
}

fn shown(device: &DeviceView) -> String {
    let mut text = line(device);
    let instances: Vec<&str> = device.instances.iter().map(|one| one.as_str()).collect();
    text += &format!("\n  instance types: {}", instances.join(", "));
    let texts = [
        ("reason", &device.reason),
        ("hardware that is expected", &device.hardware_id),
        ("hardware that was seen", &device.seen_hardware_id),
    ];
    for (name, known) in texts {
        if let Some(known) = known {
            text += &format!("\n  {name}: {known}");
        }
    }
    if let Some(jurisdiction) = &device.jurisdiction {
        text += &format!("\n  jurisdiction: {jurisdiction}");
    }
    if let Some(latency) = device.latency_ms {
        text += &format!("\n  latency: {latency} ms");
    }
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

/// An instance type as the interface spells it.
pub(crate) fn instance(text: &str) -> Result<InstanceType, String> {
    [InstanceType::Process, InstanceType::Container, InstanceType::Vm]
        .into_iter()
        .find(|instance| instance.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not one of process, container, vm"))
}
