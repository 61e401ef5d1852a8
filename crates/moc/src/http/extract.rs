//! What handlers take: who asks, and a body that is as it should be.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{self, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    app::{Moc, Refusal},
    store::{Role, TokenRow},
};

use super::problem::Refused;

/// The bearer is the operator. Only the check of the token makes one.
#[derive(Debug)]
pub(super) struct Operator(());

/// The bearer is this tenant. Only the check of the token makes one.
#[derive(Debug)]
pub(super) struct Tenant(String);

/// The bearer is this device. Only the check of the token makes one.
#[derive(Debug)]
pub(super) struct Device(String);

impl Tenant {
    pub(super) fn id(&self) -> &str {
        &self.0
    }
}

impl Device {
    pub(super) fn id(&self) -> &str {
        &self.0
    }

    /// The device's name, when it is the one that the path names.
    pub(super) fn named(&self, path: &str) -> Result<&str, Refusal> {
        match self.0 == path {
            true => Ok(&self.0),
            false => Err(Refusal::NotFound("device")),
        }
    }
}

impl FromRequestParts<Arc<Moc>> for Operator {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        bearer(parts, moc, Role::Operator).await?;
        Ok(Self(()))
    }
}

impl FromRequestParts<Arc<Moc>> for Tenant {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        Ok(Self(bearer(parts, moc, Role::Tenant).await?.tenant))
    }
}

impl FromRequestParts<Arc<Moc>> for Device {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        Ok(Self(bearer(parts, moc, Role::Device).await?.device))
    }
}

async fn bearer(parts: &Parts, moc: &Moc, needed: Role) -> Result<TokenRow, Refusal> {
    let header = parts.headers.get(header::AUTHORIZATION).ok_or(Refusal::Unauthenticated)?;
    let text = header.to_str().map_err(|_| Refusal::Unauthenticated)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Unauthenticated);
    }
    let row = moc.bearer(token.trim()).await?.ok_or(Refusal::Unauthenticated)?;
    if row.role != needed {
        return Err(Refusal::Forbidden { needed, seen: row.role });
    }
    Ok(row)
}

/// The query's members, each at most once, and no others.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Moc>> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        let query = extract::Query::from_request_parts(parts, moc).await.map_err(|error| {
            Refusal::malformed("query", "the documented members", error.body_text())
        })?;
        Ok(Self(query.0))
    }
}

/// A JSON body of at most 64 KiB.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Moc>> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, moc: &Arc<Moc>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        expect_type(&parts.headers, api::media::JSON)?;
        let wait = Duration::from_millis(moc.limits().body_ms_max);
        let bytes = whole(body, JSON_BYTES_MAX, wait).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Refusal::malformed("json", "the documented members", error.to_string())
        })?;
        Ok(Self(value))
    }
}

/// Refuses another media type; parameters do not matter.
pub(super) fn expect_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Refusal> {
    let seen = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let seen = seen.unwrap_or_default();
    match essence(seen).eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => Err(Refusal::MediaType { expected, seen: seen.to_owned() }),
    }
}

/// Type and subtype of a media type.
pub(super) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// A whole body in memory, bounded in size and time.
pub(super) async fn whole(body: Body, max: usize, wait: Duration) -> Result<Vec<u8>, Refusal> {
    let read = async {
        let mut parts = Parted(body);
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await? {
            if bytes.len() + part.len() > max {
                return Err(Refusal::TooLarge { max: max as u64 });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    tokio::time::timeout(wait, read).await.map_err(|_| Refusal::TooSlow)?
}

/// A body as its parts come in.
#[derive(Debug)]
pub(super) struct Parted(pub(super) Body);

impl Parted {
    /// The next bytes; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.0).poll_frame(context)).await;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(_)) => {
                    return Err(Refusal::malformed("body", "all of it", "it broke off"));
                }
            }
        }
    }
}

const JSON_BYTES_MAX: usize = 64 * 1024;
