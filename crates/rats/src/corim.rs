//! A subset of CoRIM (draft-ietf-rats-corim): reference values, signed by who provides them.
//!
//! Read are signed files with CoMID tags and their reference triples. Other tags and triples are
//! ignored: they add statements, and none of them is needed here. Anything that *restricts* a
//! reference value and is not known here makes that value match nothing.

mod measurement;
mod signed;

use minicbor::data::{Tag, Type};
use minicbor::decode::Decoder;

pub use measurement::{Digest, Measurement, MeasurementKey, Mismatch, Observed, Svn};
pub use signed::{Expect, Meta};

use crate::label::Label;
use crate::map::{
    Entries, Members, array, bytes, encode, encode_text, encode_uint, list, text, whole,
};
use crate::map::{raw, tuple};
use crate::refusal::{Malformed, Refused, Unsupported, Untrusted};
use crate::time::Timestamp;

/// A manifest of reference values.
///
/// ```cddl
/// corim-map = { 0: id, 1: [ + #6.506(bstr .cbor concise-mid-tag) ], ? 3: profile, ? 4: validity }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corim {
    /// Its identifier.
    pub id: TagId,
    /// Its CoMID tags, one or more.
    pub tags: Vec<Comid>,
    /// Until when its content holds.
    pub validity: Option<Validity>,
}

impl Corim {
    /// The measurements that are stated for an environment of this class.
    pub fn reference_values<'c>(
        &'c self,
        class: &'c Class,
    ) -> impl Iterator<Item = &'c Measurement> {
        self.tags
            .iter()
            .flat_map(|tag| &tag.reference_values)
            .filter(|triple| triple.environment.matches(class))
            .flat_map(|triple| &triple.measurements)
    }

    /// Encodes the tagged map.
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(0, self.id.encode());
        members.put(
            1,
            encode(|e| {
                e.array(self.tags.len() as u64)?;
                for tag in &self.tags {
                    e.tag(Tag::new(TAG_COMID))?.bytes(&tag.encode())?;
                }
                e.ok()
            }),
        );
        members.put_some(4, self.validity.as_ref().map(Validity::encode));
        tagged(TAG_CORIM, &members.encode())
    }

    /// Reads the tagged map. Its times are compared by [`Corim::verify`].
    pub fn decode(encoded: &[u8]) -> Result<Self, Refused> {
        cose::cbor::check(encoded, cose::cbor::Limits::DEFAULT)?;
        let map = whole(encoded, |d| untag(d, TAG_CORIM).and_then(|()| raw(d)))?;
        let mut members = Entries::whole(map)?;
        if members.take_raw(3).is_some() {
            return Err(Unsupported::CorimProfile.into());
        }
        let id = members.require(0, TagId::decode)?;
        let tags = members.require(1, |d| list(d, "one tag or more", decode_tag))?;
        let validity = members.take(4, Validity::decode)?;
        Ok(Self { id, tags: tags.into_iter().flatten().collect(), validity })
    }
}

/// The identifier of a CoRIM or of a tag in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagId {
    /// A text.
    Text(String),
    /// A UUID.
    Uuid([u8; 16]),
}

impl TagId {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.datatype()? {
            Type::String => Ok(Self::Text(text(d)?)),
            Type::Tag => {
                untag(d, TAG_UUID)?;
                Ok(Self::Uuid(array(d, "a UUID")?))
            }
            _ => Ok(Self::Uuid(array(d, "a UUID")?)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Text(id) => encode_text(id),
            Self::Uuid(id) => encode(|e| e.bytes(id)?.ok()),
        }
    }
}

