//! `tamarack request`: asks for a place, with everything that it has to be like.

use anstream::println;
use api::{
    Constraints, Hardware, InstanceType, PostRequest, RequestPlaced, Resources, Strategy, TcbLevel,
};
use clap::Args;
use serde_json::json;

use crate::{connect, home::Home, operator::instance, outcome::Failed};

/// `tamarack request`.
///
/// The deployment that it opens waits for its packages, and keeps its place for a while.
#[derive(Debug, Args)]
pub struct Request {
    /// The packaging case of the draft, 1 to 5 (section 4)
    #[arg(long)]
    case: u8,
    /// process, container or vm
    #[arg(long, value_parser = instance)]
    instance: InstanceType,
    /// A hardware family that will do, the most wanted first; may be repeated [default: any]
    #[arg(long = "hardware", value_name = "FAMILY")]
    hardware: Vec<Hardware>,
    /// A UA belongs to the deployment
    #[arg(long)]
    with_ua: bool,
    /// Only this device
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Only devices of this zone
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// For how many seconds an attestation counts; the device is asked again before they are over
    #[arg(long, value_name = "SECONDS")]
    lease_s: Option<u64>,
    /// No emulated device
    #[arg(long)]
    real: bool,
    /// The longest way from the access network, milliseconds
    #[arg(long, value_name = "MS")]
    latency_ms_max: Option<u32>,
    /// The lowest TCB level: up-to-date, hardening-needed, out-of-date or revoked
    #[arg(long, value_name = "LEVEL")]
    tcb_min: Option<TcbLevel>,
    /// How long ago the device's last positive appraisal may be, seconds
    #[arg(long, value_name = "SECONDS")]
    attested_within_s: Option<u64>,
    /// No device that carries another one of your deployments with this name
    #[arg(long, value_name = "NAME")]
    apart: Option<String>,
    /// A jurisdiction that will do, such as JP; may be repeated [default: any]
    #[arg(long = "jurisdiction", value_name = "COUNTRY")]
    jurisdictions: Vec<String>,
    /// Memory that it takes, MiB
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    memory_mib: u64,
    /// Processors that it takes, thousandths of one
    #[arg(long, value_name = "THOUSANDTHS", default_value_t = 0)]
    cpu_milli: u64,
    /// Of several devices that fit: spread or pack
    #[arg(long, default_value_t)]
    strategy: Strategy,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Request {
    /// Asks, and tells the answer with its reasons.
    ///
    /// # Errors
    /// See [`Failed`]. Where no device fits, each is named with the constraint that excludes it.
    pub async fn run(self, home: &Home) -> Result<(), Failed> {
        let account = home.account()?;
        let moc = connect::moc(&account.moc, &account.token_file, account.roots.as_ref())?;
        let as_json = self.json;
        let placed = moc.request(&self.asked()).await?;
        if as_json {
            println!("{:#}", json!(placed));
        } else {
            println!("{}", told(&placed));
        }
        Ok(())
    }

    fn asked(self) -> PostRequest {
        PostRequest {
            case: self.case,
            instance: self.instance,
            hardware: self.hardware,
            with_ua: self.with_ua,
            device: self.device,
            zone: self.zone,
            emulated: !self.real,
            lease_s: self.lease_s,
            constraints: Constraints {
                latency_ms_max: self.latency_ms_max,
                tcb_min: self.tcb_min,
                attested_within_s: self.attested_within_s,
                apart: self.apart,
                jurisdictions: self.jurisdictions,
                resources: Resources { memory_mib: self.memory_mib, cpu_milli: self.cpu_milli },
                strategy: self.strategy,
            },
        }
    }
}

fn told(placed: &RequestPlaced) -> String {
    let RequestPlaced { deployment, device, hardware, emulated, reasons, .. } = placed;
    let kind = if *emulated { "emulated" } else { "real" };
    let mut text = format!("deployment {deployment} on {device}, {kind} {hardware}");
    for reason in reasons {
        text += &format!("\n  {reason}");
    }
    text
}
