//! The keys of one Trusted Application, which never leave its worker.
//!
//! One key serves callers for the life of the worker; each exchange has a receiver key of its
//! own. Owner and manifest digest come from verified manifests, never from what is opened.
//!
//! The first owner of Personalization Data is the only one: another one's data would meet it in
//! the memory of the same application.

use channel::Suites;
use channel::call::{Endpoint, Received};
use channel::receipt::Receipt;
use channel::release::Role;
use cose::{Key, Thumbprint};
use device::broker::Piece;
use keys::SystemEntropy;

use super::wire::Refusal;
use crate::exchanges::{Exchanges, Reached, Taken, refusal_of};

/// The keys of one application.
#[derive(Debug)]
pub(super) struct Custody {
    manifest_digest: [u8; 32],
    endpoint: Endpoint,
    exchanges: Exchanges,
    /// Whose data the application holds.
    released_by: Option<Thumbprint>,
    /// The last release that arrived in pieces, by its sender's name for it.
    received: Option<([u8; 32], Receipt)>,
}

/// What became of a piece of a release.
#[derive(Debug)]
pub(super) enum Arrived {
    /// It was taken.
    Now(Taken),
    /// It is of a release that was opened before.
    Before(Receipt),
}

impl Custody {
    /// Makes the service key.
    pub(super) fn new(manifest_digest: [u8; 32]) -> Self {
        let endpoint = Endpoint::new(manifest_digest, &mut SystemEntropy);
        let exchanges = Exchanges::new(Role::Ta);
        Self { manifest_digest, endpoint, exchanges, released_by: None, received: None }
    }

    /// The key that callers seal to.
    pub(super) fn service_key(&self) -> Key {
        self.endpoint.public().clone()
    }

    /// Makes the receiver of an exchange, with a key for each suite.
    pub(super) fn new_receiver(&mut self, suites: &Suites) -> Vec<Key> {
        self.exchanges.new_receiver(suites)
    }

    /// Binds a receiver to the evidence that names it, once.
    pub(super) fn bind(
        &mut self,
        receiver: Thumbprint,
        eat_digest: [u8; 32],
    ) -> Result<(), Refusal> {
        self.exchanges.bind(receiver, eat_digest)
    }

    /// Takes a piece of a release, of at most `limit` bytes of plaintext.
    pub(super) fn take(
        &mut self,
        owner: Thumbprint,
        piece: &Piece,
        limit: usize,
    ) -> Result<Arrived, Refusal> {
        if let Some((name, receipt)) = &self.received
            && *name == piece.stream
        {
            // Its sender did not hear of it.
            return Ok(Arrived::Before(receipt.clone()));
        }
        self.claim(owner)?;
        let taken = self.exchanges.take(piece, owner, self.manifest_digest, limit)?;
        if let Reached::End(ended) = &taken.reached {
            self.received = Some((piece.stream, ended.receipt.clone()));
        }
        Ok(Arrived::Now(taken))
    }

    /// Refuses the data of a second owner.
    pub(super) fn claim(&self, owner: Thumbprint) -> Result<(), Refusal> {
        match self.released_by {
            Some(first) if first != owner => Err(Refusal::NotOwner),
            Some(_) | None => Ok(()),
        }
    }

    /// Serves the callers of a release from now on, and nobody else.
    pub(super) fn admit(&mut self, owner: Thumbprint, callers: Vec<Key>) {
        self.endpoint.admit(callers);
        self.released_by = Some(owner);
    }

    /// Opens a request of a caller whom the owner named.
    pub(super) fn open_request(&mut self, request: &[u8]) -> Result<Received, Refusal> {
        if self.released_by.is_none() {
            return Err(Refusal::AwaitingRelease);
        }
        self.endpoint.open(request).map_err(refusal_of)
    }
}

/// Seals the answer to a request.
pub(super) fn answer(received: Received, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    received.answer(payload, &mut SystemEntropy).map_err(refusal_of)
}

#[cfg(test)]
mod tests {
    use channel::PrivateKey;
    use channel::call::{self, Service};

    use super::*;

    #[test]
    fn only_callers_of_the_release_are_served_and_each_request_once() {
        let mut custody = Custody::new([2; 32]);
        let [caller, stranger] = [(); 2].map(|()| PrivateKey::generate(&mut SystemEntropy));
        let service = Service { key: custody.service_key(), manifest_digest: [2; 32] };
        let request = |from: &PrivateKey, counter| {
            call::request(&service, from, counter, b"?", &mut SystemEntropy).unwrap()
        };
        let (first, awaiting) = request(&caller, 1);
        assert_eq!(custody.open_request(&first).err(), Some(Refusal::AwaitingRelease));

        custody.admit(FIRST, vec![caller.public().clone()]);

        let received = custody.open_request(&first).unwrap();
        let sealed = answer(received, b"!").unwrap();
        assert_eq!(awaiting.open(&sealed).unwrap().expose(), b"!");
        assert_eq!(custody.open_request(&first).err(), Some(Refusal::Replay));
        let (foreign, _) = request(&stranger, 1);
        assert_eq!(custody.open_request(&foreign).err(), Some(Refusal::NotCaller));
    }
    #[test]
    fn a_second_owner_is_refused_once_the_first_has_released() {
        let mut custody = Custody::new([2; 32]);
        assert_eq!(custody.claim(SECOND), Ok(()), "nobody has released yet");

        custody.admit(FIRST, Vec::new());

        assert_eq!(custody.claim(FIRST), Ok(()));
        assert_eq!(custody.claim(SECOND), Err(Refusal::NotOwner));
        let piece = Piece { stream: [1; 32], offset: 0, bytes: vec![0] };
        assert_eq!(custody.take(SECOND, &piece, 9).err(), Some(Refusal::NotOwner));
    }

    const FIRST: Thumbprint = Thumbprint([1; 32]);
    const SECOND: Thumbprint = Thumbprint([3; 32]);
}
