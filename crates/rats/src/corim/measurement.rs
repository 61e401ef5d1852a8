//! One expected measurement, and the rule by which an observed one matches it.

use std::collections::BTreeMap;

use minicbor::data::{Tag, Type};
use minicbor::decode::Decoder;

use super::{TAG_BYTES, TAG_MIN_SVN, TAG_SVN, restrictions, untag};
use crate::eat::Version;
use crate::label::Label;
use crate::map::{Entries, Members, bytes, encode, encode_text, encode_uint, list, text, tuple};
use crate::map::{raw, whole};
use crate::refusal::Malformed;

/// An expected measurement. What is not stated is not compared.
///
/// ```cddl
/// measurement-map = { ? 0: key, 1: { ? 0: { 0: version tstr, ? 1: scheme },
///                     ? 1: uint / #6.552(uint) / #6.553(uint),
///                     ? 2: [ + digest ], ? 4: #6.560(bstr), ? 11: name tstr,
///                     ? 13: [ + #6.560(bstr) ], ? 14: { + register => [ + digest ] } } }
/// register = uint / tstr
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Which element of the environment it is about.
    pub key: Option<MeasurementKey>,
    /// The version.
    pub version: Option<Version>,
    /// The security version number.
    pub svn: Option<Svn>,
    /// Digests, by as many algorithms as the provider likes.
    pub digests: Vec<Digest>,
    /// Bytes that are no digest.
    pub raw: Option<Vec<u8>>,
    /// The name.
    pub name: Option<String>,
    /// Who signed what is measured, by the bytes that name a key.
    pub keys: Vec<Vec<u8>>,
    /// What registers hold, by number or name.
    pub registers: BTreeMap<Label, Vec<Digest>>,
    /// Members that are stated and not known here: nothing matches them.
    pub restrictions: Vec<i64>,
}

impl Measurement {
    /// Compares with what was observed: every stated value must match.
    //= rats 11.29 (M): min-svn not met, or a digest of another algorithm, is no match
    pub fn matches(&self, observed: &Observed) -> Result<(), Mismatch> {
        if let Some(label) = self.restrictions.first() {
            return Err(Mismatch::Unsupported(*label));
        }
        if self.is_empty() {
            return Err(Mismatch::NothingStated);
        }
        if let Some(version) = &self.version
            && observed.version.as_ref() != Some(&version.version)
        {
            return Err(Mismatch::Version);
        }
        match (self.svn, observed.svn) {
            (None, _) => {}
            (Some(Svn::Exact(stated)), Some(svn)) if svn == stated => {}
            (Some(Svn::Min(stated)), Some(svn)) if svn >= stated => {}
            (Some(_), _) => return Err(Mismatch::Svn),
        }
        if let Some(name) = &self.name
            && observed.name.as_ref() != Some(name)
        {
            return Err(Mismatch::Name);
        }
        if let Some(raw) = &self.raw
            && observed.raw.as_ref() != Some(raw)
        {
            return Err(Mismatch::RawValue);
        }
        if !self.keys.iter().all(|key| observed.keys.contains(key)) {
            return Err(Mismatch::Keys);
        }
        for (register, stated) in &self.registers {
            let seen = observed.registers.get(register).ok_or(Mismatch::Register)?;
            digests_match(stated, seen)?;
        }
        if self.digests.is_empty() {
            Ok(())
        } else {
            digests_match(&self.digests, &observed.digests)
        }
    }

