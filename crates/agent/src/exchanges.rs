//! Receivers: one for each exchange with a key for each suite, named in evidence, destroyed by its
//! first valid opening.
//!
//! The agent has some of its own (cases 1 and 4 of the use-case draft end the channel at the
//! TEEP Agent), and so has the worker of each Trusted Application (cases 2, 3 and 5). Whose they
//! are is part of what a release is bound to, so one never opens what is meant for the other.

mod arriving;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use channel::release::{Receiver, Role};
use channel::{Refused, Suites};
use cose::{Key, Thumbprint};
use keys::SystemEntropy;

use crate::backend::Refusal;
use arriving::Arriving;

pub(crate) use arriving::{Reached, Taken, Whole};

/// The receivers of one place.
#[derive(Debug)]
pub(crate) struct Exchanges {
    role: Role,
    open: VecDeque<Exchange>,
    /// The release that arrives in pieces.
    arriving: Option<Arriving>,
}

/// The receiver of one exchange.
#[derive(Debug)]
struct Exchange {
    receiver: Receiver,
    /// The evidence that names it; before there is one, it opens nothing.
    eat_digest: Option<[u8; 32]>,
    made: Instant,
}

impl Exchanges {
    /// No exchange yet.
    pub(crate) fn new(role: Role) -> Self {
        Self { role, open: VecDeque::new(), arriving: None }
    }

    /// Makes the receiver of an exchange, with a key for each suite. Too many of them push out the
    /// oldest.
    pub(crate) fn new_receiver(&mut self, suites: &Suites) -> Vec<Key> {
        self.expire();
        if self.open.len() >= EXCHANGES_MAX {
            self.open.pop_front();
        }
        let receiver = Receiver::generate(suites, &mut SystemEntropy);
        let keys = receiver.public().to_vec();
        self.open.push_back(Exchange { receiver, eat_digest: None, made: Instant::now() });
        keys
    }

    /// Binds a receiver, by its first key, to the evidence that names it, once.
    pub(crate) fn bind(
        &mut self,
        receiver: Thumbprint,
        eat_digest: [u8; 32],
    ) -> Result<(), Refusal> {
        let named = |exchange: &&mut Exchange| exchange.receiver.id() == receiver;
        let exchange = self.open.iter_mut().find(named).ok_or(Refusal::NoReceiver)?;
        if exchange.eat_digest.is_some() {
            return Err(Refusal::Misuse);
        }
        exchange.eat_digest = Some(eat_digest);
        Ok(())
    }

    fn expire(&mut self) {
        self.open.retain(|exchange| exchange.made.elapsed() < RECEIVER_LIFE);
    }
}

/// What a refusal of the channel is called between worker and agent.
pub(crate) fn refusal_of(refused: Refused) -> Refusal {
    match refused {
        Refused::Owner => Refusal::NotOwner,
        Refused::DoesNotOpen => Refusal::NotOpened,
        Refused::Spent => Refusal::NoReceiver,
        Refused::TooLarge(_) => Refusal::TooLarge,
        Refused::Caller => Refusal::NotCaller,
        Refused::Replay => Refusal::Replay,
        Refused::Malformed(_) | Refused::Cut | Refused::Behind | _ => Refusal::Malformed,
    }
}

/// How long a receiver waits for its release.
const RECEIVER_LIFE: Duration = Duration::from_secs(15 * 60);

