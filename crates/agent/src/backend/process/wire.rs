//! What the agent and its worker say to each other over their socket pair.
//!
//! Strictly one request, then one reply, each a CBOR array in a frame of [`device::frame`]. The
//! worker may have been taken over by what runs in it, so the agent reads replies with the same
//! care as anything from outside.

use std::convert::Infallible;

use crate::backend::Holds;
use channel::Suites;
use channel::receipt::Receipt;
use channel::release::{CALLERS_MAX, Digests};
use cose::{Key, Secret};
use device::broker::Piece;
use device::{Malformed, Message};
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

/// What the agent asks of a worker.
///
/// ```cddl
/// request = [0, manifest: bstr .size 32, memory: uint, ms: uint, compiled: bool, module: bstr]
///         / [1, [+ suite: tstr]]                         ; new receiver
///         / [2, receiver: bstr .size 32, eat: bstr .size 32]
///         / [4, request: bstr]
///         / [6, owner: bstr .size 32, stream: bstr .size 32, data: bstr]       ; and more follows
///         / [6, owner, stream, data, [* caller: bstr .cbor COSE_Key]]          ; the last of it
///         / [7, owner: bstr .size 32, stream: bstr .size 32, offset: uint, bytes: bstr,
///            bundle: bool]                               ; of a UA and data
/// ```
#[derive(Debug)]
pub(super) enum Request {
    /// Compile and start a Trusted Application; the first request, and once only.
    Load(Load),
    /// Make the receiver of one exchange, with a key for each suite.
    NewReceiver { suites: Suites },
    /// The evidence with this digest names this receiver.
    Bind { receiver: [u8; 32], eat_digest: [u8; 32] },
    /// Open a request of a caller, let the application answer, and seal the answer.
    Call { request: Vec<u8> },
    /// Take Personalization Data that the agent itself opened, or more of it.
    Personalize { owner: [u8; 32], stream: [u8; 32], data: Secret, callers: Option<Vec<Key>> },
    /// Take a piece of a release, and hand what it holds to the application at its end.
    Take { owner: [u8; 32], piece: Piece, holds: Holds },
}

/// A Trusted Application and what is known of it from its verified manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// SHA-256 of the manifest.
    pub(super) manifest_digest: [u8; 32],
    /// Bytes of linear memory.
    pub(super) memory_bytes_max: u64,
    /// Milliseconds for one call.
    pub(super) call_ms_max: u64,
    /// Whether the next is machine code that this device made of the component.
    pub(super) compiled: bool,
    /// The component; nothing where the custodian has it already.
    pub(super) module: Vec<u8>,
}

/// What a worker answers.
///
/// ```cddl
/// reply = [0, [* tstr]]                              ; ready, and what is enforced
///       / [1, service-key: bstr .cbor COSE_Key]      ; loaded
///       / [2, receiver: [+ bstr .cbor COSE_Key]]
///       / [3]                                        ; bound
///       / [4, deployment: tstr, eat, enc, ciphertext]  ; opened
///       / [5, answer: bstr]
///       / [6, refusal: uint]
///       / [7, fault: uint]                           ; the last reply of a worker
///       / [8, deployment: tstr, eat, enc, ciphertext, ua: bstr]   ; opened, with a UA
///       / [9]                                        ; personalized
///       / [10, code: bstr]                           ; compiled; `loaded` follows
///       / [11, offset: uint]                         ; so much of a release is there
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
        keys: Vec<Key>,
    },
    Bound,
    Opened(Receipt),
    Answer(Vec<u8>),
    Refused(Refusal),
    Faulted(FaultCode),
    OpenedBundle {
        receipt: Receipt,
        ua: Vec<u8>,
    },
    Personalized,
    /// The machine code of the component, before it runs for the first time.
    Compiled {
        code: Vec<u8>,
    },
    /// The bytes of a release before this offset are there.
    Taken {
        offset: u64,
    },
}

