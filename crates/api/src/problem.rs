//! Problem details (RFC 9457) with the members that explain a refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Body of every answer that is not a success, media type `application/problem+json`.
///
/// A refusal says which check failed, what it asked for, what it saw, whose matter that is, and
/// what to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// A device that was considered and why it was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