/// From when until when something holds.
///
/// ```cddl
/// validity-map = { ? 0: not-before time, 1: not-after time }      ; time = #6.1(int)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Option<Timestamp>,
    /// The last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// Refuses a time outside.
    //= rats 11.29 (M): an expired CoRIM is refused
    pub fn check(&self, now: Timestamp) -> Result<(), Untrusted> {
        if let Some(iat) = self.not_before
            && now < iat
        {
            return Err(Untrusted::FromTheFuture { iat, now });
        }
        if now > self.not_after {
            return Err(Untrusted::Expired { exp: self.not_after, now });
        }
        Ok(())
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        Ok(Self {
            not_before: members.take(0, |d| tagged_time(d, 0))?,
            not_after: members.require(1, |d| tagged_time(d, 1))?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let time = |time: Timestamp| encode(|e| e.tag(Tag::new(TAG_TIME))?.i64(time.0)?.ok());
        let mut members = Members::default();
        members.put_some(0, self.not_before.map(time));
        members.put(1, time(self.not_after));
        members.encode()
    }
}

/// A CoMID tag with its reference triples.
///
/// ```cddl
/// concise-mid-tag = { 1: { 0: id, ? 1: version uint }, 4: { ? 0: [ + reference-triple ] } }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comid {
    /// Its identifier.
    pub id: TagId,
    /// Its version.
    pub version: u64,
    /// What it says.
    pub reference_values: Vec<ReferenceTriple>,
}

impl Comid {
    fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check(encoded, cose::cbor::Limits::DEFAULT)?;
        let mut members = Entries::whole(encoded)?;
        let (id, version) = members.require(1, |d| {
            let mut identity = Entries::decode(d)?;
            let id = identity.require(0, TagId::decode)?;
            Ok((id, identity.take(1, |d| Ok(d.u64()?))?.unwrap_or(0)))
        })?;
        let reference_values = members.require(4, |d| {
            let mut triples = Entries::decode(d)?;
            triples.take(0, |d| list(d, "one reference triple or more", ReferenceTriple::decode))
        })?;
        Ok(Self { id, version, reference_values: reference_values.unwrap_or_default() })
    }

    fn encode(&self) -> Vec<u8> {
        let mut identity = Members::default();
        identity.put(0, self.id.encode());
        identity.put(1, encode_uint(self.version));
        let mut triples = Members::default();
        if !self.reference_values.is_empty() {
            triples.put(
                0,
                encode(|e| {
                    e.array(self.reference_values.len() as u64)?;
                    for triple in &self.reference_values {
                        e.writer_mut().extend_from_slice(&triple.encode());
                    }
                    e.ok()
                }),
            );
        }
        let mut members = Members::default();
        members.put(1, identity.encode());
        members.put(4, triples.encode());
        members.encode()
    }
}

/// The expected measurements of an environment.
///
/// ```cddl
/// reference-triple = [ environment-map, [ + measurement-map ] ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceTriple {
    /// What is measured.
    pub environment: Environment,
    /// What is expected, one or more.
    pub measurements: Vec<Measurement>,
}

impl ReferenceTriple {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        tuple(d, 2, "an environment and its measurements")?;
        Ok(Self {
            environment: Environment::decode(d)?,
            measurements: list(d, "one measurement or more", Measurement::decode)?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        encode(|e| {
            e.array(2)?;
            e.writer_mut().extend_from_slice(&self.environment.encode());
            e.array(self.measurements.len() as u64)?;
            for measurement in &self.measurements {
                e.writer_mut().extend_from_slice(&measurement.encode());
            }
            e.ok()
        })
    }
}

/// What is measured: a class of environments.
///
/// ```cddl
/// environment-map = { 0: class-map }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its class.
    pub class: Class,
    /// Members that narrow it down and are not known here: it then matches nothing.
    pub restrictions: Vec<i64>,
}

impl Environment {
    /// The environment of a class.
    pub fn of(class: Class) -> Self {
        Self { class, restrictions: Vec::new() }
    }

    /// Whether every stated member of the class is the same in `observed`.
    pub fn matches(&self, observed: &Class) -> bool {
        fn agrees<T: PartialEq>(stated: &Option<T>, observed: &Option<T>) -> bool {
            stated.is_none() || stated == observed
        }
        self.restrictions.is_empty()
            && self.class != Class::default()
            && agrees(&self.class.id, &observed.id)
            && agrees(&self.class.vendor, &observed.vendor)
            && agrees(&self.class.model, &observed.model)
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let class = members.take(0, |d| {
            let mut members = Entries::decode(d)?;
            let class = Class {
                id: members.take(0, ClassId::decode)?,
                vendor: members.take(1, text)?,
                model: members.take(2, text)?,
            };
            Ok((class, restrictions(members)))
        })?;
        let (class, mut narrowed) = class.unwrap_or_default();
        narrowed.extend(restrictions(members));
        Ok(Self { class, restrictions: narrowed })
    }

