//! Conceptual Message Wrappers (draft-ietf-rats-msg-wrap): one envelope for Evidence,
//! endorsements, results and what else attestation exchanges.
//!
//! A wrapper protects nothing: whoever reads one verifies what is inside, or the signed form.

use std::collections::BTreeMap;

use cose::{
    Accept, ContentType, Header, Key, KeyUnusable, Payload, Sign1, Signer, Tagging, Verified,
};
use minicbor::data::{Tag, Type};
use minicbor::decode::Decoder;

use crate::label::Label;
use crate::map::{Members, bytes, encode, encode_text, raw, text, whole};
use crate::refusal::{Malformed, Refused};

/// A wrapper in its CBOR forms.
///
/// ```cddl
/// cbor-CMW = cbor-record / cbor-tag / cbor-collection
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cmw {
    /// One message with its type.
    Record(Record),
    /// One message in a tag that stands for its content format (RFC 9277).
    Tag {
        /// The CoAP content format.
        content_format: u16,
        /// The message.
        value: Vec<u8>,
    },
    /// Messages by label.
    Collection(Collection),
}

impl Cmw {
    /// Encodes in the order of RFC 8949 section 4.2.1.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Record(record) => record.encode(),
            Self::Tag { content_format, value } => {
                encode(|e| e.tag(Tag::new(tag_number(*content_format)))?.bytes(value)?.ok())
            }
            Self::Collection(collection) => collection.encode(),
        }
    }

    /// Reads one wrapper that is all of `encoded`.
    //= rats 11.27 (M): record, tag and collection are read, with a limit on nesting
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check(encoded, cose::cbor::Limits::DEFAULT)?;
        Self::decode_at(encoded, 0)
    }

    /// The record, when it is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Tag { .. } | Self::Collection(_) => None,
        }
    }

    /// Signs the wrapper.
    ///
    /// ```cddl
    /// signed-cmw = COSE_Sign1     ; protected: alg, and cty "application/cmw+cbor"
    /// ```
    //= rats 11.28 (M): a signed CMW has its content type in the protected header
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        cose::sign1(
            signer,
            Header {
                content_type: Some(ContentType::Media(MEDIA_TYPE.to_owned())),
                ..Header::default()
            },
            Header::default(),
            &[],
            Payload::Attached(&self.encode()),
        )
    }

    /// Verifies a signed wrapper and reads it.
    //= rats 11.28 (M): a signed CMW without its content type is refused
    pub fn verify(
        signed: &[u8],
        signers: &[Key],
        accept: &Accept,
    ) -> Result<Verified<Self>, Refused> {
        let sign1 = Sign1::decode(signed, Tagging::Either)?;
        match &sign1.protected.content_type {
            Some(ContentType::Media(name)) if name.eq_ignore_ascii_case(MEDIA_TYPE) => {}
            _ => return Err(Malformed::ContentType.into()),
        }
        crate::eat::verify_any(signed, signers, accept)?
            .try_map(|payload| Ok(Self::decode(payload)?))
    }

    fn decode_at(encoded: &[u8], depth: u8) -> Result<Self, Malformed> {
        whole(encoded, |d| match d.datatype()? {
            Type::Array => Ok(Self::Record(Record::decode(d)?)),
            Type::Tag => {
                let content_format = content_format(d.tag()?.as_u64())
                    .ok_or(Malformed::Expected("a tag that stands for a content format"))?;
                Ok(Self::Tag { content_format, value: bytes(d)? })
            }
            Type::Map | Type::MapIndef => Ok(Self::Collection(Collection::decode(d, depth)?)),
            _ => Err(Malformed::Expected("a CMW record, tag or collection")),
        })
    }
}

/// A message with its type, and what kind of message it is.
///
/// ```cddl
/// cbor-record = [ type: uint .size 2 / tstr, value: bstr, ? ind: uint .bits cm-type ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The type of the message.
    pub media_type: MediaType,
    /// The message.
    pub value: Vec<u8>,
    /// What kind of message it is, when the record says so.
    pub indicator: Option<Indicator>,
}

impl Record {
    /// A record of a media type.
    pub fn new(media_type: &str, value: impl Into<Vec<u8>>, indicator: Indicator) -> Self {
        Self {
            media_type: MediaType::Name(media_type.to_owned()),
            value: value.into(),
            indicator: Some(indicator),
        }
    }

    //= rats 11.27 (M): an indicator without a bit is refused
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let count = d.array()?;
        if !matches!(count, Some(2 | 3)) {
            return Err(Malformed::Expected("a CMW record of two or three elements"));
        }
        let media_type = match d.datatype()? {
            Type::String => MediaType::Name(text(d)?),
            _ => MediaType::ContentFormat(d.u16()?),
        };
        let value = bytes(d)?;
        let indicator = match count {
            Some(3) => Some(Indicator::from_bits(d.u32()?)?),
            _ => None,
        };
        Ok(Self { media_type, value, indicator })
    }

    fn encode(&self) -> Vec<u8> {
        encode(|e| {
            e.array(2 + u64::from(self.indicator.is_some()))?;
            match &self.media_type {
                MediaType::ContentFormat(number) => e.u16(*number)?,
                MediaType::Name(name) => e.str(name)?,
            };
            e.bytes(&self.value)?;
            if let Some(indicator) = self.indicator {
                e.u32(indicator.0)?;
            }
            e.ok()
        })
    }
}

