//! Strict CBOR (RFC 8949) over [`minicbor`].
//!
//! Bytes from outside go through [`check`] or [`check_deterministic`] first; what has passed may be
//! decoded with a [`Decoder`] without fear of deep nesting, wild lengths or a key that is there
//! twice. What is inside a byte string is not looked at: embedded CBOR needs a check of its own.

mod check;
mod map;

use std::convert::Infallible;

pub use minicbor;
pub use minicbor::data::{Tag, Type};
pub use minicbor::{Decoder, Encoder};

pub use check::{Limits, check, check_deterministic, check_preferred};
pub use map::{MapReader, MapWriter};

/// Why bytes are not what their document says.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The item at this byte is not of the type that was expected.
    #[error("unexpected CBOR item at byte {0}")]
    Cbor(usize),
    /// Nesting is deeper than allowed.
    #[error("nested too deeply")]
    Depth,
    /// A map has a key twice.
    #[error("a map key occurs twice")]
    DuplicateKey,
    /// A header parameter is in both buckets.
    #[error("a header parameter is both protected and unprotected")]
    DuplicateParameter,
    /// Something else stands where this was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// An indefinite length where only definite ones are allowed.
    #[error("indefinite length")]
    Indefinite,
    /// The bytes are not well-formed CBOR.
    #[error("not well-formed CBOR")]
    NotWellFormed,
    /// A number, length or float has a shorter spelling.
    #[error("not in the shortest form")]
    NotShortest,
    /// Map keys are not in ascending order of their bytes.
    #[error("map keys are not in ascending order")]
    Order,
    /// A point that is not on its curve.
    #[error("the point is not on the curve")]
    Point,
    /// The input is longer than allowed.
    #[error("too large")]
    TooLarge,
    /// There are more items than allowed.
    #[error("too many items")]
    TooMany,
    /// Bytes follow the item.
    #[error("bytes follow the item")]
    Trailing,
    /// The input ends inside the item.
    #[error("the input ends too early")]
    Truncated,
    /// A text string is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
}

impl From<minicbor::decode::Error> for Malformed {
    fn from(error: minicbor::decode::Error) -> Self {
        if error.is_end_of_input() {
            return Self::Truncated;
        }
        Self::Cbor(error.position().unwrap_or_default())
    }
}

/// Decodes exactly one thing: bytes after it are an error.
pub fn whole<'b, T>(
    bytes: &'b [u8],
    decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut decoder = Decoder::new(bytes);
    let value = decode(&mut decoder)?;
    if decoder.position() != bytes.len() {
        return Err(Malformed::Trailing);
    }
    Ok(value)
}

/// Decodes an array of exactly `length` elements, of definite or indefinite length.
///
/// `decode` must consume exactly that many items.
pub fn tuple<'b, T>(
    decoder: &mut Decoder<'b>,
    length: u64,
    expected: &'static str,
    decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let declared = decoder.array().map_err(|_| Malformed::Expected(expected))?;
    if declared.is_some_and(|declared| declared != length) {
        return Err(Malformed::Expected(expected));
    }
    if declared.is_some() {
        return decode(decoder);
    }
    let value = decode(decoder)?;
    if decoder.datatype()? != Type::Break {
        return Err(Malformed::Expected(expected));
    }
    decoder.set_position(decoder.position() + 1);
    Ok(value)
}

/// Whether an array or map with the declared length has more than `seen` elements or pairs.
///
/// At the end of an indefinite length, the break is consumed.
pub fn more(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    seen: usize,
) -> Result<bool, Malformed> {
    if let Some(length) = length {
        return Ok((seen as u64) < length);
    }
    if decoder.datatype()? != Type::Break {
        return Ok(true);
    }
    decoder.set_position(decoder.position() + 1);
    Ok(false)
}

/// The bytes of the next item, whatever it is.
pub fn item<'b>(decoder: &mut Decoder<'b>) -> Result<&'b [u8], Malformed> {
    let start = decoder.position();
    decoder.skip()?;
    decoder.input().get(start..decoder.position()).ok_or(Malformed::Truncated)
}

/// What a closure for [`encode`] returns: writing to memory cannot fail.
pub type Written = Result<(), minicbor::encode::Error<Infallible>>;

/// Encodes to memory. Every call of [`Encoder`] ends with `?`, the last with `.ok()`.
pub fn encode(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(USUAL_BYTES));
    write(&mut encoder).expect("writing to memory does not fail");
    encoder.into_writer()
}

/// Room for a header or a key, so that what is written by single bytes does not move.
const USUAL_BYTES: usize = 96;

#[cfg(test)]
mod tests;
