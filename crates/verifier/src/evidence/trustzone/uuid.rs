//! UUIDs of trusted applications (RFC 9562 section 4).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A UUID, spelt `8-4-4-4-12` in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads the spelling; letters may be in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = [0; 32];
        let mut parts = text.split('-');
        let mut at = 0;
        for length in PARTS {
            let part = parts.next().filter(|part| part.len() == length)?;
            digits[at..at + length].copy_from_slice(part.as_bytes());
            at += length;
        }
        let mut octets = [0; 16];
        hex::decode_to_slice(digits, &mut octets).ok()?;
        parts.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{octet:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a UUID"))
    }
}

const PARTS: [usize; 5] = [8, 4, 4, 4, 12];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_and_written_as_spelt() {
        let text = "435dcafa-0029-4d53-97e8-a7a13a80c82e";

        let uuid = Uuid::parse(text).expect("a UUID");

        assert_eq!(uuid.to_string(), text);
        assert_eq!(uuid.0[..5], [0x43, 0x5d, 0xca, 0xfa, 0x00]);
        assert_eq!(Uuid::parse(&text.to_uppercase()), Some(uuid));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "435dcafa00294d5397e8a7a13a80c82e",
            "435dcafa-0029-4d53-97e8-a7a13a80c82",
            "435dcafa-0029-4d53-97e8-a7a13a80c82e-",
            "435dcafa-0029-4d53-97e8-a7a13a80c8zz",
            "435dcafa-00294-d53-97e8-a7a13a80c82e",
        ] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }
}
