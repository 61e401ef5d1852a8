//! Values as they are shown: what a check expected and saw, what evidence says.
//!
//! Short octet strings are kept inline, so that a passing appraisal allocates little.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Timestamp;
use crate::time::Rfc3339;

/// One shown value. Octets print as lower-case hexadecimal, times as RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A yes or no.
    Flag(bool),
    /// A signed number.
    Integer(i64),
    /// Several values in order.
    List(Vec<Self>),
    /// Named values in order.
    Map(Vec<(Cow<'static, str>, Self)>),
    /// An unsigned number.
    Number(u64),
    /// An octet string.
    Octets(Octets),
    /// Text.
    Text(Cow<'static, str>),
    /// A point in time.
    Time(Timestamp),
}

/// An octet string; up to 64 octets are kept inline.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets(Store);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Store {
    Inline([u8; 64], u8),
    Heap(Box<[u8]>),
}

/// Exactly `N` octets, spelt in hexadecimal in policies and reference values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl Octets {
    /// Copies `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; 64];
        match (inline.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                Self(Store::Inline(inline, length))
            }
            _ => Self(Store::Heap(bytes.into())),
        }
    }

    /// The octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Store::Inline(bytes, length) => &bytes[..usize::from(*length)],
            Store::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_slice())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Octets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets in hexadecimal")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Octets, E> {
                let octets = hex::decode(text)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(Octets::new(&octets))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl<const N: usize> AsRef<[u8]> for Hex<N> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const N: usize>;

        impl<const N: usize> Visitor<'_> for Text<N> {
            type Value = Hex<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} octets in hexadecimal", N)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let mut octets = [0; N];
                hex::decode_to_slice(text, &mut octets)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(Hex(octets))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Octets(octets) => write!(f, "{octets}"),
            Self::Text(text) => f.write_str(text),
            Self::Time(time) => write!(f, "{}", Rfc3339(*time)),
            Self::List(list) => {
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Map(map) => {
                for (index, (name, value)) in map.iter().enumerate() {
                    write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Octets(octets) => octets.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => serializer.collect_str(&Rfc3339(*time)),
            Self::List(list) => list.serialize(serializer),
            Self::Map(map) => {
                let mut object = serializer.serialize_map(Some(map.len()))?;
                for (name, value) in map {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Octets(Octets::new(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Octets(Octets::new(bytes))
    }
}

impl<const N: usize> From<Hex<N>> for Value {
    fn from(hex: Hex<N>) -> Self {
        Self::Octets(Octets::new(&hex.0))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Octets> for Value {
    fn from(octets: Octets) -> Self {
        Self::Octets(octets)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads RFC 3339 text as a [`Timestamp`] in a serde structure.
pub(crate) fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    crate::time::parse_rfc3339(text).ok_or_else(|| D::Error::custom("not an RFC 3339 UTC time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_keep_their_bytes_inline_or_not() {
        for length in [0, 1, 63, 64, 65, 300] {
            let bytes = vec![0xa5; length];

            assert_eq!(Octets::new(&bytes).as_slice(), bytes);
        }
    }

    #[test]
    fn values_become_plain_json() {
        let value = Value::Map(vec![
            ("id".into(), Value::from(&[1, 0xff])),
            ("n".into(), Value::List(vec![7_u64.into(), (-1_i64).into(), true.into()])),
            ("at".into(), Timestamp(0).into()),
        ]);

        let json = serde_json::to_string(&value).expect("serialisable");

        assert_eq!(json, r#"{"id":"01ff","n":[7,-1,true],"at":"1970-01-01T00:00:00Z"}"#);
    }

    #[test]
    fn hexadecimal_of_another_length_is_refused() {
        assert!(serde_json::from_str::<Hex<2>>("\"0a0B\"").is_ok());
        assert!(serde_json::from_str::<Hex<2>>("\"0a0b0c\"").is_err());
        assert!(serde_json::from_str::<Hex<2>>("\"0a0x\"").is_err());
    }
}
