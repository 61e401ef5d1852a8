//! How many requests somebody may make: a token bucket for each address, tenant or credential.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The buckets of all who ask; bounded, since addresses are free to invent.
#[derive(Clone, Debug)]
pub(crate) struct Rates<K = String> {
    per_second: u64,
    burst: u64,
    buckets: Arc<Mutex<BTreeMap<K, Bucket>>>,
}

/// Thousandths of a request that may still be made.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    filled_ms: u64,
}

impl<K: Ord + Clone + fmt::Debug> Rates<K> {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.into(),
            burst: u64::from(burst) * 1000,
            buckets: Arc::default(),
        }
    }

    /// Takes one request from a bucket; else tells after how many milliseconds there is one.
    //= teep 15.114: a flood of messages is limited
    pub(crate) fn admits(&self, who: &K, now_ms: u64) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(who) {
            let full = |bucket: &Bucket| self.filled(*bucket, now_ms).left >= self.burst;
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= BUCKETS_MAX {
                return Err(1000);
            }
        }
        let fresh = Bucket { left: self.burst, filled_ms: now_ms };
        let bucket = buckets.entry(who.clone()).or_insert(fresh);
        *bucket = self.filled(*bucket, now_ms);
        match bucket.left.checked_sub(1000) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err((1000 - bucket.left).div_ceil(self.per_second)),
        }
    }

    fn filled(&self, bucket: Bucket, now_ms: u64) -> Bucket {
        let gained = now_ms.saturating_sub(bucket.filled_ms).saturating_mul(self.per_second);
        let left = bucket.left.saturating_add(gained).min(self.burst);
        Bucket { left, filled_ms: now_ms.max(bucket.filled_ms) }
    }
}

/// Room for a hundred thousand devices and their tenants.
const BUCKETS_MAX: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let rates = Rates::new(10, 3);

        let burst = (0..4).map(|_| rates.admits(&1, 0)).collect::<Vec<_>>();

        assert_eq!(burst, [Ok(()), Ok(()), Ok(()), Err(100)]);
        assert_eq!(rates.admits(&1, 99), Err(1));
        assert_eq!(rates.admits(&1, 100), Ok(()));
        assert_eq!(rates.admits(&2, 100), Ok(()));
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let rates = Rates::new(10, 3);

        for number in 0..BUCKETS_MAX {
            assert_eq!(rates.admits(&number, 0), Ok(()));
        }

        assert_eq!(rates.admits(&BUCKETS_MAX, 0), Err(1000));
        assert_eq!(rates.admits(&BUCKETS_MAX, 1_000), Ok(()));
    }
}
