//! What all COSE objects share: the tag, the two header buckets, the payload (RFC 9052 section 2).

use crate::cbor::{self, Decoder, Encoder, Limits, Malformed, Type, Written};
use crate::header::Header;
use crate::verified::Untrusted;

/// Whether the CBOR tag of the object must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// The tag must be there.
    Tagged,
    /// The tag must not be there.
    Untagged,
    /// Both are fine.
    Either,
}

/// A payload to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Carried in the object.
    Attached(&'a [u8]),
    /// Known to the receiver by other means; the object carries `nil`.
    Detached(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The bytes that are signed.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Attached(bytes) | Self::Detached(bytes) => bytes,
        }
    }

    pub(crate) fn attached(&self) -> Option<&'a [u8]> {
        match self {
            Self::Attached(bytes) => Some(bytes),
            Self::Detached(_) => None,
        }
    }
}

/// The two buckets as received.
///
/// ```cddl
/// Headers = ( protected : empty_or_serialized_map, unprotected : header_map )
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Buckets<'b> {
    pub(crate) protected: Header,
    pub(crate) unprotected: Header,
    /// The protected bytes as received, except that an empty map is an empty string
    /// (RFC 9052 section 4.4).
    pub(crate) protected_bytes: &'b [u8],
}

impl<'b> Buckets<'b> {
    /// Reads both buckets from input that passed [`cbor::check`].
    pub(crate) fn read(d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        let mut protected_bytes = d.bytes()?;
        let protected = Header::decode_protected(protected_bytes)?;
        let unprotected = Header::read(d)?;
        if protected.overlaps(&unprotected) {
            return Err(Malformed::DuplicateParameter);
        }
        if protected.is_empty() {
            protected_bytes = &[];
        }
        Ok(Self { protected, unprotected, protected_bytes })
    }

    /// A parameter without a field of its own, from either bucket, still encoded.
    pub(crate) fn other(&self, label: i64) -> Option<&[u8]> {
        let found = self.protected.other.get(&label).or(self.unprotected.other.get(&label));
        found.map(Vec::as_slice)
    }

    /// Refuses critical parameters that are not understood (RFC 9052 section 3.1).
    pub(crate) fn check_critical(&self) -> Result<(), Untrusted> {
        self.protected.check_critical()
    }
}

/// Checks the outer item, reads its tag as asked, and decodes the array behind it.
pub(crate) fn open<'b, T>(
    bytes: &'b [u8],
    limits: Limits,
    tag: u64,
    tagging: Tagging,
    decode: impl FnOnce(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    cbor::check(bytes, limits)?;
    cbor::whole(bytes, |d| {
        let tagged = d.datatype()? == Type::Tag;
        match (tagging, tagged) {
            (Tagging::Tagged, false) => return Err(Malformed::Expected("a COSE tag")),
            (Tagging::Untagged, true) => return Err(Malformed::Expected("no tag")),
            (Tagging::Tagged | Tagging::Either, true) => {
                if d.tag()?.as_u64() != tag {
                    return Err(Malformed::Expected("another COSE tag"));
                }
            }
            (Tagging::Untagged | Tagging::Either, false) => {}
        }
        decode(d)
    })
}

/// Reads `bstr / nil`.
pub(crate) fn bytes_or_nil<'b>(d: &mut Decoder<'b>) -> Result<Option<&'b [u8]>, Malformed> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    Ok(Some(d.bytes()?))
}

/// Writes `bstr / nil`.
pub(crate) fn write_bytes_or_nil(e: &mut Encoder<Vec<u8>>, bytes: Option<&[u8]>) -> Written {
    match bytes {
        Some(bytes) => e.bytes(bytes)?.ok(),
        None => e.null()?.ok(),
    }
}

/// The pieces of a Sig_structure, MAC_structure or Enc_structure: an array of a context string and
/// byte strings.
///
/// The heads are made here; the strings themselves stay where they are, so that a payload of any
/// size is hashed in place.
pub(crate) struct Structure<'a> {
    heads: Vec<u8>,
    /// Each string, and where its head ends.
    strings: Vec<(usize, &'a [u8])>,
}

impl<'a> Structure<'a> {
    /// ```cddl
    /// Sig_structure = [ context : tstr, + bstr ]
    /// ```
    pub(crate) fn new(context: &str, strings: &[&'a [u8]]) -> Self {
        let mut placed = Vec::with_capacity(strings.len());
        let heads = cbor::encode(|e| {
            e.array(1 + strings.len() as u64)?.str(context)?;
            for string in strings {
                e.bytes_len(string.len() as u64)?;
                placed.push((e.writer().len(), *string));
            }
            Ok(())
        });
        Self { heads, strings: placed }
    }

    /// All pieces in order.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.strings.len());
        let mut start = 0;
        for (end, string) in &self.strings {
            parts.push(&self.heads[start..*end]);
            parts.push(*string);
            start = *end;
        }
        parts
    }

    /// One buffer with all pieces.
    pub(crate) fn concat(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

/// Registered CBOR tags.
pub(crate) mod tag {
    pub(crate) const ENCRYPT0: u64 = 16;
    pub(crate) const MAC0: u64 = 17;
    pub(crate) const SIGN1: u64 = 18;
    pub(crate) const ENCRYPT: u64 = 96;
    pub(crate) const MAC: u64 = 97;
    pub(crate) const SIGN: u64 = 98;
}