/// Exchanges that may be open at one time.
const EXCHANGES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use channel::release::{self, Binding};
    use cose::{Algorithm, Signer as _};
    use device::broker::Piece;
    use keys::SigningKey;

    use super::*;

    #[test]
    fn a_release_opens_once_for_its_owner_evidence_and_receiver() {
        let owner = owner();
        let mut exchanges = Exchanges::new(Role::Ta);
        let receiver = exchange(&mut exchanges, EAT);
        let release = seal(&owner, &receiver, EAT, Role::Ta);

        let opened = open(&mut exchanges, &owner, &release).unwrap();

        assert_eq!(opened.receipt.deployment, "edge-7");
        assert_eq!(opened.receipt.eat_digest, EAT);
        assert_eq!(open(&mut exchanges, &owner, &release).unwrap_err(), Refusal::NoReceiver);
    }

    #[test]
    fn a_release_for_other_evidence_owner_receiver_or_role_is_refused() {
        let [owner, other] = [(); 2].map(|()| owner());
        let mut exchanges = Exchanges::new(Role::Agent);
        let receiver = exchange(&mut exchanges, EAT);
        let stranger = Receiver::generate(&suites(), &mut SystemEntropy).public()[0].clone();

        for (release, refusal) in [
            (seal(&owner, &receiver, [1; 32], Role::Agent), Refusal::NotOwner),
            (seal(&other, &receiver, EAT, Role::Agent), Refusal::NotOwner),
            (seal(&owner, &receiver, EAT, Role::Ta), Refusal::NotOwner),
            (seal(&owner, &stranger, EAT, Role::Agent), Refusal::NotOpened),
            (vec![0; 40], Refusal::Malformed),
        ] {
            assert_eq!(open(&mut exchanges, &owner, &release).unwrap_err(), refusal);
        }
        let release = seal(&owner, &receiver, EAT, Role::Agent);
        assert!(open(&mut exchanges, &owner, &release).is_ok(), "a failure consumes nothing");
    }

    #[test]
    fn nothing_opens_before_there_is_evidence() {
        let owner = owner();
        let mut exchanges = Exchanges::new(Role::Ta);
        let receiver = exchanges.new_receiver(&suites()).remove(0);
        let release = seal(&owner, &receiver, EAT, Role::Ta);

        assert_eq!(open(&mut exchanges, &owner, &release).unwrap_err(), Refusal::NoReceiver);
        exchanges.bind(receiver.thumbprint(), EAT).unwrap();
        assert_eq!(exchanges.bind(receiver.thumbprint(), [1; 32]), Err(Refusal::Misuse));
        assert!(open(&mut exchanges, &owner, &release).is_ok());
    }

    #[test]
    fn the_oldest_of_too_many_exchanges_is_given_up() {
        let owner = owner();
        let mut exchanges = Exchanges::new(Role::Ta);
        let first = exchange(&mut exchanges, EAT);
        for _ in 0..EXCHANGES_MAX {
            exchange(&mut exchanges, [1; 32]);
        }

        let release = seal(&owner, &first, EAT, Role::Ta);
        assert!(open(&mut exchanges, &owner, &release).is_err());
        assert_eq!(exchanges.bind(first.thumbprint(), EAT), Err(Refusal::NoReceiver));
    }

    fn open(
        exchanges: &mut Exchanges,
        owner: &SigningKey,
        release: &[u8],
    ) -> Result<Whole, Refusal> {
        let piece = Piece { stream: [1; 32], offset: 0, bytes: release.to_vec() };
        let taken = exchanges.take(&piece, owner.key().thumbprint(), [2; 32], 100)?;
        let Reached::End(ended) = taken.reached else { return Err(Refusal::Malformed) };
        assert_eq!(taken.chunks[0].expose(), b"data");
        Ok(*ended)
    }

    fn owner() -> SigningKey {
        SigningKey::generate(Algorithm::Esp256).unwrap()
    }

    fn suites() -> Suites {
        Suites::default()
    }

    fn exchange(exchanges: &mut Exchanges, eat_digest: [u8; 32]) -> Key {
        let receiver = exchanges.new_receiver(&suites()).remove(0);
        exchanges.bind(receiver.thumbprint(), eat_digest).unwrap();
        receiver
    }

    fn seal(owner: &SigningKey, receiver: &Key, eat_digest: [u8; 32], role: Role) -> Vec<u8> {
        let owner_id = owner.key().thumbprint();
        let binding = Binding { owner: owner_id, manifest_digest: [2; 32], eat_digest, role };
        let (entropy, data) = (&mut SystemEntropy, b"data");
        release::seal(owner, receiver, &binding, "edge-7", &[], data, entropy).unwrap().0
    }

    const EAT: [u8; 32] = [7; 32];
}
