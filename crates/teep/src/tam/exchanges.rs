//! The table of waiting exchanges, in memory.
//!
//! This is the rule that a database has to keep, as code: one use of each token and challenge, a
//! time limit, and a cap for each Agent. Small TAMs and tests use it as it is.

use std::collections::BTreeMap;

use cose::Thumbprint;
use rats::Timestamp;

use super::correlation::Correlation;
use super::effect::{Record, Spent};
use super::exchange::{Exchange, Waiting};
use crate::challenge::Challenge;
use crate::limits;
use crate::misbehaved::Misbehaved;

/// Exchanges that wait, and challenges that were used.
#[derive(Debug, Default)]
pub struct Exchanges {
    waiting: BTreeMap<Correlation, Exchange>,
    used: BTreeMap<Challenge, Timestamp>,
}

impl Exchanges {
    /// The exchange that a message belongs to.
    pub fn find(&self, correlation: &Correlation) -> Option<&Exchange> {
        match correlation {
            Correlation::Agent(key) => self.newest(key),
            Correlation::Token(_) | Correlation::Challenge(_) => self.waiting.get(correlation),
        }
    }

    /// The newest exchange with an Agent in which a message without token may come.
    fn newest(&self, key: &Thumbprint) -> Option<&Exchange> {
        self.waiting
            .values()
            .filter(|exchange| exchange.agent().is_some_and(|agent| agent.key == *key))
            .filter(|exchange| !matches!(exchange.correlation(), Correlation::Token(_)))
            .max_by_key(|exchange| exchange.opened)
    }

    /// Carries out a record, all of it or, where it spends what is gone, nothing.
    //= teep 15.103: a replayed QueryResponse, Success or Error is ignored
    //= teep 15.115: cap and timeout bound the table of tokens
    //= teep 14.31 (S): open requests per device are capped, and the oldest is dropped
    pub fn apply(&mut self, record: Record) -> Result<(), Misbehaved> {
        match record.spends {
            Some(Spent::Stored(correlation)) => {
                self.waiting.remove(&correlation).ok_or(Misbehaved::UnknownExchange)?;
            }
            Some(Spent::SelfDescribing { challenge, until }) => {
                let used = self.used.insert(challenge, until);
                used.map_or(Ok(()), |_| Err(Misbehaved::UnknownExchange))?;
            }
            None => {}
        }
        if let Some(exchange) = record.opens {
            self.make_room(&exchange);
            self.waiting.insert(exchange.correlation(), exchange);
        }
        Ok(())
    }

    fn make_room(&mut self, opening: &Exchange) {
        let Some(agent) = opening.agent() else { return };
        let mut same: Vec<(Timestamp, Correlation)> = self
            .waiting
            .iter()
            .filter(|(_, exchange)| exchange.agent().is_some_and(|other| other.key == agent.key))
            .map(|(correlation, exchange)| (exchange.opened, correlation.clone()))
            .collect();
        same.sort();
        let surplus = (same.len() + 1).saturating_sub(limits::EXCHANGES_PER_AGENT);
        for (_, correlation) in same.into_iter().take(surplus) {
            self.waiting.remove(&correlation);
        }
    }

    /// Forgets what has timed out.
    pub fn forget(&mut self, now: Timestamp) {
        self.waiting.retain(|_, exchange| now < exchange.next_timeout());
        self.used.retain(|_, until| now <= *until);
    }

    /// How many exchanges wait, for Updates among them.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many exchanges wait for the outcome of an Update.
    pub fn updating(&self) -> usize {
        let is_update = |e: &&Exchange| matches!(e.waiting, Waiting::Update { .. });
        self.waiting.values().filter(is_update).count()
    }
}
