//! Tables `requests`, `deployments`, `packages`, `events` and `receipts`.

use api::{Actor, Event, PackageName};

use crate::deployment::Machine;

use super::{
    NewDecision, NotCommitted, Store, StoreFailed, bytes,
    change::{inserted, updated},
    int, json, log, maybe_text, maybe_uint, reservations,
    sql::{self, Connection, Row},
    text, to_json, uint,
};

/// A request that found a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Identifier.
    pub request: String,
    /// Whose.
    pub tenant: String,
    /// As it was asked.
    pub body: api::PostRequest,
    /// The device that was chosen.
    pub device: String,
    /// Why.
    pub reasons: Vec<String>,
    /// When.
    pub created_ms: u64,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRow {
    /// Identifier.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// The request that it answers.
    pub request: String,
    /// Where.
    pub device: String,
    /// Whether the device's evidence rested on an emulator's trust anchor when it was placed.
    pub emulated: bool,
    /// Its state machine.
    pub machine: Machine,
    /// Grows with every change.
    pub seq: u64,
    /// When the device's turn ends.
    pub deadline_ms: Option<u64>,
    /// The fence of its slot; 0 for one from before there were slots.
    pub fence: u64,
    /// When it gives its slot back unless something happens.
    pub reserved_until_ms: Option<u64>,
    /// When it was made.
    pub created_ms: u64,
}

/// A package as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageRow {
    /// Of which deployment.
    pub deployment: String,
    /// Which one.
    pub package: PackageName,
    /// Whose.
    pub tenant: String,
    /// For which device.
    pub device: String,
    /// SHA-256 of the SUIT_Envelope, hex: its blob.
    pub sha256: String,
    /// Thumbprint of the signer, hex.
    pub owner: String,
    /// COSE_Key of the signer.
    pub owner_key: Vec<u8>,
    /// The manifest's component identifier, each element in hex.
    pub manifest_component: Vec<String>,
    /// The component identifiers that it installs, each element in hex.
    pub components: Vec<Vec<String>>,
    /// SHA-256 of the manifest, hex.
    pub manifest_digest: String,
    /// The manifest's sequence number.
    pub sequence_number: u64,
    /// When.
    pub created_ms: u64,
}

/// A step of a deployment with the statement that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Of which deployment.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// The step.
    pub event: Event,
    /// The actor's own bytes: report, result or receipt.
    pub statement: Vec<u8>,
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Of which deployment.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// COSE_Sign1.
    pub receipt: Vec<u8>,
    /// When.
    pub at_ms: u64,
}

impl Store {
    /// One deployment.
    pub async fn deployment(&self, deployment: &str) -> Result<Option<DeploymentRow>, StoreFailed> {
        sql::query("SELECT * FROM deployments WHERE deployment = $1")
            .bind(deployment)
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The deployments on a device that have not ended, oldest first.
    pub async fn open_deployments(&self, device: &str) -> Result<Vec<DeploymentRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM deployments WHERE device = $1 AND open = 1 \
             ORDER BY created_ms, deployment",
        )
        .bind(device)
        .fetch_all(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// How many deployments each device carries that have not ended.
    pub async fn load(&self) -> Result<Vec<(String, u64)>, StoreFailed> {
        sql::query(
            "SELECT device, COUNT(*) AS open_deployments FROM deployments WHERE open = 1 \
             GROUP BY device",
        )
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(|row| Ok((text(row, "device")?, uint(row, "open_deployments")?)))
        .collect()
    }

    /// The deployments whose device had its turn for too long.
    pub async fn overdue(&self, now_ms: u64) -> Result<Vec<DeploymentRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM deployments WHERE open = 1 AND deadline_ms IS NOT NULL \
             AND deadline_ms <= $1 ORDER BY deadline_ms, deployment",
        )
        .bind(int(now_ms))
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// The deployments that wait for longer than their slot is kept for them.
    pub async fn lapsed(&self, now_ms: u64) -> Result<Vec<DeploymentRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM deployments WHERE open = 1 AND reserved_until_ms <= $1 \
             ORDER BY reserved_until_ms, deployment",
        )
        .bind(int(now_ms))
        .fetch_all(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// The open deployments on devices that may not be used any more, and those that run on devices
    /// that have ended.
    pub async fn stranded(&self) -> Result<Vec<DeploymentRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM deployments WHERE (open = 1 AND device IN \
             (SELECT device FROM devices WHERE duty = 'held' \
             OR (state = 'quarantined' AND duty <> 'retired'))) \
             OR deployment IN (SELECT r.deployment FROM reservations r \
             JOIN devices d ON d.device = r.device WHERE d.duty = 'retired') \
             ORDER BY created_ms, deployment",
        )
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// A package of a deployment.
    pub async fn package(
        &self,
        deployment: &str,
        package: PackageName,
    ) -> Result<Option<PackageRow>, StoreFailed> {
        sql::query("SELECT * FROM packages WHERE deployment = $1 AND package = $2")
            .bind(deployment)
            .bind(package.as_str())
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read_package)
            .transpose()
    }

    /// The packages of a deployment.
    pub async fn packages(&self, deployment: &str) -> Result<Vec<PackageRow>, StoreFailed> {
        sql::query("SELECT * FROM packages WHERE deployment = $1 ORDER BY package")
            .bind(deployment)
            .fetch_all(&self.reads)
            .await?
            .iter()
            .map(read_package)
            .collect()
    }

    /// The newest package for this manifest on this device, whatever its deployment.
    pub async fn newest_package(
        &self,
        device: &str,
        manifest_component: &[String],
    ) -> Result<Option<PackageRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM packages WHERE device = $1 AND manifest_component = $2 \
             ORDER BY sequence_number DESC LIMIT 1",
        )
        .bind(device)
        .bind(manifest_component.join("/"))
        .fetch_optional(&self.reads)
        .await?
        .as_ref()
        .map(read_package)
        .transpose()
    }

    /// The steps of a deployment, in order.
    pub async fn events(&self, deployment: &str) -> Result<Vec<EventRow>, StoreFailed> {
        sql::query("SELECT * FROM events WHERE deployment = $1 ORDER BY seq")
            .bind(deployment)
            .fetch_all(&self.reads)
            .await?
            .iter()
            .map(read_event)
            .collect()
    }

    /// The receipts of a deployment, oldest first.
    pub async fn receipts(&self, deployment: &str) -> Result<Vec<ReceiptRow>, StoreFailed> {
        sql::query("SELECT * FROM receipts WHERE deployment = $1 ORDER BY at_ms, digest")
            .bind(deployment)
            .fetch_all(&self.reads)
            .await?
            .iter()
            .map(read_receipt)
            .collect()
    }
}

