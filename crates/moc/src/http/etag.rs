//! Entity tags (RFC 9110 section 8.8.3): what has not changed is not sent again.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{app::Refusal, store::StoreFailed};

use super::{extract::essence, problem::Refused};

/// Tags every JSON answer to a GET, and answers 304 to whoever has it.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let is_get = *request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_get || response.status() != StatusCode::OK || essence(media_type) != api::media::JSON {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is in memory already; only somebody else's mistake fails here.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Refused::from(Refusal::Failed(StoreFailed::Stopped)).into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&cose::sha256(&bytes)[..16]));
    let is_known = known.as_ref().is_some_and(|known| names(known, &tag));
    let Ok(value) = HeaderValue::try_from(tag) else { return (parts, bytes).into_response() };
    parts.headers.insert(header::ETAG, value);
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    match is_known {
        false => Response::from_parts(parts, Body::from(bytes)),
        true => {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::empty())
        }
    }
}

/// RFC 9110 section 13.1.2, by weak comparison.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let known = known.to_str().unwrap_or_default();
    let mut each = known.split(',').map(|one| one.trim().trim_start_matches("W/"));
    each.any(|one| one == "*" || one == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_strong_or_weak() {
        for (known, expected) in
            [("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            assert_eq!(names(&HeaderValue::from_static(known), "\"a\""), expected, "{known}");
        }
    }
}
