//! Paths for the Network User, a tenant of the M/OC.

use std::{sync::Arc, time::Duration};

use api::{
    AttestationAccepted, AttestationPending, BlobStored, Deployment, LogProof, PackageStored,
    PostAttestation, PostReceipt, PostRequest, Receipts, RequestPlaced,
};
use axum::{
    Json as Answer, Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};

use crate::{
    app::{Moc, Refusal, Shown},
    store::{BlobDigest, UploadRefused},
};

use super::{
    extract::{Json, Page, Parted, Query, Tenant, expect_type, whole},
    once::idempotency_key,
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::REQUESTS, post(place))
        .route(api::path::BLOB, put(put_blob))
        .route(api::path::DEPLOYMENTS, get(deployments))
        .route(api::path::DEPLOYMENT, get(deployment))
        .route(api::path::PACKAGE, put(put_package))
        .route(api::path::ATTESTATIONS, post(attest))
        .route(api::path::ATTESTATION, get(attestation))
        .route(api::path::RECEIPTS, get(receipts).post(put_receipt))
        .route(api::path::PROOFS, get(proofs))
}

async fn place(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    headers: HeaderMap,
    Json(request): Json<PostRequest>,
) -> Result<(StatusCode, Answer<RequestPlaced>), Refused> {
    let placed = moc.place(tenant.id(), &request, idempotency_key(&headers)?).await?;
    Ok((StatusCode::CREATED, Answer(placed)))
}

async fn put_blob(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<(StatusCode, Answer<BlobStored>), Refused> {
    let (new, stored) = receive_blob(&moc, tenant.id(), &name, body).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(stored)))
}

async fn deployments(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Query(page): Query<Page>,
) -> Result<Response, Refused> {
    let found = moc.deployments(tenant.id(), page.after.as_deref(), page.limit() + 1).await?;
    Ok(page.of(api::path::DEPLOYMENTS, found, |deployment: &Deployment| &deployment.deployment))
}

async fn deployment(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer<Deployment>, Refused> {
    let wait = wait(query.as_deref())?;
    Ok(Answer(moc.deployment(tenant.id(), &deployment, wait).await?))
}

async fn put_package(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path((deployment, package)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Answer<PackageStored>), Refused> {
    expect_type(&headers, api::media::SUIT_ENVELOPE)?;
    let package = package.parse().map_err(|_| Refusal::NotFound("package"))?;
    let limits = moc.limits();
    let wait = Duration::from_millis(limits.body_ms_max);
    let envelope = whole(body, limits.package_bytes_max, wait).await?;
    let (new, stored) = moc.put_package(tenant.id(), &deployment, package, &envelope).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer(stored)))
}

async fn attest(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
    Json(asked): Json<PostAttestation>,
) -> Result<(StatusCode, Answer<AttestationAccepted>), Refused> {
    let accepted = moc.attest(tenant.id(), &deployment, &asked).await?;
    Ok((StatusCode::ACCEPTED, Answer(accepted)))
}

async fn attestation(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path((deployment, attestation)): Path<(String, String)>,
) -> Result<Response, Refused> {
    Ok(match moc.attestation(tenant.id(), &deployment, &attestation).await? {
        Shown::Result(cmw) => ([(header::CONTENT_TYPE, api::media::CMW)], cmw).into_response(),
        Shown::Pending(progress) => {
            let pending = AttestationPending { attestation, progress };
            (StatusCode::ACCEPTED, Answer(pending)).into_response()
        }
        Shown::Refused(problem) => super::explain(&problem),
    })
}

async fn receipts(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
) -> Result<Answer<Receipts>, Refused> {
    Ok(Answer(moc.receipts(tenant.id(), &deployment).await?))
}

async fn put_receipt(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
    Json(posted): Json<PostReceipt>,
) -> Result<StatusCode, Refused> {
    moc.put_receipt(tenant.id(), &deployment, &posted).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn proofs(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
) -> Result<Answer<Vec<LogProof>>, Refused> {
    Ok(Answer(moc.proofs(tenant.id(), &deployment).await?))
}

/// Nothing, or `wait=` and a number.
fn wait(query: Option<&str>) -> Result<Option<u64>, Refusal> {
    let Some(query) = query else { return Ok(None) };
    let number = query.strip_prefix("wait=").and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| Refusal::malformed("query", "wait=<number>", query))
}

/// Takes a blob in as it comes; nothing of it is held in memory.
///
/// All of it is read and checked, also when the M/OC has the same bytes from somebody else: only
/// who sends a blob has it, and nobody learns what others have.
async fn receive_blob(
    moc: &Moc,
    tenant: &str,
    name: &str,
    body: Body,
) -> Result<(bool, BlobStored), Refused> {
    let digest: BlobDigest = name
        .parse()
        .map_err(|_| Refusal::malformed("digest", "64 lower-case hexadecimal digits", name))?;
    let limits = moc.limits();
    let room = moc.blob_room(tenant, digest).await?;
    let wait = Duration::from_millis(limits.body_ms_max);
    let mut parts = Parted(body);
    let mut upload = moc.store().blobs().upload(digest).await?;
    while let Some(part) =
        tokio::time::timeout(wait, parts.next()).await.map_err(|_| Refusal::TooSlow)??
    {
        let bytes = upload.bytes() + part.len() as u64;
        if bytes > limits.blob_bytes_max {
            return Err(Refusal::TooLarge { max: limits.blob_bytes_max }.into());
        }
        if bytes > room {
            let max = limits.tenant_blob_bytes_max;
            return Err(Refusal::Quota { what: "bytes of blobs", max }.into());
        }
        upload.write(&part).await?;
    }
    let _held = moc.store().blobs().hold().await;
    match upload.finish().await {
        Ok(bytes) => {
            let new = moc.keep_blob(tenant, digest, bytes).await?;
            Ok((new, BlobStored { sha256: digest.to_string(), bytes }))
        }
        Err(UploadRefused::Failed(failed)) => Err(failed.into()),
        Err(UploadRefused::Digest { seen }) => {
            Err(Refusal::malformed("digest", &digest.to_string(), seen.to_string()).into())
        }
    }
}
