//! Quotes are scarce: hardware makes tens of them in a second, for all guests of a host together.
//!
//! Who asks for a quote waits in line, and the line has an end. Requests over the same data get the
//! same quote: they belong to one exchange, because the data covers its challenge. A renewal needs
//! no quote and stands in no line.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use device::tee::{Description, Quote, REPORT_DATA_BYTES};

use super::{Attester, RuntimeRegister, Unavailable};

/// The line for an attester's quotes.
pub struct Economy {
    attester: Arc<dyn Attester>,
    register: Arc<RuntimeRegister>,
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Default)]
struct Line {
    /// Who waits, in order; the first one is being served.
    waiting: VecDeque<u64>,
    next: u64,
    /// The quotes that were made last.
    made: VecDeque<([u8; REPORT_DATA_BYTES], Quoted)>,
    /// Why there was no quote the last time.
    trouble: Option<String>,
}

/// A quote, and the log that replays to the runtime register which is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Evidence of the hardware.
    pub quote: Quote,
    /// The log, where something was measured.
    pub runtime_log: Option<Vec<u8>>,
}

impl Economy {
    /// A line in front of an attester, whose runtime register this is.
    pub fn new(attester: Arc<dyn Attester>, register: Arc<RuntimeRegister>) -> Self {
        let trouble = attester.trouble().map(|error| crate::install::chain(&error));
        let line = Line { trouble, ..Line::default() };
        Self { attester, register, line: Mutex::new(line), moved: Condvar::new() }
    }

    /// What the TEE says it is.
    pub fn description(&self) -> &Description {
        self.attester.description()
    }

    /// Why the Agent cannot attest, when it could not the last time.
    pub fn trouble(&self) -> Option<String> {
        self.line().trouble.clone()
    }

    /// Evidence of the hardware over these bytes: what was made for them, or new.
    pub fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quoted, Unavailable> {
        // The place is given up however this ends, or nobody behind it would be served.
        let _turn = self.queue()?;
        if let Some(quote) = self.line().made_for(&report_data) {
            return Ok(quote);
        }
        let (quote, runtime_log) = self.register.during(|| self.attester.quote(report_data));
        let quoted = quote.map(|quote| Quoted { quote, runtime_log });
        self.line().note(report_data, &quoted);
        quoted
    }

    /// Waits until it is the caller's turn.
    fn queue(&self) -> Result<Turn<'_>, Unavailable> {
        let mut line = self.line();
        if line.waiting.len() >= WAITING_MAX {
            return Err(Unavailable::TooMany(WAITING_MAX));
        }
        let own = line.next;
        line.next += 1;
        line.waiting.push_back(own);
        while line.waiting.front() != Some(&own) {
            line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Turn(self))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn made_for(&self, report_data: &[u8; REPORT_DATA_BYTES]) -> Option<Quoted> {
        self.made.iter().find(|(data, _)| data == report_data).map(|(_, quoted)| quoted.clone())
    }

    fn note(&mut self, report_data: [u8; REPORT_DATA_BYTES], quoted: &Result<Quoted, Unavailable>) {
        self.trouble = quoted.as_ref().err().map(|error| crate::install::chain(error));
        if let Ok(quoted) = quoted {
            self.made.push_back((report_data, quoted.clone()));
            if self.made.len() > MADE_MAX {
                self.made.pop_front();
            }
        }
    }
}

impl std::fmt::Debug for Economy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Economy").field("tee", self.description()).finish_non_exhaustive()
    }
}

/// The first place of the line.
struct Turn<'e>(&'e Economy);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.line().waiting.pop_front();
        self.0.moved.notify_all();
    }
}

/// How many may wait for a quote.
const WAITING_MAX: usize = 32;
/// How many quotes are remembered.
const MADE_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::testing::tee::SoftwareTee;

    #[test]
    fn requests_of_one_exchange_share_a_quote_and_others_do_not() {
        let tee = Arc::new(SoftwareTee::new());
        let economy = Arc::new(economy(&tee));
        let ask = |number: u8| {
            let economy = Arc::clone(&economy);
            thread::spawn(move || economy.quote([number; 64]).unwrap())
        };

        let same: Vec<_> = (0..8).map(|_| ask(1)).collect();
        let quotes: Vec<_> = same.into_iter().map(|thread| thread.join().unwrap()).collect();
        let other = ask(2).join().unwrap();

        assert!(quotes.iter().all(|quoted| quoted.quote.evidence == [1; 64]));
        assert_eq!(other.quote.evidence, [2; 64]);
        assert_eq!(tee.quotes(), 2);
    }

    #[test]
    fn the_line_has_an_end_and_everybody_in_it_is_served() {
        let (tee, entered) = SoftwareTee::held();
        let tee = Arc::new(tee);
        let economy = Arc::new(economy(&tee));
        let started = Arc::new(Barrier::new(WAITING_MAX + 1));
        let threads: Vec<_> = (0..WAITING_MAX as u8)
            .map(|number| {
                let (economy, started) = (Arc::clone(&economy), Arc::clone(&started));
                thread::spawn(move || {
                    started.wait();
                    economy.quote([number; 64])
                })
            })
            .collect();
        started.wait();
        entered.recv().unwrap();
        while economy.line().waiting.len() < WAITING_MAX {
            thread::yield_now();
        }

        assert_eq!(economy.quote([99; 64]), Err(Unavailable::TooMany(WAITING_MAX)));

        tee.let_go();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap().unwrap().quote.evidence, [number as u8; 64]);
        }
        assert_eq!(tee.quotes(), WAITING_MAX);
    }

    #[test]
    fn trouble_is_told_until_it_is_over() {
        let tee = Arc::new(SoftwareTee::new());
        let economy = economy(&tee);
        tee.fail(true);

        assert!(economy.quote([1; 64]).is_err());
        let trouble = economy.trouble().unwrap();
        assert!(trouble.contains("start the device again"), "{trouble}");

        tee.fail(false);
        assert!(economy.quote([1; 64]).is_ok());
        assert_eq!(economy.trouble(), None);
    }

    #[test]
    fn a_quote_comes_with_the_log_of_its_own_time() {
        let tee = Arc::new(SoftwareTee::with_register());
        let economy = economy(&tee);
        let image = rats::eat::ImageId { manifest: [1; 32], config: [2; 32] };

        let before = economy.quote([1; 64]).unwrap();
        economy.register.measure(&[3; 32], &image).unwrap();
        let again = economy.quote([1; 64]).unwrap();
        let after = economy.quote([2; 64]).unwrap();

        assert_eq!(before.runtime_log, None);
        assert_eq!(again, before);
        assert!(after.runtime_log.is_some());
    }

    fn economy(tee: &Arc<SoftwareTee>) -> Economy {
        Economy::new(tee.clone(), Arc::new(RuntimeRegister::new(tee.clone())))
    }
}