    fn encode(&self) -> Vec<u8> {
        let mut class = Members::default();
        class.put_some(0, self.class.id.as_ref().map(ClassId::encode));
        class.put_some(1, self.class.vendor.as_deref().map(encode_text));
        class.put_some(2, self.class.model.as_deref().map(encode_text));
        let mut members = Members::default();
        members.put(0, class.encode());
        members.encode()
    }
}

/// A class of environments; what is not stated is not compared.
///
/// ```cddl
/// class-map = { ? 0: class-id, ? 1: vendor tstr, ? 2: model tstr }     ; one or more
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Its identifier.
    pub id: Option<ClassId>,
    /// Who makes it.
    pub vendor: Option<String>,
    /// Which model it is.
    pub model: Option<String>,
}

/// The identifier of a class.
///
/// ```cddl
/// class-id = #6.111(bstr) / #6.37(bstr .size 16) / #6.560(bstr)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassId {
    /// An object identifier, in BER without its head.
    Oid(Vec<u8>),
    /// A UUID.
    Uuid([u8; 16]),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl ClassId {
    /// The identifier of the class that a SUIT component identifier stands for.
    pub fn component(component_id: &[Vec<u8>]) -> Self {
        Self::Bytes(encode(|e| {
            e.array(component_id.len() as u64)?;
            component_id.iter().try_for_each(|part| e.bytes(part)?.ok())
        }))
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.tag()?.as_u64() {
            TAG_OID => Ok(Self::Oid(bytes(d)?)),
            TAG_UUID => Ok(Self::Uuid(array(d, "a UUID")?)),
            TAG_BYTES => Ok(Self::Bytes(bytes(d)?)),
            _ => Err(Malformed::Expected("a class identifier")),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (tag, bytes) = match self {
            Self::Oid(bytes) => (TAG_OID, bytes.as_slice()),
            Self::Uuid(bytes) => (TAG_UUID, bytes.as_slice()),
            Self::Bytes(bytes) => (TAG_BYTES, bytes.as_slice()),
        };
        encode(|e| e.tag(Tag::new(tag))?.bytes(bytes)?.ok())
    }
}

/// Reads a CoMID; other tags (CoSWID, CoTL) are passed over.
fn decode_tag(d: &mut Decoder<'_>) -> Result<Option<Comid>, Malformed> {
    match d.tag()?.as_u64() {
        TAG_COMID => Ok(Some(Comid::decode(d.bytes()?)?)),
        _ => {
            d.skip()?;
            Ok(None)
        }
    }
}

/// The labels of what was not taken; a label that is no number counts as -1.
fn restrictions(members: Entries<'_>) -> Vec<i64> {
    let number = |label: Label| match label {
        Label::Int(number) => number,
        Label::Text(_) => -1,
    };
    members.rest().into_keys().map(number).collect()
}

fn untag(d: &mut Decoder<'_>, tag: u64) -> Result<(), Malformed> {
    if d.tag()?.as_u64() == tag { Ok(()) } else { Err(Malformed::Expected("another CBOR tag")) }
}

fn tagged(tag: u64, item: &[u8]) -> Vec<u8> {
    encode(|e| {
        e.tag(Tag::new(tag))?.writer_mut().extend_from_slice(item);
        e.ok()
    })
}

fn tagged_time(d: &mut Decoder<'_>, label: i64) -> Result<Timestamp, Malformed> {
    untag(d, TAG_TIME)?;
    crate::map::time(d, label)
}

const TAG_TIME: u64 = 1;
const TAG_UUID: u64 = 37;
const TAG_OID: u64 = 111;
const TAG_CORIM: u64 = 501;
const TAG_COMID: u64 = 506;
const TAG_SVN: u64 = 552;
const TAG_MIN_SVN: u64 = 553;
const TAG_BYTES: u64 = 560;

#[cfg(test)]
mod tests;
