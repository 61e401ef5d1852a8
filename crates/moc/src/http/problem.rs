//! The one place where a refusal becomes an HTTP answer.

use api::{Owner, Problem};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::{app::Refusal, deployment::Failure};

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Box<Refusal>);

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if let Refusal::Failed(_) | Refusal::Key(_) = *self.0 {
            tracing::error!(error = %chain(&self.0), "request failed");
        }
        let mut response = super::explain(&problem(&self.0));
        let headers = response.headers_mut();
        if let Refusal::Unauthenticated = *self.0 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Refusal::Range { bytes } = *self.0
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{bytes}"))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
        response
    }
}

/// Problem details for a refusal. What happened inside stays inside.
pub fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Malformed(failure) => explained("malformed", MALFORMED, 400, failure),
        Refusal::Unauthenticated => Problem {
            check: Some("token".into()),
            expected: Some("a token that this M/OC gave out".into()),
            seen: Some("none, or one that is not known".into()),
            owner: Some(Owner::NetworkUser),
            remedy: Some("send a valid token as `Authorization: Bearer …`".into()),
            ..kind("unauthenticated", "A valid bearer token is needed", 401)
        },
        Refusal::Forbidden { needed, seen } => Problem {
            check: Some("role".into()),
            expected: Some(needed.as_str().into()),
            seen: Some(seen.as_str().into()),
            owner: Some(Owner::Operator),
            remedy: Some(format!("use a token of the {}", needed.as_str())),
            ..kind("forbidden", "The token does not allow this", 403)
        },
        Refusal::NotFound(what) => Problem {
            detail: Some(format!("no such {what}")),
            ..kind("not-found", "There is no such thing here", 404)
        },
        Refusal::TooSlow => kind("too-slow", "The body did not come in time", 408),
        Refusal::Conflict(failure) => {
            explained("conflict", "It does not fit where things stand", 409, failure)
        }
        Refusal::NoPlace(candidates) => Problem {
            candidates: candidates.clone(),
            owner: Some(Owner::NetworkUser),
            remedy: Some("relax the constraint that excludes the device you want".into()),
            ..kind("no-place", "No device meets every constraint", 409)
        },
        Refusal::TooLarge { max } => Problem {
            check: Some("size".into()),
            expected: Some(format!("at most {max} bytes")),
            ..kind("too-large", "The body is too large", 413)
        },
        Refusal::MediaType { expected, seen } => Problem {
            check: Some("media-type".into()),
            expected: Some((*expected).into()),
            seen: Some(seen.clone()),
            ..kind("media-type", "The body has another media type", 415)
        },
        Refusal::Range { bytes } => Problem {
            check: Some("range".into()),
            expected: Some(format!("a part of {bytes} bytes")),
            ..kind("range", "The blob has no such part", 416)
        },
        Refusal::Unsupported(failure) => {
            explained("unsupported", "This is valid, but not done here", 422, failure)
        }
        Refusal::Untrusted(failure) => {
            explained("untrusted", "A signature, appraisal or policy says no", 403, failure)
        }
        Refusal::Failed(_) | Refusal::Key(_) => Problem {
            owner: Some(Owner::Moc),
            remedy: Some("try again; the M/OC's log has the cause".into()),
            ..kind("internal", "The M/OC could not do its work", 500)
        },
    }
}

/// Problem details for a deployment or attestation that ended.
pub fn failure(failure: &Failure) -> Problem {
    explained("refused", "The deployment was refused", 403, failure)
}

fn explained(name: &str, title: &str, status: u16, failure: &Failure) -> Problem {
    Problem {
        check: Some(failure.check.clone()),
        expected: Some(failure.expected.clone()),
        seen: Some(failure.seen.clone()),
        owner: Some(failure.owner),
        remedy: Some(failure.remedy.clone()),
        ..kind(name, title, status)
    }
}

fn kind(name: &str, title: &str, status: u16) -> Problem {
    Problem {
        kind: format!("{}{name}", Problem::KIND_PREFIX),
        title: title.to_owned(),
        status,
        ..Problem::default()
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

const MALFORMED: &str = "The request is not what the interface says";
