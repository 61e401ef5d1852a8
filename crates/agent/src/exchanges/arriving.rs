//! A release that arrives in pieces: it may be cut at any byte, and goes on there.
//!
//! Its bytes are those of a release that comes in a package; only the carrier is another one. What
//! was opened waits here, in the memory of who opens it, until the last chunk is there.

use std::time::Instant;

use channel::Refused;
use channel::receipt::Receipt;
use channel::release::{Binding, Stream};
use cose::{Secret, Thumbprint};
use device::broker::Piece;

use super::{Exchange, Exchanges, Opened, refusal_of};
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
    chunks: Vec<Secret>,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The bytes before this offset are there.
    Until(u64),
    /// It was the last one.
    Whole(Box<Opened>),
}

impl Exchanges {
    /// Takes a piece of a release, of at most `limit` bytes of plaintext.
    ///
    /// A release takes the place of another one only when its head opens, and only where it is for
    /// another exchange: whoever repeats a head that was seen on the way ends nothing. One that is
    /// refused has to begin anew.
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
            None if piece.offset != 0 || piece.bytes.is_empty() => return Ok(Taken::Until(0)),
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
        arriving.push(&mut self.open[at], piece)?;
        if arriving.length() > limit {
            return Err(Refusal::TooLarge);
        }
        if !arriving.stream.has_ended() {
            let taken = arriving.taken;
            self.arriving = Some(arriving);
            return Ok(Taken::Until(taken));
        }
        let opened = arriving.finish(&mut self.open[at])?;
        self.open.remove(at);
        Ok(Taken::Whole(Box::new(opened)))
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
                    let (name, chunks) = (piece.stream, Vec::new());
                    return Ok(Arriving { name, receiver, eat_digest, stream, taken: 0, chunks });
                }
                Ok(_) => refusal = refusal.max(Refusal::Malformed),
                Err(refused) => refusal = refusal.max(refusal_of(refused)),
            }
        }
        Err(refusal)
    }
}

impl Arriving {
    fn push(&mut self, exchange: &mut Exchange, piece: &Piece) -> Result<(), Refusal> {
        // A gap is asked for again; what is there already is passed over.
        let Some(skip) = self.taken.checked_sub(piece.offset) else { return Ok(()) };
        let new = usize::try_from(skip).ok().and_then(|skip| piece.bytes.get(skip..));
        let new = new.unwrap_or_default();
        let chunks = self.stream.push(&exchange.receiver, new).map_err(refusal_of)?;
        self.chunks.extend(chunks);
        self.taken += new.len() as u64;
        exchange.made = Instant::now();
        Ok(())
    }

    fn length(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.expose().len()).sum()
    }

    fn finish(self, exchange: &mut Exchange) -> Result<Opened, Refusal> {
        // Never grown, so that no unwiped copy stays behind.
        let mut plaintext = Vec::with_capacity(self.length());
        for chunk in &self.chunks {
            plaintext.extend_from_slice(chunk.expose());
        }
        let data = Secret::new(plaintext);
        let finished = self.stream.finish(&mut exchange.receiver);
        let release = finished.map_err(|refused: Refused| refusal_of(refused))?;
        let receipt = Receipt {
            deployment: release.deployment,
            eat_digest: self.eat_digest,
            digests: release.digests,
            service_key: None,
        };
        Ok(Opened { data, callers: release.callers, receipt })
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
