//! What one tenant sees: every query names the tenant, so that somebody else's row is no row.

use api::PackageName;

use super::{
    BlobDigest, DeploymentRow, EventRow, Leaf, NotCommitted, PackageRow, ReceiptRow, ResultRow,
    Store, StoreFailed,
    change::inserted,
    deployments, int, log, results,
    sql::{self, Connection},
    text, uint,
};

/// What was answered under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// Whose key.
    pub holder: String,
    /// The key.
    pub name: String,
    /// SHA-256 of the request, hex.
    pub digest: String,
    /// The answer, JSON.
    pub body: String,
    /// Until when it is kept.
    pub until_ms: u64,
}

pub(super) async fn add_answer(
    on: &mut Connection,
    answer: &AnswerRow,
) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO answers (holder, name, digest, body, until_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&answer.holder)
    .bind(&answer.name)
    .bind(&answer.digest)
    .bind(&answer.body)
    .bind(int(answer.until_ms))
    .execute(on)
    .await;
    inserted(outcome, "answer")
}

pub(super) async fn settle_answer(
    on: &mut Connection,
    holder: &str,
    name: &str,
    body: Option<&str>,
) -> Result<(), NotCommitted> {
    let settle = match body {
        Some(body) => sql::query("UPDATE answers SET body = $1 WHERE holder = $2 AND name = $3")
            .bind(body)
            .bind(holder)
            .bind(name),
        None => sql::query("DELETE FROM answers WHERE holder = $1 AND name = $2")
            .bind(holder)
            .bind(name),
    };
    settle.execute(on).await?;
    Ok(())
}

/// The store in the name of one tenant.
#[derive(Clone, Copy, Debug)]
pub struct Own<'s> {
    pub(super) store: &'s Store,
    pub(super) tenant: &'s str,
}

impl Store {
    /// What this tenant sees.
    pub const fn of<'s>(&'s self, tenant: &'s str) -> Own<'s> {
        Own { store: self, tenant }
    }
}

impl Own<'_> {
    /// One deployment.
    pub async fn deployment(&self, deployment: &str) -> Result<Option<DeploymentRow>, StoreFailed> {
        sql::query("SELECT * FROM deployments WHERE deployment = $1 AND tenant = $2")
            .bind(deployment)
            .bind(self.tenant)
            .fetch_optional(&self.store.reads)
            .await?
            .as_ref()
            .map(deployments::read)
            .transpose()
    }

    /// Deployments behind one in the order of time and name, at most `limit`.
    pub async fn deployments(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<DeploymentRow>, StoreFailed> {
        let start = match after {
            None => None,
            Some(after) => self.deployment(after).await?,
        };
        let (since, after) = start.map_or((0, String::new()), |r| (r.created_ms, r.deployment));
        sql::query(
            "SELECT * FROM deployments WHERE tenant = $1 AND (created_ms > $2 \
             OR (created_ms = $3 AND deployment > $4)) ORDER BY created_ms, deployment LIMIT $5",
        )
        .bind(self.tenant)
        .bind(int(since))
        .bind(int(since))
        .bind(after)
        .bind(int(limit))
        .fetch_many(&self.store.reads)
        .await?
        .iter()
        .map(deployments::read)
        .collect()
    }

    /// A package of a deployment.
    pub async fn package(
        &self,
        deployment: &str,
        package: PackageName,
    ) -> Result<Option<PackageRow>, StoreFailed> {
        sql::query("SELECT * FROM packages WHERE deployment = $1 AND package = $2 AND tenant = $3")
            .bind(deployment)
            .bind(package.as_str())
            .bind(self.tenant)
            .fetch_optional(&self.store.reads)
            .await?
            .as_ref()
            .map(deployments::read_package)
            .transpose()
    }

    /// The steps of a deployment, in order.
    pub async fn events(&self, deployment: &str) -> Result<Vec<EventRow>, StoreFailed> {
        sql::query("SELECT * FROM events WHERE deployment = $1 AND tenant = $2 ORDER BY seq")
            .bind(deployment)
            .bind(self.tenant)
            .fetch_all(&self.store.reads)
            .await?
            .iter()
            .map(deployments::read_event)
            .collect()
    }

    /// The receipts of a deployment, oldest first.
    pub async fn receipts(&self, deployment: &str) -> Result<Vec<ReceiptRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM receipts WHERE deployment = $1 AND tenant = $2 ORDER BY at_ms, digest",
        )
        .bind(deployment)
        .bind(self.tenant)
        .fetch_all(&self.store.reads)
        .await?
        .iter()
        .map(deployments::read_receipt)
        .collect()
    }

    /// One Attestation Result of a deployment.
    pub async fn result(
        &self,
        deployment: &str,
        attestation: &str,
    ) -> Result<Option<ResultRow>, StoreFailed> {
        sql::query(
            "SELECT * FROM results WHERE attestation = $1 AND deployment = $2 AND tenant = $3",
        )
        .bind(attestation)
        .bind(deployment)
        .bind(self.tenant)
        .fetch_optional(&self.store.reads)
        .await?
        .as_ref()
        .map(results::read)
        .transpose()
    }

    /// The entries of the log about one of the tenant's subjects, oldest first.
    pub async fn log_about(&self, subject: &str) -> Result<Vec<Leaf>, StoreFailed> {
        sql::query("SELECT leaf FROM log WHERE subject = $1 AND tenant = $2 ORDER BY position")
            .bind(subject)
            .bind(self.tenant)
            .fetch_many(&self.store.reads)
            .await?
            .iter()
            .map(log::read)
            .collect()
    }

    /// What was answered under an idempotency key.
    pub async fn answer(&self, name: &str) -> Result<Option<AnswerRow>, StoreFailed> {
        sql::query("SELECT * FROM answers WHERE holder = $1 AND name = $2")
            .bind(self.tenant)
            .bind(name)
            .fetch_optional(&self.store.reads)
            .await?
            .map(|row| {
                Ok(AnswerRow {
                    holder: text(&row, "holder")?,
                    name: text(&row, "name")?,
                    digest: text(&row, "digest")?,
                    body: text(&row, "body")?,
                    until_ms: uint(&row, "until_ms")?,
                })
            })
            .transpose()
    }

    /// How many bytes of a blob the tenant brought, when it did.
    pub async fn blob(&self, digest: BlobDigest) -> Result<Option<u64>, StoreFailed> {
        sql::query("SELECT bytes FROM blobs WHERE tenant = $1 AND sha256 = $2")
            .bind(self.tenant)
            .bind(digest.to_string())
            .fetch_optional(&self.store.reads)
            .await?
            .map(|row| uint(&row, "bytes"))
            .transpose()
    }

    /// How many bytes the tenant's blobs have together.
    pub async fn blob_bytes(&self) -> Result<u64, StoreFailed> {
        let row = sql::query(
            "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS used FROM blobs WHERE tenant = $1",
        )
        .bind(self.tenant)
        .fetch_one(&self.store.reads)
        .await?;
        uint(&row, "used")
    }

    /// The tenant's name.
    pub async fn name(&self) -> Result<Option<String>, StoreFailed> {
        sql::query("SELECT name FROM tenants WHERE tenant = $1")
            .bind(self.tenant)
            .fetch_optional(&self.store.reads)
            .await?
            .map(|row| text(&row, "name"))
            .transpose()
    }
}
