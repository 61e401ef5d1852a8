//! Typed steps over the CBOR reader and writer, with every length limited.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::{Malformed, Message};

/// Decodes one message and refuses every encoding of it but the deterministic one.
pub(crate) fn message<'b, T: Message>(
    bytes: &'b [u8],
    decode: impl FnOnce(&mut Reader<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut reader = Reader(Decoder::new(bytes));
    let message = decode(&mut reader)?;
    if reader.0.position() != bytes.len() {
        return Err(Malformed::Trailing);
    }
    if message.encode() != bytes {
        return Err(Malformed::NotDeterministic);
    }
    Ok(message)
}

/// Encodes one message.
pub(crate) fn encode(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer(Encoder::new(Vec::new()));
    write(&mut writer);
    writer.0.into_writer()
}

/// Reads the items of a message in order.
pub(crate) struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    /// Opens an array and returns its number of elements.
    pub(crate) fn array(&mut self, what: &'static str, max: u64) -> Result<u64, Malformed> {
        let elements = self.0.array().map_err(|_| Malformed::Cbor("array"))?;
        let elements = elements.ok_or(Malformed::NotDeterministic)?;
        if elements > max {
            return Err(Malformed::Arity { what, got: elements });
        }
        Ok(elements)
    }

    /// Opens `[kind, ...]` and returns the kind and the number of elements that follow it.
    pub(crate) fn kind(&mut self, what: &'static str) -> Result<Kind, Malformed> {
        let elements = self.array(what, ARITY_MAX)?;
        let fields = elements.checked_sub(1).ok_or(Malformed::Arity { what, got: 0 })?;
        let kind = self.uint()?;
        Ok(Kind { what, kind, fields })
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        self.0.u64().map_err(|_| Malformed::Cbor("unsigned integer"))
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Malformed> {
        self.0.bool().map_err(|_| Malformed::Cbor("boolean"))
    }

    /// Reads a byte string of any length; the frame limits it.
    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        self.0.bytes().map_err(|_| Malformed::Cbor("byte string"))
    }

    pub(crate) fn bytes_up_to(
        &mut self,
        what: &'static str,
        max: usize,
    ) -> Result<&'b [u8], Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > max {
            return Err(Malformed::Length { what, got: bytes.len() });
        }
        Ok(bytes)
    }

    pub(crate) fn bytes_exact<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| Malformed::Length { what, got: bytes.len() })
    }

    pub(crate) fn text(&mut self, what: &'static str, max: usize) -> Result<&'b str, Malformed> {
        let text = self.0.str().map_err(|_| Malformed::Cbor("text string"))?;
        if text.len() > max {
            return Err(Malformed::Length { what, got: text.len() });
        }
        Ok(text)
    }

    /// Reads null as `None`, and anything else by `read`.
    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let null = matches!(self.0.datatype(), Ok(Type::Null));
        if null {
            self.0.null().map_err(|_| Malformed::Cbor("null"))?;
            return Ok(None);
        }
        read(self).map(Some)
    }
}

/// The first element of a message and the number of elements after it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    what: &'static str,
    pub(crate) kind: u64,
    fields: u64,
}

impl Kind {
    /// Checks the number of elements that follow the kind.
    pub(crate) fn fields(self, expected: u64) -> Result<(), Malformed> {
        if self.fields != expected {
            return Err(Malformed::Arity { what: self.what, got: self.fields + 1 });
        }
        Ok(())
    }

    /// The error for a kind that is not defined.
    pub(crate) fn unknown(self) -> Malformed {
        Malformed::Unknown { what: self.what, value: self.kind }
    }
}

/// Writes the items of a message in order.
pub(crate) struct Writer(Encoder<Vec<u8>>);

impl Writer {
    pub(crate) fn array(&mut self, elements: usize) -> &mut Self {
        self.0.array(elements as u64).expect(MEMORY);
        self
    }

    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        self.0.u64(value).expect(MEMORY);
        self
    }

    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.0.bool(value).expect(MEMORY);
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.bytes(value).expect(MEMORY);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.0.str(value).expect(MEMORY);
        self
    }

    /// Writes null for `None`.
    pub(crate) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T),
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.0.null().expect(MEMORY);
            }
        }
        self
    }
}

/// No message has more elements.
const ARITY_MAX: u64 = 16;

const MEMORY: &str = "writing to memory cannot fail";
