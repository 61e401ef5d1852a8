//! A release that arrives in pieces: it may be cut at any byte, and goes on there.
//!
//! Its bytes are the same whichever way it comes. Nothing of it stays here: what opens is handed on
//! chunk by chunk, and counts only when the last one was there.

use std::time::Instant;

use channel::Refused;
use channel::receipt::Receipt;
use channel::release::{Binding, Stream};
use cose::{Key, Secret, Thumbprint};
use device::broker::Piece;

use super::{Exchange, Exchanges, refusal_of};
use crate::backend::Refusal;

/// The release under way.
pub(super) struct Arriving {
    /// What its sender calls it.
    name: [u8; 32],
    receiver: Thumbprint,
    eat_digest: [u8; 32],
    stream: Stream,
    /// Bytes of the release that are there.
    taken: u64,
    /// Bytes of plaintext that were handed on.
    length: usize,
}

/// What a piece gave.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The chunks that are whole with it, in their order.
    pub(crate) chunks: Vec<Secret>,
    /// How far the release has come.
    pub(crate) reached: Reached,
}

/// How far a release has come.
#[derive(Debug)]
pub(crate) enum Reached {
    /// The bytes before this offset are there.
    Until(u64),
    /// Its end: it is one, and its receiver is gone.
    End(Box<Whole>),
}

/// A release that came to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Whom the owner lets call the application.
    pub(crate) callers: Vec<Key>,
    /// What to confirm to the owner.
    pub(crate) receipt: Receipt,
}

impl Taken {
    const fn until(offset: u64) -> Self {
        Self { chunks: Vec::new(), reached: Reached::Until(offset) }
    }
}

impl Exchanges {
    //= teep 14.74 (M): personalization data is decrypted inside the TEE boundary only
    /// Takes a piece of a release, of at most `limit` bytes of plaintext.
    ///
    /// A release takes the place of another one only when its head opens, and only where it is for
    /// another exchange: whoever repeats a head that was seen on the way ends nothing. One that is
    /// refused has to begin anew. Owner and manifest come from verified manifests, never from the
    /// release; it does not say which receiver it is for, so all are tried.
    pub(crate) fn take(
        &mut self,
        piece: &Piece,
        owner: Thumbprint,
        manifest_digest: [u8; 32],
        limit: usize,
    ) -> Result<Taken, Refusal> {
        self.expire();
        let known = self.arriving.take_if(|arriving| arriving.name == piece.stream);
        let mut arriving = match known {
            Some(arriving) => arriving,
            None if piece.offset != 0 || piece.bytes.is_empty() => return Ok(Taken::until(0)),
            None => {
                let begun = self.begin(piece, owner, manifest_digest)?;
                if self.arriving.as_ref().is_some_and(|other| other.receiver == begun.receiver) {
                    return Err(Refusal::Replay);
                }
                begun
            }
        };
        let at = self.open.iter().position(|one| one.is_of(arriving.receiver));
        let at = at.ok_or(Refusal::NoReceiver)?;
        let chunks = arriving.push(&mut self.open[at], piece)?;
        if arriving.length > limit {
            return Err(Refusal::TooLarge);
        }
        if !arriving.stream.has_ended() {
            let reached = Reached::Until(arriving.taken);
            self.arriving = Some(arriving);
            return Ok(Taken { chunks, reached });
        }
        let ended = arriving.finish(&mut self.open[at])?;
        self.open.remove(at);
        Ok(Taken { chunks, reached: Reached::End(Box::new(ended)) })
    }

    /// Finds the receiver that the head of a release is for.
    fn begin(
        &self,
        piece: &Piece,
        owner: Thumbprint,
        manifest_digest: [u8; 32],
    ) -> Result<Arriving, Refusal> {
        let mut refusal = Refusal::NoReceiver;
        for exchange in &self.open {
            let Some(eat_digest) = exchange.eat_digest else { continue };
            let binding = Binding { owner, manifest_digest, eat_digest, role: self.role };
            let mut trial = exchange.receiver.stream(&binding);
            match trial.push(&exchange.receiver, &piece.bytes) {
                Ok(_) if trial.has_begun() => {
                    let receiver = exchange.receiver.id();
                    let stream = exchange.receiver.stream(&binding);
                    let (name, taken, length) = (piece.stream, 0, 0);
                    return Ok(Arriving { name, receiver, eat_digest, stream, taken, length });
                }
                Ok(_) => refusal = refusal.max(Refusal::Malformed),
                Err(refused) => refusal = refusal.max(refusal_of(refused)),
            }
        }
        Err(refusal)
    }
}

impl Arriving {
    fn push(&mut self, exchange: &mut Exchange, piece: &Piece) -> Result<Vec<Secret>, Refusal> {
        // A gap is asked for again; what is there already is passed over.
        let Some(skip) = self.taken.checked_sub(piece.offset) else { return Ok(Vec::new()) };
        let new = usize::try_from(skip).ok().and_then(|skip| piece.bytes.get(skip..));
        let new = new.unwrap_or_default();
        let chunks = self.stream.push(&exchange.receiver, new).map_err(refusal_of)?;
        self.length += chunks.iter().map(|chunk| chunk.expose().len()).sum::<usize>();
        self.taken += new.len() as u64;
        exchange.made = Instant::now();
        Ok(chunks)
    }

    fn finish(self, exchange: &mut Exchange) -> Result<Whole, Refusal> {
        let finished = self.stream.finish(&mut exchange.receiver);
        let release = finished.map_err(|refused: Refused| refusal_of(refused))?;
        let receipt = Receipt {
            deployment: release.deployment,
            eat_digest: self.eat_digest,
            digests: release.digests,
            service_key: None,
        };
        Ok(Whole { callers: release.callers, receipt })
    }
}

impl Exchange {
    fn is_of(&self, receiver: Thumbprint) -> bool {
        self.receiver.id() == receiver
    }
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arriving").field("taken", &self.taken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
