//! COSE header parameters (RFC 9052 section 3.1, RFC 9360, RFC 9528 section 3.5.3).

use std::collections::BTreeMap;

use crate::algorithm::Algorithm;
use crate::cbor::{self, Decoder, Limits, Malformed, MapWriter, Type, Written};
use crate::key::{Key, is_integer};
use crate::verified::Untrusted;

/// One header bucket.
///
/// ```cddl
/// header_map = { ? 1 => int, ? 2 => [+label], ? 3 => tstr / uint, ? 4 => bstr, ? 5 => bstr,
///                ? 14 => CCS, ? 33 => bstr / [2* bstr], * label => any }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Label 1, `alg`.
    pub algorithm: Option<Algorithm>,
    /// Label 2, `crit`: allowed in the protected bucket only.
    pub critical: Vec<Label>,
    /// Label 3, the content type of the payload.
    pub content_type: Option<ContentType>,
    /// Label 4, the key identifier.
    pub kid: Option<Vec<u8>>,
    /// Label 5, the full initialization vector.
    pub iv: Option<Vec<u8>>,
    /// Label 14, `kccs`: the key in an unsigned CWT Claims Set `{ 8: { 1: COSE_Key } }`. It says
    /// nothing about whom the key belongs to.
    pub kccs: Option<Key>,
    /// Label 33, `x5chain`: DER certificates, the signer's first.
    pub x5chain: Vec<Vec<u8>>,
    /// Parameters with any other integer label, still encoded.
    pub other: BTreeMap<i64, Vec<u8>>,
    /// Parameters with a text label, still encoded.
    pub other_text: BTreeMap<String, Vec<u8>>,
}

/// The label of a header parameter.
///
/// ```cddl
/// label = int / tstr
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A registered or private number.
    Int(i64),
    /// A text.
    Text(String),
}

/// The content type of a payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentType {
    /// A CoAP Content-Format number.
    Format(u64),
    /// A media type.
    Media(String),
}

impl Header {
    /// Reads the content of the protected bucket's byte string: nothing, or one map.
    pub(crate) fn decode_protected(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        cbor::check(bytes, Limits::DEFAULT)?;
        cbor::whole(bytes, |d| {
            let header = Self::read_map(d)?;
            // RFC 9052 section 3.1: a label in crit must be in the protected bucket itself
            if !header.critical.iter().all(|label| header.has(label)) {
                return Err(Malformed::Expected("the parameters that crit lists"));
            }
            Ok(header)
        })
    }

