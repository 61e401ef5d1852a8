//! Why a deployment ended.

use api::{DeviceState, EventName, Owner};
use serde::{Deserialize, Serialize};

/// A check that said no, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The check.
    pub check: String,
    /// What it asks for.
    pub expected: String,
    /// What it saw.
    pub seen: String,
    /// Who can change it.
    pub owner: Owner,
    /// What that party does next.
    pub remedy: String,
}

impl Failure {
    /// A step came out of its turn.
    pub fn order(expected: String, seen: EventName) -> Self {
        Self {
            check: "order".into(),
            expected,
            seen: seen.to_string(),
            owner: Owner::Device,
            remedy: "look at the Broker's record of this deployment, then request a new one".into(),
        }
    }

    /// The device may not be used any more.
    pub fn stranded(device: &str, standing: Option<DeviceState>) -> Self {
        let standing = standing.unwrap_or(DeviceState::Quarantined);
        let remedy = match standing {
            DeviceState::Retired => "request a new deployment: the device has ended",
            _ => {
                "see the device's verdict, mend it and enrol it again; meanwhile request a new \
                 deployment"
            }
        };
        Self {
            check: "device.state".into(),
            expected: format!("{device} attested"),
            seen: format!("{device} {}", standing.as_str()),
            owner: Owner::Operator,
            remedy: remedy.into(),
        }
    }

    /// The Network User did not go on while the place was kept.
    pub fn lapsed(expected: impl Into<String>, after_ms: u64) -> Self {
        Self {
            check: "reservation".into(),
            expected: format!("{} within {} s", expected.into(), after_ms / 1000),
            seen: "nothing came, and the place was given back".into(),
            owner: Owner::NetworkUser,
            remedy: "request a new deployment, and bring what it needs in time".into(),
        }
    }

    /// The device did not finish its turn in time.
    pub fn overdue(expected: impl Into<String>, after_ms: u64) -> Self {
        Self {
            check: "time".into(),
            expected: format!("{} within {} s", expected.into(), after_ms / 1000),
            seen: "no answer".into(),
            owner: Owner::Device,
            remedy: "see that the device's Broker runs and reaches the M/OC, and look at its log"
                .into(),
        }
    }
}
