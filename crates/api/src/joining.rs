//! How devices join, and what the operator orders them to do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Hardware, PostDevice};

/// `POST /v1/join-tokens` (`devices:write`): devices that may join, one or a whole manifest; all of
/// them or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostJoinTokens {
    /// The devices, 1 to 1000; each needs its `hardware_id`.
    pub devices: Vec<PostDevice>,
    /// Whether they are approved already. Default: each waits for its approval after it has joined
    /// and was appraised.
    #[serde(default)]
    pub approved: bool,
    /// Seconds until the tokens count no more, 1 to 31,622,400 (a leap year). Default: 604,800,
    /// which are 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// 201 to [`PostJoinTokens`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinTokensAdded {
    /// One for each device, in the same order.
    pub tokens: Vec<JoinTokenAdded>,
    /// When they count no more, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// A token with which one device joins, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinTokenAdded {
    /// Identifier, which is no secret.
    pub id: String,
    /// The device.
    pub device: String,
    /// The token, shown this once.
    pub token: String,
}

/// One element of `GET /v1/join-tokens`: a token that counts. The secret is kept by nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinTokenView {
    /// Identifier.
    pub id: String,
    /// The device.
    pub device: String,
    /// Its hardware family.
    pub hardware: Hardware,
    /// The identity of its hardware.
    pub hardware_id: String,
    /// Whether it needs no approval.
    pub approved: bool,
    /// When it counts no more, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// `POST /v1/joins`, by the holder of a join token: a device makes itself known. 201 with
/// [`DeviceAdded`](crate::DeviceAdded).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostJoin {
    /// The token.
    pub token: String,
    /// The identity of its hardware, as its evidence will show it.
    pub hardware_id: String,
}

/// `POST /v1/devices/{device}/orders` (`devices:write`). 200 with the device as it is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostOrder {
    /// What to do.
    pub order: Order,
    /// Why, for whoever looks at the device or the log: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a device is ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Serve, for one that waits for its approval.
    Approve,
    /// Take nothing new, and go on with what is there.
    Drain,
    /// Serve again, for one that drains.
    Resume,
    /// Take nothing, and fail what is under way, whatever the evidence says. A new enrolment ends
    /// it.
    Quarantine,
    /// End for good: its credentials count no more, and its deployments fail.
    Retire,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 5] =
        [Self::Approve, Self::Drain, Self::Resume, Self::Quarantine, Self::Retire];

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Quarantine => "quarantine",
            Self::Retire => "retire",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOrder(pub String);

impl fmt::Display for UnknownOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not one of approve, drain, resume, quarantine, retire", self.0)
    }
}

impl std::error::Error for UnknownOrder {}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(text: &str) -> Result<Self, UnknownOrder> {
        let found = Self::ALL.into_iter().find(|order| order.as_str() == text);
        found.ok_or_else(|| UnknownOrder(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_from_their_texts() {
        for order in Order::ALL {
            assert_eq!(order.as_str().parse(), Ok(order));
            assert_eq!(serde_json::to_string(&order).unwrap(), format!("\"{order}\""));
        }
        assert_eq!("stop".parse::<Order>(), Err(UnknownOrder("stop".into())));
    }
}
