//! TEEP Agent to the TEE it runs in: one interface for every hardware family.
//!
//! It has what all families offer: evidence over 64 bytes of the caller, a key that only this
//! program on this device gets, a counter, measurement registers, and a description. A family
//! that lacks one of them answers with [`FailureCode::Unsupported`].

use zeroize::ZeroizeOnDrop;

use crate::codec;
use crate::{Failure, FailureCode, Malformed, Message};

/// The length of the caller's data that evidence covers.
pub const REPORT_DATA_BYTES: usize = 64;

/// What the TEEP Agent asks of its TEE.
///
/// ```cddl
/// request = [0, report-data: bstr .size 64]       ; evidence
///         / [1, label: tstr .size (1..128)]       ; sealing key
///         / [2]                                   ; read the counter
///         / [3]                                   ; increment the counter
///         / [4, index: uint, digest: bstr .size (32..64)]
///         / [5, index: uint]
///         / [6]                                   ; describe
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make evidence that covers these bytes.
    Quote {
        /// The caller's data.
        report_data: [u8; REPORT_DATA_BYTES],
    },
    /// Derive a key from device, measurement and label.
    SealingKey {
        /// What the key is for.
        label: String,
    },
    /// Read the counter.
    CounterRead,
    /// Add one to the counter and read it.
    CounterIncrement,
    /// Extend a measurement register.
    Extend {
        /// The register.
        index: u64,
        /// What to extend it with.
        digest: Vec<u8>,
    },
    /// Read a measurement register.
    Read {
        /// The register.
        index: u64,
    },
    /// Ask what the TEE is.
    Describe,
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| {
            match self {
                Self::Quote { report_data } => w.array(2).uint(0).bytes(report_data),
                Self::SealingKey { label } => w.array(2).uint(1).text(label),
                Self::CounterRead => w.array(1).uint(2),
                Self::CounterIncrement => w.array(1).uint(3),
                Self::Extend { index, digest } => w.array(3).uint(4).uint(*index).bytes(digest),
                Self::Read { index } => w.array(2).uint(5).uint(*index),
                Self::Describe => w.array(1).uint(6),
            };
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("request to the TEE")?;
            match kind.kind {
                0 => {
                    kind.fields(1)?;
                    Ok(Self::Quote { report_data: r.bytes_exact("report data")? })
                }
                1 => {
                    kind.fields(1)?;
                    let label = r.text("label", LABEL_BYTES_MAX)?.to_owned();
                    if label.is_empty() {
                        return Err(Malformed::Length { what: "label", got: 0 });
                    }
                    Ok(Self::SealingKey { label })
                }
                2 => kind.fields(0).map(|()| Self::CounterRead),
                3 => kind.fields(0).map(|()| Self::CounterIncrement),
                4 => {
                    kind.fields(2)?;
                    let index = r.uint()?;
                    let digest = r.bytes_up_to("digest", DIGEST_BYTES_MAX)?.to_vec();
                    if digest.len() < DIGEST_BYTES_MIN {
                        return Err(Malformed::Length { what: "digest", got: digest.len() });
                    }
                    Ok(Self::Extend { index, digest })
                }
                5 => {
                    kind.fields(1)?;
                    Ok(Self::Read { index: r.uint()? })
                }
                6 => kind.fields(0).map(|()| Self::Describe),
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// What the TEE answers.
///
/// ```cddl
/// reply = [0, media-type: tstr, evidence: bstr, aux: bstr / null]
///       / [1, key: bstr .size 32]
///       / [2, value: uint, rollable: bool]
///       / [3]                                      ; extended
///       / [4, register: bstr .size (32..64)]
///       / [5, description]
///       / [6, failure]
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Evidence of the hardware.
    Quote(Quote),
    /// The derived key.
    SealingKey(SealingKey),
    /// The value of the counter.
    Counter {
        /// The value.
        value: u64,
        /// Who controls the device's disk can set it back.
        rollable: bool,
    },
    /// The register was extended.
    Extended,
    /// The value of a register.
    Register(Vec<u8>),
    /// What the TEE is.
    Description(Description),
    /// The request was not done.
    Failed(Failure),
}

impl Reply {
    /// Makes the negative reply.
    pub fn failed(code: FailureCode, text: impl Into<String>) -> Self {
        Self::Failed(Failure::new(code, text))
    }
}

impl Message for Reply {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| match self {
            Self::Quote(quote) => {
                w.array(4).uint(0).text(&quote.media_type).bytes(&quote.evidence);
                w.optional(quote.aux.as_deref(), |w, aux| {
                    w.bytes(aux);
                });
            }
            Self::SealingKey(key) => {
                w.array(2).uint(1).bytes(&key.0);
            }
            Self::Counter { value, rollable } => {
                w.array(3).uint(2).uint(*value).boolean(*rollable);
            }
            Self::Extended => {
                w.array(1).uint(3);
            }
            Self::Register(value) => {
                w.array(2).uint(4).bytes(value);
            }
            Self::Description(description) => description.write(w),
            Self::Failed(failure) => failure.write(w.array(3).uint(6)),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("reply of the TEE")?;
            match kind.kind {
                0 => {
                    kind.fields(3)?;
                    let media_type = r.text("media type", NAME_BYTES_MAX)?.to_owned();
                    let evidence = r.bytes_up_to("evidence", EVIDENCE_BYTES_MAX)?.to_vec();
                    let aux = r.optional(|r| r.bytes_up_to("aux", AUX_BYTES_MAX))?;
                    let aux = aux.map(<[u8]>::to_vec);
                    Ok(Self::Quote(Quote { media_type, evidence, aux }))
                }
                1 => {
                    kind.fields(1)?;
                    Ok(Self::SealingKey(SealingKey(r.bytes_exact("sealing key")?)))
                }
                2 => {
                    kind.fields(2)?;
                    Ok(Self::Counter { value: r.uint()?, rollable: r.boolean()? })
                }
                3 => kind.fields(0).map(|()| Self::Extended),
                4 => {
                    kind.fields(1)?;
                    let value = r.bytes_up_to("register", DIGEST_BYTES_MAX)?;
                    if value.len() < DIGEST_BYTES_MIN {
                        return Err(Malformed::Length { what: "register", got: value.len() });
                    }
                    Ok(Self::Register(value.to_vec()))
                }
                5 => {
                    kind.fields(Description::FIELDS)?;
                    Ok(Self::Description(Description::read(r)?))
                }
                6 => {
                    kind.fields(2)?;
                    Ok(Self::Failed(Failure::read(r)?))
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// Evidence of the hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Names the format of the hardware layer in the Agent's evidence.
    pub media_type: String,
    /// The hardware's own bytes.
    pub evidence: Vec<u8>,
    /// Certificates that the hardware gives beside its evidence.
    pub aux: Option<Vec<u8>>,
}

/// A key that only this program on this device gets.
#[derive(ZeroizeOnDrop)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// Wraps key bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Shows the key bytes to the cipher.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for SealingKey {}

/// What the TEE says it is.
///
/// It is the TEE's word to the program inside; who is outside believes the evidence alone.
///
/// ```cddl
/// description = ( family: tstr, hwmodel: bstr, hwversion: tstr, oemid: bstr, ueid: bstr,
///                 interface: tstr )
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The hardware family, for example `SGX`.
    pub family: String,
    /// EAT claim 259.
    pub hwmodel: Vec<u8>,
    /// EAT claim 260.
    pub hwversion: String,
    /// EAT claim 258.
    pub oemid: Vec<u8>,
    /// EAT claim 256.
    pub ueid: Vec<u8>,
    /// How the TEE is reached, for example `emulator`.
    pub interface: String,
}

impl Description {
    const FIELDS: u64 = 6;

    fn write(&self, w: &mut codec::Writer) {
        w.array(Self::FIELDS as usize + 1).uint(5);
        w.text(&self.family).bytes(&self.hwmodel).text(&self.hwversion);
        w.bytes(&self.oemid).bytes(&self.ueid).text(&self.interface);
    }

    fn read(r: &mut codec::Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            family: r.text("family", NAME_BYTES_MAX)?.to_owned(),
            hwmodel: r.bytes_up_to("hwmodel", NAME_BYTES_MAX)?.to_vec(),
            hwversion: r.text("hwversion", NAME_BYTES_MAX)?.to_owned(),
            oemid: r.bytes_up_to("oemid", NAME_BYTES_MAX)?.to_vec(),
            ueid: r.bytes_up_to("ueid", NAME_BYTES_MAX)?.to_vec(),
            interface: r.text("interface", NAME_BYTES_MAX)?.to_owned(),
        })
    }
}

const AUX_BYTES_MAX: usize = 64 * 1024;
const DIGEST_BYTES_MAX: usize = 64;
const DIGEST_BYTES_MIN: usize = 32;
const EVIDENCE_BYTES_MAX: usize = 64 * 1024;
const LABEL_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 128;
