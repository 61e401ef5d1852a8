//! Tables `tenants` and `tokens`.

use sqlx::{AnyConnection, any::AnyRow};

use super::{NotCommitted, Store, StoreFailed, change::inserted, int, text};

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Tenants, devices, policy.
    Operator,
    /// Own requests, packages and deployments.
    Tenant,
    /// The wake-up of one device and the blobs that it fetches.
    Device,
}

impl Role {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Tenant => "tenant",
            Self::Device => "device",
        }
    }

    fn from_text(text: &str) -> Result<Self, StoreFailed> {
        match text {
            "operator" => Ok(Self::Operator),
            "tenant" => Ok(Self::Tenant),
            "device" => Ok(Self::Device),
            _ => Err(StoreFailed::Corrupt("tokens.role")),
        }
    }
}

/// A bearer token, by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the token, hex.
    pub hash: String,
    /// What it is good for.
    pub role: Role,
    /// The tenant, or empty.
    pub tenant: String,
    /// The device, or empty.
    pub device: String,
    /// Since when.
    pub created_ms: u64,
}

impl Store {
    /// The token with this hash, unless it was revoked.
    pub async fn token(&self, hash: &str) -> Result<Option<TokenRow>, StoreFailed> {
        sqlx::query(
            "SELECT hash, role, tenant, device, created_ms FROM tokens \
             WHERE hash = $1 AND revoked_ms IS NULL",
        )
        .bind(hash)
        .fetch_optional(&self.reads)
        .await?
        .as_ref()
        .map(read)
        .transpose()
    }

    /// Whether anybody has a token of this role.
    pub async fn has_token(&self, role: Role) -> Result<bool, StoreFailed> {
        let row = sqlx::query("SELECT hash FROM tokens WHERE role = $1 LIMIT 1")
            .bind(role.as_str())
            .fetch_optional(&self.reads)
            .await?;
        Ok(row.is_some())
    }
}

pub(super) async fn add(
    on: &mut AnyConnection,
    tenant: &str,
    name: &str,
    at_ms: u64,
) -> Result<(), NotCommitted> {
    let outcome = sqlx::query("INSERT INTO tenants (tenant, name, created_ms) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(name)
        .bind(int(at_ms))
        .execute(on)
        .await;
    inserted(outcome, "tenant")
}

pub(super) async fn add_token(
    on: &mut AnyConnection,
    token: &TokenRow,
) -> Result<(), NotCommitted> {
    let outcome = sqlx::query(
        "INSERT INTO tokens (hash, role, tenant, device, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&token.hash)
    .bind(token.role.as_str())
    .bind(&token.tenant)
    .bind(&token.device)
    .bind(int(token.created_ms))
    .execute(on)
    .await;
    inserted(outcome, "token")
}

fn read(row: &AnyRow) -> Result<TokenRow, StoreFailed> {
    Ok(TokenRow {
        hash: text(row, "hash")?,
        role: Role::from_text(&text(row, "role")?)?,
        tenant: text(row, "tenant")?,
        device: text(row, "device")?,
        created_ms: super::uint(row, "created_ms")?,
    })
}
