//! The keys of one Trusted Application, which never leave its worker.
//!
//! One key serves callers for the life of the worker. Each exchange has a receiver key of its
//! own: named in evidence, bound to that evidence, destroyed by its first valid opening or after
//! [`RECEIVER_LIFE`]. Owner and manifest digest come from the verified manifest, never from what
//! is opened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use channel::Refused;
use channel::call::{Endpoint, Received};
use channel::receipt::Receipt;
use channel::release::{Binding, Receiver, Role};
use cose::{Key, Secret, Thumbprint};
use keys::SystemEntropy;

use super::wire::Refusal;

/// The keys of one application.
#[derive(Debug)]
pub(super) struct Custody {
    owner: Thumbprint,
    manifest_digest: [u8; 32],
    endpoint: Endpoint,
    receivers: VecDeque<Exchange>,
    released: bool,
}

/// The receiver of one exchange.
#[derive(Debug)]
struct Exchange {
    receiver: Receiver,
    /// The evidence that names it; before there is one, it opens nothing.
    eat_digest: Option<[u8; 32]>,
    made: Instant,
}

/// A release that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// The Personalization Data.
    pub(super) data: Secret,
    /// Whom the owner lets call the application.
    pub(super) callers: Vec<Key>,
    /// What to confirm to the owner.
    pub(super) receipt: Receipt,
}

impl Custody {
    /// Makes the service key.
    pub(super) fn new(owner: Thumbprint, manifest_digest: [u8; 32]) -> Self {
        let endpoint = Endpoint::new(manifest_digest, &mut SystemEntropy);
        let receivers = VecDeque::new();
        Self { owner, manifest_digest, endpoint, receivers, released: false }
    }

    /// The key that callers seal to.
    pub(super) fn service_key(&self) -> Key {
        self.endpoint.public().clone()
    }

    /// Makes the receiver of an exchange. Too many of them push out the oldest.
    pub(super) fn new_receiver(&mut self) -> Key {
        self.expire();
        if self.receivers.len() >= RECEIVERS_MAX {
            self.receivers.pop_front();
        }
        let receiver = Receiver::generate(&mut SystemEntropy);
        let key = receiver.public().clone();
        self.receivers.push_back(Exchange { receiver, eat_digest: None, made: Instant::now() });
        key
    }

    /// Binds a receiver to the evidence that names it, once.
    pub(super) fn bind(
        &mut self,
        receiver: Thumbprint,
        eat_digest: [u8; 32],
    ) -> Result<(), Refusal> {
        let exchange = self
            .receivers
            .iter_mut()
            .find(|exchange| exchange.receiver.public().thumbprint() == receiver)
            .ok_or(Refusal::NoReceiver)?;
        if exchange.eat_digest.is_some() {
            return Err(Refusal::Misuse);
        }
        exchange.eat_digest = Some(eat_digest);
        Ok(())
    }

    //= teep 14.74 (M): personalization data is decrypted inside the TEE boundary only
    /// Opens a release with the receiver that it was made for, and destroys that receiver.
    ///
    /// A release does not say which one that is, so all are tried; one that fails stays.
    pub(super) fn open(&mut self, release: &[u8]) -> Result<Opened, Refusal> {
        self.expire();
        let mut refusal = Refusal::NoReceiver;
        for at in 0..self.receivers.len() {
            let exchange = &mut self.receivers[at];
            let Some(eat_digest) = exchange.eat_digest else {
                continue;
            };
            let binding = Binding {
                owner: self.owner,
                manifest_digest: self.manifest_digest,
                eat_digest,
                role: Role::Ta,
            };
            match exchange.receiver.open(release, &binding, DATA_BYTES_MAX) {
                Ok(opened) => {
                    self.receivers.remove(at);
                    let deployment = opened.deployment;
                    let receipt = Receipt { deployment, eat_digest, digests: opened.digests };
                    return Ok(Opened { data: opened.plaintext, callers: opened.callers, receipt });
                }
                // The one that comes furthest says most.
                Err(refused) => refusal = refusal.max(refusal_of(refused)),
            }
        }
        Err(refusal)
    }

    /// Serves the callers of a release from now on, and nobody else.
    pub(super) fn admit(&mut self, callers: Vec<Key>) {
        self.endpoint.admit(callers);
        self.released = true;
    }

    /// Opens a request of a caller whom the owner named.
    pub(super) fn open_request(&mut self, request: &[u8]) -> Result<Received, Refusal> {
        if !self.released {
            return Err(Refusal::AwaitingRelease);
        }
        self.endpoint.open(request).map_err(refusal_of)
    }

    fn expire(&mut self) {
        self.receivers.retain(|exchange| exchange.made.elapsed() < RECEIVER_LIFE);
    }
}

/// Seals the answer to a request.
pub(super) fn answer(received: Received, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    received.answer(payload, &mut SystemEntropy).map_err(refusal_of)
}