pub(super) async fn add_request(
    on: &mut Connection,
    request: &RequestRow,
) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO requests (request, tenant, body, device, reasons, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&request.request)
    .bind(&request.tenant)
    .bind(to_json(&request.body, "requests.body")?)
    .bind(&request.device)
    .bind(to_json(&request.reasons, "requests.reasons")?)
    .bind(int(request.created_ms))
    .execute(on)
    .await;
    inserted(outcome, "request")
}

pub(super) async fn add(
    on: &mut Connection,
    deployment: &DeploymentRow,
) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO deployments (deployment, tenant, request, device, emulated, open, machine, \
         seq, deadline_ms, created_ms, reserved_until_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&deployment.deployment)
    .bind(&deployment.tenant)
    .bind(&deployment.request)
    .bind(&deployment.device)
    .bind(i64::from(deployment.emulated))
    .bind(i64::from(deployment.machine.is_open()))
    .bind(to_json(&deployment.machine, "deployments.machine")?)
    .bind(int(deployment.seq))
    .bind(deployment.deadline_ms.map(int))
    .bind(int(deployment.created_ms))
    .bind(deployment.reserved_until_ms.map(int))
    .execute(on)
    .await;
    inserted(outcome, "deployment")
}

pub(super) async fn save(
    on: &mut Connection,
    deployment: &DeploymentRow,
) -> Result<(), NotCommitted> {
    // Who acts for a slot that somebody else has got meanwhile comes too late.
    let outcome = sql::query(
        "UPDATE deployments SET open = $1, machine = $2, deadline_ms = $3, \
         reserved_until_ms = $4, seq = seq + 1 WHERE deployment = $5 AND seq = $6 \
         AND (fence = 0 OR EXISTS (SELECT 1 FROM reservations r \
         WHERE r.deployment = deployments.deployment AND r.fence = deployments.fence))",
    )
    .bind(i64::from(deployment.machine.is_open()))
    .bind(to_json(&deployment.machine, "deployments.machine")?)
    .bind(deployment.deadline_ms.map(int))
    .bind(deployment.reserved_until_ms.map(int))
    .bind(&deployment.deployment)
    .bind(int(deployment.seq))
    .execute(&mut *on)
    .await?;
    updated(outcome, "deployment")?;
    match deployment.machine.has_failed() {
        true => reservations::release(on, &deployment.deployment).await,
        false => Ok(()),
    }
}

