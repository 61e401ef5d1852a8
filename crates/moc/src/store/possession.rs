//! Tables `blobs` and `named_blobs`: who may have which bytes.
//!
//! The files themselves are shared by everybody who has the same bytes; these rows decide, so that
//! nobody learns what others have.

use super::{
    BlobDigest, NotCommitted, Store, StoreFailed, int,
    sql::{self, Connection},
};

/// A blob that a tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// Whose.
    pub tenant: String,
    /// Its digest.
    pub digest: BlobDigest,
    /// How many bytes.
    pub bytes: u64,
    /// When it came.
    pub created_ms: u64,
}

/// What a package makes its device fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBlobs {
    /// Of which deployment.
    pub deployment: String,
    /// Whose.
    pub tenant: String,
    /// For which device.
    pub device: String,
    /// The digests.
    pub digests: Vec<BlobDigest>,
}

impl Store {
    /// Whether a deployment for this device names the blob, and its tenant has it.
    pub async fn may_fetch(&self, device: &str, digest: BlobDigest) -> Result<bool, StoreFailed> {
        let row = sql::query(
            "SELECT n.sha256 FROM named_blobs n \
             JOIN blobs b ON b.tenant = n.tenant AND b.sha256 = n.sha256 \
             WHERE n.device = $1 AND n.sha256 = $2 LIMIT 1",
        )
        .bind(device)
        .bind(digest.to_string())
        .fetch_optional(&self.reads)
        .await?;
        Ok(row.is_some())
    }
}

pub(super) async fn add(on: &mut Connection, blob: &BlobRow) -> Result<(), NotCommitted> {
    sql::query(
        "INSERT INTO blobs (tenant, sha256, bytes, created_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, sha256) DO NOTHING",
    )
    .bind(&blob.tenant)
    .bind(blob.digest.to_string())
    .bind(int(blob.bytes))
    .bind(int(blob.created_ms))
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn name(on: &mut Connection, named: &NamedBlobs) -> Result<(), NotCommitted> {
    for digest in &named.digests {
        sql::query(
            "INSERT INTO named_blobs (deployment, sha256, tenant, device) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (deployment, sha256) DO NOTHING",
        )
        .bind(&named.deployment)
        .bind(digest.to_string())
        .bind(&named.tenant)
        .bind(&named.device)
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
