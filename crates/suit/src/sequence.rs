//! SUIT_Command_Sequence (suit-manifest section 8.4.7).

use std::collections::BTreeSet;

use crate::cbor::{Reader, Writer};
use crate::command::Command;
use crate::error::{Error, Malformed, Unsupported};

/// A command sequence, kept as received.
///
/// ```cddl
/// SUIT_Command_Sequence = [ + ( SUIT_Condition // SUIT_Directive // SUIT_Command_Custom ) ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence<'b> {
    bytes: &'b [u8],
}

impl<'b> Sequence<'b> {
    /// Takes the content of a byte string that is a command sequence, and checks each command.
    ///
    /// Sequences inside are checked too, up to the depth that the processor runs. A sequence
    /// that is part of common may only hold what M 6.2 allows there.
    pub fn decode(bytes: &'b [u8], place: Place) -> Result<Self, Error> {
        Self::decode_noting(bytes, place, &mut Labels::default())
    }

    /// The same, and notes every command that it meets.
    pub(crate) fn decode_noting(
        bytes: &'b [u8],
        place: Place,
        labels: &mut Labels,
    ) -> Result<Self, Error> {
        let outer = Self { bytes };
        let mut waiting = vec![(outer, 0)];
        while let Some((sequence, depth)) = waiting.pop() {
            //= suit 13.51 (M): Nesting depth of try-each and run-sequence bounded (R: 8).
            if depth > DEPTH_MAX {
                return Err(Unsupported::Nesting(DEPTH_MAX).into());
            }
            Reader::open(sequence.bytes)?;
            for command in sequence.start()? {
                let (_, command) = command?;
                labels.insert(command.label());
                if place == Place::Shared {
                    command.check_shared()?;
                }
                waiting.extend(command.inner().iter().map(|inner| (*inner, depth + 1)));
            }
        }
        Ok(outer)
    }

    /// The encoded array.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The commands in order, each with the offset of its label in [`Sequence::bytes`].
    pub fn commands(&self) -> impl Iterator<Item = (usize, Command<'b>)> {
        let commands = self.start().into_iter().flatten();
        commands.map(|command| command.expect("checked when it was decoded"))
    }

    /// Writes a sequence of commands.
    pub fn encode(commands: &[Command<'_>]) -> Vec<u8> {
        Writer::collect(|w| {
            w.array(commands.len() * 2);
            commands.iter().for_each(|command| command.write(w));
        })
    }

    /// Reads the byte string around a sequence that the caller of `decode` checks later.
    pub(crate) fn wrapped(reader: &mut Reader<'b>) -> Result<Self, Malformed> {
        Ok(Self { bytes: reader.bytes()? })
    }

    fn start(&self) -> Result<Commands<'b>, Malformed> {
        let mut reader = Reader::trusted(self.bytes);
        let length = reader.array()?;
        if length == 0 || length % 2 != 0 {
            return Err(Malformed::Expected("pairs of command and argument"));
        }
        Ok(Commands { reader, remaining: length / 2 })
    }
}

/// The labels of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// A bit for each of 0 to 63: all that is registered.
    low: u64,
    others: BTreeSet<i64>,
}

impl Labels {
    fn insert(&mut self, label: i64) {
        match label {
            0..=63 => self.low |= 1 << label,
            other => drop(self.others.insert(other)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> {
        let low = (0..64).filter(|label| self.low >> label & 1 == 1);
        low.chain(self.others.iter().copied())
    }
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In common: the shared sequence.
    Shared,
    /// In a section of the manifest.
    Section,
}

#[derive(Debug)]
struct Commands<'b> {
    reader: Reader<'b>,
    remaining: u64,
}

impl<'b> Iterator for Commands<'b> {
    type Item = Result<(usize, Command<'b>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let offset = self.reader.position();
        let command = Command::read(&mut self.reader);
        if command.is_err() {
            self.remaining = 0;
        }
        Some(command.map(|command| (offset, command)))
    }
}

/// Sequences in sequences that the processor runs.
pub(crate) const DEPTH_MAX: usize = 8;
