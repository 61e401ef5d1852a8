//! What handlers take: who asks, and a body that is as it should be.

use std::{future::poll_fn, marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use api::Scope;
use axum::{
    Json as Answer,
    body::{Body, Bytes, HttpBody as _},
    extract::{self, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    app::{Moc, Refusal},
    store::TokenRow,
};

use super::{problem::Refused, tls::ClientCertificate};

/// The holder may do what `A` names. Only the check of the credential makes one.
#[derive(Debug)]
pub(super) struct Can<A>(TokenRow, PhantomData<A>);

/// Something that a credential has to allow.
pub(super) trait Asks {
    /// What.
    const SCOPE: Scope;
}

/// Names for [`Can`].
macro_rules! asks {
    ($($name:ident),*) => {$(
        #[derive(Debug)]
        pub(super) struct $name;

        impl Asks for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

asks!(AuditRead, DevicesRead, DevicesWrite, TenantsRead, TenantsWrite, TokensWrite);

/// The holder acts for this tenant. Only the check of the credential makes one.
#[derive(Debug)]
pub(super) struct Tenant(TokenRow);

/// The holder is this device. Only the check of the credential makes one.
#[derive(Debug)]
pub(super) struct Device(TokenRow);

impl<A> Can<A> {
    pub(super) const fn credential(&self) -> &TokenRow {
        &self.0
    }
}

impl Tenant {
    pub(super) fn id(&self) -> &str {
        &self.0.tenant
    }
}

impl Device {
    /// The device's name.
    pub(super) fn id(&self) -> &str {
        &self.0.device
    }

    /// The device's name, when it is the one that the path names.
    pub(super) fn named(&self, path: &str) -> Result<&str, Refusal> {
        match self.id() == path {
            true => Ok(self.id()),
            false => Err(Refusal::NotFound("device")),
        }
    }
}

impl<A: Asks> FromRequestParts<Arc<Moc>> for Can<A> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        Ok(Self(credential(parts, moc, A::SCOPE).await?, PhantomData))
    }
}

impl FromRequestParts<Arc<Moc>> for Tenant {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        let scope = match parts.method.is_safe() {
            true => Scope::DeploymentsRead,
            false => Scope::DeploymentsWrite,
        };
        Ok(Self(credential(parts, moc, scope).await?))
    }
}

impl FromRequestParts<Arc<Moc>> for Device {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, moc: &Arc<Moc>) -> Result<Self, Refused> {
        Ok(Self(credential(parts, moc, Scope::Device).await?))
    }
}

/// Who asks, by a bearer token or else by a TLS client certificate, and whether they may.
async fn credential(parts: &Parts, moc: &Moc, needed: Scope) -> Result<TokenRow, Refusal> {
    let row = holder(parts, moc).await?.ok_or(Refusal::Unauthenticated)?;
    match row.allows(needed) {
        true => Ok(row),
        false => Err(Refusal::Forbidden { needed, seen: row.role }),
    }
}

/// Who asks, unless nobody knows; one who asks too often waits.
pub(super) async fn holder(parts: &Parts, moc: &Moc) -> Result<Option<TokenRow>, Refusal> {
    let found = match parts.headers.get(header::AUTHORIZATION) {
        Some(header) => moc.bearer(bearer(header).ok_or(Refusal::Unauthenticated)?).await?,
        None => match parts.extensions.get::<ClientCertificate>() {
            Some(certificate) => moc.certificate(&certificate.0).await?,
            None => None,
        },
    };
    let Some(row) = found else { return Ok(None) };
    let payer = match (row.tenant.as_str(), row.device.as_str()) {
        ("", "") => row.id(),
        ("", device) => device,
        (tenant, _) => tenant,
    };
    moc.rates()
        .admits(&payer.to_owned(), moc.clock().now_ms())
        .map_err(|after_ms| Refusal::TooMany { after_ms })?;
    Ok(Some(row))
}

fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) after: Option<String>,
    limit: Option<u64>,
}

impl Page {
    /// How many elements at most.
    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX)
    }

    /// A page out of what was found, which is one element more when another page follows.
    pub(super) fn of<T: Serialize>(
        &self,
        path: &str,
        mut found: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Response {
        let length = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        let follows = found.len() > length;
        found.truncate(length);
        let mut response = Answer(&found).into_response();
        if let Some(last) = found.last().filter(|_| follows) {
            // Names have no character that a URL would escape.
            let next = format!("<{path}?after={}&limit={length}>; rel=\"next\"", name(last));
            if let Ok(next) = HeaderValue::try_from(next) {
                response.headers_mut().insert(header::LINK, next);
            }
        }
        response
    }
}

/// A JSON body of at most `MAX` bytes; 64 KiB unless told otherwise.
#[derive(Debug)]
pub(super) struct Json<T, const MAX: usize = JSON_BYTES_MAX>(pub(super) T);

impl<T: DeserializeOwned, const MAX: usize> Json<T, MAX> {
    pub(super) async fn read(request: Request, moc: &Moc) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        expect_type(&parts.headers, api::media::JSON)?;
        let wait = Duration::from_millis(moc.limits().body_ms_max);
        let bytes = whole(body, MAX, wait).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Refusal::malformed("json", "the documented members", error.to_string())
        })?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned, const MAX: usize> FromRequest<Arc<Moc>> for Json<T, MAX> {
    type Rejection = Refused;

    async fn from_request(request: Request, moc: &Arc<Moc>) -> Result<Self, Refused> {
        Self::read(request, moc).await
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

/// The most elements of one page.
const PAGE_MAX: u64 = 1000;
const JSON_BYTES_MAX: usize = 64 * 1024;