/// Why a worker did not do what was asked; it goes on.
///
/// The order is that of the wire, and of how far an opening came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// No exchange is open that it could be for.
    #[error("no exchange with this application is open")]
    NoReceiver,
    /// The container is not what the channel defines.
    #[error("the container is malformed")]
    Malformed,
    /// Signed by somebody else, or for other evidence than names an open receiver.
    #[error("the owner did not sign the release for evidence of an open exchange")]
    NotOwner,
    /// The content does not open with the key of the receiver.
    #[error("the container does not open here")]
    NotOpened,
    /// The content is larger than what is taken.
    #[error("the content is too large")]
    TooLarge,
    /// The caller is not one of those whom the owner named.
    #[error("the owner did not name this caller")]
    NotCaller,
    /// The request was served before.
    #[error("the request is a replay")]
    Replay,
    /// No Personalization Data was released yet.
    #[error("the application awaits a release")]
    AwaitingRelease,
    /// The application itself refused; why stays in the TEE.
    #[error("the application refused")]
    Application,
    /// The request does not fit the state of the worker.
    #[error("the request does not fit the state of the worker")]
    Misuse,
}

impl Refusal {
    /// The check of a release that says no this way, by the name that reports use.
    pub const fn check(self) -> Option<&'static str> {
        match self {
            Self::NoReceiver => Some("release.exchange"),
            Self::Malformed => Some("release.format"),
            Self::NotOwner => Some("release.binding"),
            Self::NotOpened => Some("release.receiver"),
            Self::TooLarge => Some("release.size"),
            Self::Application => Some("release.application"),
            Self::NotCaller | Self::Replay | Self::AwaitingRelease | Self::Misuse => None,
        }
    }

    const ALL: [Self; 10] = [
        Self::NoReceiver,
        Self::Malformed,
        Self::NotOwner,
        Self::NotOpened,
        Self::TooLarge,
        Self::NotCaller,
        Self::Replay,
        Self::AwaitingRelease,
        Self::Application,
        Self::Misuse,
    ];
}

/// Why a worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultCode {
    /// The bytes are not a component that the engine can compile.
    #[error("the module is not a usable component")]
    NotAComponent,
    /// The component imports something.
    #[error("the component imports something")]
    Imports,
    /// The component lacks the exports of a Trusted Application.
    #[error("the component lacks the exports of a Trusted Application")]
    Exports,
    /// The component could not be started within its limits.
    #[error("the component could not be started within its limits")]
    NotStarted,
    /// A call took too long.
    #[error("a call took longer than allowed")]
    Deadline,
    /// The component trapped, or the program ended or said what is no answer.
    #[error("the application broke down")]
    Trapped,
    /// The bytes are not a program that can run here: static, 64 bits, for this machine.
    #[error("the program is not a static program for this machine")]
    NotAProgram,
    /// The program could not be started in its isolation.
    #[error("the program could not be started in its isolation")]
    NotExecuted,
    /// The isolation that the instance type needs could not be set up.
    #[error("the isolation could not be set up")]
    NotIsolated,
}

