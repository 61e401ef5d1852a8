//! What survives of an exchange between two messages.

use cose::Thumbprint;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use rats::Timestamp;

use super::Peer;
use super::correlation::Correlation;
use super::effect::{Effect, Record, Spent};
use crate::challenge::Challenge;
use crate::cipher_suite::Suite;
use crate::limits;
use crate::malformed::Malformed;
use crate::message::DataItems;
use crate::numbering::Numbering;
use crate::token::Token;
use crate::wire::{self, Writer, Written};

/// An exchange that waits for an Agent, as a value to store.
///
/// ```cddl
/// exchange = [
///   version: 1,
///   numbering: uint,
///   waiting: query / update,
///   retried: bool,
///   tam-attested: bool,
///   opened: int,
///   deadline: int,
///   note: bstr
/// ]
/// query = [ agent / null, asked, items: uint, renewal: bool ]
/// update = [ agent, token: bstr, repair: bool ]
/// agent = [ key: bstr .size 32, suite: int ]
/// asked = [ 0, token: bstr ]
///       / [ 1, challenge: bstr, tam-nonce: bstr ]
///       / [ 2, result-of: bstr .size 32 ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub(super) numbering: Numbering,
    pub(super) waiting: Waiting,
    pub(super) retried: bool,
    pub(super) tam_attested: bool,
    pub(super) opened: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) note: Vec<u8>,
}

/// What an exchange waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A QueryRequest was sent; only a QueryResponse or Error may follow.
    Query {
        /// The Agent, if it is known.
        agent: Option<Peer>,
        /// What was asked.
        query: Query,
    },
    /// An Update was sent; only a Success or Error may follow.
    Update {
        /// The Agent.
        agent: Peer,
        /// What the answer brings back.
        token: Token,
        /// Whether the Update repairs a device whose attestation failed.
        repair: bool,
    },
}

/// What a QueryRequest asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) asked: Asked,
    pub(super) items: DataItems,
    pub(super) renewal: bool,
}

/// How a QueryRequest asked for freshness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// No attestation; the answer brings the token back.
    Token(Token),
    /// Evidence with this nonce, which is the TAM's own or made of it and a Network User's.
    Challenge { challenge: Challenge, tam_nonce: Challenge },
    /// A recent Attestation Result, of the Agent with this key.
    Result { of: Thumbprint },
}

impl Exchange {
    /// What the next message will bring.
    pub fn correlation(&self) -> Correlation {
        match &self.waiting {
            Waiting::Update { token, .. } => Correlation::Token(*token),
            Waiting::Query { query, .. } => match &query.asked {
                Asked::Token(token) => Correlation::Token(*token),
                Asked::Challenge { challenge, .. } => Correlation::Challenge(challenge.clone()),
                Asked::Result { of } => Correlation::Agent(*of),
            },
        }
    }

    /// The Agent, where the exchange is with one that is known.
    pub const fn agent(&self) -> Option<&Peer> {
        match &self.waiting {
            Waiting::Query { agent, .. } => agent.as_ref(),
            Waiting::Update { agent, .. } => Some(agent),
        }
    }

    /// When the exchange was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// When to call [`Exchange::handle_timeout`].
    pub const fn next_timeout(&self) -> Timestamp {
        self.deadline
    }

    /// What the shell left with the exchange.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// Forgets request and token when their time is over.
    //= teep 14.30 (M): unanswered requests time out
    pub fn handle_timeout(&self, now: Timestamp) -> Vec<Effect<'static>> {
        if now < self.deadline {
            return Vec::new();
        }
        let spends = Some(Spent::Stored(self.correlation()));
        vec![Effect::Persist(Record { spends, opens: None }), Effect::TimedOut]
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(|e| self.write(e))
    }

    fn write(&self, e: &mut Writer) -> Written {
        e.array(8)?.u64(VERSION)?.u8(self.numbering.id())?;
        match &self.waiting {
            Waiting::Query { agent, query } => {
                e.array(4)?;
                write_agent(e, agent.as_ref())?;
                match &query.asked {
                    Asked::Token(token) => e.array(2)?.u8(0)?.bytes(token.as_bytes())?,
                    Asked::Challenge { challenge, tam_nonce } => e
                        .array(3)?
                        .u8(1)?
                        .bytes(challenge.as_bytes())?
                        .bytes(tam_nonce.as_bytes())?,
                    Asked::Result { of } => e.array(2)?.u8(2)?.bytes(&of.0)?,
                };
                e.u64(query.items.0)?.bool(query.renewal)?;
            }
            Waiting::Update { agent, token, repair } => {
                e.array(3)?;
                write_agent(e, Some(agent))?;
                e.bytes(token.as_bytes())?.bool(*repair)?;
            }
        }
        e.bool(self.retried)?.bool(self.tam_attested)?;
        e.i64(self.opened.0)?.i64(self.deadline.0)?.bytes(&self.note)?.ok()
    }

    /// The value as it was stored.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        wire::whole(bytes, limits::ATTACHMENT, Self::read)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        if d.array()? != Some(8) || d.u64()? != VERSION {
            return Err(Malformed::StoredVersion);
        }
        let numbering = Numbering::from_id(d.u8()?).ok_or(Malformed::StoredVersion)?;
        Ok(Self {
            numbering,
            waiting: Waiting::read(d, numbering)?,
            retried: d.bool()?,
            tam_attested: d.bool()?,
            opened: Timestamp(d.i64()?),
            deadline: Timestamp(d.i64()?),
            note: d.bytes()?.to_vec(),
        })
    }
}

impl Waiting {
    fn read(d: &mut Decoder<'_>, numbering: Numbering) -> Result<Self, Malformed> {
        let elements = d.array()?;
        let agent = read_agent(d, numbering)?;
        match (elements, agent) {
            (Some(3), Some(agent)) => {
                Ok(Self::Update { agent, token: Token::new(d.bytes()?)?, repair: d.bool()? })
            }
            (Some(4), agent) => {
                let asked = Asked::read(d)?;
                let query = Query { asked, items: DataItems(d.u64()?), renewal: d.bool()? };
                Ok(Self::Query { agent, query })
            }
            _ => Err(Malformed::StoredVersion),
        }
    }
}

impl Asked {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match (d.array()?, d.u8()?) {
            (Some(2), 0) => Ok(Self::Token(Token::new(d.bytes()?)?)),
            (Some(3), 1) => Ok(Self::Challenge {
                challenge: Challenge::new(d.bytes()?)?,
                tam_nonce: Challenge::new(d.bytes()?)?,
            }),
            (Some(2), 2) => Ok(Self::Result { of: thumbprint(d)? }),
            _ => Err(Malformed::StoredVersion),
        }
    }
}

fn write_agent(e: &mut Writer, agent: Option<&Peer>) -> Written {
    match agent {
        Some(agent) => e.array(2)?.bytes(&agent.key.0)?.i64(agent.suite.id())?.ok(),
        None => e.null()?.ok(),
    }
}

fn read_agent(d: &mut Decoder<'_>, numbering: Numbering) -> Result<Option<Peer>, Malformed> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    if d.array()? != Some(2) {
        return Err(Malformed::StoredVersion);
    }
    let key = thumbprint(d)?;
    let suite = Suite::from_id(d.i64()?).ok_or(Malformed::StoredVersion)?;
    Ok(Some(Peer { key, suite, numbering }))
}

fn thumbprint(d: &mut Decoder<'_>) -> Result<Thumbprint, Malformed> {
    Ok(Thumbprint(d.bytes()?.try_into().map_err(|_| Malformed::StoredVersion)?))
}

const VERSION: u64 = 1;
