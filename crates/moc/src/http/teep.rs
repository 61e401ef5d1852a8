//! The TEEP endpoint: draft-ietf-teep-otrp-over-http, to the letter.
//!
//! Nothing but TEEP messages leaves here: a request that is not one gets a bare status, and a
//! failure inside gets 500 without details.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};

use crate::{app::Moc, rate::Rates};

use super::extract::{essence, whole};

pub(super) fn routes(rate: Rates<IpAddr>) -> Router<Arc<Moc>> {
    let (stranger_rate, ticket_rate) = (rate.clone(), rate);
    let stranger = move |moc, from, request| stranger(moc, from, request, stranger_rate);
    let with_ticket =
        move |moc, from, ticket, request| with_ticket(moc, from, ticket, request, ticket_rate);
    Router::new()
        .route(api::path::TAM, any(stranger))
        .route(api::path::TAM_TICKET, any(with_ticket))
}

async fn stranger(
    State(moc): State<Arc<Moc>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    rate: Rates<IpAddr>,
) -> Response {
    exchange(&moc, from, None, request, &rate).await
}

async fn with_ticket(
    State(moc): State<Arc<Moc>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(ticket): Path<String>,
    request: Request,
    rate: Rates<IpAddr>,
) -> Response {
    exchange(&moc, from, Some(&ticket), request, &rate).await
}

/// One TEEP request over HTTP.
async fn exchange(
    moc: &Moc,
    from: SocketAddr,
    ticket: Option<&str>,
    request: Request,
    rate: &Rates<IpAddr>,
) -> Response {
    //= teep 14.96 (R): a body limit, timeouts and a rate limit for each client
    if let Err(after_ms) = rate.admits(&from.ip(), moc.clock().now_ms()) {
        let after = [(header::RETRY_AFTER, after_ms.div_ceil(1000).max(1).to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, after).into_response();
    }
    match read(moc, request).await {
        Ok(message) => answer(moc, ticket, &message).await,
        Err(refused) => refused.into_response(),
    }
}

/// Checks a request and reads its body.
async fn read(moc: &Moc, request: Request) -> Result<Vec<u8>, (StatusCode, HeaderMap)> {
    let bare = |status| (status, HeaderMap::new());
    //= teep 14.89 (M): methods other than POST are refused
    if request.method() != Method::POST {
        let allow = (header::ALLOW, HeaderValue::from_static("POST"));
        return Err((StatusCode::METHOD_NOT_ALLOWED, HeaderMap::from_iter([allow])));
    }
    //= teep 14.91 (S): Accept has to be there and to include the media type
    if !accepts(request.headers()) {
        return Err(bare(StatusCode::NOT_ACCEPTABLE));
    }
    let (parts, body) = request.into_parts();
    let limits = moc.limits();
    let wait = Duration::from_millis(limits.body_ms_max);
    let message = whole(body, limits.teep_bytes_max, wait).await.map_err(|refusal| {
        let status = StatusCode::from_u16(super::problem(&refusal).status);
        bare(status.unwrap_or(StatusCode::BAD_REQUEST))
    })?;
    //= teep 14.90 (S): a non-empty body of another type is refused; parameters are ignored
    if !message.is_empty() && !is_teep(&parts.headers) {
        return Err(bare(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Ok(message)
}

/// Hands a request to the TAM.
//= teep 14.92 (M): an empty body calls ProcessConnect, another one ProcessTeepMessage
async fn answer(moc: &Moc, ticket: Option<&str>, message: &[u8]) -> Response {
    let answer = match message.is_empty() {
        true => moc.process_connect(ticket).await,
        false => moc.process_teep_message(message).await,
    };
    match answer {
        Ok(Some(message)) => (SECURITY, Body::from(message)).into_response(),
        //= teep 14.94 (S): 204 when there is nothing to say
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        //= teep 14.95 (M): a failure of the TAM yields 5xx without details
        Err(error) => {
            tracing::error!(error = %super::problem::chain(&error), "the TAM failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn is_teep(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| essence(value).eq_ignore_ascii_case(api::media::TEEP))
}

/// RFC 9110 section 12.5.1, as far as one media type needs it.
fn accepts(headers: &HeaderMap) -> bool {
    let mut best: Option<(u8, bool)> = None;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let name = essence(range).to_ascii_lowercase();
            let precision = match name.as_str() {
                api::media::TEEP => 3,
                "application/*" => 2,
                "*/*" => 1,
                _ => continue,
            };
            if best.is_none_or(|(known, _)| precision > known) {
                best = Some((precision, !is_excluded(range)));
            }
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// Whether a media range has the weight 0.
fn is_excluded(range: &str) -> bool {
    range.split(';').skip(1).any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        let weight = value.trim().parse::<f32>();
        name.trim().eq_ignore_ascii_case("q") && weight.is_ok_and(|weight| weight <= 0.0)
    })
}

/// What every response with content has.
//= teep 14.93 (M): three security headers and Content-Type, and no Cache-Control
const SECURITY: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_TYPE, api::media::TEEP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
];

#[cfg(test)]
mod tests {
    use super::*;

    //= teep 14.91 (S): Accept has to be there and to include the media type
    #[test]
    fn the_media_type_is_acceptable_by_name_or_by_a_range() {
        let cases = [
            ("application/teep+cbor", true),
            ("APPLICATION/TEEP+CBOR; charset=x", true),
            ("text/html, application/*;q=0.5", true),
            ("*/*", true),
            ("text/html", false),
            ("", false),
            ("application/teep+cbor;q=0", false),
            ("*/*, application/teep+cbor;q=0.0", false),
            ("application/teep+cbor, */*;q=0", true),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepts(&headers), expected, "{accept}");
        }
        assert!(!accepts(&HeaderMap::new()));
    }
}
