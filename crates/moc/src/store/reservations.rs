//! Table `reservations`: which deployment has which slot of which device.
//!
//! A slot is given out by the writer, in the transaction that makes its deployment, after it has
//! counted again: whatever two replicas believed when they chose, the second one is refused.

use api::{Capacity, DeviceState, Hardware, InstanceType, Resources};

use super::{
    NotCommitted, Own, Store, StoreFailed,
    change::{inserted, updated},
    devices, int, json, maybe_text, maybe_uint,
    sql::{self, Connection, Row},
    text, uint,
};

/// A slot that a deployment is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReservation {
    /// On which device.
    pub device: String,
    /// For which deployment, which is there already.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// The tenant's name for deployments that never share a device.
    pub apart: Option<String>,
    /// What it takes.
    pub resources: Resources,
}

/// A slot that a deployment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationRow {
    /// On which device.
    pub device: String,
    /// Which one.
    pub slot: u64,
    /// Grows with every slot that is given out on the device.
    pub fence: u64,
}

/// What deployments take of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many there are.
    pub deployments: u64,
    /// What they take together.
    pub resources: Resources,
}

/// What placement has to know of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryRow {
    /// Its name.
    pub device: String,
    /// Its hardware family.
    pub hardware: Hardware,
    /// The instance types that it can start.
    pub instances: Vec<InstanceType>,
    /// Where it stands, or empty.
    pub zone: String,
    /// Whose law it is subject to, or empty.
    pub jurisdiction: String,
    /// How long the way to it is.
    pub latency_ms: Option<u64>,
    /// Where it stands with the M/OC.
    pub state: DeviceState,
    /// Whether the last evidence rests on an emulator's trust anchor.
    pub emulated: Option<bool>,
    /// TCB status of the last evidence.
    pub tcb_status: Option<String>,
    /// The last positive appraisal.
    pub attested_ms: Option<u64>,
    /// What it has.
    pub capacity: Capacity,
    /// What is taken of it.
    pub usage: Usage,
}

impl Store {
    /// Every device as placement sees it, but those that are retired, by name.
    pub async fn inventory(&self) -> Result<Vec<InventoryRow>, StoreFailed> {
        sql::query(
            "SELECT d.device, d.hardware, d.instances, d.zone, d.jurisdiction, d.latency_ms, \
             d.state, d.duty, d.emulated, d.tcb_status, d.attested_ms, d.slots, d.memory_mib, \
             d.cpu_milli, COALESCE(r.deployments, 0) AS deployments, \
             COALESCE(r.used_memory, 0) AS used_memory, COALESCE(r.used_cpu, 0) AS used_cpu \
             FROM devices d LEFT JOIN (SELECT device, COUNT(*) AS deployments, \
             CAST(SUM(memory_mib) AS BIGINT) AS used_memory, \
             CAST(SUM(cpu_milli) AS BIGINT) AS used_cpu FROM reservations GROUP BY device) r \
             ON r.device = d.device WHERE d.duty <> 'retired' ORDER BY d.device",
        )
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read_inventory)
        .collect()
    }

    /// What is taken of the devices between two names, both included, for each that carries any.
    pub async fn usage(&self, from: &str, to: &str) -> Result<Vec<(String, Usage)>, StoreFailed> {
        sql::query(
            "SELECT device, COUNT(*) AS deployments, \
             CAST(SUM(memory_mib) AS BIGINT) AS used_memory, \
             CAST(SUM(cpu_milli) AS BIGINT) AS used_cpu FROM reservations \
             WHERE device >= $1 AND device <= $2 GROUP BY device",
        )
        .bind(from)
        .bind(to)
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(|row| Ok((text(row, "device")?, read_usage(row)?)))
        .collect()
    }
}

impl Own<'_> {
    /// The slot of a deployment.
    pub async fn reservation(
        &self,
        deployment: &str,
    ) -> Result<Option<ReservationRow>, StoreFailed> {
        sql::query(
            "SELECT device, slot, fence FROM reservations WHERE deployment = $1 AND tenant = $2",
        )
        .bind(deployment)
        .bind(self.tenant)
        .fetch_optional(&self.store.reads)
        .await?
        .map(|row| {
            Ok(ReservationRow {
                device: text(&row, "device")?,
                slot: uint(&row, "slot")?,
                fence: uint(&row, "fence")?,
            })
        })
        .transpose()
    }

    /// The devices that carry one of the tenant's deployments of this name.
    pub async fn devices_apart(&self, apart: &str) -> Result<Vec<String>, StoreFailed> {
        sql::query(
            "SELECT device FROM reservations WHERE tenant = $1 AND apart = $2 ORDER BY device",
        )
        .bind(self.tenant)
        .bind(apart)
        .fetch_all(&self.store.reads)
        .await?
        .iter()
        .map(|row| text(row, "device"))
        .collect()
    }
}

