//! Reading and writing the CBOR that the messages are made of.
//!
//! Any order of map keys and indefinite lengths are accepted; what is written is deterministic
//! (RFC 8949 section 4.2.1). Everything read here has passed [`cose::cbor::check`], so duplicate
//! keys, depth and UTF-8 are no concern of this module.

use std::borrow::Cow;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

use crate::malformed::Malformed;

pub(crate) use cose::cbor::{Written, encode};

/// Encodes to memory.
pub(crate) type Writer = Encoder<Vec<u8>>;

/// Runs `read` over one well-formed item that is all of `bytes`.
//= teep 15.110: a length beyond the input is refused without allocation
//= teep 15.112: what is not well-formed is an error, never a panic
pub(crate) fn whole<'b, T>(
    bytes: &'b [u8],
    limits: cose::cbor::Limits,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    cose::cbor::check(bytes, limits)?;
    let mut d = Decoder::new(bytes);
    let value = read(&mut d)?;
    if d.position() == bytes.len() { Ok(value) } else { Err(Malformed::Expected("one CBOR item")) }
}

/// The elements of an array, at most `max` of them.
pub(crate) fn array<'b, T>(
    d: &mut Decoder<'b>,
    what: &'static str,
    max: usize,
    mut element: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut left = d.array().map_err(|_| Malformed::Expected(what))?;
    let mut elements = Vec::new();
    while more(d, &mut left)? {
        if elements.len() == max {
            return Err(Malformed::TooMany(what));
        }
        elements.push(element(d)?);
    }
    Ok(elements)
}

/// The elements of an array that must not be empty.
pub(crate) fn list<'b, T>(
    d: &mut Decoder<'b>,
    what: &'static str,
    max: usize,
    element: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let elements = array(d, what, max, element)?;
    if elements.is_empty() { Err(Malformed::Empty(what)) } else { Ok(elements) }
}

/// The entries of a map, at most `max` of them.
pub(crate) fn map<'b>(
    d: &mut Decoder<'b>,
    what: &'static str,
    max: usize,
    mut entry: impl FnMut(&mut Decoder<'b>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut left = d.map().map_err(|_| Malformed::Expected(what))?;
    let mut entries = 0;
    while more(d, &mut left)? {
        if entries == max {
            return Err(Malformed::TooMany(what));
        }
        entries += 1;
        entry(d)?;
    }
    Ok(())
}

/// Whether a container goes on; takes the break of an indefinite one.
fn more(d: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, Malformed> {
    match left {
        Some(0) => Ok(false),
        Some(n) => {
            *n -= 1;
            Ok(true)
        }
        None if d.datatype()? == Type::Break => {
            d.set_position(d.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// A byte string; borrowed unless it comes in chunks.
pub(crate) fn bytes<'b>(
    d: &mut Decoder<'b>,
    what: &'static str,
) -> Result<Cow<'b, [u8]>, Malformed> {
    if d.datatype()? != Type::BytesIndef {
        return Ok(Cow::Borrowed(d.bytes().map_err(|_| Malformed::Expected(what))?));
    }
    let mut joined = Vec::new();
    for chunk in d.bytes_iter()? {
        joined.extend_from_slice(chunk?);
    }
    Ok(Cow::Owned(joined))
}

/// A text string; borrowed unless it comes in chunks.
pub(crate) fn text<'b>(d: &mut Decoder<'b>, what: &'static str) -> Result<Cow<'b, str>, Malformed> {
    if d.datatype()? != Type::StringIndef {
        return Ok(Cow::Borrowed(d.str().map_err(|_| Malformed::Expected(what))?));
    }
    let mut joined = String::new();
    for chunk in d.str_iter()? {
        joined.push_str(chunk?);
    }
    Ok(Cow::Owned(joined))
}

/// An unsigned integer of up to 64 bits.
//= teep 15.113: integers at their limits do not wrap
pub(crate) fn uint(d: &mut Decoder<'_>, what: &'static str) -> Result<u64, Malformed> {
    d.u64().map_err(|_| Malformed::Expected(what))
}

/// An unsigned integer of up to 32 bits.
pub(crate) fn uint32(d: &mut Decoder<'_>, what: &'static str) -> Result<u32, Malformed> {
    d.u32().map_err(|_| Malformed::Expected(what))
}

/// An integer of up to 64 bits with its sign.
pub(crate) fn int(d: &mut Decoder<'_>, what: &'static str) -> Result<i64, Malformed> {
    d.i64().map_err(|_| Malformed::Expected(what))
}

/// The bytes of the next item.
pub(crate) fn raw<'b>(d: &mut Decoder<'b>) -> Result<&'b [u8], Malformed> {
    let start = d.position();
    d.skip()?;
    d.input().get(start..d.position()).ok_or(Malformed::Expected("a CBOR item"))
}

/// A map key, if it is an integer; another key is passed over.
pub(crate) fn label(d: &mut Decoder<'_>) -> Result<Option<i64>, Malformed> {
    Ok(Decoder::new(raw(d)?).i64().ok())
}

/// A byte string that holds one well-formed CBOR item (`bstr .cbor`).
pub(crate) fn wrapped<'b>(
    d: &mut Decoder<'b>,
    what: &'static str,
    limits: cose::cbor::Limits,
) -> Result<Cow<'b, [u8]>, Malformed> {
    let item = bytes(d, what)?;
    cose::cbor::check(&item, limits)?;
    Ok(item)
}

