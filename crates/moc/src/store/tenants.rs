//! Tables `tenants`, `tokens` and `blobs`: who there is, and what is whose.

use std::collections::BTreeSet;

use api::{Role, Scope, TenantView};

use super::{
    NotCommitted, Store, StoreFailed,
    change::{inserted, updated},
    int, json, maybe_uint,
    sql::{self, Connection, Row},
    text, to_json, uint,
};

/// A credential, by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the token, hex; or `x5t#S256:` and that of a client certificate.
    pub hash: String,
    /// What it was for.
    pub name: String,
    /// What its holder is.
    pub role: Role,
    /// The tenant, or empty.
    pub tenant: String,
    /// The device, or empty.
    pub device: String,
    /// What it allows out of the role's scopes; empty allows all of them.
    pub scopes: BTreeSet<Scope>,
    /// Since when.
    pub created_ms: u64,
    /// Until when.
    pub expires_ms: Option<u64>,
}

impl TokenRow {
    /// Identifier: the beginning of the hash, which tells nothing of the secret.
    pub fn id(&self) -> &str {
        let digest = self.hash.strip_prefix(CERTIFICATE).unwrap_or(&self.hash);
        digest.get(..ID_LENGTH).unwrap_or(digest)
    }

    /// Whether it is a client certificate.
    pub fn is_certificate(&self) -> bool {
        self.hash.starts_with(CERTIFICATE)
    }

    /// Everything that it allows.
    pub fn allowed(&self) -> BTreeSet<Scope> {
        let role = self.role.scopes().iter().copied();
        role.filter(|scope| self.scopes.is_empty() || self.scopes.contains(scope)).collect()
    }

    /// Whether it allows this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.role.scopes().contains(&scope)
            && (self.scopes.is_empty() || self.scopes.contains(&scope))
    }
}

/// A bound on what one tenant may have at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Deployments that have not ended.
    Deployments {
        /// Whose.
        tenant: String,
        /// The most.
        max: u64,
    },
    /// Bytes of all blobs.
    BlobBytes {
        /// Whose.
        tenant: String,
        /// The most.
        max: u64,
    },
    /// Credentials that count.
    Tokens {
        /// Whose.
        tenant: String,
        /// The most.
        max: u64,
        /// The time.
        now_ms: u64,
    },
}

impl Store {
    /// The credential with this hash, unless it was revoked or has expired.
    pub async fn token(&self, hash: &str, now_ms: u64) -> Result<Option<TokenRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM tokens WHERE hash = $1 AND revoked_ms IS NULL \
             AND (expires_ms IS NULL OR expires_ms > $2)",
        )
        .bind(hash)
        .bind(int(now_ms))
        .fetch_optional(&self.reads)
        .await?
        .as_ref()
        .map(read)
        .transpose()
    }

    /// The credentials that count, oldest first: those of one tenant, or everybody's.
    pub async fn tokens(
        &self,
        tenant: Option<&str>,
        now_ms: u64,
    ) -> Result<Vec<TokenRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM tokens WHERE revoked_ms IS NULL \
             AND (expires_ms IS NULL OR expires_ms > $1) AND ($2 = 1 OR tenant = $3) \
             ORDER BY created_ms, hash",
        )
        .bind(int(now_ms))
        .bind(i64::from(tenant.is_none()))
        .bind(tenant.unwrap_or_default())
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// Whether anybody ever had a credential of this role.
    pub async fn has_token(&self, role: Role) -> Result<bool, StoreFailed> {
        let row = sql::query("SELECT hash FROM tokens WHERE role = $1 LIMIT 1")
            .bind(role.as_str())
            .fetch_optional(&self.reads)
            .await?;
        Ok(row.is_some())
    }

    /// Tenants behind a name, at most `limit`.
    pub async fn tenants(&self, after: &str, limit: u64) -> Result<Vec<TenantView>, StoreFailed> {
        sql::query(
            "SELECT t.tenant, t.name, t.created_ms, \
             (SELECT COUNT(*) FROM deployments d WHERE d.tenant = t.tenant AND d.open = 1) \
             AS open_deployments, \
             (SELECT CAST(COALESCE(SUM(b.bytes), 0) AS BIGINT) FROM blobs b \
             WHERE b.tenant = t.tenant) AS blob_bytes \
             FROM tenants t WHERE t.name > $1 ORDER BY t.name LIMIT $2",
        )
        .bind(after)
        .bind(int(limit))
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(|row| {
            Ok(TenantView {
                tenant: text(row, "tenant")?,
                name: text(row, "name")?,
                created_at_ms: uint(row, "created_ms")?,
                open_deployments: uint(row, "open_deployments")?,
                blob_bytes: uint(row, "blob_bytes")?,
            })
        })
        .collect()
    }

    /// The digests of every blob that a tenant or a package needs, hex.
    pub async fn needed_blobs(&self) -> Result<BTreeSet<String>, StoreFailed> {
        sql::query("SELECT sha256 FROM blobs UNION SELECT sha256 FROM packages")
            .fetch_many(&self.reads)
            .await?
            .iter()
            .map(|row| text(row, "sha256"))
            .collect()
    }
}

