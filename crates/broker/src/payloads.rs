//! Payloads that their owner holds and gives live, range by range, past the Network M/OC.
//!
//! A manifest names such a payload by a URI of its own ([`SCHEME`] and a digest). The Agent asks
//! for ranges of it as of any payload; whoever offers it at the relay hears which range is wanted,
//! and gives it. The Broker holds one range at a time, and believes nobody: the Agent compares the
//! digest that the manifest's owner signed. A device that is woken again for what is under way does
//! not disturb it: of two sessions that want the same payload, one waits for the end of the other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use device::broker::LIVE_SCHEME as SCHEME;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

/// What sessions want of those who offer at the relay.
#[derive(Clone, Debug)]
pub struct Payloads {
    shared: Arc<Shared>,
    given_within: Duration,
    offer_held_for: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<BTreeMap<[u8; 32], Wanted>>,
    /// Which session has the turn at a payload.
    turns: Mutex<BTreeMap<[u8; 32], u64>>,
    changed: Notify,
}

/// A range that the Agent waits for.
#[derive(Debug)]
struct Wanted {
    offset: u64,
    length: u64,
    given: Option<oneshot::Sender<Vec<u8>>>,
}

/// A payload did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotGiven {
    /// Nobody offered it, or nobody goes on after a cut.
    #[error("nobody gave the payload at the relay within {0:?}")]
    Nobody(Duration),
    /// The session asks for another range before it has this one.
    #[error("a range of the payload is wanted already")]
    Twice,
}

/// The payload that a URI names, where it is one that is given live.
#[must_use]
pub fn named(uri: &str) -> Option<[u8; 32]> {
    let digest = hex::decode(uri.strip_prefix(SCHEME)?.strip_prefix(':')?).ok()?;
    digest.try_into().ok()
}

impl Default for Payloads {
    fn default() -> Self {
        let shared = Arc::default();
        Self { shared, given_within: GIVEN_WITHIN, offer_held_for: OFFER_HELD_FOR }
    }
}

impl Payloads {
    /// What a session that is over had the turn at goes to the next one.
    #[must_use]
    pub(crate) fn until_end_of(&self, session: u64) -> Turns<'_> {
        Turns { of: self, session }
    }

    /// Asks who offers the payload for a range; fewer bytes at its end. Waits while another session
    /// fetches the same payload.
    ///
    /// # Errors
    /// See [`NotGiven`].
    pub async fn fetch(
        &self,
        session: u64,
        sha256: [u8; 32],
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, NotGiven> {
        self.turn(session, sha256).await;
        // All of it at once: growing would take twice the memory.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        while (bytes.len() as u64) < length {
            let got = bytes.len() as u64;
            let asked = (length - got).min(RANGE_BYTES_MAX);
            let part = self.range(sha256, offset.saturating_add(got), asked).await?;
            bytes.extend_from_slice(&part);
            if (part.len() as u64) < asked {
                break;
            }
        }
        Ok(bytes)
    }

    async fn turn(&self, session: u64, sha256: [u8; 32]) {
        loop {
            let ended = self.shared.changed.notified();
            if *self.turns().entry(sha256).or_insert(session) == session {
                return;
            }
            ended.await;
        }
    }

    async fn range(&self, sha256: [u8; 32], offset: u64, length: u64) -> Result<Vec<u8>, NotGiven> {
        let (sender, given) = oneshot::channel();
        {
            let mut wanted = self.wanted();
            if wanted.contains_key(&sha256) {
                return Err(NotGiven::Twice);
            }
            wanted.insert(sha256, Wanted { offset, length, given: Some(sender) });
        }
        // Whatever ends the wait, a dropped session too, takes the wish along.
        let _wish = Wish { of: self, sha256 };
        self.shared.changed.notify_waiters();
        match timeout(self.given_within, given).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) | Err(_) => Err(NotGiven::Nobody(self.given_within)),
        }
    }

    /// Waits until a range of the payload is wanted; `None` when none is for a while.
    pub(crate) async fn next(&self, sha256: [u8; 32]) -> Option<(u64, u64)> {
        let wait = async {
            loop {
                // Registered before the look, so that nothing is missed between the two.
                let changed = self.shared.changed.notified();
                let open = |wanted: &&Wanted| wanted.given.is_some();
                if let Some(wanted) = self.wanted().get(&sha256).filter(open) {
                    return (wanted.offset, wanted.length);
                }
                changed.await;
            }
        };
        timeout(self.offer_held_for, wait).await.ok()
    }

    /// Takes a range. One that nobody waits for, or that is too long, is dropped.
    pub(crate) fn give(&self, sha256: [u8; 32], offset: u64, bytes: Vec<u8>) {
        let mut wanted = self.wanted();
        let Some(wanted) = wanted.get_mut(&sha256) else { return };
        if wanted.offset != offset || bytes.len() as u64 > wanted.length {
            return;
        }
        if let Some(given) = wanted.given.take() {
            let _nobody_waits = given.send(bytes);
        }
    }

    fn turns(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], u64>> {
        self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Wanted>> {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turns of one session.
#[derive(Debug)]
pub(crate) struct Turns<'p> {
    of: &'p Payloads,
    session: u64,
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.of.turns().retain(|_, session| *session != self.session);
        self.of.shared.changed.notify_waiters();
    }
}

