//! What the agent and its worker say to each other over their socket pair.
//!
//! Strictly one request, then one reply, each a CBOR array in a frame of [`device::frame`]. The
//! worker may have been taken over by what runs in it, so the agent reads replies with the same
//! care as anything from outside.

use channel::receipt::Receipt;
use channel::release::Digests;
use cose::Key;
use device::{Malformed, Message};
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

/// What the agent asks of a worker.
///
/// ```cddl
/// request = [0, owner: bstr .size 32, manifest: bstr .size 32, memory: uint, ms: uint,
///            module: bstr]                               ; load
///         / [1]                                          ; new receiver
///         / [2, receiver: bstr .size 32, eat: bstr .size 32]
///         / [3, release: bstr]
///         / [4, request: bstr]
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Compile and start a Trusted Application; the first request, and once only.
    Load(Load),
    /// Make a receiver key for one exchange.
    NewReceiver,
    /// The evidence with this digest names this receiver.
    Bind { receiver: [u8; 32], eat_digest: [u8; 32] },
    /// Open a release of Personalization Data and hand it to the application.
    Open { release: Vec<u8> },
    /// Open a request of a caller, let the application answer, and seal the answer.
    Call { request: Vec<u8> },
}

/// A Trusted Application and what is known of it from its verified manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Who signed the manifest.
    pub(super) owner: [u8; 32],
    /// SHA-256 of the manifest.
    pub(super) manifest_digest: [u8; 32],
    /// Bytes of linear memory.
    pub(super) memory_bytes_max: u64,
    /// Milliseconds for one call.
    pub(super) call_ms_max: u64,
    /// The component.
    pub(super) module: Vec<u8>,
}

