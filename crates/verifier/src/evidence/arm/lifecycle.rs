//! The security life cycle of a device (PSA, RFC 9783 section 4.3.1; CCA uses the same numbers).

use serde::{Deserialize, Serialize};

use crate::Policy;
use crate::check::{Check, Checks, Failure, Owner, Reason};
use crate::evidence::check_debug;

/// A state; the low octet of the number is the maker's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// 0x00xx: not known.
    Unknown,
    /// 0x10xx: being assembled and tested.
    AssemblyAndTest,
    /// 0x20xx: the root of trust is being provisioned.
    Provisioning,
    /// 0x30xx: in use, everything locked.
    Secured,
    /// 0x40xx: what is not the root of trust can be debugged, realms included.
    NonPlatformDebug,
    /// 0x50xx: the root of trust can be debugged, and recovers from it.
    RecoverablePlatformDebug,
    /// 0x60xx: out of use.
    Decommissioned,
}

impl Lifecycle {
    /// The state of a number, if it has one.
    #[must_use]
    pub const fn of(number: u64) -> Option<Self> {
        match number >> 8 {
            0x00 => Some(Self::Unknown),
            0x10 => Some(Self::AssemblyAndTest),
            0x20 => Some(Self::Provisioning),
            0x30 => Some(Self::Secured),
            0x40 => Some(Self::NonPlatformDebug),
            0x50 => Some(Self::RecoverablePlatformDebug),
            0x60 => Some(Self::Decommissioned),
            _ => None,
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly and test",
            Self::Provisioning => "provisioning",
            Self::Secured => "secured",
            Self::NonPlatformDebug => "non-platform debug",
            Self::RecoverablePlatformDebug => "recoverable platform debug",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Whether something that evidence speaks of can be debugged; unknown where the state does
    /// not say.
    #[must_use]
    pub const fn debug(self) -> Option<bool> {
        match self {
            Self::Secured => Some(false),
            Self::NonPlatformDebug | Self::RecoverablePlatformDebug => Some(true),
            Self::Unknown | Self::AssemblyAndTest | Self::Provisioning | Self::Decommissioned => {
                None
            }
        }
    }
}

//= EV-CCA-5: secured 0x3000 to 0x30FF, everything else refused by default
//= EV-PSA-1: life cycle 0x30xx only
/// Judges the state that a token states.
pub(crate) fn check_lifecycle(
    number: u64,
    allowed: &[Lifecycle],
    policy: &Policy,
    checks: &mut Checks,
) {
    let state = Lifecycle::of(number);
    if let Some(debug) = state.and_then(Lifecycle::debug) {
        checks.note(check_debug(debug, policy));
    }
    let check = Check::new("device.lifecycle").seen(show(number)).source("policy");
    let check = check.expected(allowed.iter().map(|state| state.title()).collect::<Vec<_>>());
    checks.note(check.holds(state.is_some_and(|state| allowed.contains(&state)), || {
        let reason = if state.and_then(Lifecycle::debug) == Some(true) {
            Reason::Debug
        } else {
            Reason::ConfigurationNotAllowed
        };
        let remedy = "bring the device into the secured state; in another one its root of trust \
                      or what runs on it can be changed or read";
        Failure::new(reason, Owner::DeviceOperator, remedy)
    }));
}

fn show(number: u64) -> String {
    let state = Lifecycle::of(number).map_or("no defined state", Lifecycle::title);
    format!("{state} ({number:#06x})")
}

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-CCA-5: the numbers of every state
    #[test]
    fn the_low_octet_is_the_makers_own() {
        let states = [
            (0x0000, Lifecycle::Unknown),
            (0x1000, Lifecycle::AssemblyAndTest),
            (0x2000, Lifecycle::Provisioning),
            (0x3000, Lifecycle::Secured),
            (0x4000, Lifecycle::NonPlatformDebug),
            (0x5000, Lifecycle::RecoverablePlatformDebug),
            (0x6000, Lifecycle::Decommissioned),
        ];
        for (first, state) in states {
            assert_eq!(Lifecycle::of(first), Some(state));
            assert_eq!(Lifecycle::of(first + 0xff), Some(state));
            assert_eq!(Lifecycle::of(first + 0x100), None);
        }
        assert_eq!(Lifecycle::of(0x1_3000), None);
    }
}