struct Wish<'p> {
    of: &'p Payloads,
    sha256: [u8; 32],
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.of.wanted().remove(&self.sha256);
    }
}

/// A range that is asked for at once; it has to fit into a frame of the relay.
const RANGE_BYTES_MAX: u64 = 1024 * 1024;

/// How long an Agent waits for a range: as long as a sender may need after a cut.
const GIVEN_WITHIN: Duration = Duration::from_secs(30);

/// How long an offer waits for its answer; its sender offers again.
const OFFER_HELD_FOR: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ranges_come_from_who_offers_and_the_end_is_a_short_one() {
        let payloads = Payloads::default();
        let content: Vec<u8> = (0..2_500_000_u32).map(|at| at as u8).collect();
        let giving = tokio::spawn(give_all(payloads.clone(), content.clone()));

        let first = payloads.fetch(1, NAME, 0, 1 << 21).await.unwrap();
        let second = payloads.fetch(1, NAME, 1 << 21, 1 << 21).await.unwrap();
        giving.abort();

        assert_eq!([first, second].concat(), content);
    }

    #[tokio::test]
    async fn a_payload_that_nobody_offers_is_given_up() {
        let short = Duration::from_millis(1);
        let payloads =
            Payloads { given_within: short, offer_held_for: short, ..Payloads::default() };

        assert_eq!(payloads.fetch(1, NAME, 0, 1).await, Err(NotGiven::Nobody(short)));
        assert_eq!(payloads.next(NAME).await, None);
        payloads.give(NAME, 0, vec![1]);
        assert!(payloads.wanted().is_empty(), "nothing is kept for strangers");
    }

    #[tokio::test]
    async fn a_range_that_was_not_wanted_is_dropped_and_the_right_one_counts() {
        let payloads = Payloads::default();
        let asking = payloads.clone();
        let fetching = tokio::spawn(async move { asking.fetch(1, NAME, 5, 3).await });

        assert_eq!(payloads.next(NAME).await, Some((5, 3)));
        payloads.give(NAME, 4, vec![1; 3]);
        payloads.give(NAME, 5, vec![1; 4]);
        payloads.give([1; 32], 5, vec![1; 3]);
        assert_eq!(payloads.fetch(1, NAME, 5, 3).await, Err(NotGiven::Twice));
        payloads.give(NAME, 5, vec![2; 3]);

        assert_eq!(fetching.await.unwrap(), Ok(vec![2; 3]));
    }

    #[tokio::test]
    async fn a_session_waits_for_its_turn_and_gets_it_when_the_other_is_over() {
        let payloads = Payloads::default();
        let giving = tokio::spawn(give_all(payloads.clone(), vec![3; 9]));
        let first = payloads.until_end_of(1);
        assert_eq!(payloads.fetch(1, NAME, 0, 4).await, Ok(vec![3; 4]));
        let asking = payloads.clone();
        let mut second = tokio::spawn(async move { asking.fetch(2, NAME, 0, 9).await });

        assert_eq!(payloads.fetch(1, NAME, 4, 9).await, Ok(vec![3; 5]));
        let waiting = tokio::select! {
            biased;
            done = &mut second => Err(done),
            () = tokio::task::yield_now() => Ok(()),
        };
        assert!(waiting.is_ok(), "{waiting:?}");
        drop(first);

        assert_eq!(second.await.unwrap(), Ok(vec![3; 9]));
        giving.abort();
    }

    #[test]
    fn only_the_own_scheme_with_a_whole_digest_names_a_payload() {
        let digest = "07".repeat(32);

        assert_eq!(named(&format!("{SCHEME}:{digest}")), Some([7; 32]));
        for other in [digest.as_str(), "https://moc/blobs/", &format!("{SCHEME}:07")] {
            assert_eq!(named(other), None);
        }
    }

    async fn give_all(payloads: Payloads, content: Vec<u8>) {
        loop {
            let Some((offset, length)) = payloads.next(NAME).await else { continue };
            let from = usize::try_from(offset).unwrap().min(content.len());
            let to = (from + usize::try_from(length).unwrap()).min(content.len());
            payloads.give(NAME, offset, content[from..to].to_vec());
        }
    }

    const NAME: [u8; 32] = [7; 32];
}
