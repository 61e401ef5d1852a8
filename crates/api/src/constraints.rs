//! What a request asks of a place, and what a device has to give.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a place has to be like, beyond hardware, instance type and zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// The longest way from the access network to the device, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms_max: Option<u32>,
    /// The lowest TCB level that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcb_min: Option<TcbLevel>,
    /// How long ago the device's last positive appraisal may be, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_within_s: Option<u64>,
    /// A name; no device carries two of the tenant's deployments that have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<String>,
    /// The jurisdictions that the device may be subject to, each a country of ISO 3166-1 such as
    /// `JP`; empty accepts any, and devices of which none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// What the deployment takes of the device while it lasts.
    #[serde(default, skip_serializing_if = "Resources::is_none")]
    pub resources: Resources,
    /// Which of several devices that fit equally well.
    #[serde(default, skip_serializing_if = "Strategy::is_spread")]
    pub strategy: Strategy,
}

impl Constraints {
    /// Whether nothing is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// An amount of what a device has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Processors, thousandths of one.
    pub cpu_milli: u64,
}

impl Resources {
    /// Whether it is nothing.
    pub const fn is_none(&self) -> bool {
        self.memory_mib == 0 && self.cpu_milli == 0
    }
}

/// What a device has for deployments, by the operator's word; what is absent is not counted, and
/// refused to a request that asks for an amount of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Deployments at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// Memory, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Processors, thousandths of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
}

impl Capacity {
    /// Whether nothing is said.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Which of several devices that fit equally well gets a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The one that carries the fewest.
    #[default]
    Spread,
    /// The one that carries the most.
    Pack,
}

impl Strategy {
    /// Whether it is the default.
    pub fn is_spread(&self) -> bool {
        *self == Self::Spread
    }

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Pack => "pack",
        }
    }
}

/// How a TCB stands, from the worst to the best: the statuses of all vendors on one ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TcbLevel {
    /// Its keys are known to be lost.
    Revoked,
    /// An update is missing.
    OutOfDate,
    /// Updated; software or a setting has to do its part, or the TEE to be launched anew.
    HardeningNeeded,
    /// Nothing to do.
    UpToDate,
}

impl TcbLevel {
    /// Every level, the worst first.
    pub const ALL: [Self; 4] =
        [Self::Revoked, Self::OutOfDate, Self::HardeningNeeded, Self::UpToDate];

    /// The level of a status in a vendor's words: Intel's of TCB info, and what is said of AMD's
    /// firmware by the policy's minimum. `None` where nobody has judged it.
    pub fn of(status: &str) -> Option<Self> {
        match status {
            "UpToDate" | "MeetsMinimum" => Some(Self::UpToDate),
            "SWHardeningNeeded"
            | "ConfigurationNeeded"
            | "ConfigurationAndSWHardeningNeeded"
            | "TDRelaunchAdvised"
            | "TDRelaunchAdvisedConfigurationNeeded" => Some(Self::HardeningNeeded),
            "OutOfDate" | "OutOfDateConfigurationNeeded" | "BelowMinimum" => Some(Self::OutOfDate),
            "Revoked" => Some(Self::Revoked),
            _ => None,
        }
    }

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::OutOfDate => "out-of-date",
            Self::HardeningNeeded => "hardening-needed",
            Self::UpToDate => "up-to-date",
        }
    }
}

impl fmt::Display for TcbLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no TCB level or no strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownConstraint(pub String);

impl fmt::Display for UnknownConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is neither a TCB level nor a strategy", self.0)
    }
}

impl std::error::Error for UnknownConstraint {}

impl FromStr for TcbLevel {
    type Err = UnknownConstraint;

    fn from_str(text: &str) -> Result<Self, UnknownConstraint> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| UnknownConstraint(text.to_owned()))
    }
}

impl FromStr for Strategy {
    type Err = UnknownConstraint;

    fn from_str(text: &str) -> Result<Self, UnknownConstraint> {
        let found = [Self::Spread, Self::Pack].into_iter().find(|way| way.as_str() == text);
        found.ok_or_else(|| UnknownConstraint(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_strategies_come_back_from_their_texts() {
        for level in TcbLevel::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{level}\""));
        }
        for strategy in [Strategy::Spread, Strategy::Pack] {
            assert_eq!(strategy.as_str().parse(), Ok(strategy));
            assert_eq!(serde_json::to_string(&strategy).unwrap(), format!("\"{strategy}\""));
        }
        assert_eq!("UpToDate".parse::<TcbLevel>(), Err(UnknownConstraint("UpToDate".into())));
    }

    #[test]
    fn a_level_that_nobody_has_judged_is_none() {
        assert_eq!(TcbLevel::of("NoMinimum"), None);
        assert_eq!(TcbLevel::of("TDRelaunchAdvised"), Some(TcbLevel::HardeningNeeded));
        assert!(TcbLevel::of("OutOfDate") < TcbLevel::of("UpToDate"));
    }

    #[test]
    fn what_is_not_asked_is_not_written() {
        assert_eq!(serde_json::to_string(&Constraints::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Constraints>(r#"{"colour":"red"}"#).is_err());
    }
}
