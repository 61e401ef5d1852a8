//! Claims that carry documents of other formats: manifests, measurements and their results.

use minicbor::decode::Decoder;

use crate::label::{Label, claim};
use crate::map::{bytes, encode, list, text, tuple};
use crate::refusal::Malformed;

/// A document with its CoAP content format (RFC 9711 sections 4.2.15 and 4.2.16).
///
/// ```cddl
/// manifest-format = [ content-type: uint, content-format: bstr ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its CoAP content format.
    pub content_format: u16,
    /// The document.
    pub content: Vec<u8>,
}

impl Manifest {
    /// A reference to a SUIT manifest, as the TEEP profile wants it in `manifests`.
    ///
    /// ```cddl
    /// SUIT_Reference = [ uri: tstr, digest: [ -16, bstr .size 32 ] ]
    /// ```
    pub fn suit_reference(content_format: u16, uri: &str, sha256: &[u8; 32]) -> Self {
        let content = encode(|e| e.array(2)?.str(uri)?.array(2)?.i8(SHA_256)?.bytes(sha256)?.ok());
        Self { content_format, content }
    }

    pub(crate) fn decode_list(d: &mut Decoder<'_>) -> Result<Vec<Self>, Malformed> {
        list(d, "one document or more", |d| {
            tuple(d, 2, "a content format and a byte string")?;
            Ok(Self { content_format: d.u16()?, content: bytes(d)? })
        })
    }

    pub(crate) fn encode_list(manifests: &[Self]) -> Option<Vec<u8>> {
        let encoded = encode(|e| {
            e.array(manifests.len() as u64)?;
            for manifest in manifests {
                e.array(2)?.u16(manifest.content_format)?.bytes(&manifest.content)?;
            }
            e.ok()
        });
        (!manifests.is_empty()).then_some(encoded)
    }
}

/// The results of one measurement system (RFC 9711 section 4.2.17).
///
/// ```cddl
/// measurement-results-group = [ measurement-system: tstr,
///                               [ + [ result-id: tstr / bstr, result ] ] ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementResults {
    /// What measured.
    pub system: String,
    /// The result of each thing that was measured.
    pub results: Vec<(ResultId, MeasurementResult)>,
}

/// What one measurement result is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultId {
    /// A name.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The outcome of a comparison that the attester made itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasurementResult {
    /// 1: as expected.
    Success,
    /// 2: not as expected.
    Fail,
    /// 3: not compared.
    NotRun,
    /// 4: not there.
    Absent,
}

impl MeasurementResult {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 1,
            Self::Fail => 2,
            Self::NotRun => 3,
            Self::Absent => 4,
        }
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.i64()? {
            1 => Ok(Self::Success),
            2 => Ok(Self::Fail),
            3 => Ok(Self::NotRun),
            4 => Ok(Self::Absent),
            _ => Err(Malformed::Value(claim::MEASRES.into())),
        }
    }
}

impl MeasurementResults {
    pub(crate) fn decode_list(d: &mut Decoder<'_>) -> Result<Vec<Self>, Malformed> {
        list(d, "one group of results or more", |d| {
            tuple(d, 2, "a measurement system and its results")?;
            let system = text(d)?;
            let results = list(d, "one result or more", |d| {
                tuple(d, 2, "an identifier and a result")?;
                let id = match d.datatype()? {
                    minicbor::data::Type::Bytes => ResultId::Bytes(bytes(d)?),
                    _ => ResultId::Text(text(d)?),
                };
                Ok((id, MeasurementResult::decode(d)?))
            })?;
            Ok(Self { system, results })
        })
    }

    pub(crate) fn encode_list(groups: &[Self]) -> Option<Vec<u8>> {
        let encoded = encode(|e| {
            e.array(groups.len() as u64)?;
            for group in groups {
                e.array(2)?.str(&group.system)?.array(group.results.len() as u64)?;
                for (id, result) in &group.results {
                    e.array(2)?;
                    match id {
                        ResultId::Text(id) => e.str(id)?,
                        ResultId::Bytes(id) => e.bytes(id)?,
                    };
                    e.u8(result.code())?;
                }
            }
            e.ok()
        });
        (!groups.is_empty()).then_some(encoded)
    }
}

/// A digital letter of approval (RFC 9711 section 4.2.14).
///
/// ```cddl
/// dloa-type = [ dloa_registrar: ~uri, dloa_platform_label: text, ? dloa_application_label: text ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dloa {
    /// Where the letter is registered.
    pub registrar: String,
    /// The platform that it approves.
    pub platform: String,
    /// The application that it approves.
    pub application: Option<String>,
}

impl Dloa {
    pub(crate) fn decode_list(d: &mut Decoder<'_>) -> Result<Vec<Self>, Malformed> {
        list(d, "one letter of approval or more", |d| {
            let count = d.array()?;
            if !matches!(count, Some(2 | 3)) {
                return Err(Malformed::Value(Label::Int(claim::DLOAS)));
            }
            let (registrar, platform) = (text(d)?, text(d)?);
            let application = if count == Some(3) { Some(text(d)?) } else { None };
            Ok(Self { registrar, platform, application })
        })
    }

    pub(crate) fn encode_list(letters: &[Self]) -> Option<Vec<u8>> {
        let encoded = encode(|e| {
            e.array(letters.len() as u64)?;
            for letter in letters {
                e.array(2 + u64::from(letter.application.is_some()))?;
                e.str(&letter.registrar)?.str(&letter.platform)?;
                if let Some(application) = &letter.application {
                    e.str(application)?;
                }
            }
            e.ok()
        });
        (!letters.is_empty()).then_some(encoded)
    }
}

const SHA_256: i8 = -16;
