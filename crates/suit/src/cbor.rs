//! The one way in which this crate reads and writes CBOR.
//!
//! Every byte string that holds CBOR is opened with [`Reader::open`], which refuses what is not
//! in the deterministic form of RFC 8949 section 4.2.1: indefinite lengths, long forms, keys
//! that are unordered or double, trailing bytes. The typed readers come after that check.

use cose::cbor::Limits;
use cose::cbor::minicbor::data::Type;
use cose::cbor::minicbor::{self, Decoder};

use crate::error::{Error, Malformed};

/// Reads one CBOR item that is known to be deterministic.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    //= suit 13.11 (R): Decoder refuses unordered or duplicate keys in manifest and envelope maps.
    /// Checks that `bytes` is exactly one deterministic item and starts to read it.
    pub(crate) fn open(bytes: &'b [u8]) -> Result<Self, Malformed> {
        cose::cbor::check_deterministic(bytes, LIMITS)?;
        Ok(Self::trusted(bytes))
    }

    /// Starts to read bytes that stood inside a checked item.
    pub(crate) fn trusted(bytes: &'b [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    pub(crate) fn array(&mut self) -> Result<u64, Malformed> {
        self.decoder.array().map_err(expected("an array"))?.ok_or(Malformed::Expected("an array"))
    }

    pub(crate) fn exact_array(&mut self, length: u64, what: &'static str) -> Result<(), Malformed> {
        match self.decoder.array().map_err(expected(what))? {
            Some(found) if found == length => Ok(()),
            _ => Err(Malformed::Expected(what)),
        }
    }

    pub(crate) fn map(&mut self) -> Result<u64, Malformed> {
        self.decoder.map().map_err(expected("a map"))?.ok_or(Malformed::Expected("a map"))
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        self.decoder.u64().map_err(expected("an unsigned integer"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, Malformed> {
        self.decoder.i64().map_err(expected("an integer"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        self.decoder.bytes().map_err(expected("a byte string"))
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, Malformed> {
        self.decoder.str().map_err(expected("a text string"))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        self.decoder.bool().map_err(expected("a boolean"))
    }

    pub(crate) fn null(&mut self) -> Result<(), Malformed> {
        self.decoder.null().map_err(expected("nil"))
    }

    pub(crate) fn tag(&mut self) -> Result<u64, Malformed> {
        self.decoder.tag().map(|tag| tag.as_u64()).map_err(expected("a tag"))
    }

    pub(crate) fn kind(&self) -> Result<Kind, Malformed> {
        let kind = match self.decoder.datatype().map_err(expected("an item"))? {
            Type::Bool => Kind::Bool,
            Type::Null => Kind::Null,
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Kind::Uint,
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => Kind::Negative,
            Type::Bytes => Kind::Bytes,
            Type::String => Kind::Text,
            Type::Array => Kind::Array,
            Type::Map => Kind::Map,
            Type::Tag => Kind::Tag,
            Type::Undefined
            | Type::F16
            | Type::F32
            | Type::F64
            | Type::Simple
            | Type::BytesIndef
            | Type::StringIndef
            | Type::ArrayIndef
            | Type::MapIndef
            | Type::Break
            | Type::Unknown(_) => Kind::Other,
        };
        Ok(kind)
    }

    /// The encoded form of the next item, which is skipped.
    pub(crate) fn raw(&mut self) -> Result<&'b [u8], Malformed> {
        let from = self.decoder.position();
        self.decoder.skip().map_err(expected("an item"))?;
        let to = self.decoder.position();
        self.decoder.input().get(from..to).ok_or(Malformed::Expected("an item"))
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }
}

/// The major types that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Uint,
    Negative,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
    Bool,
    Null,
    Other,
}

/// Writes deterministic CBOR; map keys are the caller's to order.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Collects what `write` writes.
    pub(crate) fn collect(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::new();
        write(&mut writer);
        writer.bytes
    }

    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    pub(crate) fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            Err(_) => self.head(1, !value.cast_unsigned()),
        }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len() as u64);
        self.raw(value)
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64);
        self.raw(value.as_bytes())
    }

    pub(crate) fn array(&mut self, length: usize) -> &mut Self {
        self.head(4, length as u64)
    }

    pub(crate) fn map(&mut self, length: usize) -> &mut Self {
        self.head(5, length as u64)
    }

    pub(crate) fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(6, tag)
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(&[if value { 0xf5 } else { 0xf4 }])
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.raw(&[0xf6])
    }

    /// A byte string that wraps what `write` writes.
    pub(crate) fn wrapped(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        let inner = Self::collect(write);
        self.bytes(&inner)
    }

    /// Bytes that are encoded already.
    pub(crate) fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(encoded);
        self
    }

    /// A map from encoded keys to encoded values, in the order of the keys' bytes.
    pub(crate) fn sorted_map(&mut self, mut entries: Vec<(Vec<u8>, Vec<u8>)>) -> &mut Self {
        entries.sort();
        self.map(entries.len());
        for (key, value) in &entries {
            self.raw(key).raw(value);
        }
        self
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let wide = value.to_be_bytes();
        match value {
            0..=23 => self.bytes.push(major | wide[7]),
            24..=0xff => self.bytes.extend([major | 24, wide[7]]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend_from_slice(&wide[6..]);
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend_from_slice(&wide[4..]);
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend_from_slice(&wide);
            }
        }
        self
    }
}

/// The header of a byte string of this length: what M 8.3 hashes in front of a member.
pub(crate) fn bytes_header(length: usize) -> Vec<u8> {
    Writer::collect(|w| {
        w.head(2, length as u64);
    })
}

/// An item that is exactly one integer key, encoded.
pub(crate) fn int_key(key: i64) -> Vec<u8> {
    Writer::collect(|w| {
        w.int(key);
    })
}

fn expected(what: &'static str) -> impl Fn(minicbor::decode::Error) -> Malformed {
    move |error| {
        if error.is_end_of_input() { Malformed::Truncated } else { Malformed::Expected(what) }
    }
}

/// Reads a map with integer keys and hands each key, with the reader at its value, to `entry`.
pub(crate) fn each_entry<'b>(
    reader: &mut Reader<'b>,
    mut entry: impl FnMut(i64, &mut Reader<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..reader.map()? {
        let key = reader.int()?;
        entry(key, reader)?;
    }
    Ok(())
}

/// An envelope with integrated payloads may be large; its structure may not.
const LIMITS: Limits = Limits { depth: 16, bytes: 256 << 20, items: 65_536 };
