//! How many TEEP requests one address may make: a token bucket each.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::config::Limits;

/// The buckets of all addresses; bounded, since addresses are free to invent.
#[derive(Clone, Debug)]
pub(super) struct RateLimit {
    per_second: u64,
    burst: u64,
    buckets: Arc<Mutex<BTreeMap<IpAddr, Bucket>>>,
}

/// Thousandths of a request that an address may still make.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    filled_ms: u64,
}

impl RateLimit {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            per_second: limits.teep_per_second_max.into(),
            burst: u64::from(limits.teep_burst_max) * 1000,
            buckets: Arc::default(),
        }
    }

    /// Takes one request from the bucket of an address.
    //= teep 15.114: a flood of messages is limited
    pub(super) fn admits(&self, address: IpAddr, now_ms: u64) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            let full = |bucket: &Bucket| self.filled(*bucket, now_ms).left >= self.burst;
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let fresh = Bucket { left: self.burst, filled_ms: now_ms };
        let bucket = buckets.entry(address).or_insert(fresh);
        *bucket = self.filled(*bucket, now_ms);
        match bucket.left.checked_sub(1000) {
            Some(left) => {
                bucket.left = left;
                true
            }
            None => false,
        }
    }

    fn filled(&self, bucket: Bucket, now_ms: u64) -> Bucket {
        let gained = now_ms.saturating_sub(bucket.filled_ms).saturating_mul(self.per_second);
        let left = bucket.left.saturating_add(gained).min(self.burst);
        Bucket { left, filled_ms: now_ms.max(bucket.filled_ms) }
    }
}

const ADDRESSES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> RateLimit {
        let limits = Limits { teep_per_second_max: 10, teep_burst_max: 3, ..Limits::default() };
        RateLimit::new(&limits)
    }

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let limit = limit();
        let address = IpAddr::from([127, 0, 0, 1]);

        let burst = (0..4).map(|_| limit.admits(address, 0)).collect::<Vec<_>>();

        assert_eq!(burst, [true, true, true, false]);
        assert!(!limit.admits(address, 99));
        assert!(limit.admits(address, 100));
        assert!(limit.admits(IpAddr::from([127, 0, 0, 2]), 100));
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let limit = limit();
        let address = |number: usize| IpAddr::from((number as u128).to_be_bytes());

        for number in 0..ADDRESSES_MAX {
            assert!(limit.admits(address(number), 0));
        }

        assert!(!limit.admits(address(ADDRESSES_MAX), 0));
        assert!(limit.admits(address(ADDRESSES_MAX), 1_000));
    }
}