impl FaultCode {
    const ALL: [Self; 9] = [
        Self::NotAComponent,
        Self::Imports,
        Self::Exports,
        Self::NotStarted,
        Self::Deadline,
        Self::Trapped,
        Self::NotAProgram,
        Self::NotExecuted,
        Self::NotIsolated,
    ];
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        encode(|e| {
            match self {
                Self::Load(load) => e
                    .array(6)?
                    .u8(0)?
                    .bytes(&load.manifest_digest)?
                    .u64(load.memory_bytes_max)?
                    .u64(load.call_ms_max)?
                    .bool(load.compiled)?
                    .bytes(&load.module)?,
                Self::NewReceiver { suites } => {
                    e.array(2)?.u8(1)?.array(suites.iter().count() as u64)?;
                    for suite in suites.iter() {
                        e.str(suite.as_str())?;
                    }
                    e
                }
                Self::Bind { receiver, eat_digest } => {
                    e.array(3)?.u8(2)?.bytes(receiver)?.bytes(eat_digest)?
                }
                Self::Call { request } => e.array(2)?.u8(4)?.bytes(request)?,
                Self::Personalize { owner, stream, data, callers } => {
                    e.array(4 + u64::from(callers.is_some()))?.u8(6)?;
                    e.bytes(owner)?.bytes(stream)?.bytes(data.expose())?;
                    match callers {
                        Some(callers) => put_keys(e, callers)?,
                        None => e,
                    }
                }
                Self::Take { owner, piece, holds } => {
                    e.array(6)?.u8(7)?.bytes(owner)?.bytes(&piece.stream)?;
                    e.u64(piece.offset)?.bytes(&piece.bytes)?.bool(*holds == Holds::Bundle)?
                }
            };
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes, |d, kind, arity| match (kind, arity) {
            (0, 6) => Ok(Self::Load(Load {
                manifest_digest: exact(d, "digest")?,
                memory_bytes_max: d.u64().map_err(|_| Malformed::Cbor("number"))?,
                call_ms_max: d.u64().map_err(|_| Malformed::Cbor("number"))?,
                compiled: d.bool().map_err(|_| Malformed::Cbor("bool"))?,
                module: byte_string(d)?,
            })),
            (1, 2) => {
                let names = names(d)?;
                let suites = Suites::parse(names.iter().map(String::as_str));
                let suites = suites.map_err(|_| Malformed::Cbor("suites of the channel"))?;
                Ok(Self::NewReceiver { suites })
            }
            (2, 3) => {
                Ok(Self::Bind { receiver: exact(d, "receiver")?, eat_digest: exact(d, "digest")? })
            }
            (4, 2) => Ok(Self::Call { request: byte_string(d)? }),
            (6, 4 | 5) => Ok(Self::Personalize {
                owner: exact(d, "owner")?,
                stream: exact(d, "name of a release")?,
                data: Secret::new(byte_string(d)?),
                callers: if arity == 5 { Some(keys(d)?) } else { None },
            }),
            (7, 6) => {
                let (owner, stream) = (exact(d, "owner")?, exact(d, "name of a release")?);
                let offset = d.u64().map_err(|_| Malformed::Cbor("number"))?;
                let piece = Piece { stream, offset, bytes: byte_string(d)? };
                let bundle = d.bool().map_err(|_| Malformed::Cbor("bool"))?;
                let holds = if bundle { Holds::Bundle } else { Holds::Data };
                Ok(Self::Take { owner, piece, holds })
            }
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
                Self::Receiver { keys } => {
                    e.array(2)?.u8(2)?;
                    put_keys(e, keys)?
                }
                Self::Bound => e.array(1)?.u8(3)?,
                Self::Opened(receipt) => {
                    e.array(5)?.u8(4)?;
                    put_receipt(e, receipt)?
                }
                Self::Answer(answer) => e.array(2)?.u8(5)?.bytes(answer)?,
                Self::Refused(refusal) => e.array(2)?.u8(6)?.u64(*refusal as u64)?,
                Self::Faulted(fault) => e.array(2)?.u8(7)?.u64(*fault as u64)?,
                Self::OpenedBundle { receipt, ua } => {
                    e.array(6)?.u8(8)?;
                    put_receipt(e, receipt)?.bytes(ua)?
                }
                Self::Personalized => e.array(1)?.u8(9)?,
                Self::Compiled { code } => e.array(2)?.u8(10)?.bytes(code)?,
                Self::Taken { offset } => e.array(2)?.u8(11)?.u64(*offset)?,
            };
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes, |d, kind, arity| match (kind, arity) {
            (0, 2) => Ok(Self::Ready { enforced: names(d)? }),
            (1, 2) => Ok(Self::Loaded { service_key: key(d)? }),
            (2, 2) => Ok(Self::Receiver { keys: keys(d)? }),
            (3, 1) => Ok(Self::Bound),
            (4, 5) => receipt(d).map(Self::Opened),
            (5, 2) => Ok(Self::Answer(byte_string(d)?)),
            (6, 2) => code(d, &Refusal::ALL).map(Self::Refused),
            (7, 2) => code(d, &FaultCode::ALL).map(Self::Faulted),
            (8, 6) => Ok(Self::OpenedBundle { receipt: receipt(d)?, ua: byte_string(d)? }),
            (9, 1) => Ok(Self::Personalized),
            (10, 2) => Ok(Self::Compiled { code: byte_string(d)? }),
            (11, 2) => Ok(Self::Taken { offset: d.u64().map_err(|_| Malformed::Cbor("number"))? }),
            _ => Err(Malformed::Unknown { what: "reply of a worker", value: kind }),
        })
    }
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

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

type Encoded<'e> = Result<&'e mut Encoder<Vec<u8>>, minicbor::encode::Error<Infallible>>;

fn put_receipt<'e>(e: &'e mut Encoder<Vec<u8>>, receipt: &Receipt) -> Encoded<'e> {
    e.str(&receipt.deployment)?.bytes(&receipt.eat_digest)?;
    e.bytes(&receipt.digests.enc)?.bytes(&receipt.digests.ciphertext)
}

