//! CPU time of this thread, and how to compare two pieces of work fairly.
//!
//! Other load on the machine takes wall time, not CPU time; what it does to caches and clock
//! frequency hits pieces of work alike that run in turns. So every comparison runs short batches
//! of all its pieces in turns, in one process, and takes the median of each.

use rustix::time::{ClockId, clock_gettime};

/// A piece of work that can be repeated.
pub type Work<'w> = &'w mut dyn FnMut();

/// The CPU seconds that one call of each piece takes.
pub fn seconds<const N: usize>(mut pieces: [Work<'_>; N]) -> [f64; N] {
    let calls = pieces.each_mut().map(|piece| calls_of_a_batch(*piece));
    let mut batches = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for ((piece, calls), batches) in pieces.iter_mut().zip(calls).zip(&mut batches) {
            batches.push(batch(*piece, calls) / f64::from(calls));
        }
    }
    batches.map(median)
}

/// How many calls are long enough to be measured. Running them warms up the work as well.
fn calls_of_a_batch(work: Work<'_>) -> u32 {
    let mut calls = 1;
    while batch(work, calls) < BATCH_SECONDS {
        calls *= 2;
    }
    calls
}

fn batch(work: Work<'_>, calls: u32) -> f64 {
    let started = thread_seconds();
    for _ in 0..calls {
        work();
    }
    thread_seconds() - started
}

/// The CPU seconds that this thread has used.
pub fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Odd, so that one round is the median.
const ROUNDS: usize = 101;
const BATCH_SECONDS: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![3.0, 100.0, 1.0]) - 3.0).abs() < f64::EPSILON);
    }
}
