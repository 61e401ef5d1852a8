//! When which part of a platform's collateral is renewed. It knows no clock: times are arguments.

use std::collections::BTreeMap;

use verifier::Platform;

use super::{FetchFailed, NotRenewed};

/// What is renewed on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What endorses the platform: TCB info and identities, or certificates.
    Endorsements,
    /// What says that endorsements ended before their time.
    Revocation,
}

/// How often each part is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Endorsements, seconds.
    pub endorsements_s: u64,
    /// Revocation lists, seconds.
    pub revocation_s: u64,
}

/// How a renewal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was fetched counts.
    Renewed,
    /// It did not work; the vendor may have said how long to wait, seconds.
    Failed(Option<u64>),
}

/// Every platform with the time at which each part is due.
#[derive(Debug)]
pub struct Schedule {
    periods: Periods,
    /// By the name of the folder: whether a product is known makes no other platform.
    due: BTreeMap<(String, Part), Due>,
}

#[derive(Clone, Debug)]
struct Due {
    platform: Platform,
    at_ms: u64,
    failures: u32,
}

impl Outcome {
    /// What a renewal means for the next one.
    pub(super) fn of(renewed: &Result<bool, NotRenewed>) -> Self {
        match renewed {
            Ok(_) => Self::Renewed,
            Err(NotRenewed::Fetch(FetchFailed::Throttled { after_s, .. })) => {
                Self::Failed(*after_s)
            }
            Err(_) => Self::Failed(None),
        }
    }
}

impl Schedule {
    /// Nothing is due.
    #[must_use]
    pub fn new(periods: Periods) -> Self {
        Self { periods, due: BTreeMap::new() }
    }

    /// Adds a platform that is not known yet: it is due at once. How often a known one is asked
    /// for changes nothing.
    pub fn want(&mut self, platform: Platform, now_ms: u64) {
        if self.due.len() >= 2 * PLATFORMS_MAX {
            return;
        }
        for part in [Part::Endorsements, Part::Revocation] {
            let due = Due { platform: platform.clone(), at_ms: now_ms, failures: 0 };
            self.due.entry((name(&platform), part)).or_insert(due);
        }
    }

    /// What is due. Until [`done`](Self::done) it is not due again.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<(Platform, Part)> {
        let due = self.due.iter_mut().filter(|(_, due)| due.at_ms <= now_ms);
        due.map(|((_, part), due)| {
            due.at_ms = u64::MAX;
            (due.platform.clone(), *part)
        })
        .collect()
    }

    /// Notes how a renewal ended, and when the next one is due.
    pub fn done(&mut self, platform: &Platform, part: Part, outcome: &Outcome, now_ms: u64) {
        let Some(due) = self.due.get_mut(&(name(platform), part)) else { return };
        let wait_s = match outcome {
            Outcome::Renewed => {
                due.failures = 0;
                match part {
                    Part::Endorsements => self.periods.endorsements_s,
                    Part::Revocation => self.periods.revocation_s,
                }
            }
            Outcome::Failed(after_s) => {
                let own_s = FIRST_WAIT_S << due.failures.min(DOUBLINGS_MAX);
                due.failures += 1;
                // A vendor that asks for a year is not obeyed for a year.
                own_s.max(after_s.unwrap_or(0).min(WAIT_S_MAX))
            }
        };
        due.at_ms = now_ms.saturating_add(wait_s.saturating_mul(1000));
    }
}

fn name(platform: &Platform) -> String {
    format!("{}/{platform}", platform.kind())
}

const PLATFORMS_MAX: usize = 4096;
const FIRST_WAIT_S: u64 = 30;
const DOUBLINGS_MAX: u32 = 6;
const WAIT_S_MAX: u64 = 24 * 3600;

#[cfg(test)]
mod unit {
    use super::*;

    const PERIODS: Periods = Periods { endorsements_s: 1000, revocation_s: 100 };

    fn platform(octet: u8) -> Platform {
        Platform::Amd { product: None, chip_id: [octet; 64], tcb: [0; 8] }
    }

    #[test]
    fn a_platform_that_is_asked_for_often_is_fetched_once() {
        let mut schedule = Schedule::new(PERIODS);
        for _ in 0..5 {
            schedule.want(platform(1), 7);
        }

        assert_eq!(schedule.take_due(7).len(), 2);
        schedule.want(platform(1), 8);
        assert_eq!(schedule.take_due(9), []);
    }

    #[test]
    fn revocation_is_renewed_apart_from_endorsements() {
        let mut schedule = Schedule::new(PERIODS);
        schedule.want(platform(1), 0);
        for (platform, part) in schedule.take_due(0) {
            schedule.done(&platform, part, &Outcome::Renewed, 0);
        }

        assert_eq!(schedule.take_due(99_999), []);
        assert_eq!(schedule.take_due(100_000), [(platform(1), Part::Revocation)]);
        assert_eq!(schedule.take_due(1_000_000), [(platform(1), Part::Endorsements)]);
    }

    #[test]
    fn a_failure_waits_ever_longer_and_as_long_as_the_vendor_asks() {
        let mut schedule = Schedule::new(PERIODS);
        schedule.want(platform(1), 0);
        let mut waits = Vec::new();
        let mut now_ms = 0;
        for after_s in [None, None, Some(500), None, Some(u64::MAX)] {
            schedule.take_due(now_ms);
            schedule.done(&platform(1), Part::Revocation, &Outcome::Failed(after_s), now_ms);
            let due = schedule.due[&(name(&platform(1)), Part::Revocation)].at_ms;
            waits.push((due - now_ms) / 1000);
            now_ms = due;
        }

        assert_eq!(waits, [30, 60, 500, 240, WAIT_S_MAX]);
    }

    #[test]
    fn no_more_platforms_are_kept_than_fit() {
        let mut schedule = Schedule::new(PERIODS);
        for number in 0..=PLATFORMS_MAX {
            let mut chip_id = [0; 64];
            chip_id[..8].copy_from_slice(&number.to_le_bytes());
            schedule.want(Platform::Amd { product: None, chip_id, tcb: [0; 8] }, 0);
        }

        assert_eq!(schedule.take_due(0).len(), 2 * PLATFORMS_MAX);
    }
}
