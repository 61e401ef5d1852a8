//! Tables `tickets`, `exchanges` and `used`.

use super::{
    NotCommitted, Store, StoreFailed, bytes,
    change::{inserted, updated},
    int, joining, maybe_uint,
    sql::{self, Connection, Row},
    text, uint,
};

/// What an exchange with a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// First appraisal of the device.
    Enrol,
    /// The next package of a deployment.
    Deploy,
    /// Fresh evidence for a Network User.
    Attest,
    /// Evidence that renews the lease of a deployment.
    Renew,
    /// A UA that its Network User deploys; no TEEP session.
    Place,
    /// The device came by itself.
    Unasked,
}

impl Purpose {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Deploy => "deploy",
            Self::Attest => "attest",
            Self::Renew => "renew",
            Self::Place => "place",
            Self::Unasked => "unasked",
        }
    }

    fn from_text(text: &str) -> Result<Self, StoreFailed> {
        match text {
            "enrol" => Ok(Self::Enrol),
            "deploy" => Ok(Self::Deploy),
            "attest" => Ok(Self::Attest),
            "renew" => Ok(Self::Renew),
            "place" => Ok(Self::Place),
            "unasked" => Ok(Self::Unasked),
            _ => Err(StoreFailed::Corrupt("purpose")),
        }
    }
}

/// What an exchange with a device is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Whose deployment, or empty.
    pub tenant: String,
    /// With which device.
    pub device: String,
    /// For which deployment, or empty.
    pub deployment: String,
    /// For which attestation, or empty.
    pub attestation: String,
    /// What for.
    pub purpose: Purpose,
    /// The step of the deployment, as the figures spell it, or empty.
    pub step: String,
}

/// A piece of work for a device, behind a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRow {
    /// SHA-256 of the ticket, hex.
    pub ticket: String,
    /// What it opens.
    pub errand: Errand,
    /// When a wake-up carried it.
    pub woken_ms: Option<u64>,
    /// When it was made.
    pub created_ms: u64,
    /// When it is forgotten.
    pub expires_ms: u64,
}

/// A TEEP request that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRow {
    /// What the answer will bring.
    pub correlation: Vec<u8>,
    /// What it is about.
    pub errand: Errand,
    /// The TEEP session.
    pub session: Vec<u8>,
    /// When it was sent.
    pub created_ms: u64,
    /// When it is forgotten.
    pub expires_ms: u64,
}

impl Store {
    /// The errand of a ticket that was not shown yet: SHA-256 of the ticket, hex.
    pub async fn ticket(
        &self,
        ticket: &str,
        now_ms: u64,
    ) -> Result<Option<TicketRow>, StoreFailed> {
        sql::query("SELECT * FROM tickets WHERE ticket = $1 AND shown = 0 AND expires_ms > $2")
            .bind(ticket)
            .bind(int(now_ms))
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read_ticket)
            .transpose()
    }

    /// The tickets of a device, shown or not, that have not expired.
    pub async fn tickets(&self, device: &str, now_ms: u64) -> Result<Vec<TicketRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM tickets WHERE device = $1 AND expires_ms > $2 \
             ORDER BY created_ms, ticket",
        )
        .bind(device)
        .bind(int(now_ms))
        .fetch_all(&self.reads)
        .await?
        .iter()
        .map(read_ticket)
        .collect()
    }

    /// The exchange that waits under this correlation.
    pub async fn exchange(
        &self,
        correlation: &[u8],
        now_ms: u64,
    ) -> Result<Option<ExchangeRow>, StoreFailed> {
        sql::query("SELECT * FROM exchanges WHERE correlation = $1 AND expires_ms > $2")
            .bind(hex::encode(correlation))
            .bind(int(now_ms))
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The newest exchange with a device in which a message without token may come.
    pub async fn newest_exchange(
        &self,
        device: &str,
        now_ms: u64,
    ) -> Result<Option<ExchangeRow>, StoreFailed> {
        // The first byte of a correlation tells its kind: 63 is a challenge, 61 an Agent.
        sql::query(
            "SELECT * FROM exchanges WHERE device = $1 AND expires_ms > $2 \
             AND substr(correlation, 1, 2) IN ('61', '63') \
             ORDER BY created_ms DESC, correlation LIMIT 1",
        )
        .bind(device)
        .bind(int(now_ms))
        .fetch_optional(&self.reads)
        .await?
        .as_ref()
        .map(read)
        .transpose()
    }

    /// How many rows tell of devices that have not proven anything: for tests and metrics.
    pub async fn waiting(&self) -> Result<u64, StoreFailed> {
        let row = sql::query(
            "SELECT (SELECT COUNT(*) FROM exchanges) + (SELECT COUNT(*) FROM used) AS waiting",
        )
        .fetch_one(&self.reads)
        .await?;
        uint(&row, "waiting")
    }
}

