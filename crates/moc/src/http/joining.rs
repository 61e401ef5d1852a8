//! Paths by which devices join, and orders to them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::{
    DeviceAdded, DeviceView, JoinTokenView, JoinTokensAdded, PostJoin, PostJoinTokens, PostOrder,
};
use axum::{
    Json as Answer, Router,
    extract::{ConnectInfo, Path, Request, State},
    http::StatusCode,
    response::Response,
    routing::{delete, get, post},
};

use crate::{
    app::{Moc, Refusal},
    rate::Rates,
};

use super::{
    extract::{Can, DevicesRead, DevicesWrite, Json, Page, Query},
    problem::Refused,
};

pub(super) fn routes(rates: Rates<IpAddr>) -> Router<Arc<Moc>> {
    let join = move |moc, from, request| join(moc, from, request, rates);
    Router::new()
        .route(api::path::ORDERS, post(order))
        .route(api::path::JOIN_TOKENS, get(tokens).post(add_tokens))
        .route(api::path::JOIN_TOKEN, delete(revoke))
        .route(api::path::JOINS, post(join))
}

async fn order(
    _holder: Can<DevicesWrite>,
    State(moc): State<Arc<Moc>>,
    Path(device): Path<String>,
    Json(asked): Json<PostOrder>,
) -> Result<Answer<DeviceView>, Refused> {
    Ok(Answer(moc.order(&device, &asked).await?))
}

async fn tokens(
    _holder: Can<DevicesRead>,
    State(moc): State<Arc<Moc>>,
    Query(page): Query<Page>,
) -> Result<Response, Refused> {
    let found = moc.join_tokens(page.after.as_deref(), page.limit() + 1).await?;
    Ok(page.of(api::path::JOIN_TOKENS, found, |token: &JoinTokenView| &token.device))
}

async fn add_tokens(
    _holder: Can<DevicesWrite>,
    State(moc): State<Arc<Moc>>,
    Json(asked): Json<PostJoinTokens, MANIFEST_BYTES_MAX>,
) -> Result<(StatusCode, Answer<JoinTokensAdded>), Refused> {
    let added = moc.add_join_tokens(&asked).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn revoke(
    _holder: Can<DevicesWrite>,
    State(moc): State<Arc<Moc>>,
    Path(token): Path<String>,
) -> Result<StatusCode, Refused> {
    moc.revoke_join_token(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By somebody who has nothing but a join token: as bounded as TEEP for strangers.
async fn join(
    State(moc): State<Arc<Moc>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    rates: Rates<IpAddr>,
) -> Result<(StatusCode, Answer<DeviceAdded>), Refused> {
    rates
        .admits(&from.ip(), moc.clock().now_ms())
        .map_err(|after_ms| Refusal::TooMany { after_ms })?;
    let Json::<PostJoin>(asked) = Json::read(request, &moc).await?;
    Ok((StatusCode::CREATED, Answer(moc.join(&asked).await?)))
}

/// A manifest of a thousand devices.
pub(super) const MANIFEST_BYTES_MAX: usize = 1 << 20;
