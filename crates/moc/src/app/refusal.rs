//! Why the M/OC does not do what it was asked for, sorted by whose fault it is.

use api::{Candidate, Owner, Role, Scope};

use crate::{
    deployment::Failure,
    store::{NotCommitted, StoreFailed},
};

/// A request that was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not what the interface says.
    #[error("malformed: {}", .0.check)]
    Malformed(Failure),
    /// There is no valid bearer token.
    #[error("no valid bearer token")]
    Unauthenticated,
    /// The credential does not allow it.
    #[error("the credential does not allow it")]
    Forbidden {
        /// What would.
        needed: Scope,
        /// What its holder is.
        seen: Role,
    },
    /// Too many requests.
    #[error("too many requests")]
    TooMany {
        /// When one more is taken.
        after_ms: u64,
    },
    /// The tenant would have more than it may have.
    #[error("more than {max} {what}")]
    Quota {
        /// Of what.
        what: &'static str,
        /// The most.
        max: u64,
    },
    /// There is no such thing, or it belongs to another tenant.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The body has another media type.
    #[error("unsupported media type")]
    MediaType {
        /// The one that is taken.
        expected: &'static str,
        /// The one that came.
        seen: String,
    },
    /// The body is larger than allowed.
    #[error("body is larger than {max} bytes")]
    TooLarge {
        /// The most that is taken.
        max: u64,
    },
    /// The body did not come in time.
    #[error("body did not come in time")]
    TooSlow,
    /// The part that was asked for is outside the blob.
    #[error("range is not satisfiable")]
    Range {
        /// How many bytes there are.
        bytes: u64,
    },
    /// Valid, but not done here.
    #[error("unsupported: {}", .0.check)]
    Unsupported(Failure),
    /// A signature, an appraisal or the policy says no.
    #[error("untrusted: {}", .0.check)]
    Untrusted(Failure),
    /// It does not fit where things stand.
    #[error("conflict: {}", .0.check)]
    Conflict(Failure),
    /// No device meets every constraint.
    #[error("no place")]
    NoPlace {
        /// The first devices, each with what excludes it.
        candidates: Vec<Candidate>,
        /// All of them, counted.
        summary: String,
    },
    /// The M/OC could not do its work.
    #[error("internal")]
    Failed(#[from] StoreFailed),
    /// A key could not sign.
    #[error("a key could not be used")]
    Key(#[from] cose::KeyUnusable),
}

impl Refusal {
    /// The request's text is wrong.
    pub fn malformed(check: &str, expected: &str, seen: impl Into<String>) -> Self {
        Self::Malformed(by_user(check, expected, seen, "correct the request"))
    }

    /// It does not fit where things stand.
    pub fn conflict(check: &str, expected: &str, seen: impl Into<String>, remedy: &str) -> Self {
        Self::Conflict(by_user(check, expected, seen, remedy))
    }
}

impl From<NotCommitted> for Refusal {
    fn from(error: NotCommitted) -> Self {
        match error {
            NotCommitted::Exists(what) => Self::conflict(
                "unique",
                &format!("a {what} that is not there yet"),
                "it exists",
                "choose another name, or use the one that exists",
            ),
            NotCommitted::Stale(what) => Self::conflict(
                "version",
                &format!("a {what} that nobody else changes"),
                "it has changed meanwhile",
                "look at it again, then repeat the request",
            ),
            NotCommitted::Over { what, max } => Self::Quota { what, max },
            NotCommitted::Used => Self::conflict(
                "single-use",
                "a value that was not used before",
                "it was used",
                "ask for a new one",
            ),
            NotCommitted::Failed(failed) => Self::Failed(failed),
        }
    }
}

/// A failure that the Network User can mend.
pub fn by_user(check: &str, expected: &str, seen: impl Into<String>, remedy: &str) -> Failure {
    Failure {
        check: check.to_owned(),
        expected: expected.to_owned(),
        seen: seen.into(),
        owner: Owner::NetworkUser,
        remedy: remedy.to_owned(),
    }
}
