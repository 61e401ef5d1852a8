//! Paths for credentials.

use std::sync::Arc;

use api::{PostToken, TokenAdded, TokenView};
use axum::{
    Json as Answer, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{delete, get},
};

use crate::app::Moc;

use super::{
    extract::{Can, Json, Page, Query, TokensWrite},
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::TOKENS, get(tokens).post(add))
        .route(api::path::TOKEN, delete(revoke))
}

async fn tokens(
    holder: Can<TokensWrite>,
    State(moc): State<Arc<Moc>>,
    Query(page): Query<Page>,
) -> Result<Response, Refused> {
    let all = moc.tokens(holder.credential()).await?;
    let start = match &page.after {
        None => 0,
        Some(after) => all.iter().position(|token| token.id == *after).map_or(0, |at| at + 1),
    };
    let found = all.into_iter().skip(start).collect();
    Ok(page.of(api::path::TOKENS, found, |token: &TokenView| &token.id))
}

async fn add(
    holder: Can<TokensWrite>,
    State(moc): State<Arc<Moc>>,
    Json(asked): Json<PostToken>,
) -> Result<(StatusCode, Answer<TokenAdded>), Refused> {
    let added = moc.add_token(holder.credential(), &asked).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}

async fn revoke(
    holder: Can<TokensWrite>,
    State(moc): State<Arc<Moc>>,
    Path(token): Path<String>,
) -> Result<StatusCode, Refused> {
    moc.revoke_token(holder.credential(), &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
