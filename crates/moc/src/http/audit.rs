//! Paths for those who check the log of decisions.

use std::sync::Arc;

use api::{LogConsistency, LogPage, LogProof, SignedCheckpoint};
use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    routing::get,
};
use serde::Deserialize;

use crate::app::{Moc, Refusal};

use super::{
    extract::{AuditRead, Can, Query},
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::CHECKPOINT, get(checkpoint))
        .route(api::path::ENTRIES, get(entries))
        .route(api::path::ENTRY, get(entry))
        .route(api::path::CONSISTENCY, get(consistency))
}

async fn checkpoint(
    _reader: Can<AuditRead>,
    State(moc): State<Arc<Moc>>,
) -> Result<Answer<SignedCheckpoint>, Refused> {
    Ok(Answer(moc.checkpoint().await?))
}

/// Which part of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    from: u64,
    #[serde(default = "all")]
    limit: u64,
}

const fn all() -> u64 {
    u64::MAX
}

async fn entries(
    _reader: Can<AuditRead>,
    State(moc): State<Arc<Moc>>,
    Query(part): Query<Part>,
) -> Result<Answer<LogPage>, Refused> {
    Ok(Answer(moc.log(part.from, part.limit).await?))
}

async fn entry(
    _reader: Can<AuditRead>,
    State(moc): State<Arc<Moc>>,
    Path(position): Path<String>,
) -> Result<Answer<LogProof>, Refused> {
    let position = position.parse().map_err(|_| Refusal::NotFound("entry"))?;
    Ok(Answer(moc.log_entry(position).await?))
}

/// Since when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    from: u64,
}

async fn consistency(
    _reader: Can<AuditRead>,
    State(moc): State<Arc<Moc>>,
    Query(since): Query<Since>,
) -> Result<Answer<LogConsistency>, Refused> {
    Ok(Answer(moc.log_consistency(since.from).await?))
}
