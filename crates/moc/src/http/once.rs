//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header): the same POST under the same key
//! is done once, and answered alike.
//!
//! A key is claimed before the work begins. What is refused gives it back; what broke off in
//! between keeps it, so that nobody does the same thing twice without knowing. An answer that holds
//! a secret is not kept, and a repetition is told so. A request for a place has its own way: there,
//! answer and work are one transaction ([`Moc::place`]).

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::{Moc, Refusal},
    store::{StoreFailed, TokenRow},
};

use super::{
    extract::{holder, whole},
    joining::MANIFEST_BYTES_MAX,
    problem::Refused,
};

/// What was answered.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    body: String,
}

/// Does a POST with a key once.
pub(super) async fn once(State(moc): State<Arc<Moc>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let template = path.map(|path| path.as_str().to_owned()).unwrap_or_default();
    let is_keyed = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && !OTHER_WAYS.contains(&template.as_str());
    if !is_keyed {
        return next.run(request).await;
    }
    done_once(moc, template, request, next).await.unwrap_or_else(|refused| refused.into_response())
}

async fn done_once(
    moc: Arc<Moc>,
    template: String,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    // Strangers leave no rows: they are refused where everybody is.
    let Some(row) = holder(&parts, &moc).await? else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let key = idempotency_key(&parts.headers)?.unwrap_or_default().to_owned();
    let wait = Duration::from_millis(moc.limits().body_ms_max);
    let bytes = match template.as_str() {
        api::path::ENROLMENTS => Vec::new(),
        _ => whole(body, MANIFEST_BYTES_MAX, wait).await?,
    };
    let (whose, digest) = (namespace(&row), digest(&parts, &bytes));
    if let Some(kept) = moc.claim(&whose, &key, &digest).await? {
        return again(&kept);
    }
    let work = async move {
        let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
        settle(&moc, &whose, &key, &template, response).await
    };
    // Whoever hangs up does not stop what has begun.
    let done = tokio::spawn(work).await;
    done.map_err(|_| Refused::from(Refusal::Failed(StoreFailed::Stopped)))?
}

/// Keeps the answer, or gives the key back.
async fn settle(
    moc: &Moc,
    whose: &str,
    key: &str,
    template: &str,
    response: Response,
) -> Result<Response, Refused> {
    let (parts, body) = response.into_parts();
    let failed = |_| Refused::from(Refusal::Failed(StoreFailed::Stopped));
    let bytes = to_bytes(body, usize::MAX).await.map_err(failed)?;
    let kept = parts.status.is_success().then(|| Kept {
        status: parts.status.as_u16(),
        body: match SECRET.contains(&template) {
            true => String::new(),
            false => String::from_utf8_lossy(&bytes).into_owned(),
        },
    });
    let kept = kept.as_ref().and_then(|kept| serde_json::to_string(kept).ok());
    moc.settle_claim(whose, key, kept).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// The answer that was given before.
fn again(kept: &str) -> Result<Response, Refused> {
    let kept: Kept =
        serde_json::from_str(kept).map_err(|_| StoreFailed::Corrupt("answers.body"))?;
    let status = StatusCode::from_u16(kept.status);
    let status = status.map_err(|_| StoreFailed::Corrupt("answers.body"))?;
    if kept.body.is_empty() && status != StatusCode::NO_CONTENT {
        return Err(Refused::from(Refusal::conflict(
            HEADER,
            "an answer that may be given again",
            "it holds a secret, which is told once",
            "take back what was made, and ask under a new key",
        )));
    }
    if kept.body.is_empty() {
        return Ok(status.into_response());
    }
    Ok((status, [(header::CONTENT_TYPE, api::media::JSON)], kept.body).into_response())
}

/// The header's value, as far as it is plain.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    match (1..=KEY_BYTES_MAX).contains(&key.len()) {
        true => Ok(Some(key)),
        false => Err(Refusal::malformed(
            HEADER,
            &format!("1 to {KEY_BYTES_MAX} printable characters"),
            format!("{} bytes", value.len()),
        )),
    }
}

/// Whose keys: a tenant's, or those of one credential.
fn namespace(row: &TokenRow) -> String {
    match row.tenant.as_str() {
        "" => row.id().to_owned(),
        tenant => tenant.to_owned(),
    }
}

fn digest(parts: &Parts, body: &[u8]) -> String {
    let head = format!("{} {}\n", parts.method, parts.uri.path());
    hex::encode(cose::sha256(&[head.as_bytes(), body].concat()))
}

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 255;

/// Whose repetition is known without a key: a place by its transaction, the others by what they
/// name, which counts once.
const OTHER_WAYS: [&str; 3] = [api::path::REQUESTS, api::path::JOINS, api::path::PLACEMENTS];

/// What answers with a secret.
const SECRET: [&str; 5] = [
    api::path::TENANTS,
    api::path::TOKENS,
    api::path::DEVICES,
    api::path::ENROLMENTS,
    api::path::JOIN_TOKENS,
];
