//! Table `join_tokens`: devices that may join.

use api::PostDevice;

use super::{
    NotCommitted, Store, StoreFailed,
    change::{inserted, updated},
    int, json,
    sql::{self, Connection, Row},
    text, to_json, uint,
};

/// A token with which one device joins, by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenRow {
    /// SHA-256 of the token, hex.
    pub hash: String,
    /// The device as it was announced.
    pub body: PostDevice,
    /// Whether it needs no approval.
    pub approved: bool,
    /// Since when.
    pub created_ms: u64,
    /// Until when.
    pub expires_ms: u64,
}

impl JoinTokenRow {
    /// Identifier: the beginning of the hash, which tells nothing of the secret.
    pub fn id(&self) -> &str {
        self.hash.get(..ID_LENGTH).unwrap_or(&self.hash)
    }
}

impl Store {
    /// The token with this hash, unless it has expired.
    pub async fn join_token(
        &self,
        hash: &str,
        now_ms: u64,
    ) -> Result<Option<JoinTokenRow>, StoreFailed> {
        sql::query("SELECT * FROM join_tokens WHERE hash = $1 AND expires_ms > $2")
            .bind(hash)
            .bind(int(now_ms))
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The token with this identifier, unless it has expired.
    pub async fn join_token_by_id(
        &self,
        id: &str,
        now_ms: u64,
    ) -> Result<Option<JoinTokenRow>, StoreFailed> {
        sql::query("SELECT * FROM join_tokens WHERE substr(hash, 1, 32) = $1 AND expires_ms > $2")
            .bind(id)
            .bind(int(now_ms))
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Tokens that count, of devices behind a name, at most `limit`.
    pub async fn join_tokens(
        &self,
        after: &str,
        limit: u64,
        now_ms: u64,
    ) -> Result<Vec<JoinTokenRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM join_tokens WHERE device > $1 AND expires_ms > $2 \
             ORDER BY device LIMIT $3",
        )
        .bind(after)
        .bind(int(now_ms))
        .bind(int(limit))
        .fetch_all(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }
}

pub(super) async fn add(on: &mut Connection, row: &JoinTokenRow) -> Result<(), NotCommitted> {
    // One that has expired makes room.
    sql::query("DELETE FROM join_tokens WHERE device = $1 AND expires_ms <= $2")
        .bind(&row.body.device)
        .bind(int(row.created_ms))
        .execute(&mut *on)
        .await?;
    let outcome = sql::query(
        "INSERT INTO join_tokens (hash, device, body, approved, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&row.hash)
    .bind(&row.body.device)
    .bind(to_json(&row.body, "join_tokens.body")?)
    .bind(i64::from(row.approved))
    .bind(int(row.created_ms))
    .bind(int(row.expires_ms))
    .execute(on)
    .await;
    inserted(outcome, "join token for the device")
}

pub(super) async fn end(on: &mut Connection, hash: &str) -> Result<(), NotCommitted> {
    let outcome =
        sql::query("DELETE FROM join_tokens WHERE hash = $1").bind(hash).execute(on).await?;
    updated(outcome, "join token").map_err(|_| NotCommitted::Used)
}

pub(super) async fn expire(on: &mut Connection, now_ms: u64) -> Result<(), NotCommitted> {
    sql::query("DELETE FROM join_tokens WHERE expires_ms <= $1")
        .bind(int(now_ms))
        .execute(on)
        .await?;
    Ok(())
}

fn read(row: &Row) -> Result<JoinTokenRow, StoreFailed> {
    Ok(JoinTokenRow {
        hash: text(row, "hash")?,
        body: json(row, "body")?,
        approved: uint(row, "approved")? != 0,
        created_ms: uint(row, "created_ms")?,
        expires_ms: uint(row, "expires_ms")?,
    })
}

const ID_LENGTH: usize = 32;