/// The options map of a message under construction.
///
/// Options have to be put in the order of [`crate::option::Label`].
pub(crate) struct Options {
    numbering: crate::numbering::Numbering,
    last: Option<crate::option::Label>,
    count: u64,
    body: Writer,
}

impl Options {
    pub(crate) fn new(numbering: crate::numbering::Numbering) -> Self {
        Self {
            numbering,
            last: None,
            count: 0,
            body: Encoder::new(Vec::with_capacity(USUAL_BYTES)),
        }
    }

    /// Writes one option.
    pub(crate) fn put(
        &mut self,
        label: crate::option::Label,
        write: impl FnOnce(&mut Writer) -> Written,
    ) {
        debug_assert!(self.last < Some(label), "options are written in the order of their labels");
        self.last = Some(label);
        self.count += 1;
        self.body
            .u64(label.number(self.numbering))
            .map(|_| ())
            .and_then(|()| write(&mut self.body))
            .expect("writing to memory does not fail");
    }

    /// Writes one option if there is a value.
    pub(crate) fn put_some<T>(
        &mut self,
        label: crate::option::Label,
        value: Option<T>,
        write: impl FnOnce(&mut Writer, T) -> Written,
    ) {
        if let Some(value) = value {
            self.put(label, |e| write(e, value));
        }
    }

    /// Writes one option as an array if it has elements.
    pub(crate) fn put_list<T>(
        &mut self,
        label: crate::option::Label,
        elements: &[T],
        write: impl FnMut(&mut Writer, &T) -> Written,
    ) {
        if !elements.is_empty() {
            self.put(label, |e| put_array(e, elements, write));
        }
    }

    /// Writes the map into the message.
    pub(crate) fn finish(self, e: &mut Writer) -> Written {
        e.map(self.count)?;
        e.writer_mut().extend_from_slice(self.body.writer());
        Ok(())
    }
}

/// Writes an array of definite length.
pub(crate) fn put_array<T>(
    e: &mut Writer,
    elements: &[T],
    mut write: impl FnMut(&mut Writer, &T) -> Written,
) -> Written {
    e.array(elements.len() as u64)?;
    for element in elements {
        write(e, element)?;
    }
    Ok(())
}

/// Appends bytes that are one encoded item.
pub(crate) fn put_raw(e: &mut Writer, item: &[u8]) {
    e.writer_mut().extend_from_slice(item);
}

/// Room for the options of a message without manifests and Evidence.
const USUAL_BYTES: usize = 256;