    /// Reads the unprotected bucket from input that passed [`cbor::check`].
    pub(crate) fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let header = Self::read_map(d)?;
        if !header.critical.is_empty() {
            return Err(Malformed::Expected("crit in the protected header only"));
        }
        Ok(header)
    }

    fn read_map(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut header = Self::default();
        let length = d.map().map_err(|_| Malformed::Expected("a header map"))?;
        let mut read = 0;
        while cbor::more(d, length, read)? {
            header.read_parameter(d)?;
            read += 1;
        }
        // RFC 9052 section 3.1: IV and Partial IV must not both be there
        if header.iv.is_some() && header.other.contains_key(&label::PARTIAL_IV) {
            return Err(Malformed::Expected("either IV or Partial IV"));
        }
        Ok(header)
    }

    fn read_parameter(&mut self, d: &mut Decoder<'_>) -> Result<(), Malformed> {
        let number = match Label::read(d)? {
            Label::Int(number) => number,
            Label::Text(text) => {
                self.other_text.insert(text, cbor::item(d)?.to_vec());
                return Ok(());
            }
        };
        match number {
            label::ALG if is_integer(d.datatype()?) => {
                self.algorithm = Some(Algorithm::from_id(d.i64()?));
            }
            label::ALG => return Err(Malformed::Expected("a registered algorithm")),
            label::CRIT => self.critical = list(d, Label::read)?,
            label::CONTENT_TYPE => self.content_type = Some(ContentType::read(d)?),
            label::KID => self.kid = Some(d.bytes()?.to_vec()),
            label::IV => self.iv = Some(d.bytes()?.to_vec()),
            label::KCCS => self.kccs = Some(read_kccs(d)?),
            label::X5CHAIN => self.x5chain = read_x5chain(d)?,
            other => {
                self.other.insert(other, cbor::item(d)?.to_vec());
            }
        }
        Ok(())
    }

    /// The deterministic encoding of the map.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        if let Some(algorithm) = self.algorithm {
            map.put(label::ALG, |e| e.i64(algorithm.id())?.ok());
        }
        if !self.critical.is_empty() {
            map.put(label::CRIT, |e| {
                e.array(self.critical.len() as u64)?;
                self.critical.iter().try_for_each(|label| label.write(e))
            });
        }
        match &self.content_type {
            Some(ContentType::Format(number)) => {
                map.put(label::CONTENT_TYPE, |e| e.u64(*number)?.ok());
            }
            Some(ContentType::Media(name)) => map.put(label::CONTENT_TYPE, |e| e.str(name)?.ok()),
            None => {}
        }
        for (label, value) in [(label::KID, &self.kid), (label::IV, &self.iv)] {
            if let Some(value) = value {
                map.put(label, |e| e.bytes(value)?.ok());
            }
        }
        if let Some(key) = &self.kccs {
            map.put_encoded(label::KCCS, encode_kccs(key));
        }
        match self.x5chain.as_slice() {
            [] => {}
            [certificate] => map.put(label::X5CHAIN, |e| e.bytes(certificate)?.ok()),
            chain => map.put(label::X5CHAIN, |e| {
                e.array(chain.len() as u64)?;
                chain.iter().try_for_each(|certificate| e.bytes(certificate)?.ok())
            }),
        }
        for (label, value) in &self.other {
            map.put_encoded(*label, value.clone());
        }
        for (label, value) in &self.other_text {
            map.put_text(label, value.clone());
        }
        map.finish()
    }

    /// The content of the protected bucket's byte string: empty for an empty map.
    pub(crate) fn encode_protected(&self) -> Vec<u8> {
        if self.is_empty() { Vec::new() } else { self.encode() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.labels().any(|label| other.has(&label))
    }

    /// Drops every parameter that the other bucket has.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for label in other.labels() {
            match label {
                Label::Int(label::ALG) => self.algorithm = None,
                Label::Int(label::CRIT) => self.critical.clear(),
                Label::Int(label::CONTENT_TYPE) => self.content_type = None,
                Label::Int(label::KID) => self.kid = None,
                Label::Int(label::IV) => self.iv = None,
                Label::Int(label::KCCS) => self.kccs = None,
                Label::Int(label::X5CHAIN) => self.x5chain.clear(),
                Label::Int(number) => {
                    self.other.remove(&number);
                }
                Label::Text(text) => {
                    self.other_text.remove(&text);
                }
            }
        }
        self
    }

    /// Refuses critical parameters other than those read into a field of this type.
    //= teep 14.3 (M): an unknown critical header parameter is refused
    pub(crate) fn check_critical(&self) -> Result<(), Untrusted> {
        for label in &self.critical {
            match label {
                Label::Int(number) if label::KNOWN.contains(number) => {}
                Label::Int(number) => return Err(Untrusted::CriticalHeader(*number)),
                Label::Text(text) => return Err(Untrusted::CriticalText(text.clone())),
            }
        }
        Ok(())
    }

    fn has(&self, label: &Label) -> bool {
        match label {
            Label::Int(label::ALG) => self.algorithm.is_some(),
            Label::Int(label::CRIT) => !self.critical.is_empty(),
            Label::Int(label::CONTENT_TYPE) => self.content_type.is_some(),
            Label::Int(label::KID) => self.kid.is_some(),
            Label::Int(label::IV) => self.iv.is_some(),
            Label::Int(label::KCCS) => self.kccs.is_some(),
            Label::Int(label::X5CHAIN) => !self.x5chain.is_empty(),
            Label::Int(number) => self.other.contains_key(number),
            Label::Text(text) => self.other_text.contains_key(text),
        }
    }

    fn labels(&self) -> impl Iterator<Item = Label> {
        let known = label::KNOWN.into_iter().map(Label::Int).filter(|label| self.has(label));
        let numbers = self.other.keys().copied().map(Label::Int);
        known.chain(numbers).chain(self.other_text.keys().cloned().map(Label::Text))
    }
}