/// Gives out a slot, or refuses the whole list: where the device stands or what is left of it is
/// not what it was when it was chosen.
pub(super) async fn reserve(on: &mut Connection, new: &NewReservation) -> Result<(), NotCommitted> {
    // The update comes first: it locks the row where a database has row locks.
    let taken = sql::query(
        "UPDATE devices SET fence = fence + 1 WHERE device = $1 AND state = 'attested' \
         AND duty = 'serving'",
    )
    .bind(&new.device)
    .execute(&mut *on)
    .await?;
    updated(taken, "device")?;
    let row = sql::query(
        "SELECT d.fence, d.slots, d.memory_mib, d.cpu_milli, COUNT(r.slot) AS deployments, \
         CAST(COALESCE(SUM(r.memory_mib), 0) AS BIGINT) AS used_memory, \
         CAST(COALESCE(SUM(r.cpu_milli), 0) AS BIGINT) AS used_cpu, \
         COALESCE(MAX(r.slot) + 1, 0) AS next_slot FROM devices d \
         LEFT JOIN reservations r ON r.device = d.device WHERE d.device = $1 \
         GROUP BY d.device, d.fence, d.slots, d.memory_mib, d.cpu_milli",
    )
    .bind(&new.device)
    .fetch_one(&mut *on)
    .await?;
    let capacity = read_capacity(&row)?;
    if !has_room(&capacity, &read_usage(&row)?, &new.resources) {
        return Err(NotCommitted::Stale("place"));
    }
    let next = uint(&row, "next_slot")?;
    let slot = match capacity.slots.is_some_and(|slots| next >= slots) {
        true => lowest_free(on, &new.device).await?,
        false => next,
    };
    let fence = uint(&row, "fence")?;
    let outcome = sql::query(
        "INSERT INTO reservations (device, slot, deployment, tenant, apart, memory_mib, \
         cpu_milli, fence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&new.device)
    .bind(int(slot))
    .bind(&new.deployment)
    .bind(&new.tenant)
    .bind(new.apart.clone())
    .bind(int(new.resources.memory_mib))
    .bind(int(new.resources.cpu_milli))
    .bind(int(fence))
    .execute(&mut *on)
    .await;
    // Another deployment that has to stand apart came first.
    inserted(outcome, "place").map_err(|_| NotCommitted::Stale("place"))?;
    sql::query("UPDATE deployments SET fence = $1 WHERE deployment = $2")
        .bind(int(fence))
        .bind(&new.deployment)
        .execute(on)
        .await?;
    Ok(())
}

async fn lowest_free(on: &mut Connection, device: &str) -> Result<u64, NotCommitted> {
    let rows = sql::query("SELECT slot FROM reservations WHERE device = $1 ORDER BY slot")
        .bind(device)
        .fetch_all(on)
        .await?;
    let mut free = 0;
    for row in &rows {
        if uint(row, "slot")? != free {
            break;
        }
        free += 1;
    }
    Ok(free)
}

/// Gives a slot back.
pub(super) async fn release(on: &mut Connection, deployment: &str) -> Result<(), NotCommitted> {
    sql::query("DELETE FROM reservations WHERE deployment = $1")
        .bind(deployment)
        .execute(on)
        .await?;
    Ok(())
}

fn has_room(capacity: &Capacity, used: &Usage, wanted: &Resources) -> bool {
    let fits = |has: Option<u64>, used: u64, wanted: u64| match has {
        Some(has) => wanted <= has.saturating_sub(used),
        None => wanted == 0,
    };
    capacity.slots.is_none_or(|slots| used.deployments < slots)
        && fits(capacity.memory_mib, used.resources.memory_mib, wanted.memory_mib)
        && fits(capacity.cpu_milli, used.resources.cpu_milli, wanted.cpu_milli)
}

pub(super) fn read_capacity(row: &Row) -> Result<Capacity, StoreFailed> {
    Ok(Capacity {
        slots: maybe_uint(row, "slots")?,
        memory_mib: maybe_uint(row, "memory_mib")?,
        cpu_milli: maybe_uint(row, "cpu_milli")?,
    })
}

fn read_usage(row: &Row) -> Result<Usage, StoreFailed> {
    let resources =
        Resources { memory_mib: uint(row, "used_memory")?, cpu_milli: uint(row, "used_cpu")? };
    Ok(Usage { deployments: uint(row, "deployments")?, resources })
}

fn read_inventory(row: &Row) -> Result<InventoryRow, StoreFailed> {
    Ok(InventoryRow {
        device: text(row, "device")?,
        hardware: text(row, "hardware")?
            .parse()
            .map_err(|_| StoreFailed::Corrupt("devices.hardware"))?,
        instances: json(row, "instances")?,
        zone: text(row, "zone")?,
        jurisdiction: text(row, "jurisdiction")?,
        latency_ms: maybe_uint(row, "latency_ms")?,
        state: devices::standing(row)?,
        emulated: maybe_uint(row, "emulated")?.map(|value| value != 0),
        tcb_status: maybe_text(row, "tcb_status")?,
        attested_ms: maybe_uint(row, "attested_ms")?,
        capacity: read_capacity(row)?,
        usage: read_usage(row)?,
    })
}