fn refusal_of(refused: Refused) -> Refusal {
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

/// Personalization Data in one release; it has to fit into a frame.
const DATA_BYTES_MAX: usize = 15 * 1024 * 1024;

/// How long a receiver waits for its release.
const RECEIVER_LIFE: Duration = Duration::from_secs(15 * 60);

/// Exchanges that may be open at one time.
const RECEIVERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use channel::PrivateKey;
    use channel::call::{self, Service};
    use channel::release;
    use cose::{Algorithm, Signer as _};
    use keys::SigningKey;

    use super::*;

    #[test]
    fn a_release_opens_once_for_its_owner_evidence_and_receiver() {
        let owner = owner();
        let mut custody = custody(&owner);
        let receiver = exchange(&mut custody, EAT);
        let release = seal(&owner, &receiver, EAT);

        let opened = custody.open(&release).unwrap();

        assert_eq!(opened.data.expose(), b"data");
        assert_eq!(opened.receipt.deployment, "edge-7");
        assert_eq!(opened.receipt.eat_digest, EAT);
        assert_eq!(custody.open(&release).unwrap_err(), Refusal::NoReceiver);
    }

    #[test]
    fn a_release_for_other_evidence_another_owner_or_another_receiver_is_refused() {
        let [owner, other] = [(); 2].map(|()| owner());
        let mut custody = custody(&owner);
        let receiver = exchange(&mut custody, EAT);
        let stranger = Receiver::generate(&mut SystemEntropy).public().clone();

        for (release, refusal) in [
            (seal(&owner, &receiver, [1; 32]), Refusal::NotOwner),
            (seal(&other, &receiver, EAT), Refusal::NotOwner),
            (seal(&owner, &stranger, EAT), Refusal::NotOpened),
            (vec![0; 40], Refusal::Malformed),
        ] {
            assert_eq!(custody.open(&release).unwrap_err(), refusal);
        }
        assert!(custody.open(&seal(&owner, &receiver, EAT)).is_ok(), "a failure consumes nothing");
    }

    #[test]
    fn nothing_opens_before_there_is_evidence() {
        let owner = owner();
        let mut custody = custody(&owner);
        let receiver = custody.new_receiver();

        assert_eq!(custody.open(&seal(&owner, &receiver, EAT)).unwrap_err(), Refusal::NoReceiver);
        custody.bind(receiver.thumbprint(), EAT).unwrap();
        assert_eq!(custody.bind(receiver.thumbprint(), [1; 32]), Err(Refusal::Misuse));
        assert!(custody.open(&seal(&owner, &receiver, EAT)).is_ok());
    }

    #[test]
    fn the_oldest_of_too_many_exchanges_is_given_up() {
        let owner = owner();
        let mut custody = custody(&owner);
        let first = exchange(&mut custody, EAT);
        for _ in 0..RECEIVERS_MAX {
            exchange(&mut custody, [1; 32]);
        }

        assert!(custody.open(&seal(&owner, &first, EAT)).is_err());
        assert_eq!(custody.bind(first.thumbprint(), EAT), Err(Refusal::NoReceiver));
    }

    #[test]
    fn only_callers_of_the_release_are_served_and_each_request_once() {
        let owner = owner();
        let mut custody = custody(&owner);
        let [caller, stranger] = [(); 2].map(|()| PrivateKey::generate(&mut SystemEntropy));
        let service = Service { key: custody.service_key(), manifest_digest: [2; 32] };
        let request = |from: &PrivateKey, counter| {
            call::request(&service, from, counter, b"?", &mut SystemEntropy).unwrap()
        };
        let (first, awaiting) = request(&caller, 1);
        assert_eq!(custody.open_request(&first).err(), Some(Refusal::AwaitingRelease));

        custody.admit(vec![caller.public().clone()]);

        let received = custody.open_request(&first).unwrap();
        let sealed = answer(received, b"!").unwrap();
        assert_eq!(awaiting.open(&sealed).unwrap().expose(), b"!");
        assert_eq!(custody.open_request(&first).err(), Some(Refusal::Replay));
        let (foreign, _) = request(&stranger, 1);
        assert_eq!(custody.open_request(&foreign).err(), Some(Refusal::NotCaller));
    }

    fn owner() -> SigningKey {
        SigningKey::generate(Algorithm::Esp256).unwrap()
    }

    fn custody(owner: &SigningKey) -> Custody {
        Custody::new(owner.key().thumbprint(), [2; 32])
    }

    fn exchange(custody: &mut Custody, eat_digest: [u8; 32]) -> Key {
        let receiver = custody.new_receiver();
        custody.bind(receiver.thumbprint(), eat_digest).unwrap();
        receiver
    }

    fn seal(owner: &SigningKey, receiver: &Key, eat_digest: [u8; 32]) -> Vec<u8> {
        let owner_id = owner.key().thumbprint();
        let binding =
            Binding { owner: owner_id, manifest_digest: [2; 32], eat_digest, role: Role::Ta };
        let (entropy, data) = (&mut SystemEntropy, b"data");
        release::seal(owner, receiver, &binding, "edge-7", &[], data, entropy).unwrap().0
    }

    const EAT: [u8; 32] = [7; 32];
}
