//! HTTP: one module for each audience, and nothing but extract, call, map.

mod audit;
mod device;
mod extract;
mod operator;
mod problem;
mod rate;
mod serve;
mod teep;
mod tls;
mod user;

use std::sync::Arc;

use api::Problem;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

pub use self::{
    problem::{failure, problem},
    serve::{NotServed, serve},
    tls::{Identity, Unusable},
};

use self::{problem::Refused, rate::RateLimit};
use crate::app::{Moc, Refusal};

/// Every path of the interface.
pub fn router(moc: Arc<Moc>) -> Router {
    Router::new()
        .merge(operator::routes())
        .merge(user::routes())
        .merge(audit::routes())
        .merge(device::routes())
        .merge(teep::routes(RateLimit::new(moc.limits())))
        .route(api::path::HEALTHZ, get(StatusCode::NO_CONTENT))
        .route(api::path::READYZ, get(ready))
        .fallback(async || Refused::from(Refusal::NotFound("path")))
        .method_not_allowed_fallback(async || explain(&method_not_allowed()))
        .with_state(moc)
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

fn method_not_allowed() -> Problem {
    Problem {
        kind: format!("{}method", Problem::KIND_PREFIX),
        title: "The path has no such method".to_owned(),
        status: 405,
        ..Problem::default()
    }
}
