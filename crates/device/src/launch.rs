//! The owner of a guest to the host that launches it: AMD SEV and SEV-ES, which attest at launch.
//!
//! What the owner says here the host hands to the platform's firmware, and what the firmware
//! answers it hands back. Nothing of it is secret to the host, and the host can change none of it
//! unseen: the session is sealed to the platform's key, the measurement is a MAC by the owner's.

use crate::codec;
use crate::{Failure, FailureCode, Malformed, Message};

/// What the owner asks of the host, in this order.
///
/// ```cddl
/// request = [0]                                                   ; describe
///         / [1, policy: uint .size 4, certificate: bstr, session: bstr .size 128]
///         / [2, header: bstr .size 52, ciphertext: bstr]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which platform is this?
    Describe,
    /// LAUNCH_START, then whatever the guest consists of, then LAUNCH_MEASURE.
    Start {
        /// The policy of the guest.
        policy: u32,
        /// The certificate of the owner's ephemeral key.
        certificate: Vec<u8>,
        /// Nonce, wrapped keys, IV and MACs.
        session: Box<[u8; 128]>,
    },
    /// LAUNCH_SECRET; then the guest runs.
    Secret {
        /// Flags, IV and MAC.
        header: Box<[u8; 52]>,
        /// The encrypted secret.
        ciphertext: Vec<u8>,
    },
}

/// What the host answers.
///
/// ```cddl
/// reply = [0, ark: bstr, ask: bstr, cek: bstr, oca: bstr, pek: bstr, pdh: bstr]
///       / [1, api-major: uint .size 1, api-minor: uint .size 1, build: uint .size 1,
///          policy: uint .size 4, digest: bstr .size 32, measure: bstr .size 48]
///       / [2]                                      ; the guest runs
///       / [3, failure]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The platform's certificates.
    Platform(Box<[Vec<u8>; 6]>),
    /// What LAUNCH_MEASURE answered, with what it was made from.
    Measured {
        /// API major, API minor, build of the firmware.
        firmware: [u8; 3],
        /// The policy of the guest.
        policy: u32,
        /// The launch digest.
        digest: [u8; 32],
        /// MAC, then the firmware's nonce.
        measure: Box<[u8; 48]>,
    },
    /// The secret was taken, and the guest runs.
    Started,
    /// The request was not done.
    Failed(Failure),
}

impl Reply {
    /// Makes the negative reply.
    pub fn failed(code: FailureCode, text: impl Into<String>) -> Self {
        Self::Failed(Failure::new(code, text))
    }
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| {
            match self {
                Self::Describe => w.array(1).uint(0),
                Self::Start { policy, certificate, session } => {
                    w.array(4).uint(1).uint(u64::from(*policy));
                    w.bytes(certificate).bytes(&session[..])
                }
                Self::Secret { header, ciphertext } => {
                    w.array(3).uint(2).bytes(&header[..]).bytes(ciphertext)
                }
            };
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("request of a guest's owner")?;
            match kind.kind {
                0 => kind.fields(0).map(|()| Self::Describe),
                1 => {
                    kind.fields(3)?;
                    Ok(Self::Start {
                        policy: word(r.uint()?)?,
                        certificate: r.bytes_up_to("certificate", CERTIFICATE_BYTES_MAX)?.to_vec(),
                        session: Box::new(r.bytes_exact("session")?),
                    })
                }
                2 => {
                    kind.fields(2)?;
                    Ok(Self::Secret {
                        header: Box::new(r.bytes_exact("header of a secret")?),
                        ciphertext: r.bytes_up_to("secret", SECRET_BYTES_MAX)?.to_vec(),
                    })
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

impl Message for Reply {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| match self {
            Self::Platform(certificates) => {
                w.array(1 + certificates.len()).uint(0);
                for certificate in certificates.iter() {
                    w.bytes(certificate);
                }
            }
            Self::Measured { firmware, policy, digest, measure } => {
                w.array(7).uint(1);
                for number in firmware {
                    w.uint(u64::from(*number));
                }
                w.uint(u64::from(*policy)).bytes(digest).bytes(&measure[..]);
            }
            Self::Started => {
                w.array(1).uint(2);
            }
            Self::Failed(failure) => {
                w.array(3).uint(3);
                failure.write(w);
            }
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("reply to a guest's owner")?;
            match kind.kind {
                0 => {
                    kind.fields(6)?;
                    let mut certificates: [Vec<u8>; 6] = Default::default();
                    for certificate in &mut certificates {
                        *certificate =
                            r.bytes_up_to("certificate", CERTIFICATE_BYTES_MAX)?.to_vec();
                    }
                    Ok(Self::Platform(Box::new(certificates)))
                }
                1 => {
                    kind.fields(6)?;
                    let firmware = [octet(r.uint()?)?, octet(r.uint()?)?, octet(r.uint()?)?];
                    let policy = word(r.uint()?)?;
                    let digest = r.bytes_exact("launch digest")?;
                    let measure = Box::new(r.bytes_exact("measurement")?);
                    Ok(Self::Measured { firmware, policy, digest, measure })
                }
                2 => kind.fields(0).map(|()| Self::Started),
                3 => {
                    kind.fields(2)?;
                    Ok(Self::Failed(Failure::read(r)?))
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

fn word(number: u64) -> Result<u32, Malformed> {
    number.try_into().map_err(|_| Malformed::Cbor("unsigned integer of four octets"))
}

fn octet(number: u64) -> Result<u8, Malformed> {
    number.try_into().map_err(|_| Malformed::Cbor("unsigned integer of one octet"))
}

const CERTIFICATE_BYTES_MAX: usize = 4096;
/// What OVMF reserves for secrets is a page.
const SECRET_BYTES_MAX: usize = 4096;
