//! Untrusted Application to TEEP Broker.
//!
//! The connection is inherited and is the application's only authority: the Broker knows from
//! it which application asks, so no message names the asker.

use crate::codec;
use crate::{ComponentId, Failure, FailureCode, Malformed, Message};

/// What an Untrusted Application asks of the TEEP Broker.
///
/// ```cddl
/// request = [0, component-id]                  ; RequestTA
///         / [1, component-id]                  ; UnrequestTA
///         / [2, component-id, request: bstr]   ; call
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The application needs this Trusted Application; the reply comes when it runs.
    RequestTa {
        /// The Trusted Application.
        component: ComponentId,
    },
    /// The application no longer needs this Trusted Application.
    UnrequestTa {
        /// The Trusted Application.
        component: ComponentId,
    },
    /// Give a request to a running Trusted Application.
    Call {
        /// The Trusted Application.
        component: ComponentId,
        /// The request, opaque to Broker and Agent.
        request: Vec<u8>,
    },
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| match self {
            Self::RequestTa { component } => component.write(w.array(2).uint(0)),
            Self::UnrequestTa { component } => component.write(w.array(2).uint(1)),
            Self::Call { component, request } => {
                component.write(w.array(3).uint(2));
                w.bytes(request);
            }
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("request of a UA")?;
            match kind.kind {
                0 => {
                    kind.fields(1)?;
                    Ok(Self::RequestTa { component: ComponentId::read(r)? })
                }
                1 => {
                    kind.fields(1)?;
                    Ok(Self::UnrequestTa { component: ComponentId::read(r)? })
                }
                2 => {
                    kind.fields(2)?;
                    let component = ComponentId::read(r)?;
                    Ok(Self::Call { component, request: r.bytes()?.to_vec() })
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// What the TEEP Broker answers.
///
/// ```cddl
/// reply = [0]                 ; done
///       / [1, answer: bstr]
///       / [2, failure]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The request is done.
    Done,
    /// What the Trusted Application answered.
    Answer(Vec<u8>),
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
            Self::Done => {
                w.array(1).uint(0);
            }
            Self::Answer(answer) => {
                w.array(2).uint(1).bytes(answer);
            }
            Self::Failed(failure) => failure.write(w.array(3).uint(2)),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("reply to a UA")?;
            match kind.kind {
                0 => kind.fields(0).map(|()| Self::Done),
                1 => {
                    kind.fields(1)?;
                    Ok(Self::Answer(r.bytes()?.to_vec()))
                }
                2 => {
                    kind.fields(2)?;
                    Ok(Self::Failed(Failure::read(r)?))
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}