    fn is_empty(&self) -> bool {
        self.version.is_none()
            && self.svn.is_none()
            && self.name.is_none()
            && self.digests.is_empty()
            && self.raw.is_none()
            && self.keys.is_empty()
            && self.registers.is_empty()
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let key = members.take(0, MeasurementKey::decode)?;
        let mut measurement = members.require(1, |d| {
            let mut values = Entries::decode(d)?;
            let mut unknown = Vec::new();
            let version = values.take(0, decode_version)?;
            let svn = values.take(1, Svn::decode)?;
            let digests = values.take(2, digests)?.unwrap_or_default();
            let raw = tagged_bytes(&mut values, 4, &mut unknown);
            let name = values.take(11, text)?;
            let keys = key_names(&mut values, &mut unknown);
            let registers = values.take(14, registers)?.unwrap_or_default();
            unknown.extend(restrictions(values));
            let restrictions = unknown;
            Ok(Self { key: None, version, svn, digests, raw, name, keys, registers, restrictions })
        })?;
        measurement.key = key;
        measurement.restrictions.extend(restrictions(members));
        Ok(measurement)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut values = Members::default();
        values.put_some(0, self.version.as_ref().map(encode_version));
        values.put_some(1, self.svn.map(Svn::encode));
        if !self.digests.is_empty() {
            values.put(2, encode_digests(&self.digests));
        }
        values.put_some(4, self.raw.as_deref().map(encode_tagged_bytes));
        values.put_some(11, self.name.as_deref().map(encode_text));
        if !self.keys.is_empty() {
            let keys = self.keys.iter().map(|key| encode_tagged_bytes(key)).collect::<Vec<_>>();
            values.put(
                KEYS,
                encode(|e| {
                    e.array(keys.len() as u64)?.writer_mut().extend_from_slice(&keys.concat());
                    e.ok()
                }),
            );
        }
        if !self.registers.is_empty() {
            let mut registers = Members::default();
            for (register, digests) in &self.registers {
                registers.put(register.clone(), encode_digests(digests));
            }
            values.put(14, registers.encode());
        }
        let mut members = Members::default();
        members.put_some(0, self.key.as_ref().map(MeasurementKey::encode));
        members.put(1, values.encode());
        members.encode()
    }
}

/// What a Verifier saw in Evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The version.
    pub version: Option<String>,
    /// The security version number.
    pub svn: Option<u64>,
    /// Digests.
    pub digests: Vec<Digest>,
    /// Bytes that are no digest.
    pub raw: Option<Vec<u8>>,
    /// The name.
    pub name: Option<String>,
    /// Who signed what was measured.
    pub keys: Vec<Vec<u8>>,
    /// What registers hold.
    pub registers: BTreeMap<Label, Vec<Digest>>,
}

/// Why an observed measurement is not the expected one.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another version, or none.
    #[error("the version is another one")]
    Version,
    /// A security version number that is too low, another one, or none.
    #[error("the security version number is not sufficient")]
    Svn,
    /// Another digest by an algorithm that both have.
    #[error("a digest is another one")]
    Digest,
    /// No algorithm that both have.
    #[error("no digest algorithm in common")]
    NoCommonAlgorithm,
    /// Another name, or none.
    #[error("the name is another one")]
    Name,
    /// Other bytes, or none.
    #[error("the raw value is another one")]
    RawValue,
    /// Signed by another key, or by none.
    #[error("it is signed by another key")]
    Keys,
    /// A register that is stated was not observed.
    #[error("a register was not observed")]
    Register,
    /// The reference value states nothing.
    #[error("the reference value states nothing")]
    NothingStated,
    /// The reference value states something that is not known here.
    #[error("the reference value states member {0}, which is not compared here")]
    Unsupported(i64),
}

/// Which element of an environment a measurement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementKey {
    /// A number, such as that of a register.
    Uint(u64),
    /// A name.
    Text(String),
}

impl MeasurementKey {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.datatype()? {
            Type::String => Ok(Self::Text(text(d)?)),
            _ => Ok(Self::Uint(d.u64().map_err(|_| Malformed::Expected("a measurement key"))?)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Uint(number) => encode_uint(*number),
            Self::Text(name) => encode_text(name),
        }
    }
}

/// An expected security version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Svn {
    /// Exactly this one (bare or tag 552).
    Exact(u64),
    /// This one or a higher one (tag 553).
    Min(u64),
}

impl Svn {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        if d.datatype()? != Type::Tag {
            return Ok(Self::Exact(d.u64()?));
        }
        match d.tag()?.as_u64() {
            TAG_SVN => Ok(Self::Exact(d.u64()?)),
            TAG_MIN_SVN => Ok(Self::Min(d.u64()?)),
            _ => Err(Malformed::Expected("a security version number")),
        }
    }

    fn encode(self) -> Vec<u8> {
        let (tag, number) = match self {
            Self::Exact(number) => (TAG_SVN, number),
            Self::Min(number) => (TAG_MIN_SVN, number),
        };
        encode(|e| e.tag(Tag::new(tag))?.u64(number)?.ok())
    }
}

/// A digest by an algorithm of the Named Information registry.
///
/// ```cddl
/// digest = [ alg: int / tstr, val: bstr ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The algorithm.
    pub algorithm: Label,
    /// The value.
    pub value: Vec<u8>,
}

impl Digest {
    /// A SHA-256 digest.
    pub fn sha256(value: [u8; 32]) -> Self {
        Self { algorithm: Label::Int(SHA_256), value: value.to_vec() }
    }

    /// A SHA-384 digest.
    pub fn sha384(value: [u8; 48]) -> Self {
        Self { algorithm: Label::Int(SHA_384), value: value.to_vec() }
    }

