//! Bytes read as a sequence of small decisions.

/// What is left of the input. At its end every decision is 0 and every string empty.
pub(crate) struct Script<'b>(&'b [u8]);

impl<'b> Script<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The next step, while there is one.
    pub(crate) fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.step().unwrap_or(0)
    }

    /// A number of two bytes.
    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A string with its length in two bytes before it, or as much of it as there is.
    pub(crate) fn string(&mut self) -> &'b [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (string, rest) = self.0.split_at(length);
        self.0 = rest;
        string
    }
}
