//! CBOR of the containers, over `cose::cbor`.

use std::ops::RangeInclusive;

use cose::{
    Key,
    cbor::{self, Decoder, Limits, Malformed, Written},
};

use crate::Refused;

/// Reads one deterministic item that is an array of `length` members.
pub(crate) fn array<'b, T>(
    bytes: &'b [u8],
    what: &'static str,
    length: u64,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Refused> {
    array_of(bytes, what, length..=length, |d, _| read(d))
}

/// Reads one deterministic item that is an array of so many members; `read` hears how many.
pub(crate) fn array_of<'b, T>(
    bytes: &'b [u8],
    what: &'static str,
    lengths: RangeInclusive<u64>,
    read: impl FnOnce(&mut Decoder<'b>, u64) -> Result<T, Malformed>,
) -> Result<T, Refused> {
    let limits = Limits { bytes: bytes.len(), ..Limits::DEFAULT };
    let decoded = cbor::check_deterministic(bytes, limits).and_then(|()| {
        cbor::whole(bytes, |d| match d.array()? {
            Some(length) if lengths.contains(&length) => read(d, length),
            _ => Err(Malformed::Expected(what)),
        })
    });
    decoded.map_err(|_| Refused::Malformed(what))
}

/// Writes an array of a label and byte strings.
pub(crate) fn labelled(label: &str, members: &[&[u8]]) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(members.len() as u64 + 1)?.str(label)?;
        for member in members {
            e.bytes(member)?;
        }
        Ok(())
    })
}

/// Reads a byte string of a fixed length.
pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Malformed> {
    d.bytes()?.try_into().map_err(|_| Malformed::Expected("a byte string of another length"))
}

/// Reads a COSE_Key in a byte string.
pub(crate) fn key(d: &mut Decoder<'_>) -> Result<Key, Malformed> {
    Key::decode(d.bytes()?)
}

/// Writes a COSE_Key as a byte string.
pub(crate) fn put_key(e: &mut cbor::Encoder<Vec<u8>>, key: &Key) -> Written {
    e.bytes(&key.encode())?;
    Ok(())
}
