//! A reader of DER (X.690) over a slice: definite shortest lengths, no copy, no recursion.

use super::Malformed;

/// Reads elements from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b> {
    rest: &'b [u8],
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Element<'b> {
    /// The identifier octet.
    pub tag: u8,
    /// The contents octets.
    pub content: &'b [u8],
    /// The whole element with tag and length.
    pub raw: &'b [u8],
}

impl<'b> Reader<'b> {
    /// Begins at the front of a slice.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, if there is one.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads any element.
    pub fn any(&mut self) -> Result<Element<'b>, Malformed> {
        const WHOLE: Malformed = Malformed("a whole DER element");
        let (&tag, after_tag) = self.rest.split_first().ok_or(WHOLE)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed("a DER tag below 31"));
        }
        let (&first, mut rest) = after_tag.split_first().ok_or(WHOLE)?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let octets = usize::from(first & 0x7f);
            let (long, after) = rest.split_at_checked(octets).ok_or(WHOLE)?;
            rest = after;
            long_length(long)?
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(WHOLE)?;
        let raw = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Ok(Element { tag, content, raw })
    }

    /// Reads an element of that tag and returns its contents.
    pub fn read(&mut self, tag: u8, what: &'static str) -> Result<&'b [u8], Malformed> {
        match self.any() {
            Ok(element) if element.tag == tag => Ok(element.content),
            _ => Err(Malformed(what)),
        }
    }

    /// Reads an element of that tag and returns it whole.
    pub fn raw(&mut self, tag: u8, what: &'static str) -> Result<Element<'b>, Malformed> {
        match self.any() {
            Ok(element) if element.tag == tag => Ok(element),
            _ => Err(Malformed(what)),
        }
    }

    /// Reads an element of that tag when it is next.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'b [u8]>, Malformed> {
        if self.peek() == Some(tag) { Ok(Some(self.any()?.content)) } else { Ok(None) }
    }

    /// Reads an INTEGER and returns its shortest contents octets, sign included.
    pub fn integer(&mut self, what: &'static str) -> Result<&'b [u8], Malformed> {
        let content = self.read(INTEGER, what)?;
        match content {
            [] => Err(Malformed(what)),
            [0x00, next, ..] if *next < 0x80 => Err(Malformed(what)),
            [0xff, next, ..] if *next >= 0x80 => Err(Malformed(what)),
            _ => Ok(content),
        }
    }

    /// Reads a non-negative INTEGER that fits 64 bits.
    pub fn unsigned(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let content = self.integer(what)?;
        if content[0] >= 0x80 {
            return Err(Malformed(what));
        }
        let digits = if content[0] == 0 { &content[1..] } else { content };
        if digits.len() > 8 {
            return Err(Malformed(what));
        }
        Ok(digits.iter().fold(0, |number, &octet| number << 8 | u64::from(octet)))
    }

    /// Reads a BOOLEAN.
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.read(BOOLEAN, what)? {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(Malformed(what)),
        }
    }

    /// Reads a BIT STRING of whole octets.
    pub fn octet_aligned_bits(&mut self, what: &'static str) -> Result<&'b [u8], Malformed> {
        match self.read(BIT_STRING, what)? {
            [0, bits @ ..] => Ok(bits),
            _ => Err(Malformed(what)),
        }
    }

    /// Ends the reading: nothing may be left.
    pub const fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(what)) }
    }
}

fn long_length(octets: &[u8]) -> Result<usize, Malformed> {
    const SHORTEST: Malformed = Malformed("a definite, shortest DER length below 2^32");
    if octets.is_empty() || octets.len() > 4 || octets[0] == 0 {
        return Err(SHORTEST);
    }
    let length = octets.iter().fold(0_u64, |length, &octet| length << 8 | u64::from(octet));
    if length < 0x80 {
        return Err(SHORTEST);
    }
    usize::try_from(length).map_err(|_| SHORTEST)
}

/// The tag of BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// The tag of INTEGER.
pub const INTEGER: u8 = 0x02;
/// The tag of BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// The tag of OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// The tag of NULL.
pub const NULL: u8 = 0x05;
/// The tag of OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// The tag of ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// The tag of UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// The tag of GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// The tag of SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// The tag of SET.
pub const SET: u8 = 0x31;
/// A constructed context-specific tag.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_in_place() {
        let mut reader = Reader::new(&[0x04, 0x02, 7, 8, 0x05, 0x00]);

        assert_eq!(reader.read(OCTET_STRING, "octets"), Ok(&[7, 8][..]));
        assert_eq!(reader.peek(), Some(NULL));
        assert_eq!(reader.end("an end"), Err(Malformed("an end")));
        assert_eq!(reader.any().map(|null| null.raw.len()), Ok(2));
        assert_eq!(reader.end("an end"), Ok(()));
    }

    #[test]
    fn lengths_that_are_not_der_are_refused() {
        let long = [&[0x04, 0x82, 0x00, 0x80][..], &[0; 128]].concat();
        for bytes in [
            &[0x04, 0x80, 0, 0][..],
            &[0x04, 0x81, 0x02, 1, 2],
            &[0x04, 0x85, 1, 0, 0, 0, 0],
            &[0x04, 0x03, 1, 2],
            &[0x1f, 0x01, 0],
            &[0x04],
            &[],
            &long,
        ] {
            assert!(Reader::new(bytes).any().is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_are_shortest_and_unsigned_ones_not_negative() {
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).unsigned("n"), Ok(128));
        assert_eq!(Reader::new(&[2, 1, 0]).unsigned("n"), Ok(0));
        assert!(Reader::new(&[2, 2, 0, 0x7f]).unsigned("n").is_err());
        assert!(Reader::new(&[2, 1, 0x80]).unsigned("n").is_err());
        assert!(Reader::new(&[2, 0]).unsigned("n").is_err());
        assert!(Reader::new(&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unsigned("n").is_err());
    }
}