pub(super) async fn add_ticket(on: &mut Connection, row: &TicketRow) -> Result<(), NotCommitted> {
    let errand = &row.errand;
    let outcome = sql::query(
        "INSERT INTO tickets (ticket, tenant, device, deployment, attestation, purpose, step, \
         woken_ms, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&row.ticket)
    .bind(&errand.tenant)
    .bind(&errand.device)
    .bind(&errand.deployment)
    .bind(&errand.attestation)
    .bind(errand.purpose.as_str())
    .bind(&errand.step)
    .bind(row.woken_ms.map(int))
    .bind(int(row.created_ms))
    .bind(int(row.expires_ms))
    .execute(on)
    .await;
    inserted(outcome, "ticket")
}

pub(super) async fn show_ticket(on: &mut Connection, ticket: &str) -> Result<(), NotCommitted> {
    let outcome = sql::query("UPDATE tickets SET shown = 1 WHERE ticket = $1 AND shown = 0")
        .bind(ticket)
        .execute(on)
        .await?;
    updated(outcome, "ticket").map_err(|_| NotCommitted::Used)
}

pub(super) async fn add(on: &mut Connection, row: &ExchangeRow) -> Result<(), NotCommitted> {
    let errand = &row.errand;
    let outcome = sql::query(
        "INSERT INTO exchanges (correlation, tenant, device, deployment, attestation, purpose, \
         step, session, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(hex::encode(&row.correlation))
    .bind(&errand.tenant)
    .bind(&errand.device)
    .bind(&errand.deployment)
    .bind(&errand.attestation)
    .bind(errand.purpose.as_str())
    .bind(&errand.step)
    .bind(row.session.clone())
    .bind(int(row.created_ms))
    .bind(int(row.expires_ms))
    .execute(&mut *on)
    .await;
    inserted(outcome, "exchange")?;
    //= teep 14.31 (S): outstanding requests per device are bounded, the oldest is dropped
    //= teep 15.115: the table of tokens has a cap and a time limit
    sql::query(
        "DELETE FROM exchanges WHERE device = $1 AND correlation NOT IN \
         (SELECT correlation FROM exchanges WHERE device = $2 \
          ORDER BY created_ms DESC, correlation LIMIT $3)",
    )
    .bind(&errand.device)
    .bind(&errand.device)
    .bind(EXCHANGES_PER_DEVICE)
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn spend(on: &mut Connection, correlation: &[u8]) -> Result<(), NotCommitted> {
    let outcome = sql::query("DELETE FROM exchanges WHERE correlation = $1")
        .bind(hex::encode(correlation))
        .execute(on)
        .await?;
    updated(outcome, "exchange").map_err(|_| NotCommitted::Used)
}

pub(super) async fn expire(on: &mut Connection, now_ms: u64) -> Result<(), NotCommitted> {
    let now = int(now_ms);
    sql::query("DELETE FROM tickets WHERE expires_ms <= $1").bind(now).execute(&mut *on).await?;
    sql::query("DELETE FROM exchanges WHERE expires_ms <= $1").bind(now).execute(&mut *on).await?;
    sql::query("DELETE FROM used WHERE until_ms <= $1").bind(now).execute(&mut *on).await?;
    sql::query("DELETE FROM answers WHERE until_ms <= $1").bind(now).execute(&mut *on).await?;
    joining::expire(on, now_ms).await
}

pub(super) async fn consume(
    on: &mut Connection,
    value: &[u8],
    until_ms: u64,
) -> Result<(), NotCommitted> {
    let outcome = sql::query("INSERT INTO used (value, until_ms) VALUES ($1, $2)")
        .bind(hex::encode(value))
        .bind(int(until_ms))
        .execute(on)
        .await;
    match inserted(outcome, "challenge") {
        Err(NotCommitted::Exists(_)) => Err(NotCommitted::Used),
        outcome => outcome,
    }
}

fn read_errand(row: &Row) -> Result<Errand, StoreFailed> {
    Ok(Errand {
        tenant: text(row, "tenant")?,
        device: text(row, "device")?,
        deployment: text(row, "deployment")?,
        attestation: text(row, "attestation")?,
        purpose: Purpose::from_text(&text(row, "purpose")?)?,
        step: text(row, "step")?,
    })
}

fn read_ticket(row: &Row) -> Result<TicketRow, StoreFailed> {
    Ok(TicketRow {
        ticket: text(row, "ticket")?,
        errand: read_errand(row)?,
        woken_ms: maybe_uint(row, "woken_ms")?,
        created_ms: uint(row, "created_ms")?,
        expires_ms: uint(row, "expires_ms")?,
    })
}

fn read(row: &Row) -> Result<ExchangeRow, StoreFailed> {
    let correlation = hex::decode(text(row, "correlation")?)
        .map_err(|_| StoreFailed::Corrupt("exchanges.correlation"))?;
    Ok(ExchangeRow {
        correlation,
        errand: read_errand(row)?,
        session: bytes(row, "session")?,
        created_ms: uint(row, "created_ms")?,
        expires_ms: uint(row, "expires_ms")?,
    })
}

const EXCHANGES_PER_DEVICE: i64 = 4;
