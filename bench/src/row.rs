//! What a measurement is printed as.

use serde::Serialize;

/// One measured figure, in the format of `cargo xtask bench --json`.
#[derive(Debug, Serialize)]
pub struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    floor: Option<f64>,
    peer: Option<f64>,
    ratio: Option<f64>,
    goal: f64,
    ok: bool,
}

impl Row {
    /// CPU time that must not exceed a budget.
    pub fn within(name: impl Into<String>, seconds: f64, budget_us: f64) -> Self {
        let value = seconds * 1e6;
        Self {
            name: name.into(),
            value,
            unit: "µs",
            floor: None,
            peer: None,
            ratio: None,
            goal: budget_us,
            ok: value <= budget_us,
        }
    }

    /// Any figure that must not exceed a goal.
    pub fn at_most(name: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        Self { value, unit, ok: value <= goal, ..Self::within(name, 0., goal) }
    }

    /// Any figure that must reach a goal.
    pub fn at_least(name: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        Self { value, unit, ok: value >= goal, ..Self::within(name, 0., goal) }
    }

    /// CPU time that must not exceed its floor by more than a factor.
    pub fn times(name: impl Into<String>, [seconds, floor]: [f64; 2], goal: f64) -> Self {
        let ratio = seconds / floor;
        let floor = Some(floor * 1e6);
        Self {
            floor,
            ratio: Some(ratio),
            goal,
            ok: ratio <= goal,
            ..Self::within(name, seconds, 0.)
        }
    }

    /// CPU time that must not exceed its floor by more than so many microseconds.
    pub fn beyond(name: impl Into<String>, [seconds, floor]: [f64; 2], goal_us: f64) -> Self {
        let ok = (seconds - floor) * 1e6 <= goal_us;
        Self { ok, goal: goal_us, ..Self::times(name, [seconds, floor], 0.) }
    }

    /// Runs in a second of CPU time, of which there must be so many for each of the floor's.
    pub fn of_floor(name: impl Into<String>, [seconds, floor]: [f64; 2], goal: f64) -> Self {
        let (value, ratio) = (seconds.recip(), floor / seconds);
        Self {
            value,
            unit: "/s",
            floor: Some(floor.recip()),
            ratio: Some(ratio),
            goal,
            ok: ratio >= goal,
            ..Self::within(name, seconds, 0.)
        }
    }

    /// Runs in a second of CPU time, of which there must be so many for each of the peer's.
    pub fn of_peer(name: impl Into<String>, [seconds, peer]: [f64; 2], goal: f64) -> Self {
        let row = Self::of_floor(name, [seconds, peer], goal);
        Self { peer: row.floor, floor: None, ..row }
    }

    /// Bytes in a second of CPU time, of which there must be so many for each of the floor's.
    pub fn throughput(
        name: impl Into<String>,
        bytes: usize,
        [seconds, floor]: [f64; 2],
        goal: f64,
    ) -> Self {
        let megabytes = bytes as f64 * 1e-6;
        let row = Self::of_floor(name, [seconds, floor], goal);
        Self { value: megabytes / seconds, floor: Some(megabytes / floor), unit: "MB/s", ..row }
    }

    /// Memory that must not exceed a budget.
    pub fn memory(name: impl Into<String>, kib: f64, budget_mib: f64) -> Self {
        let value = kib / 1024.;
        let ok = value <= budget_mib;
        Self { value, unit: "MiB", ok, ..Self::within(name, 0., budget_mib) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_must_stay_below_and_rates_must_stay_above_their_goal() {
        assert!(Row::within("", 1e-6, 2.).ok && !Row::within("", 3e-6, 2.).ok);
        assert!(Row::times("", [11e-6, 10e-6], 1.15).ok && !Row::times("", [2e-6, 1e-6], 1.15).ok);
        assert!(Row::beyond("", [15e-6, 8e-6], 8.).ok && !Row::beyond("", [17e-6, 8e-6], 8.).ok);
        assert!(Row::of_floor("", [1.1e-6, 1e-6], 0.85).ok);
        assert!(!Row::of_floor("", [2e-6, 1e-6], 0.85).ok);
        assert!(Row::throughput("", 1, [1., 0.9], 0.85).ok);
        assert!(!Row::throughput("", 1, [1., 0.8], 0.85).ok);
        assert!(Row::memory("", 32. * 1024., 32.).ok && !Row::memory("", 33. * 1024., 32.).ok);
        assert!(Row::at_most("", 2., "ms", 2.).ok && !Row::at_most("", 3., "ms", 2.).ok);
        assert!(Row::at_least("", 2., "/s", 2.).ok && !Row::at_least("", 1., "/s", 2.).ok);
        assert!(Row::of_peer("", [1e-6, 9e-6], 8.).ok && !Row::of_peer("", [1e-6, 7e-6], 8.).ok);
    }
}
