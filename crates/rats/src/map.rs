//! Maps as the tokens use them: read in any order but never twice, written in one order only.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

use crate::label::Label;
use crate::refusal::Malformed;
use crate::time::Timestamp;

/// The members of one map, each as the bytes received.
pub(crate) struct Entries<'b>(BTreeMap<Label, &'b [u8]>);

impl<'b> Entries<'b> {
    /// Reads one map that is all of `bytes`.
    pub(crate) fn whole(bytes: &'b [u8]) -> Result<Self, Malformed> {
        whole(bytes, Self::decode)
    }

    pub(crate) fn decode(d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        let Some(count) = d.map()? else {
            return Err(Malformed::Expected("a map of definite length"));
        };
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let label = Label::decode(d)?;
            if entries.insert(label, raw(d)?).is_some() {
                return Err(cose::Malformed::DuplicateKey.into());
            }
        }
        Ok(Self(entries))
    }

    /// Takes a member out and decodes it, all of it.
    pub(crate) fn take<T>(
        &mut self,
        label: impl Into<Label>,
        decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let label = label.into();
        match self.0.remove(&label) {
            Some(bytes) => whole(bytes, decode).map(Some),
            None => Ok(None),
        }
    }

    /// Like [`Self::take`] for a member that must be there.
    pub(crate) fn require<T>(
        &mut self,
        label: impl Into<Label>,
        decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let label = label.into();
        self.take(label.clone(), decode)?.ok_or(Malformed::Missing(label))
    }

    /// Takes a member out undecoded.
    pub(crate) fn take_raw(&mut self, label: impl Into<Label>) -> Option<&'b [u8]> {
        self.0.remove(&label.into())
    }

    /// What was not taken.
    pub(crate) fn rest(self) -> BTreeMap<Label, Vec<u8>> {
        self.0.into_iter().map(|(label, bytes)| (label, bytes.to_vec())).collect()
    }

    /// Refuses members that were not taken.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.0.into_keys().next() {
            Some(label) => Err(Malformed::Value(label)),
            None => Ok(()),
        }
    }
}

/// A map under construction, encoded in the order of RFC 8949 section 4.2.1.
#[derive(Default)]
pub(crate) struct Members(BTreeMap<Vec<u8>, Vec<u8>>);

impl Members {
    pub(crate) fn put(&mut self, label: impl Into<Label>, value: Vec<u8>) {
        self.0.insert(label.into().encode(), value);
    }

    pub(crate) fn put_some(&mut self, label: impl Into<Label>, value: Option<Vec<u8>>) {
        if let Some(value) = value {
            self.put(label, value);
        }
    }

    pub(crate) fn put_rest(&mut self, rest: &BTreeMap<Label, Vec<u8>>) {
        for (label, value) in rest {
            self.0.entry(label.encode()).or_insert_with(|| value.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        let _ = e.map(self.0.len() as u64);
        for (label, value) in self.0 {
            e.writer_mut().extend_from_slice(&label);
            e.writer_mut().extend_from_slice(&value);
        }
        e.into_writer()
    }
}

/// Runs `decode` over all of `bytes`.
pub(crate) fn whole<'b, T>(
    bytes: &'b [u8],
    decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut d = Decoder::new(bytes);
    let value = decode(&mut d)?;
    if d.position() != bytes.len() {
        return Err(cose::Malformed::Trailing.into());
    }
    Ok(value)
}

/// The bytes of the next item.
pub(crate) fn raw<'b>(d: &mut Decoder<'b>) -> Result<&'b [u8], Malformed> {
    let start = d.position();
    d.skip()?;
    d.input().get(start..d.position()).ok_or(cose::Malformed::Truncated.into())
}

/// A list of one or more elements.
pub(crate) fn list<'b, T>(
    d: &mut Decoder<'b>,
    what: &'static str,
    mut element: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    match d.array()? {
        Some(count) if count > 0 => (0..count).map(|_| element(d)).collect(),
        _ => Err(Malformed::Expected(what)),
    }
}

/// An array of exactly `count` elements follows.
pub(crate) fn tuple(d: &mut Decoder<'_>, count: u64, what: &'static str) -> Result<(), Malformed> {
    if d.array()? == Some(count) { Ok(()) } else { Err(Malformed::Expected(what)) }
}

/// A time in whole seconds.
//= rats 11.10 (M): a floating-point time is refused
pub(crate) fn time(d: &mut Decoder<'_>, label: i64) -> Result<Timestamp, Malformed> {
    match d.datatype()? {
        Type::F16 | Type::F32 | Type::F64 => Err(Malformed::FloatTime(label.into())),
        _ => Ok(Timestamp(d.i64()?)),
    }
}

pub(crate) fn bytes(d: &mut Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    Ok(d.bytes()?.to_vec())
}

pub(crate) fn text(d: &mut Decoder<'_>) -> Result<String, Malformed> {
    Ok(d.str()?.to_owned())
}

/// A byte string of exactly this length.
pub(crate) fn array<const N: usize>(
    d: &mut Decoder<'_>,
    what: &'static str,
) -> Result<[u8; N], Malformed> {
    d.bytes()?.try_into().map_err(|_| Malformed::Expected(what))
}

/// Encodes with an encoder that writes to memory and so cannot fail.
pub(crate) fn encode(
    f: impl FnOnce(
        &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    f(&mut e).expect("writing to memory does not fail and no value encodes to an error");
    e.into_writer()
}

pub(crate) fn encode_bytes(value: &[u8]) -> Vec<u8> {
    encode(|e| e.bytes(value)?.ok())
}

pub(crate) fn encode_text(value: &str) -> Vec<u8> {
    encode(|e| e.str(value)?.ok())
}

pub(crate) fn encode_int(value: i64) -> Vec<u8> {
    encode(|e| e.i64(value)?.ok())
}

pub(crate) fn encode_uint(value: u64) -> Vec<u8> {
    encode(|e| e.u64(value)?.ok())
}