pub(super) async fn add(
    on: &mut Connection,
    tenant: &str,
    name: &str,
    at_ms: u64,
) -> Result<(), NotCommitted> {
    let outcome = sql::query("INSERT INTO tenants (tenant, name, created_ms) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(name)
        .bind(int(at_ms))
        .execute(on)
        .await;
    inserted(outcome, "tenant")
}

pub(super) async fn add_token(on: &mut Connection, token: &TokenRow) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO tokens (hash, name, role, tenant, device, scopes, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&token.hash)
    .bind(&token.name)
    .bind(token.role.as_str())
    .bind(&token.tenant)
    .bind(&token.device)
    .bind(to_json(&token.scopes, "tokens.scopes")?)
    .bind(int(token.created_ms))
    .bind(token.expires_ms.map(int))
    .execute(on)
    .await;
    inserted(outcome, "credential")
}

pub(super) async fn revoke_token(
    on: &mut Connection,
    hash: &str,
    at_ms: u64,
) -> Result<(), NotCommitted> {
    let outcome =
        sql::query("UPDATE tokens SET revoked_ms = $1 WHERE hash = $2 AND revoked_ms IS NULL")
            .bind(int(at_ms))
            .bind(hash)
            .execute(on)
            .await?;
    updated(outcome, "credential")
}

pub(super) async fn revoke_device(
    on: &mut Connection,
    device: &str,
    at_ms: u64,
) -> Result<(), NotCommitted> {
    sql::query("UPDATE tokens SET revoked_ms = $1 WHERE device = $2 AND revoked_ms IS NULL")
        .bind(int(at_ms))
        .bind(device)
        .execute(on)
        .await?;
    Ok(())
}

/// Refuses the whole list when what stands before in it leads beyond the bound.
pub(super) async fn within(on: &mut Connection, quota: &Quota) -> Result<(), NotCommitted> {
    let (query, what, max) = match quota {
        Quota::Deployments { tenant, max } => (
            sql::query("SELECT COUNT(*) AS used FROM deployments WHERE tenant = $1 AND open = 1")
                .bind(tenant),
            "deployments under way",
            max,
        ),
        Quota::BlobBytes { tenant, max } => (
            sql::query(
                "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS used FROM blobs \
                 WHERE tenant = $1",
            )
            .bind(tenant),
            "bytes of blobs",
            max,
        ),
        Quota::Tokens { tenant, max, now_ms } => (
            sql::query(
                "SELECT COUNT(*) AS used FROM tokens WHERE tenant = $1 AND device = '' \
                 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)",
            )
            .bind(tenant)
            .bind(int(*now_ms)),
            "credentials",
            max,
        ),
    };
    let row = query.fetch_one(on).await?;
    match uint(&row, "used")? <= *max {
        true => Ok(()),
        false => Err(NotCommitted::Over { what, max: *max }),
    }
}

fn read(row: &Row) -> Result<TokenRow, StoreFailed> {
    Ok(TokenRow {
        hash: text(row, "hash")?,
        name: text(row, "name")?,
        role: text(row, "role")?.parse().map_err(|_| StoreFailed::Corrupt("tokens.role"))?,
        tenant: text(row, "tenant")?,
        device: text(row, "device")?,
        scopes: json(row, "scopes")?,
        created_ms: uint(row, "created_ms")?,
        expires_ms: maybe_uint(row, "expires_ms")?,
    })
}

/// What stands before the hash of a client certificate.
pub const CERTIFICATE: &str = "x5t#S256:";
const ID_LENGTH: usize = 32;
