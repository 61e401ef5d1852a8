//! Who waits for what: long polls sleep on a topic until somebody says that it has changed.
//!
//! A change is only a hint to look into the store again; nothing depends on one that is missed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

/// The topics that somebody waits for.
#[derive(Clone, Debug, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    topics: Mutex<Topics>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Topics {
    senders: BTreeMap<Topic, watch::Sender<u64>>,
    /// When this many topics are there, those without a listener are forgotten.
    sweep_at: usize,
}

/// Something that changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// There may be work for this device.
    Device(String),
    /// This deployment has changed.
    Deployment(String),
}

/// A wait that began when it was made, so that no change after that is missed.
#[derive(Debug)]
pub struct Waiting(watch::Receiver<u64>);

impl Hub {
    /// Begins to wait.
    pub fn wait(&self, topic: Topic) -> Waiting {
        let mut topics = self.topics();
        if topics.senders.len() >= topics.sweep_at {
            topics.senders.retain(|_, sender| sender.receiver_count() > 0);
            topics.sweep_at = 2 * topics.senders.len() + TOPICS_KEPT;
        }
        Waiting(topics.senders.entry(topic).or_insert_with(|| watch::channel(0).0).subscribe())
    }

    /// Wakes everybody who waits for `topic`.
    pub fn changed(&self, topic: &Topic) {
        if let Some(sender) = self.topics().senders.get(topic) {
            wake(sender);
        }
    }

    /// Wakes everybody, for the end of the program.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.topics().senders.values().for_each(wake);
    }

    /// Whether the end of the program has come.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Returns after the next change.
    pub async fn change(&mut self) {
        // The sender goes away only when nobody waits any more.
        let _changed = self.0.changed().await;
    }
}

fn wake(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}

const TOPICS_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_between_the_start_of_the_wait_and_the_sleep_is_not_missed() {
        let hub = Hub::default();
        let topic = Topic::Device("edge".into());

        let mut waiting = hub.wait(topic.clone());
        hub.changed(&topic);

        waiting.change().await;
    }

    #[tokio::test]
    async fn topics_that_nobody_waits_for_are_forgotten() {
        let hub = Hub::default();

        for number in 0..1000 {
            drop(hub.wait(Topic::Deployment(number.to_string())));
        }

        assert!(hub.topics().senders.len() <= TOPICS_KEPT);
    }
}
