//! Table `leases`: until when an attestation of a running deployment counts.

use super::{
    NotCommitted, Own, Store, StoreFailed,
    change::{inserted, updated},
    int, maybe_bytes, maybe_uint,
    sql::{self, Connection, Row},
    text, uint,
};

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Of which deployment.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// Where.
    pub device: String,
    /// How long it lasts.
    pub seconds: u64,
    /// When it ends; absent before the deployment runs.
    pub until_ms: Option<u64>,
    /// How often it was renewed.
    pub renewals: u64,
    /// Whether it is over.
    pub ended: bool,
    /// Grows with every change.
    pub version: u64,
    /// What a renewal without a quote rests on.
    pub quoted: Option<Quoted>,
}

/// Evidence with a quote that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The Evidence.
    pub evidence: Vec<u8>,
    /// What it answered.
    pub challenge: Vec<u8>,
    /// When.
    pub at_ms: u64,
}

impl Store {
    /// The lease of a deployment.
    pub async fn lease(&self, deployment: &str) -> Result<Option<LeaseRow>, StoreFailed> {
        sql::query("SELECT * FROM leases WHERE deployment = $1")
            .bind(deployment)
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The leases of a device that are under way and end before a time, the first to end first.
    pub async fn leases_due(
        &self,
        device: &str,
        now_ms: u64,
    ) -> Result<Vec<LeaseRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM leases WHERE device = $1 AND ended = 0 AND until_ms IS NOT NULL \
             AND until_ms - seconds * 500 <= $2 ORDER BY until_ms, deployment",
        )
        .bind(device)
        .bind(int(now_ms))
        .fetch_all(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// The devices with leases that are due, as [`Self::leases_due`] says.
    pub async fn devices_due(&self, now_ms: u64) -> Result<Vec<String>, StoreFailed> {
        sql::query(
            "SELECT DISTINCT device FROM leases WHERE ended = 0 AND until_ms IS NOT NULL \
             AND until_ms - seconds * 500 <= $1 ORDER BY device",
        )
        .bind(int(now_ms))
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(|row| text(row, "device"))
        .collect()
    }

    /// The leases that nobody renewed in time, and those whose deployment has lost its slot.
    pub async fn leases_over(&self, now_ms: u64) -> Result<Vec<LeaseRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM leases WHERE ended = 0 AND (until_ms <= $1 OR NOT EXISTS \
             (SELECT 1 FROM reservations r WHERE r.deployment = leases.deployment)) \
             ORDER BY until_ms, deployment",
        )
        .bind(int(now_ms))
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// The leases that begin: every step of their deployments is done.
    pub async fn leases_to_begin(&self) -> Result<Vec<LeaseRow>, StoreFailed> {
        sql::query(
            "SELECT l.* FROM leases l JOIN deployments d ON d.deployment = l.deployment \
             JOIN reservations r ON r.deployment = l.deployment \
             WHERE l.ended = 0 AND l.until_ms IS NULL AND d.open = 0 ORDER BY l.deployment",
        )
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }
}

impl Own<'_> {
    /// The lease of a deployment.
    pub async fn lease(&self, deployment: &str) -> Result<Option<LeaseRow>, StoreFailed> {
        sql::query("SELECT * FROM leases WHERE deployment = $1 AND tenant = $2")
            .bind(deployment)
            .bind(self.tenant)
            .fetch_optional(&self.store.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }
}

pub(super) async fn add(on: &mut Connection, row: &LeaseRow) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO leases (deployment, tenant, device, seconds) VALUES ($1, $2, $3, $4)",
    )
    .bind(&row.deployment)
    .bind(&row.tenant)
    .bind(&row.device)
    .bind(int(row.seconds))
    .execute(on)
    .await;
    inserted(outcome, "lease")
}

pub(super) async fn save(on: &mut Connection, row: &LeaseRow) -> Result<(), NotCommitted> {
    let quoted = row.quoted.as_ref();
    let outcome = sql::query(
        "UPDATE leases SET until_ms = $1, renewals = $2, ended = $3, evidence = $4, \
         challenge = $5, quoted_ms = $6, version = version + 1 \
         WHERE deployment = $7 AND version = $8 AND ended = 0",
    )
    .bind(row.until_ms.map(int))
    .bind(int(row.renewals))
    .bind(i64::from(row.ended))
    .bind(quoted.map(|quoted| quoted.evidence.clone()))
    .bind(quoted.map(|quoted| quoted.challenge.clone()))
    .bind(quoted.map(|quoted| int(quoted.at_ms)))
    .bind(&row.deployment)
    .bind(int(row.version))
    .execute(on)
    .await?;
    updated(outcome, "lease")
}

fn read(row: &Row) -> Result<LeaseRow, StoreFailed> {
    let (evidence, challenge) = (maybe_bytes(row, "evidence")?, maybe_bytes(row, "challenge")?);
    let quoted = match (evidence, challenge, maybe_uint(row, "quoted_ms")?) {
        (Some(evidence), Some(challenge), Some(at_ms)) => {
            Some(Quoted { evidence, challenge, at_ms })
        }
        _ => None,
    };
    Ok(LeaseRow {
        deployment: text(row, "deployment")?,
        tenant: text(row, "tenant")?,
        device: text(row, "device")?,
        seconds: uint(row, "seconds")?,
        until_ms: maybe_uint(row, "until_ms")?,
        renewals: uint(row, "renewals")?,
        ended: uint(row, "ended")? != 0,
        version: uint(row, "version")?,
        quoted,
    })
}
