//! Table `devices`.

use api::{Capacity, DeviceState, Hardware, InstanceType, Verdict};

use super::{
    NotCommitted, Store, StoreFailed,
    change::{inserted, updated},
    int, json, maybe_bytes, maybe_int, maybe_json, maybe_text, maybe_uint, reservations,
    sql::{self, Connection, Row},
    text, to_json, uint,
};

/// What the operator ordered a device to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// To wait for its approval.
    Pending,
    /// To take deployments.
    Serving,
    /// To go on with what it has.
    Draining,
    /// To do nothing, whatever its evidence says.
    Held,
    /// To be no more.
    Retired,
}

impl Duty {
    const ALL: [Self; 5] =
        [Self::Pending, Self::Serving, Self::Draining, Self::Held, Self::Retired];

    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Held => "held",
            Self::Retired => "retired",
        }
    }

    /// Where a device stands that has this duty and of which the evidence says `state`.
    pub const fn standing(self, state: DeviceState) -> DeviceState {
        match (self, state) {
            (Self::Pending, _) => DeviceState::Pending,
            (Self::Held, _) => DeviceState::Quarantined,
            (Self::Retired, _) => DeviceState::Retired,
            (Self::Draining, DeviceState::Attested) => DeviceState::Draining,
            (Self::Draining | Self::Serving, state) => state,
        }
    }
}

/// A device and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its name.
    pub device: String,
    /// Its hardware family, by the operator's word and the enrolment's evidence.
    pub hardware: Hardware,
    /// The instance types that it can start.
    pub instances: Vec<InstanceType>,
    /// Where it stands, or empty.
    pub zone: String,
    /// Whose law it is subject to, or empty.
    pub jurisdiction: String,
    /// How long the way from the access network to it is.
    pub latency_ms: Option<u64>,
    /// What it has for deployments.
    pub capacity: Capacity,
    /// What its evidence says: enrolled, attested or quarantined.
    pub state: DeviceState,
    /// What it was ordered to do.
    pub duty: Duty,
    /// Why, or empty.
    pub reason: String,
    /// The identity that its hardware has to have, hex, or empty.
    pub hardware_id: String,
    /// The identity that its last evidence showed, hex, or empty.
    pub seen_hardware_id: String,
    /// Grows with every change.
    pub version: u64,
    /// COSE_Key that signs the Agent's TEEP messages.
    pub agent_key: Option<Vec<u8>>,
    /// Its thumbprint, hex.
    pub agent_kid: Option<String>,
    /// COSE_Key that signs the Agent's SUIT reports.
    pub report_key: Option<Vec<u8>>,
    /// COSE_Key that signs receipts.
    pub receipt_key: Option<Vec<u8>>,
    /// COSE algorithm of the suite that the Agent chose.
    pub suite: Option<i64>,
    /// Whether the last evidence rests on an emulator's trust anchor.
    pub emulated: Option<bool>,
    /// TCB status of the last evidence.
    pub tcb_status: Option<String>,
    /// The last verdict.
    pub verdict: Option<Verdict>,
    /// When the last positive one was.
    pub attested_ms: Option<u64>,
    /// Restarts of the TEE, as far as they are known.
    pub epoch: u64,
    /// Since when it is known.
    pub created_ms: u64,
}

impl DeviceRow {
    /// Where it stands with the M/OC.
    pub const fn standing(&self) -> DeviceState {
        self.duty.standing(self.state)
    }
}