impl Label {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let kind = d.datatype()?;
        if is_integer(kind) {
            return Ok(Self::Int(d.i64()?));
        }
        if kind == Type::String {
            return Ok(Self::Text(d.str()?.to_owned()));
        }
        Err(Malformed::Expected("a header label"))
    }

    fn write(&self, e: &mut cbor::Encoder<Vec<u8>>) -> Written {
        match self {
            Self::Int(number) => e.i64(*number)?.ok(),
            Self::Text(text) => e.str(text)?.ok(),
        }
    }
}

impl ContentType {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        if d.datatype()? == Type::String {
            return Ok(Self::Media(d.str()?.to_owned()));
        }
        Ok(Self::Format(d.u64().map_err(|_| Malformed::Expected("a content type"))?))
    }
}

impl From<&str> for ContentType {
    fn from(media: &str) -> Self {
        Self::Media(media.to_owned())
    }
}

/// Reads a CWT Claims Set for the key of its `cnf` claim; the other claims are unsigned talk.
///
/// ```cddl
/// CCS = { 8 => { 1 => COSE_Key, * any => any }, * any => any }
/// ```
fn read_kccs(d: &mut Decoder<'_>) -> Result<Key, Malformed> {
    find(d, CNF, |d| find(d, COSE_KEY, Key::read))
}

/// Reads a map for the value of one integer key.
fn find<'b, T>(
    d: &mut Decoder<'b>,
    wanted: i64,
    mut read: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut found = None;
    let length = d.map().map_err(|_| KCCS_EXPECTED)?;
    let mut seen = 0;
    while cbor::more(d, length, seen)? {
        seen += 1;
        if is_integer(d.datatype()?) && d.probe().i64().is_ok_and(|key| key == wanted) {
            d.skip()?;
            found = Some(read(d)?);
        } else {
            d.skip()?;
            d.skip()?;
        }
    }
    found.ok_or(KCCS_EXPECTED)
}

fn encode_kccs(key: &Key) -> Vec<u8> {
    let mut cnf = MapWriter::new();
    cnf.put_encoded(COSE_KEY, key.encode());
    let mut claims = MapWriter::new();
    claims.put_encoded(CNF, cnf.finish());
    claims.finish()
}

fn read_x5chain(d: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    if d.datatype()? == Type::Bytes {
        return Ok(vec![d.bytes()?.to_vec()]);
    }
    let chain = list(d, |d| Ok(d.bytes()?.to_vec()))?;
    if chain.len() < 2 {
        return Err(Malformed::Expected("a certificate, or an array of two or more"));
    }
    Ok(chain)
}

fn list<'b, T>(
    d: &mut Decoder<'b>,
    read: impl Fn(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut elements = Vec::new();
    let length = d.array()?;
    while cbor::more(d, length, elements.len())? {
        elements.push(read(d)?);
    }
    if elements.is_empty() {
        return Err(Malformed::Expected("one element or more"));
    }
    Ok(elements)
}

const KCCS_EXPECTED: Malformed = Malformed::Expected("a CWT Claims Set with a COSE_Key in cnf");
/// CWT claim `cnf` and its member `COSE_Key` (RFC 8747).
const CNF: i64 = 8;
const COSE_KEY: i64 = 1;

/// IANA registry "COSE Header Parameters".
pub(crate) mod label {
    pub(crate) const ALG: i64 = 1;
    pub(crate) const CRIT: i64 = 2;
    pub(crate) const CONTENT_TYPE: i64 = 3;
    pub(crate) const KID: i64 = 4;
    pub(crate) const IV: i64 = 5;
    pub(crate) const PARTIAL_IV: i64 = 6;
    pub(crate) const KCCS: i64 = 14;
    pub(crate) const X5CHAIN: i64 = 33;

    pub(crate) const KNOWN: [i64; 7] = [ALG, CRIT, CONTENT_TYPE, KID, IV, KCCS, X5CHAIN];
}
