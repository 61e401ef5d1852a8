//! The one place where a refusal becomes an HTTP answer.

use api::{Kind, Owner, Problem};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::{app::Refusal, deployment::Failure, store::StoreFailed};

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
        if let Refusal::Failed(StoreFailed::Busy) = *self.0 {
            headers.insert(header::RETRY_AFTER, 1.into());
        }
        if let Refusal::TooMany { after_ms } = *self.0 {
            headers.insert(header::RETRY_AFTER, after_ms.div_ceil(1000).max(1).into());
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
        Refusal::Malformed(failure) => explained("malformed", failure),
        Refusal::Unauthenticated => Problem {
            check: Some("token".into()),
            expected: Some("a credential that this M/OC gave out".into()),
            seen: Some("none, or one that is not known, was revoked or has expired".into()),
            owner: Some(Owner::NetworkUser),
            remedy: Some("send a valid token as `Authorization: Bearer …`".into()),
            ..kind("unauthenticated")
        },
        Refusal::Forbidden { needed, seen } => Problem {
            check: Some("scope".into()),
            expected: Some(needed.as_str().into()),
            seen: Some(format!("a credential of a {seen} without it")),
            owner: Some(Owner::Operator),
            remedy: Some(format!("use a credential with `{needed}`")),
            ..kind("forbidden")
        },
        Refusal::TooMany { after_ms } => too_many(*after_ms),
        Refusal::Quota { what, max } => quota(what, *max),
        Refusal::NotFound(what) => {
            Problem { detail: Some(format!("no such {what}")), ..kind("not-found") }
        }
        Refusal::TooSlow => kind("too-slow"),
        Refusal::Conflict(failure) => explained("conflict", failure),
        Refusal::NoPlace { candidates, summary } => Problem {
            detail: Some(summary.clone()),
            candidates: candidates.clone(),
            owner: Some(Owner::NetworkUser),
            remedy: Some("relax the constraint that excludes the device you want".into()),
            ..kind("no-place")
        },
        Refusal::TooLarge { max } => Problem {
            check: Some("size".into()),
            expected: Some(format!("at most {max} bytes")),
            ..kind("too-large")
        },
        Refusal::MediaType { expected, seen } => Problem {
            check: Some("media-type".into()),
            expected: Some((*expected).into()),
            seen: Some(seen.clone()),
            ..kind("media-type")
        },
        Refusal::Range { bytes } => Problem {
            check: Some("range".into()),
            expected: Some(format!("a part of {bytes} bytes")),
            ..kind("range")
        },
        Refusal::Unsupported(failure) => explained("unsupported", failure),
        Refusal::Untrusted(failure) => explained("untrusted", failure),
        Refusal::Failed(StoreFailed::Busy) => Problem {
            owner: Some(Owner::Operator),
            remedy: Some("try again after a second".into()),
            ..kind("overloaded")
        },
        Refusal::Failed(_) | Refusal::Key(_) => Problem {
            owner: Some(Owner::Moc),
            remedy: Some("try again; the M/OC's log has the cause".into()),
            ..kind("internal")
        },
    }
}

/// Problem details for a deployment or attestation that ended.
pub fn failure(failure: &Failure) -> Problem {
    explained("refused", failure)
}

fn too_many(after_ms: u64) -> Problem {
    Problem {
        check: Some("rate".into()),
        expected: Some("fewer requests in a second".into()),
        owner: Some(Owner::NetworkUser),
        remedy: Some(format!("wait for {after_ms} milliseconds, then try again")),
        ..kind("too-many")
    }
}

fn quota(what: &str, max: u64) -> Problem {
    Problem {
        check: Some("quota".into()),
        expected: Some(format!("at most {max} {what}")),
        seen: Some("more".into()),
        owner: Some(Owner::NetworkUser),
        remedy: Some("end or remove some, or ask the operator for more".into()),
        ..kind("quota")
    }
}

fn explained(name: &str, failure: &Failure) -> Problem {
    Problem {
        check: Some(failure.check.clone()),
        expected: Some(failure.expected.clone()),
        seen: Some(failure.seen.clone()),
        owner: Some(failure.owner),
        remedy: Some(failure.remedy.clone()),
        ..kind(name)
    }
}

/// A problem of a kind that the contract names.
pub(super) fn kind(name: &str) -> Problem {
    let kind = Kind::named(name).expect("every kind is in the contract");
    Problem {
        kind: format!("{}{name}", Problem::KIND_PREFIX),
        title: kind.title.to_owned(),
        status: kind.status,
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