impl Store {
    /// One device.
    pub async fn device(&self, device: &str) -> Result<Option<DeviceRow>, StoreFailed> {
        sql::query("SELECT * FROM devices WHERE device = $1")
            .bind(device)
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The device whose Agent signs with this key: thumbprint, hex.
    pub async fn device_by_agent(&self, kid: &str) -> Result<Option<DeviceRow>, StoreFailed> {
        sql::query("SELECT * FROM devices WHERE agent_kid = $1")
            .bind(kid)
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Devices behind a name, at most `limit`.
    pub async fn devices_after(
        &self,
        after: &str,
        limit: u64,
    ) -> Result<Vec<DeviceRow>, StoreFailed> {
        sql::query("SELECT * FROM devices WHERE device > $1 ORDER BY device LIMIT $2")
            .bind(after)
            .bind(int(limit))
            .fetch_many(&self.reads)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Every device, by name.
    pub async fn devices(&self) -> Result<Vec<DeviceRow>, StoreFailed> {
        sql::query("SELECT * FROM devices ORDER BY device")
            .fetch_many(&self.reads)
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

pub(super) async fn add(on: &mut Connection, device: &DeviceRow) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO devices (device, tenant, hardware, instances, zone, state, version, \
         created_ms, jurisdiction, latency_ms, slots, memory_mib, cpu_milli, duty, \
         hardware_id) VALUES ($1, '', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(&device.device)
    .bind(device.hardware.as_str())
    .bind(to_json(&device.instances, "devices.instances")?)
    .bind(&device.zone)
    .bind(device.state.as_str())
    .bind(int(device.version))
    .bind(int(device.created_ms))
    .bind(&device.jurisdiction)
    .bind(device.latency_ms.map(int))
    .bind(device.capacity.slots.map(int))
    .bind(device.capacity.memory_mib.map(int))
    .bind(device.capacity.cpu_milli.map(int))
    .bind(device.duty.as_str())
    .bind(&device.hardware_id)
    .execute(on)
    .await;
    inserted(outcome, "device")
}

pub(super) async fn save(on: &mut Connection, device: &DeviceRow) -> Result<(), NotCommitted> {
    let verdict =
        device.verdict.as_ref().map(|verdict| to_json(verdict, "devices.verdict")).transpose()?;
    let outcome = sql::query(
        "UPDATE devices SET state = $1, agent_key = $2, agent_kid = $3, report_key = $4, \
         receipt_key = $5, suite = $6, emulated = $7, tcb_status = $8, verdict = $9, \
         epoch = $10, attested_ms = $11, duty = $12, reason = $13, seen_hardware_id = $14, \
         version = version + 1 WHERE device = $15 AND version = $16",
    )
    .bind(device.state.as_str())
    .bind(device.agent_key.clone())
    .bind(device.agent_kid.clone())
    .bind(device.report_key.clone())
    .bind(device.receipt_key.clone())
    .bind(device.suite)
    .bind(device.emulated.map(i64::from))
    .bind(device.tcb_status.clone())
    .bind(verdict)
    .bind(int(device.epoch))
    .bind(device.attested_ms.map(int))
    .bind(device.duty.as_str())
    .bind(&device.reason)
    .bind(&device.seen_hardware_id)
    .bind(&device.device)
    .bind(int(device.version))
    .execute(on)
    .await;
    match outcome {
        Err(error) if sql::is_unique_violation(&error) => Err(NotCommitted::Exists("agent key")),
        Err(error) => Err(error.into()),
        Ok(outcome) => updated(outcome, "device"),
    }
}

fn read(row: &Row) -> Result<DeviceRow, StoreFailed> {
    Ok(DeviceRow {
        device: text(row, "device")?,
        hardware: text(row, "hardware")?
            .parse()
            .map_err(|_| StoreFailed::Corrupt("devices.hardware"))?,
        instances: json(row, "instances")?,
        zone: text(row, "zone")?,
        jurisdiction: text(row, "jurisdiction")?,
        latency_ms: maybe_uint(row, "latency_ms")?,
        capacity: reservations::read_capacity(row)?,
        state: state(&text(row, "state")?)?,
        duty: duty(&text(row, "duty")?)?,
        reason: text(row, "reason")?,
        hardware_id: text(row, "hardware_id")?,
        seen_hardware_id: text(row, "seen_hardware_id")?,
        version: uint(row, "version")?,
        agent_key: maybe_bytes(row, "agent_key")?,
        agent_kid: maybe_text(row, "agent_kid")?,
        report_key: maybe_bytes(row, "report_key")?,
        receipt_key: maybe_bytes(row, "receipt_key")?,
        suite: maybe_int(row, "suite")?,
        emulated: maybe_uint(row, "emulated")?.map(|value| value != 0),
        tcb_status: maybe_text(row, "tcb_status")?,
        verdict: maybe_json(row, "verdict")?,
        attested_ms: maybe_uint(row, "attested_ms")?,
        epoch: uint(row, "epoch")?,
        created_ms: uint(row, "created_ms")?,
    })
}

/// Where the device of a row stands.
pub(super) fn standing(row: &Row) -> Result<DeviceState, StoreFailed> {
    Ok(duty(&text(row, "duty")?)?.standing(state(&text(row, "state")?)?))
}

fn duty(text: &str) -> Result<Duty, StoreFailed> {
    let found = Duty::ALL.into_iter().find(|duty| duty.as_str() == text);
    found.ok_or(StoreFailed::Corrupt("devices.duty"))
}

fn state(text: &str) -> Result<DeviceState, StoreFailed> {
    let states = [DeviceState::Enrolled, DeviceState::Attested, DeviceState::Quarantined];
    let found = states.into_iter().find(|state| state.as_str() == text);
    found.ok_or(StoreFailed::Corrupt("devices.state"))
}
