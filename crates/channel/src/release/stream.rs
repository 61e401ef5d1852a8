//! Opening a release of any size in constant memory, as its bytes arrive.

use cose::{Secret, Thumbprint};

use super::{Binding, Opening, Options, Receiver, Release};
use crate::Refused;

/// Opens a release that arrives in pieces of any length.
///
/// The chunks it gives are authentic and in their order, but the release counts only after
/// [`Stream::finish`]: until then the end may be missing.
pub struct Stream {
    binding: Binding,
    receiver: Thumbprint,
    keeps: fn(&Options) -> bool,
    opening: Option<Opening>,
    /// Bytes of a head or a frame that is not wholly there.
    pending: Vec<u8>,
    refused: Option<Refused>,
}

impl Stream {
    pub(super) fn new(binding: &Binding, receiver: Thumbprint) -> Self {
        Self {
            binding: *binding,
            receiver,
            keeps: |options| *options == Options::default(),
            opening: None,
            pending: Vec::new(),
            refused: None,
        }
    }

    /// For a receiver that keeps the conditions that `keeps` says it does; by default it keeps
    /// none.
    #[must_use]
    pub fn keeping(mut self, keeps: fn(&Options) -> bool) -> Self {
        self.keeps = keeps;
        self
    }

    /// Takes the next bytes and gives the chunks that are complete with them.
    ///
    /// # Errors
    /// See [`Refused`]. A stream that refused once refuses for ever.
    pub fn push(&mut self, receiver: &Receiver, bytes: &[u8]) -> Result<Vec<Secret>, Refused> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        self.pending.extend_from_slice(bytes);
        let chunks = self.advance(receiver);
        self.refused = chunks.as_ref().err().copied();
        chunks
    }

    /// Whether the head was there and opened: the release is one for this receiver.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.opening.is_some()
    }

    /// Whether the last chunk was given, so that [`Stream::finish`] is due.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.opening.as_ref().is_some_and(Opening::has_ended) && self.pending.is_empty()
    }

    /// Ends the opening and destroys the receiver's key.
    ///
    /// # Errors
    /// [`Refused::Cut`] before the last chunk, [`Refused::Spent`] when another opening was first.
    pub fn finish(self, receiver: &mut Receiver) -> Result<Release, Refused> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        self.check(receiver)?;
        let release = self.opening.ok_or(Refused::Cut)?.finish()?;
        receiver.spend()?;
        Ok(release)
    }

    fn advance(&mut self, receiver: &Receiver) -> Result<Vec<Secret>, Refused> {
        self.check(receiver)?;
        let mut at = 0;
        if self.opening.is_none() {
            let opening = match Opening::begin(receiver, &self.pending, &self.binding) {
                Ok((opening, rest)) => {
                    at = self.pending.len() - rest.len();
                    opening
                }
                Err(Refused::Cut) => return Ok(Vec::new()),
                Err(refused) => return Err(refused),
            };
            if !(self.keeps)(opening.options()) {
                return Err(Refused::Conditions);
            }
            self.opening = Some(opening);
        }
        let opening = self.opening.as_mut().expect("begun above");
        let mut chunks = Vec::new();
        while at < self.pending.len() {
            match opening.frame(&self.pending[at..]) {
                Ok((chunk, rest)) => {
                    chunks.push(chunk);
                    at = self.pending.len() - rest.len();
                }
                Err(Refused::Cut) => break,
                Err(refused) => return Err(refused),
            }
        }
        self.pending.drain(..at);
        Ok(chunks)
    }

    fn check(&self, receiver: &Receiver) -> Result<(), Refused> {
        if receiver.id() == self.receiver { Ok(()) } else { Err(Refused::DoesNotOpen) }
    }
}
