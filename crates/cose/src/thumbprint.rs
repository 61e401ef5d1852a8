//! COSE Key Thumbprints (RFC 9679).

use std::fmt;
use std::str::FromStr;

use crate::cbor::Malformed;

/// The SHA-256 thumbprint of a COSE_Key (RFC 9679 section 3), which names the key everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

impl Thumbprint {
    /// The bytes, as a `kid` carries them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsRef<[u8]> for Thumbprint {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Thumbprint {
    type Error = Malformed;

    fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
        bytes.try_into().map(Self).map_err(|_| Malformed::Expected("a thumbprint of 32 bytes"))
    }
}

impl FromStr for Thumbprint {
    type Err = Malformed;

    /// Reads 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(NOT_HEX);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn nibble(digit: u8) -> Result<u8, Malformed> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NOT_HEX),
    }
}

const NOT_HEX: Malformed = Malformed::Expected("64 lower-case hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let thumbprint = Thumbprint(std::array::from_fn(|i| (i * 7) as u8));

        assert_eq!(thumbprint.to_string().parse(), Ok(thumbprint));
        assert_eq!(&thumbprint.to_string()[..8], "00070e15");
    }

    #[test]
    fn other_text_is_refused() {
        assert_eq!("00".parse::<Thumbprint>(), Err(NOT_HEX));
        assert_eq!("0G".repeat(32).parse::<Thumbprint>(), Err(NOT_HEX));
        assert_eq!("AA".repeat(32).parse::<Thumbprint>(), Err(NOT_HEX));
    }
}
