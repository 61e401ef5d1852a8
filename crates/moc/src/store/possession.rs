//! Tables `blobs` and `named_blobs`: who may have which bytes.
//!
//! The files themselves are shared by everybody who has the same bytes; these rows decide, so that
//! nobody learns what others have.

use super::{
    BlobDigest, Change, NotCommitted, Store, StoreFailed, int,
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

impl Store {
    /// Forgets blobs that came before a time and that no deployment names which has not ended; then
    /// removes the files that nobody has. Tells how many files that were.
    pub async fn forget_blobs(&self, before_ms: u64) -> Result<u64, NotCommitted> {
        self.commit(vec![Change::ForgetBlobs { before_ms }]).await?;
        let mut removed = 0;
        for digest in self.blobs().all().await? {
            // Nobody is between a file and its row meanwhile.
            let _alone = self.blobs().alone().await;
            if !self.is_had(digest).await? {
                self.blobs().remove(digest).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Whether anybody has the blob.
    async fn is_had(&self, digest: BlobDigest) -> Result<bool, StoreFailed> {
        let row = sql::query("SELECT sha256 FROM blobs WHERE sha256 = $1 LIMIT 1")
            .bind(digest.to_string())
            .fetch_optional(&self.reads)
            .await?;
        Ok(row.is_some())
    }
}

pub(super) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), NotCommitted> {
    sql::query(
        "DELETE FROM blobs WHERE created_ms <= $1 \
         AND NOT EXISTS (SELECT 1 FROM packages p \
         JOIN deployments d ON d.deployment = p.deployment \
         WHERE p.tenant = blobs.tenant AND p.sha256 = blobs.sha256 AND (d.open = 1 \
         OR EXISTS (SELECT 1 FROM reservations r WHERE r.deployment = d.deployment))) \
         AND NOT EXISTS (SELECT 1 FROM named_blobs n \
         JOIN deployments d ON d.deployment = n.deployment \
         WHERE n.tenant = blobs.tenant AND n.sha256 = blobs.sha256 AND (d.open = 1 \
         OR EXISTS (SELECT 1 FROM reservations r WHERE r.deployment = d.deployment)))",
    )
    .bind(int(before_ms))
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn add(on: &mut Connection, blob: &BlobRow) -> Result<(), NotCommitted> {
    sql::query(
        "INSERT INTO blobs (tenant, sha256, bytes, created_ms) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, sha256) DO UPDATE SET created_ms = excluded.created_ms",
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
