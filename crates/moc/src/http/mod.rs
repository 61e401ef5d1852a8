//! HTTP: one module for each audience, and nothing but extract, call, map.

mod audit;
mod device;
mod etag;
mod extract;
mod idle;
mod joining;
mod once;
pub mod openapi;
mod operator;
mod problem;
mod progress;
mod serve;
mod teep;
mod tls;
mod token;
mod user;

use std::{sync::Arc, time::Instant};

use api::Problem;
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};

pub use self::{
    problem::{failure, problem},
    serve::{NotServed, serve},
    tls::{Identity, Unusable},
};

use self::{
    extract::{Can, DevicesRead},
    problem::Refused,
};
use crate::{
    app::{Moc, Refusal},
    rate::Rates,
};

/// Every path of the interface.
pub fn router(moc: Arc<Moc>) -> Router {
    let limits = moc.limits();
    let rates = Rates::new(limits.teep_per_second_max, limits.teep_burst_max);
    let described = Router::new()
        .merge(operator::routes())
        .merge(joining::routes(rates.clone()))
        .merge(user::routes())
        .merge(progress::routes())
        .merge(audit::routes())
        .merge(token::routes())
        .merge(device::routes())
        .merge(openapi::routes())
        .layer(from_fn_with_state(moc.clone(), once::once))
        .layer(from_fn(etag::tag));
    Router::new()
        .merge(described)
        .merge(teep::routes(rates))
        .route(api::path::HEALTHZ, get(StatusCode::NO_CONTENT))
        .route(api::path::READYZ, get(ready))
        .fallback(async || Refused::from(Refusal::NotFound("path")))
        .route(api::path::METRICS, get(metrics))
        .layer(from_fn_with_state(moc.clone(), count))
        .method_not_allowed_fallback(async || explain(&problem::kind("method")))
        .with_state(moc)
}

async fn metrics(
    _holder: Can<DevicesRead>,
    State(moc): State<Arc<Moc>>,
) -> Result<Response, Refused> {
    let text = moc.metrics_text().await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// Counts a request under the template of its path.
async fn count(State(moc): State<Arc<Moc>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let (method, begun) = (request.method().clone(), Instant::now());
    let response = next.run(request).await;
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    moc.metrics().request(path, method.as_str(), response.status().as_u16(), begun.elapsed());
    response
}

async fn ready(State(moc): State<Arc<Moc>>) -> Result<StatusCode, Refused> {
    moc.store().ready().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A problem that was decided earlier, as an answer.
fn explain(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
    let media_type = HeaderValue::from_static(api::media::PROBLEM);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