/// What a worker answers.
///
/// ```cddl
/// reply = [0, [* tstr]]                              ; ready, and what is enforced
///       / [1, service-key: bstr .cbor COSE_Key]      ; loaded
///       / [2, receiver: bstr .cbor COSE_Key]
///       / [3]                                        ; bound
///       / [4, deployment: tstr, eat, enc, ciphertext]  ; opened
///       / [5, answer: bstr]
///       / [6, refusal: uint]
///       / [7, fault: uint]                           ; the last reply of a worker
/// eat = enc = ciphertext = bstr .size 32
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Sent once, before the first request.
    Ready {
        enforced: Vec<String>,
    },
    Loaded {
        service_key: Key,
    },
    Receiver {
        key: Key,
    },
    Bound,
    Opened(Receipt),
    Answer(Vec<u8>),
    Refused(Refusal),
    Faulted(FaultCode),
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
        pub enum $name {
            $($(#[$doc])* #[error($text)] $variant,)*
        }

        impl $name {
            const fn code(self) -> u64 {
                match self { $(Self::$variant => $code,)* }
            }

            const fn from_code(code: u64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// Why a worker did not do what was asked; it goes on.
    Refusal {
        /// No exchange is open that it could be for.
        NoReceiver = 0, "no exchange with this application is open";
        /// The container is not what the channel defines.
        Malformed = 1, "the container is malformed";
        /// Signed by somebody else, or for other evidence than names an open receiver.
        NotOwner = 2, "the owner did not sign the release for evidence of an open exchange";
        /// The content does not open with the key of the receiver.
        NotOpened = 3, "the container does not open here";
        /// The content is larger than what is taken.
        TooLarge = 4, "the content is too large";
        /// The caller is not one of those whom the owner named.
        NotCaller = 5, "the owner did not name this caller";
        /// The request was served before.
        Replay = 6, "the request is a replay";
        /// No Personalization Data was released yet.
        AwaitingRelease = 7, "the application awaits a release";
        /// The application itself refused; why stays in the TEE.
        Application = 8, "the application refused";
        /// The request does not fit the state of the worker.
        Misuse = 9, "the request does not fit the state of the worker";
    }
}

codes! {
    /// Why a worker has ended.
    FaultCode {
        /// The bytes are not a component that the engine can compile.
        NotAComponent = 0, "the module is not a usable component";
        /// The component imports something.
        Imports = 1, "the component imports something";
        /// The component lacks the exports of a Trusted Application.
        Exports = 2, "the component lacks the exports of a Trusted Application";
        /// The component could not be started within its limits.
        NotStarted = 3, "the component could not be started within its limits";
        /// A call took too long.
        Deadline = 4, "a call took longer than allowed";
        /// The component trapped.
        Trapped = 5, "the component trapped";
        /// The worker itself could not make a key or read a frame.
        Worker = 6, "the worker failed";
    }
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        encode(|e| {
            match self {
                Self::Load(load) => e
                    .array(6)?
                    .u8(0)?
                    .bytes(&load.owner)?
                    .bytes(&load.manifest_digest)?
                    .u64(load.memory_bytes_max)?
                    .u64(load.call_ms_max)?
                    .bytes(&load.module)?,
                Self::NewReceiver => e.array(1)?.u8(1)?,
                Self::Bind { receiver, eat_digest } => {
                    e.array(3)?.u8(2)?.bytes(receiver)?.bytes(eat_digest)?
                }
                Self::Open { release } => e.array(2)?.u8(3)?.bytes(release)?,
                Self::Call { request } => e.array(2)?.u8(4)?.bytes(request)?,
            };
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes, |d, kind, arity| match (kind, arity) {
            (0, 6) => Ok(Self::Load(Load {
                owner: exact(d, "owner")?,
                manifest_digest: exact(d, "digest")?,
                memory_bytes_max: d.u64().map_err(|_| Malformed::Cbor("number"))?,
                call_ms_max: d.u64().map_err(|_| Malformed::Cbor("number"))?,
                module: byte_string(d)?,
            })),
            (1, 1) => Ok(Self::NewReceiver),
            (2, 3) => {
                Ok(Self::Bind { receiver: exact(d, "receiver")?, eat_digest: exact(d, "digest")? })
            }
            (3, 2) => Ok(Self::Open { release: byte_string(d)? }),
            (4, 2) => Ok(Self::Call { request: byte_string(d)? }),
            _ => Err(Malformed::Unknown { what: "request to a worker", value: kind }),
        })
    }
}

impl Message for Reply {
    fn encode(&self) -> Vec<u8> {
        encode(|e| {
            match self {
                Self::Ready { enforced } => {
                    e.array(2)?.u8(0)?.array(enforced.len() as u64)?;
                    for name in enforced {
                        e.str(name)?;
                    }
                    e
                }
                Self::Loaded { service_key } => e.array(2)?.u8(1)?.bytes(&service_key.encode())?,
                Self::Receiver { key } => e.array(2)?.u8(2)?.bytes(&key.encode())?,
                Self::Bound => e.array(1)?.u8(3)?,
                Self::Opened(Receipt { deployment, eat_digest, digests }) => e
                    .array(5)?
                    .u8(4)?
                    .str(deployment)?
                    .bytes(eat_digest)?
                    .bytes(&digests.enc)?
                    .bytes(&digests.ciphertext)?,
                Self::Answer(answer) => e.array(2)?.u8(5)?.bytes(answer)?,
                Self::Refused(refusal) => e.array(2)?.u8(6)?.u64(refusal.code())?,
                Self::Faulted(fault) => e.array(2)?.u8(7)?.u64(fault.code())?,
            };
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes, |d, kind, arity| match (kind, arity) {
            (0, 2) => Ok(Self::Ready { enforced: names(d)? }),
            (1, 2) => Ok(Self::Loaded { service_key: key(d)? }),
            (2, 2) => Ok(Self::Receiver { key: key(d)? }),
            (3, 1) => Ok(Self::Bound),
            (4, 5) => Ok(Self::Opened(Receipt {
                deployment: d.str().map_err(|_| Malformed::Cbor("text"))?.to_owned(),
                eat_digest: exact(d, "digest")?,
                digests: Digests { enc: exact(d, "digest")?, ciphertext: exact(d, "digest")? },
            })),
            (5, 2) => Ok(Self::Answer(byte_string(d)?)),
            (6, 2) => code(d, Refusal::from_code).map(Self::Refused),
            (7, 2) => code(d, FaultCode::from_code).map(Self::Faulted),
            _ => Err(Malformed::Unknown { what: "reply of a worker", value: kind }),
        })
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn encode(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e).expect("writing to memory does not fail");
    e.into_writer()
}

fn decode<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Decoder<'_>, u64, u64) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut d = Decoder::new(bytes);
    let arity = d.array().ok().flatten().ok_or(Malformed::Cbor("array"))?;
    let kind = d.u64().map_err(|_| Malformed::Cbor("number"))?;
    let message = read(&mut d, kind, arity)?;
    if d.position() != bytes.len() {
        return Err(Malformed::Trailing);
    }
    Ok(message)
}

fn byte_string(d: &mut Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    Ok(d.bytes().map_err(|_| Malformed::Cbor("byte string"))?.to_vec())
}

fn exact<const N: usize>(d: &mut Decoder<'_>, what: &'static str) -> Result<[u8; N], Malformed> {
    let bytes = d.bytes().map_err(|_| Malformed::Cbor("byte string"))?;
    bytes.try_into().map_err(|_| Malformed::Length { what, got: bytes.len() })
}

fn key(d: &mut Decoder<'_>) -> Result<Key, Malformed> {
    let bytes = d.bytes().map_err(|_| Malformed::Cbor("byte string"))?;
    Key::decode(bytes).map_err(|_| Malformed::Cbor("COSE_Key"))
}

fn names(d: &mut Decoder<'_>) -> Result<Vec<String>, Malformed> {
    let length = d.array().ok().flatten().ok_or(Malformed::Cbor("array"))?;
    if length > NAMES_MAX {
        return Err(Malformed::Arity { what: "list of what is enforced", got: length });
    }
    (0..length).map(|_| Ok(d.str().map_err(|_| Malformed::Cbor("text"))?.to_owned())).collect()
}

fn code<T>(d: &mut Decoder<'_>, from_code: fn(u64) -> Option<T>) -> Result<T, Malformed> {
    let value = d.u64().map_err(|_| Malformed::Cbor("number"))?;
    from_code(value).ok_or(Malformed::Unknown { what: "code of a worker", value })
}

const NAMES_MAX: u64 = 16;
