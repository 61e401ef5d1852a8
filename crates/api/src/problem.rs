//! Problem details (RFC 9457) with the members that explain a refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Body of every answer that is not a success, media type `application/problem+json`.
///
/// A refusal says which check failed, what it asked for, what it saw, whose matter that is, and
/// what to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Stable name of the kind of problem, `tag:tamarack,2026:problem/…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same text for every problem of that kind.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The check that said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What the check asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Who can change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// What that party does next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// For a request that found no place: every device with what excludes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

impl Problem {
    /// Prefix of every [`Problem::kind`].
    pub const KIND_PREFIX: &'static str = "tag:tamarack,2026:problem/";

    /// The part of the kind behind [`Self::KIND_PREFIX`], or all of it.
    pub fn name(&self) -> &str {
        self.kind.strip_prefix(Self::KIND_PREFIX).unwrap_or(&self.kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(check) = &self.check {
            write!(f, " (check {check}")?;
            if let Some(expected) = &self.expected {
                write!(f, ", expected {expected}")?;
            }
            if let Some(seen) = &self.seen {
                write!(f, ", seen {seen}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// A kind of problem: [`Problem::name`], and what every problem of that kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The stable name.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// In words.
    pub title: &'static str,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 18] = [
        Self::new("malformed", 400, "The request is not what the interface says"),
        Self::new("unauthenticated", 401, "A valid credential is needed"),
        Self::new("forbidden", 403, "The credential does not allow this"),
        Self::new("quota", 403, "The tenant has as much as it may have"),
        Self::new("refused", 403, "The deployment was refused"),
        Self::new("untrusted", 403, "A signature, appraisal or policy says no"),
        Self::new("not-found", 404, "There is no such thing here"),
        Self::new("method", 405, "The path has no such method"),
        Self::new("too-slow", 408, "The body did not come in time"),
        Self::new("conflict", 409, "It does not fit where things stand"),
        Self::new("no-place", 409, "No device meets every constraint"),
        Self::new("too-large", 413, "The body is too large"),
        Self::new("media-type", 415, "The body has another media type"),
        Self::new("range", 416, "The blob has no such part"),
        Self::new("unsupported", 422, "This is valid, but not done here"),
        Self::new("too-many", 429, "There are too many requests"),
        Self::new("internal", 500, "The M/OC could not do its work"),
        Self::new("overloaded", 503, "The M/OC has too much to do"),
    ];

    const fn new(name: &'static str, status: u16, title: &'static str) -> Self {
        Self { name, status, title }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name == name)
    }
}

/// A device that was considered and why it was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// The device.
    pub device: String,
    /// The constraint that excludes it, for instance `hardware`.
    pub constraint: String,
    /// What the constraint asks for.
    pub expected: String,
    /// What the device has.
    pub seen: String,
}

/// The party that can mend a failed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Owner {
    /// The tenant: packages, nonces, requests.
    NetworkUser,
    /// The operator of the M/OC: devices, policy, reference values, collateral.
    Operator,
    /// The device: its Broker, Agent or hardware.
    Device,
    /// Who builds and signs the measured Agent.
    AgentProvider,
    /// Who made the device and endorses it.
    DeviceVendor,
    /// Who fetches the endorsements for the Verifier.
    EndorsementProvider,
    /// The M/OC's own software.
    Moc,
    /// A party that this version does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkUser => "Network User",
            Self::Operator => "operator",
            Self::Device => "device",
            Self::AgentProvider => "provider of the Agent",
            Self::DeviceVendor => "device vendor",
            Self::EndorsementProvider => "endorsement provider",
            Self::Moc => "Network M/OC",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_members_and_leaves_absent_ones_out() {
        let text = concat!(
            r#"{"type":"tag:tamarack,2026:problem/refused","title":"refused","status":403,"#,
            r#""check":"tcb","expected":"UpToDate","seen":"OutOfDate","owner":"operator","#,
            r#""remedy":"update the platform"}"#
        );

        let problem: Problem = serde_json::from_str(text).unwrap();

        assert_eq!(problem.name(), "refused");
        assert_eq!(problem.owner, Some(Owner::Operator));
        assert_eq!(problem.to_string(), "refused (check tcb, expected UpToDate, seen OutOfDate)");
        assert_eq!(serde_json::to_string(&problem).unwrap(), text);
    }

    #[test]
    fn an_owner_from_a_newer_version_is_unknown() {
        assert_eq!(serde_json::from_str::<Owner>("\"carrier\"").unwrap(), Owner::Unknown);
    }
}
