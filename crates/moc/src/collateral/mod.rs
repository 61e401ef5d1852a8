//! The store of collateral, and who keeps it fresh.
//!
//! The Verifier appraises with what the store holds and never waits for a vendor: a platform that
//! is missing is asked for here, and refused until it has come. What a vendor sends counts only
//! when its signatures hold up to a trust anchor and it is no older than what is there; while a
//! vendor fails, what is there stays in use until its own validity or a policy's limit ends.
//!
//! This module does not know what an appraisal asks of collateral beyond that.

mod fetch;
mod keeper;
mod origin;
mod schedule;
mod store;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use verifier::{Anchors, Platform};

pub use self::{
    fetch::{FetchFailed, Fetcher},
    keeper::{Keeper, NotRenewed},
    origin::Endpoints,
    schedule::{Outcome, Part, Periods, Schedule},
    store::Store,
};

/// Asks for a platform's collateral, without waiting for it.
#[derive(Clone, Debug)]
pub struct Wanted(mpsc::Sender<Platform>);

impl Wanted {
    /// A queue of bounded length: what does not fit is asked for again by the next evidence.
    #[must_use]
    pub fn queue() -> (Self, mpsc::Receiver<Platform>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Self(sender), receiver)
    }

    /// Asks for a platform's collateral.
    pub fn want(&self, platform: Platform) {
        // A full queue is no error: vendors are asked as fast as they allow.
        let _full = self.0.try_send(platform);
    }
}

/// Keeps the store fresh until the queue ends: first what the store holds already, then what is
/// asked for.
pub async fn keep(
    keeper: Arc<Keeper>,
    mut wanted: mpsc::Receiver<Platform>,
    anchors: impl Fn() -> Anchors,
    now_ms: impl Fn() -> u64,
) {
    let mut schedule = Schedule::new(keeper.periods());
    for platform in keeper.store().platforms() {
        schedule.want(platform, now_ms());
    }
    loop {
        for (platform, part) in schedule.take_due(now_ms()) {
            let renewed = keeper.renew(&platform, part, &anchors()).await;
            match &renewed {
                Ok(changed) => tracing::debug!(%platform, ?part, changed, "collateral renewed"),
                Err(error) => {
                    tracing::warn!(%platform, ?part, %error, "the collateral that is there stays");
                }
            }
            schedule.done(&platform, part, &Outcome::of(&renewed), now_ms());
        }
        tokio::select! {
            asked = wanted.recv() => match asked {
                Some(platform) => schedule.want(platform, now_ms()),
                None => return,
            },
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

const QUEUE_MAX: usize = 256;
const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
