//! TEEP Broker to TEEP Agent (RFC 9397 section 6.2.1), and what the Agent asks back.
//!
//! The Agent never calls the Broker. What it wants done in the REE travels as [`Action`]s in its
//! reply; the Broker does them in order and answers each with [`Request::ActionDone`]. While
//! actions are outstanding there is no TEEP message; the reply to the last `ActionDone` carries
//! it. What the Broker says about an action is never a basis for trust.

use crate::codec::{self, Reader, Writer};
use crate::{ComponentId, Failure, FailureCode, Malformed, Message};

/// What the TEEP Broker asks of the TEEP Agent.
///
/// ```cddl
/// request = [0, component-id, uri / null]      ; RequestTA
///         / [1, component-id, uri / null]      ; UnrequestTA
///         / [2, session: uint, message: bstr]  ; ProcessTeepMessage
///         / [3]                                ; RequestPolicyCheck
///         / [4, session: uint, cause: uint]    ; ProcessError
///         / [5, session: uint, action: uint, outcome]
///         / [6, component-id, request: bstr]   ; call a Trusted Application
///         / [7]                                ; describe
///         / [8, component-id, stream: bstr .size 32, offset: uint, bytes: bstr]
///         / [9, sha256: bstr .size 32]         ; to a relay: offers a payload
///         / [10, sha256: bstr .size 32, offset: uint, bytes: bstr]
/// outcome = [0, bstr] / [1, tstr]
/// uri = tstr .size (1..2048)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// RFC 9397 section 6.2.1 RequestTA: an application needs this Trusted Component.
    RequestTa {
        /// The component that is needed.
        component: ComponentId,
        /// Where the application's manifest says the TAM is.
        tam_uri: Option<String>,
    },
    /// RFC 9397 section 6.2.1 UnrequestTA: no application needs this component any more.
    UnrequestTa {
        /// The component that is not needed.
        component: ComponentId,
        /// Where the application's manifest says the TAM is.
        tam_uri: Option<String>,
    },
    /// RFC 9397 section 6.2.1 ProcessTeepMessage: a message of the TAM has arrived.
    ProcessTeepMessage {
        /// The session that the Agent gave.
        session: u64,
        /// The message, opaque to the Broker.
        message: Vec<u8>,
    },
    /// RFC 9397 section 6.2.1 RequestPolicyCheck: ask a TAM whether something is to be done.
    RequestPolicyCheck,
    /// RFC 9397 section 6.2.1 ProcessError: the Agent's message could not be delivered.
    ProcessError {
        /// The session whose message it was.
        session: u64,
        /// Why.
        cause: Cause,
    },
    /// An [`Action`] is over.
    ActionDone {
        /// The session that asked for the action.
        session: u64,
        /// The identifier of the action.
        action: u64,
        /// What was fetched (empty for other actions), or why it failed.
        outcome: Result<Vec<u8>, String>,
    },
    /// Give a request to a running Trusted Application.
    CallTa {
        /// The application.
        component: ComponentId,
        /// The request, opaque to Broker and Agent.
        request: Vec<u8>,
    },
    /// Ask what the Agent is and what is installed.
    Describe,
    /// Give a piece of a release of Personalization Data to a running Trusted Application.
    TakeRelease {
        /// The application.
        component: ComponentId,
        /// The piece.
        piece: Piece,
    },
    /// To the relay of a Broker alone: whoever sends this holds a payload, and waits to hear which
    /// range of it the TEE wants.
    OfferPayload {
        /// SHA-256 of the payload.
        sha256: [u8; 32],
    },
    /// To the relay of a Broker alone: the range that was wanted; fewer bytes mean the end.
    GivePayload {
        /// SHA-256 of the payload.
        sha256: [u8; 32],
        /// Where the range begins.
        offset: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// A piece of a release that flows live; opaque to Broker and Agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Names the release among others; the sender draws it.
    pub stream: [u8; 32],
    /// Where the piece begins in the release. Bytes that are there already are passed over.
    pub offset: u64,
    /// Its bytes; none only asks how much is there. The first piece holds the whole head.
    pub bytes: Vec<u8>,
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| match self {
            Self::RequestTa { component, tam_uri } => write_need(w, 0, component, tam_uri),
            Self::UnrequestTa { component, tam_uri } => write_need(w, 1, component, tam_uri),
            Self::ProcessTeepMessage { session, message } => {
                w.array(3).uint(2).uint(*session).bytes(message);
            }
            Self::RequestPolicyCheck => {
                w.array(1).uint(3);
            }
            Self::ProcessError { session, cause } => {
                w.array(3).uint(4).uint(*session).uint(cause.id());
            }
            Self::ActionDone { session, action, outcome } => {
                w.array(4).uint(5).uint(*session).uint(*action).array(2);
                match outcome {
                    Ok(bytes) => w.uint(0).bytes(bytes),
                    Err(text) => w.uint(1).text(text),
                };
            }
            Self::CallTa { component, request } => {
                component.write(w.array(3).uint(6));
                w.bytes(request);
            }
            Self::Describe => {
                w.array(1).uint(7);
            }
            Self::TakeRelease { component, piece } => {
                component.write(w.array(5).uint(8));
                w.bytes(&piece.stream).uint(piece.offset).bytes(&piece.bytes);
            }
            Self::OfferPayload { sha256 } => {
                w.array(2).uint(9).bytes(sha256);
            }
            Self::GivePayload { sha256, offset, bytes } => {
                w.array(4).uint(10).bytes(sha256).uint(*offset).bytes(bytes);
            }
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("request of the Broker")?;
            match kind.kind {
                0 => {
                    kind.fields(2)?;
                    let (component, tam_uri) = read_need(r)?;
                    Ok(Self::RequestTa { component, tam_uri })
                }
                1 => {
                    kind.fields(2)?;
                    let (component, tam_uri) = read_need(r)?;
                    Ok(Self::UnrequestTa { component, tam_uri })
                }
                2 => {
                    kind.fields(2)?;
                    let session = r.uint()?;
                    Ok(Self::ProcessTeepMessage { session, message: r.bytes()?.to_vec() })
                }
                3 => kind.fields(0).map(|()| Self::RequestPolicyCheck),
                4 => {
                    kind.fields(2)?;
                    let session = r.uint()?;
                    Ok(Self::ProcessError { session, cause: Cause::from_id(r.uint()?)? })
                }
                5 => {
                    kind.fields(3)?;
                    let (session, action) = (r.uint()?, r.uint()?);
                    Ok(Self::ActionDone { session, action, outcome: read_outcome(r)? })
                }
                6 => {
                    kind.fields(2)?;
                    let component = ComponentId::read(r)?;
                    Ok(Self::CallTa { component, request: r.bytes()?.to_vec() })
                }
                7 => kind.fields(0).map(|()| Self::Describe),
                8 => {
                    kind.fields(4)?;
                    let component = ComponentId::read(r)?;
                    let stream = exact(r, "name of a release")?;
                    let piece = Piece { stream, offset: r.uint()?, bytes: r.bytes()?.to_vec() };
                    Ok(Self::TakeRelease { component, piece })
                }
                9 => {
                    kind.fields(1)?;
                    Ok(Self::OfferPayload { sha256: exact(r, "digest")? })
                }
                10 => {
                    kind.fields(3)?;
                    let (sha256, offset) = (exact(r, "digest")?, r.uint()?);
                    Ok(Self::GivePayload { sha256, offset, bytes: r.bytes()?.to_vec() })
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// Why a message of the Agent could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No connection to the TAM.
    Unreachable,
    /// The TAM did not answer in time.
    TimedOut,
    /// The TAM's HTTP status is not a success.
    Refused,
    /// The answer is not a TEEP message by its media type or length.
    Unusable,
}

impl Cause {
    const fn id(self) -> u64 {
        match self {
            Self::Unreachable => 0,
            Self::TimedOut => 1,
            Self::Refused => 2,
            Self::Unusable => 3,
        }
    }

    fn from_id(value: u64) -> Result<Self, Malformed> {
        Ok(match value {
            0 => Self::Unreachable,
            1 => Self::TimedOut,
            2 => Self::Refused,
            3 => Self::Unusable,
            _ => return Err(Malformed::Unknown { what: "cause", value }),
        })
    }
}

/// What the TEEP Agent answers.
///
/// ```cddl
/// reply = [0]
///       / [1, session: uint, uri / null, message: bstr / null, [0*64 action]]
///       / [2, answer: bstr]
///       / [3, json: tstr .size (0..1048576)]
///       / [4, failure]
///       / [5, offset: uint]                    ; so much of a release is there
///       / [6, receipt: bstr]                   ; all of it, and it was opened
///       / [7, offset: uint, length: uint]      ; from a relay: this range of a payload is wanted
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is to be done.
    Nothing,
    /// A session with a TAM goes on.
    Session(Session),
    /// What the Trusted Application answered.
    TaAnswer(Vec<u8>),
    /// What the Agent is and what is installed, as JSON text.
    Description(String),
    /// The request was not done.
    Failed(Failure),
    /// The bytes of a release before this offset are there.
    Taken(u64),
    /// A release was opened: the receipt for its owner.
    Received(Vec<u8>),
    /// From the relay of a Broker alone: the TEE wants this range of a payload that was offered.
    /// Of no length, nothing is wanted yet, and the offer is to be made again.
    Wanted {
        /// Where the range begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
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
            Self::Nothing => {
                w.array(1).uint(0);
            }
            Self::Session(session) => session.write(w),
            Self::TaAnswer(answer) => {
                w.array(2).uint(2).bytes(answer);
            }
            Self::Description(json) => {
                w.array(2).uint(3).text(json);
            }
            Self::Failed(failure) => failure.write(w.array(3).uint(4)),
            Self::Taken(offset) => {
                w.array(2).uint(5).uint(*offset);
            }
            Self::Received(receipt) => {
                w.array(2).uint(6).bytes(receipt);
            }
            Self::Wanted { offset, length } => {
                w.array(3).uint(7).uint(*offset).uint(*length);
            }
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("reply of the Agent")?;
            match kind.kind {
                0 => kind.fields(0).map(|()| Self::Nothing),
                1 => {
                    kind.fields(4)?;
                    Ok(Self::Session(Session::read(r)?))
                }
                2 => {
                    kind.fields(1)?;
                    Ok(Self::TaAnswer(r.bytes()?.to_vec()))
                }
                3 => {
                    kind.fields(1)?;
                    Ok(Self::Description(r.text("description", DESCRIPTION_BYTES_MAX)?.to_owned()))
                }
                4 => {
                    kind.fields(2)?;
                    Ok(Self::Failed(Failure::read(r)?))
                }
                5 => {
                    kind.fields(1)?;
                    Ok(Self::Taken(r.uint()?))
                }
                6 => {
                    kind.fields(1)?;
                    Ok(Self::Received(r.bytes()?.to_vec()))
                }
                7 => {
                    kind.fields(2)?;
                    Ok(Self::Wanted { offset: r.uint()?, length: r.uint()? })
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// What the Broker does next in a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Names the session in later requests.
    pub session: u64,
    /// Where the TAM is; given when the session begins.
    pub uri: Option<String>,
    /// What to send to the TAM; absent in the first reply (the Broker connects with an empty
    /// request) and while actions are outstanding.
    pub message: Option<Vec<u8>>,
    /// What to do first, in order.
    pub actions: Vec<Action>,
}

impl Session {
    fn write(&self, w: &mut Writer) {
        w.array(5).uint(1).uint(self.session);
        w.optional(self.uri.as_deref(), |w, uri| {
            w.text(uri);
        });
        w.optional(self.message.as_deref(), |w, message| {
            w.bytes(message);
        });
        w.array(self.actions.len());
        for action in &self.actions {
            action.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let session = r.uint()?;
        let uri = r.optional(read_uri)?;
        let message = r.optional(|r| Ok(r.bytes()?.to_vec()))?;
        let count = r.array("list of actions", ACTIONS_MAX)?;
        let mut actions = Vec::new();
        for _ in 0..count {
            actions.push(Action::read(r)?);
        }
        Ok(Self { session, uri, message, actions })
    }
}

/// Something that the Agent wants done in the REE.
///
/// ```cddl
/// action = [0, id: uint, uri, offset: uint, length: uint]   ; fetch
///        / [1, id: uint, envelope: bstr, component-id / null]  ; install a UA, which loads this
///        / [2, id: uint, component-id]                      ; remove a UA
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch at most `length` bytes from `offset` on; fewer bytes mean the end of the resource.
    Fetch {
        /// Names the action.
        id: u64,
        /// The resource.
        uri: String,
        /// The first byte wanted.
        offset: u64,
        /// The number of bytes wanted.
        length: u64,
    },
    /// Process the envelope of an Untrusted Application.
    InstallUa {
        /// Names the action.
        id: u64,
        /// The SUIT Envelope as received.
        envelope: Vec<u8>,
        /// The Trusted Application that it is to load: the action is over when the UA has asked
        /// for it (RequestTA), or has not within the Broker's patience.
        loads: Option<ComponentId>,
    },
    /// Stop and remove an Untrusted Application.
    RemoveUa {
        /// Names the action.
        id: u64,
        /// The component identifier of its manifest.
        manifest: ComponentId,
    },
}

impl Action {
    /// Returns what names the action in [`Request::ActionDone`].
    pub const fn id(&self) -> u64 {
        match self {
            Self::Fetch { id, .. } | Self::InstallUa { id, .. } | Self::RemoveUa { id, .. } => *id,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Fetch { id, uri, offset, length } => {
                w.array(5).uint(0).uint(*id).text(uri).uint(*offset).uint(*length);
            }
            Self::InstallUa { id, envelope, loads } => {
                w.array(4).uint(1).uint(*id).bytes(envelope);
                w.optional(loads.as_ref(), |w, component| component.write(w));
            }
            Self::RemoveUa { id, manifest } => manifest.write(w.array(3).uint(2).uint(*id)),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = r.kind("action")?;
        match kind.kind {
            0 => {
                kind.fields(4)?;
                let (id, uri) = (r.uint()?, read_uri(r)?);
                Ok(Self::Fetch { id, uri, offset: r.uint()?, length: r.uint()? })
            }
            1 => {
                kind.fields(3)?;
                let (id, envelope) = (r.uint()?, r.bytes()?.to_vec());
                Ok(Self::InstallUa { id, envelope, loads: r.optional(ComponentId::read)? })
            }
            2 => {
                kind.fields(2)?;
                Ok(Self::RemoveUa { id: r.uint()?, manifest: ComponentId::read(r)? })
            }
            _ => Err(kind.unknown()),
        }
    }
}

fn write_need(w: &mut Writer, kind: u64, component: &ComponentId, tam_uri: &Option<String>) {
    component.write(w.array(3).uint(kind));
    w.optional(tam_uri.as_deref(), |w, uri| {
        w.text(uri);
    });
}

fn read_need(r: &mut Reader<'_>) -> Result<(ComponentId, Option<String>), Malformed> {
    let component = ComponentId::read(r)?;
    let tam_uri = r.optional(read_uri)?;
    Ok((component, tam_uri))
}

fn exact(r: &mut Reader<'_>, what: &'static str) -> Result<[u8; 32], Malformed> {
    let bytes = r.bytes()?;
    bytes.try_into().map_err(|_| Malformed::Length { what, got: bytes.len() })
}

fn read_outcome(r: &mut Reader<'_>) -> Result<Result<Vec<u8>, String>, Malformed> {
    let kind = r.kind("outcome of an action")?;
    kind.fields(1)?;
    match kind.kind {
        0 => Ok(Ok(r.bytes()?.to_vec())),
        1 => Ok(Err(r.text("outcome of an action", OUTCOME_TEXT_BYTES_MAX)?.to_owned())),
        _ => Err(kind.unknown()),
    }
}

fn read_uri(r: &mut Reader<'_>) -> Result<String, Malformed> {
    let uri = r.text("uri", URI_BYTES_MAX)?;
    if uri.is_empty() {
        return Err(Malformed::Length { what: "uri", got: 0 });
    }
    Ok(uri.to_owned())
}

/// The URI scheme of a payload that its owner gives live at the relay; after the colon comes its
/// SHA-256, in hexadecimal.
pub const LIVE_SCHEME: &str = "tamarack-live";

const ACTIONS_MAX: u64 = 64;
const DESCRIPTION_BYTES_MAX: usize = 1024 * 1024;
const OUTCOME_TEXT_BYTES_MAX: usize = 4096;
const URI_BYTES_MAX: usize = 2048;