    /// A SHA-512 digest.
    pub fn sha512(value: [u8; 64]) -> Self {
        Self { algorithm: Label::Int(SHA_512), value: value.to_vec() }
    }

    /// A digest by the algorithm of the SHA-2 family whose digests are as long.
    pub fn by_length(value: &[u8]) -> Option<Self> {
        let algorithm = match value.len() {
            32 => SHA_256,
            48 => SHA_384,
            64 => SHA_512,
            _ => return None,
        };
        Some(Self { algorithm: Label::Int(algorithm), value: value.to_vec() })
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        tuple(d, 2, "a digest of two elements")?;
        let digest = Self { algorithm: Label::decode(d)?, value: bytes(d)? };
        let length = match digest.algorithm {
            Label::Int(SHA_256) => 32,
            Label::Int(SHA_384) => 48,
            Label::Int(SHA_512) => 64,
            Label::Int(_) | Label::Text(_) => return Ok(digest),
        };
        if digest.value.len() == length { Ok(digest) } else { Err(Malformed::Value(2.into())) }
    }
}

/// Any common algorithm agrees, and none disagrees.
fn digests_match(stated: &[Digest], observed: &[Digest]) -> Result<(), Mismatch> {
    let mut agreed = false;
    for stated in stated {
        for digest in observed.iter().filter(|digest| digest.algorithm == stated.algorithm) {
            if !cose::equal(&digest.value, &stated.value) {
                return Err(Mismatch::Digest);
            }
            agreed = true;
        }
    }
    if agreed { Ok(()) } else { Err(Mismatch::NoCommonAlgorithm) }
}

fn digests(d: &mut Decoder<'_>) -> Result<Vec<Digest>, Malformed> {
    list(d, "one digest or more", Digest::decode)
}

fn encode_digests(digests: &[Digest]) -> Vec<u8> {
    encode(|e| {
        e.array(digests.len() as u64)?;
        for digest in digests {
            e.array(2)?.writer_mut().extend_from_slice(&digest.algorithm.encode());
            e.bytes(&digest.value)?;
        }
        e.ok()
    })
}

/// What each register holds.
fn registers(d: &mut Decoder<'_>) -> Result<BTreeMap<Label, Vec<Digest>>, Malformed> {
    let entries = Entries::decode(d)?.rest().into_iter();
    let registers = entries.map(|(register, held)| Ok((register, whole(&held, digests)?)));
    let registers = registers.collect::<Result<BTreeMap<_, _>, Malformed>>()?;
    if registers.is_empty() {
        Err(Malformed::Expected("one register or more"))
    } else {
        Ok(registers)
    }
}

/// A member that is tagged bytes; of another type, such as masked bytes, it is not compared here.
fn tagged_bytes(values: &mut Entries<'_>, label: i64, unknown: &mut Vec<i64>) -> Option<Vec<u8>> {
    let member = values.take_raw(label)?;
    let read = whole(member, decode_tagged_bytes).ok();
    if read.is_none() {
        unknown.push(label);
    }
    read
}

/// Keys that are named by bytes; other forms of keys are not compared here.
fn key_names(values: &mut Entries<'_>, unknown: &mut Vec<i64>) -> Vec<Vec<u8>> {
    let Some(member) = values.take_raw(KEYS) else { return Vec::new() };
    let read =
        whole(member, |d| list(d, "one key or more", |d| whole(raw(d)?, decode_tagged_bytes)));
    read.unwrap_or_else(|_| {
        unknown.push(KEYS);
        Vec::new()
    })
}

fn decode_tagged_bytes(d: &mut Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    untag(d, TAG_BYTES)?;
    bytes(d)
}

fn encode_tagged_bytes(value: &[u8]) -> Vec<u8> {
    encode(|e| e.tag(Tag::new(TAG_BYTES))?.bytes(value)?.ok())
}

fn decode_version(d: &mut Decoder<'_>) -> Result<Version, Malformed> {
    let mut members = Entries::decode(d)?;
    Ok(Version { version: members.require(0, text)?, scheme: members.take(1, Label::decode)? })
}

fn encode_version(version: &Version) -> Vec<u8> {
    let mut members = Members::default();
    members.put(0, encode_text(&version.version));
    members.put_some(1, version.scheme.as_ref().map(Label::encode));
    members.encode()
}

const KEYS: i64 = 13;
const SHA_256: i64 = 1;
const SHA_384: i64 = 7;
const SHA_512: i64 = 8;