/// A receipt names a service key only when the agent signs it.
fn receipt(d: &mut Decoder<'_>) -> Result<Receipt, Malformed> {
    Ok(Receipt {
        deployment: d.str().map_err(|_| Malformed::Cbor("text"))?.to_owned(),
        eat_digest: exact(d, "digest")?,
        digests: Digests { enc: exact(d, "digest")?, ciphertext: exact(d, "digest")? },
        service_key: None,
    })
}

fn put_keys<'e>(e: &'e mut Encoder<Vec<u8>>, keys: &[Key]) -> Encoded<'e> {
    e.array(keys.len() as u64)?;
    for key in keys {
        e.bytes(&key.encode())?;
    }
    Ok(e)
}

fn keys(d: &mut Decoder<'_>) -> Result<Vec<Key>, Malformed> {
    let length = d.array().ok().flatten().ok_or(Malformed::Cbor("array"))?;
    if length > CALLERS_MAX {
        return Err(Malformed::Arity { what: "list of keys", got: length });
    }
    (0..length).map(|_| key(d)).collect()
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

/// Reads a code: its place in the list of all.
fn code<T: Copy>(d: &mut Decoder<'_>, all: &[T]) -> Result<T, Malformed> {
    let value = d.u64().map_err(|_| Malformed::Cbor("number"))?;
    let found = usize::try_from(value).ok().and_then(|at| all.get(at)).copied();
    found.ok_or(Malformed::Unknown { what: "code of a worker", value })
}

const NAMES_MAX: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn personalize(callers: Option<Vec<Key>>) -> Request {
        let data = Secret::new(vec![3]);
        Request::Personalize { owner: [1; 32], stream: [2; 32], data, callers }
    }

    fn take(holds: Holds) -> Request {
        let piece = Piece { stream: [2; 32], offset: 3, bytes: vec![4] };
        Request::Take { owner: [1; 32], piece, holds }
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let load = Load {
            manifest_digest: [2; 32],
            memory_bytes_max: 3,
            call_ms_max: 4,
            compiled: true,
            module: vec![5],
        };
        for request in [
            Request::Load(load),
            Request::NewReceiver { suites: Suites::default() },
            Request::Bind { receiver: [1; 32], eat_digest: [2; 32] },
            Request::Call { request: vec![2] },
            personalize(None),
            personalize(Some(Vec::new())),
            take(Holds::Data),
            take(Holds::Bundle),
        ] {
            let written = request.encode();
            let read = Request::decode(&written).unwrap();
            assert_eq!(read.encode(), written);
            assert_eq!(format!("{read:?}"), format!("{request:?}"));
        }
        let digests = Digests { enc: [2; 32], ciphertext: [3; 32] };
        let receipt = Receipt {
            deployment: "edge-7".to_owned(),
            eat_digest: [1; 32],
            digests,
            service_key: None,
        };
        let replies = [
            Reply::OpenedBundle { receipt: receipt.clone(), ua: vec![1] },
            Reply::Personalized,
            Reply::Ready { enforced: vec!["seccomp".to_owned()] },
            Reply::Bound,
            Reply::Compiled { code: vec![1] },
            Reply::Taken { offset: 5 },
            Reply::Opened(receipt),
            Reply::Answer(vec![1]),
        ];
        let refusals = Refusal::ALL.map(Reply::Refused);
        let faults = FaultCode::ALL.map(Reply::Faulted);
        for reply in replies.into_iter().chain(refusals).chain(faults) {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn a_worker_that_was_taken_over_cannot_confuse_the_agent() {
        let mut long = Reply::Bound.encode();
        long.push(0);

        assert_eq!(Reply::decode(&long), Err(Malformed::Trailing));
        assert_eq!(Reply::decode(b""), Err(Malformed::Cbor("array")));
        assert_eq!(Reply::decode(&[0x82, 2, 0x41, 0]), Err(Malformed::Cbor("array")));
        assert_eq!(Reply::decode(&[0x82, 2, 0x81, 0x41, 0]), Err(Malformed::Cbor("COSE_Key")));
        assert!(matches!(Reply::decode(&[0x82, 6, 0x18, 99]), Err(Malformed::Unknown { .. })));
        assert!(matches!(Reply::decode(&[0x82, 9, 0]), Err(Malformed::Unknown { .. })));
        let names = Reply::Ready { enforced: vec![String::new(); 33] }.encode();
        assert!(matches!(Reply::decode(&names), Err(Malformed::Arity { .. })));
    }
}
