//! SUIT_Command_Sequence (suit-manifest section 8.4.7).

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

    /// The labels in order, each with the sequences inside its argument; nothing else is read.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (i64, Vec<Self>)> {
        self.start().into_iter().flat_map(Commands::labels)
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

impl<'b> Commands<'b> {
    fn labels(mut self) -> impl Iterator<Item = (i64, Vec<Sequence<'b>>)> {
        std::iter::from_fn(move || {
            self.remaining = self.remaining.checked_sub(1)?;
            let label = self.reader.int().expect("checked when it was decoded");
            let inner = Command::read_inner(label, &mut self.reader);
            Some((label, inner.expect("checked when it was decoded")))
        })
    }
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