pub(super) async fn add_package(
    on: &mut Connection,
    package: &PackageRow,
) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO packages (deployment, package, tenant, device, sha256, owner, \
         owner_key, manifest_component, components, manifest_digest, sequence_number, \
         created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&package.deployment)
    .bind(package.package.as_str())
    .bind(&package.tenant)
    .bind(&package.device)
    .bind(&package.sha256)
    .bind(&package.owner)
    .bind(package.owner_key.clone())
    .bind(package.manifest_component.join("/"))
    .bind(to_json(&package.components, "packages.components")?)
    .bind(&package.manifest_digest)
    .bind(int(package.sequence_number))
    .bind(int(package.created_ms))
    .execute(on)
    .await;
    inserted(outcome, "package")
}

pub(super) async fn add_event(on: &mut Connection, row: &EventRow) -> Result<(), NotCommitted> {
    let event = &row.event;
    let outcome = sql::query(
        "INSERT INTO events (deployment, seq, tenant, event, actor, at_ms, digest, cause, \
         statement) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&row.deployment)
    .bind(int(event.seq))
    .bind(&row.tenant)
    .bind(event.event.to_string())
    .bind(to_json(&event.actor, "events.actor")?)
    .bind(int(event.at_ms))
    .bind(&event.digest)
    .bind(event.cause.clone())
    .bind(row.statement.clone())
    .execute(&mut *on)
    .await;
    inserted(outcome, "event")?;
    let step = NewDecision {
        tenant: row.tenant.clone(),
        at_ms: event.at_ms,
        subject: format!("deployment/{}", row.deployment),
        decision: event.event.to_string(),
        reason: format!("stated by {}", to_json(&event.actor, "events.actor")?.trim_matches('"')),
    };
    log::add(on, &step, Some(cose::sha256(&row.statement))).await
}

pub(super) async fn add_receipt(
    on: &mut Connection,
    receipt: &ReceiptRow,
) -> Result<(), NotCommitted> {
    sql::query(
        "INSERT INTO receipts (digest, deployment, tenant, receipt, at_ms) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(hex::encode(cose::sha256(&receipt.receipt)))
    .bind(&receipt.deployment)
    .bind(&receipt.tenant)
    .bind(receipt.receipt.clone())
    .bind(int(receipt.at_ms))
    .execute(on)
    .await?;
    Ok(())
}

pub(super) fn read(row: &Row) -> Result<DeploymentRow, StoreFailed> {
    Ok(DeploymentRow {
        deployment: text(row, "deployment")?,
        tenant: text(row, "tenant")?,
        request: text(row, "request")?,
        device: text(row, "device")?,
        emulated: uint(row, "emulated")? != 0,
        machine: json(row, "machine")?,
        seq: uint(row, "seq")?,
        deadline_ms: maybe_uint(row, "deadline_ms")?,
        fence: uint(row, "fence")?,
        reserved_until_ms: maybe_uint(row, "reserved_until_ms")?,
        created_ms: uint(row, "created_ms")?,
    })
}

pub(super) fn read_package(row: &Row) -> Result<PackageRow, StoreFailed> {
    Ok(PackageRow {
        deployment: text(row, "deployment")?,
        package: text(row, "package")?
            .parse()
            .map_err(|_| StoreFailed::Corrupt("packages.package"))?,
        tenant: text(row, "tenant")?,
        device: text(row, "device")?,
        sha256: text(row, "sha256")?,
        owner: text(row, "owner")?,
        owner_key: bytes(row, "owner_key")?,
        manifest_component: text(row, "manifest_component")?
            .split('/')
            .map(str::to_owned)
            .collect(),
        components: json(row, "components")?,
        manifest_digest: text(row, "manifest_digest")?,
        sequence_number: uint(row, "sequence_number")?,
        created_ms: uint(row, "created_ms")?,
    })
}

pub(super) fn read_receipt(row: &Row) -> Result<ReceiptRow, StoreFailed> {
    Ok(ReceiptRow {
        deployment: text(row, "deployment")?,
        tenant: text(row, "tenant")?,
        receipt: bytes(row, "receipt")?,
        at_ms: uint(row, "at_ms")?,
    })
}

pub(super) fn read_event(row: &Row) -> Result<EventRow, StoreFailed> {
    let actor: Actor = json(row, "actor")?;
    Ok(EventRow {
        deployment: text(row, "deployment")?,
        tenant: text(row, "tenant")?,
        event: Event {
            seq: uint(row, "seq")?,
            event: text(row, "event")?.parse().map_err(|_| StoreFailed::Corrupt("events.event"))?,
            actor,
            at_ms: uint(row, "at_ms")?,
            digest: text(row, "digest")?,
            cause: maybe_text(row, "cause")?,
        },
        statement: bytes(row, "statement")?,
    })
}