/// The type of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// A CoAP content format.
    ContentFormat(u16),
    /// A media type, perhaps with parameters.
    Name(String),
}

impl MediaType {
    /// Whether this is the media type `name`, with the parameter `eat_profile` equal to `profile`
    /// if one is asked for. Names and that value compare without case.
    //= rats 11.13 (M): the media type parameter is compared without case
    pub fn is(&self, name: &str, profile: Option<&str>) -> bool {
        let Self::Name(own) = self else { return false };
        let mut parts = own.split(';').map(str::trim);
        if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(name)) {
            return false;
        }
        let Some(profile) = profile else { return true };
        parts.any(|parameter| match parameter.split_once('=') {
            Some((key, value)) => {
                key.eq_ignore_ascii_case("eat_profile")
                    && value.trim_matches('"').eq_ignore_ascii_case(profile)
            }
            None => false,
        })
    }
}

/// What kind of message a record is: one bit or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indicator(u32);

impl Indicator {
    /// Bit 0.
    pub const REFERENCE_VALUES: Self = Self(1);
    /// Bit 1.
    pub const ENDORSEMENTS: Self = Self(2);
    /// Bit 2.
    pub const EVIDENCE: Self = Self(4);
    /// Bit 3.
    pub const ATTESTATION_RESULTS: Self = Self(8);
    /// Bit 4.
    pub const APPRAISAL_POLICY: Self = Self(16);

    /// Takes bits, at least one of them set.
    //= rats 11.27 (M): an indicator without a bit is refused
    pub fn from_bits(bits: u32) -> Result<Self, Malformed> {
        if bits == 0 { Err(Malformed::Expected("a non-zero indicator")) } else { Ok(Self(bits)) }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all bits of `other` are set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Messages by label.
///
/// ```cddl
/// cbor-collection = { ? "__cmwc_t": ~uri, + (int / tstr) => cbor-CMW }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The type of the collection.
    pub kind: Option<String>,
    entries: BTreeMap<Label, Cmw>,
}

impl Collection {
    /// A collection with its first message: there is at least one.
    pub fn new(label: impl Into<Label>, message: Cmw) -> Self {
        Self { kind: None, entries: BTreeMap::from([(label.into(), message)]) }
    }

    /// Adds a message. The label that names the type of the collection is refused.
    //= rats 11.27 (M): __cmwc_t is not an entry
    pub fn insert(&mut self, label: impl Into<Label>, message: Cmw) -> Result<(), Malformed> {
        let label = label.into();
        if label == Label::from(KIND) {
            return Err(Malformed::Value(label));
        }
        self.entries.insert(label, message);
        Ok(())
    }

    /// The messages by label, one or more.
    pub fn entries(&self) -> &BTreeMap<Label, Cmw> {
        &self.entries
    }

    /// The record under this label.
    pub fn record(&self, label: impl Into<Label>) -> Option<&Record> {
        self.entries.get(&label.into())?.record()
    }

    fn decode(d: &mut Decoder<'_>, depth: u8) -> Result<Self, Malformed> {
        if depth >= DEPTH_MAX {
            return Err(Malformed::TooLarge);
        }
        let count = d.map()?.ok_or(Malformed::Expected("a collection of definite length"))?;
        let (mut kind, mut entries) = (None, BTreeMap::new());
        for _ in 0..count {
            let label = Label::decode(d)?;
            if label == Label::from(KIND) {
                kind = Some(text(d)?);
                continue;
            }
            entries.insert(label, Cmw::decode_at(raw(d)?, depth + 1)?);
            if entries.len() > ENTRIES_MAX {
                return Err(Malformed::TooLarge);
            }
        }
        if entries.is_empty() {
            return Err(Malformed::Expected("a collection of one message or more"));
        }
        Ok(Self { kind, entries })
    }

    fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put_some(KIND, self.kind.as_deref().map(encode_text));
        for (label, message) in &self.entries {
            members.put(label.clone(), message.encode());
        }
        members.encode()
    }
}

/// The tag that stands for a content format (RFC 9277 section 4.3): the range 1668546817 to
/// 1668612095 without the numbers whose last byte is zero.
const fn tag_number(content_format: u16) -> u64 {
    let content_format = content_format as u64;
    TAG_BASE + (content_format / 255) * 256 + content_format % 255
}

fn content_format(tag: u64) -> Option<u16> {
    let offset = tag.checked_sub(TAG_BASE)?;
    let number = u16::try_from(offset / 256 * 255 + offset % 256).ok()?;
    (tag_number(number) == tag && number <= CONTENT_FORMAT_MAX).then_some(number)
}

/// The media type of a wrapper.
pub const MEDIA_TYPE: &str = "application/cmw+cbor";

const KIND: &str = "__cmwc_t";
const TAG_BASE: u64 = 1_668_546_817;
const CONTENT_FORMAT_MAX: u16 = 65_024;
const DEPTH_MAX: u8 = 4;
const ENTRIES_MAX: usize = 64;

#[cfg(test)]
mod tests;
