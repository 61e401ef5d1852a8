//! What survives of an exchange between two messages.

use cose::Thumbprint;
use minicbor::decode::Decoder;

use super::Peer;
use super::correlation::Correlation;
use super::effect::{Effect, Record, Spent};
use crate::challenge::Challenge;
use crate::cipher_suite::Suite;
use crate::limits;
use crate::malformed::Malformed;
use crate::message::DataItems;
use crate::numbering::Numbering;
use crate::time::Timestamp;
use crate::token::Token;
use crate::wire::{self, Writer, Written};

/// An exchange that waits for an Agent, as a value to store.
///
/// ```cddl
/// exchange = [
///   version: 1,
///   agent: [ key: bstr .size 32, suite: int ] / null,
///   numbering: uint,
///   waiting: query / update,
///   retried: bool,
///   tam-attested: bool,
///   opened: int,
///   deadline: int,
///   note: bstr
/// ]
/// query = [ asked-token / asked-challenge / asked-result, items: uint, renewal: bool ]
/// update = [ 3, token: bstr, repair: bool ]
/// asked-token = [ 0, token: bstr ]
/// asked-challenge = [ 1, challenge: bstr, tam-nonce: bstr ]
/// asked-result = [ 2 ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub(super) agent: Option<Peer>,
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
    Query(Query),
    /// An Update was sent; only a Success or Error may follow.
    Update {
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
    /// A recent Attestation Result.
    Result,
}

impl Exchange {
    /// What the next message will bring.
    pub fn correlation(&self) -> Correlation {
        match (&self.waiting, self.agent) {
            (Waiting::Update { token, .. }, _) => Correlation::Token(*token),
            (Waiting::Query(query), agent) => match (&query.asked, agent) {
                (Asked::Token(token), _) => Correlation::Token(*token),
                (Asked::Result, Some(agent)) => Correlation::Agent(agent.key),
                (Asked::Challenge { challenge, .. }, _) => {
                    Correlation::Challenge(challenge.clone())
                }
                (Asked::Result, None) => Correlation::Agent(Thumbprint([0; 32])),
            },
        }
    }

    /// The Agent, where the exchange is with one that is known.
    pub const fn agent(&self) -> Option<&Peer> {
        self.agent.as_ref()
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
        e.array(9)?.u64(VERSION)?;
        match &self.agent {
            Some(agent) => e.array(2)?.bytes(&agent.key.0)?.i64(agent.suite.id())?,
            None => e.null()?,
        };
        e.u8(self.numbering.id())?;
        match &self.waiting {
            Waiting::Query(query) => {
                e.array(3)?;
                match &query.asked {
                    Asked::Token(token) => e.array(2)?.u8(0)?.bytes(token.as_bytes())?,
                    Asked::Challenge { challenge, tam_nonce } => e
                        .array(3)?
                        .u8(1)?
                        .bytes(challenge.as_bytes())?
                        .bytes(tam_nonce.as_bytes())?,
                    Asked::Result => e.array(1)?.u8(2)?,
                };
                e.u64(query.items.0)?.bool(query.renewal)?;
            }
            Waiting::Update { token, repair } => {
                e.array(3)?.u8(3)?.bytes(token.as_bytes())?.bool(*repair)?;
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
        if d.array()? != Some(9) || d.u64()? != VERSION {
            return Err(Malformed::StoredVersion);
        }
        let agent = match d.datatype()? {
            minicbor::data::Type::Null => {
                d.null()?;
                None
            }
            _ => Some(read_agent(d)?),
        };
        let numbering = Numbering::from_id(d.u8()?).ok_or(Malformed::StoredVersion)?;
        Ok(Self {
            agent: agent.map(|(key, suite)| Peer { key, suite, numbering }),
            numbering,
            waiting: Waiting::read(d)?,
            retried: d.bool()?,
            tam_attested: d.bool()?,
            opened: Timestamp(d.i64()?),
            deadline: Timestamp(d.i64()?),
            note: d.bytes()?.to_vec(),
        })
    }
}

impl Waiting {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        if d.array()? != Some(3) {
            return Err(Malformed::StoredVersion);
        }
        if d.datatype()? != minicbor::data::Type::Array {
            return match d.u8()? {
                3 => Ok(Self::Update { token: Token::new(d.bytes()?)?, repair: d.bool()? }),
                _ => Err(Malformed::StoredVersion),
            };
        }
        let asked = match (d.array()?, d.u8()?) {
            (Some(2), 0) => Asked::Token(Token::new(d.bytes()?)?),
            (Some(3), 1) => Asked::Challenge {
                challenge: Challenge::new(d.bytes()?)?,
                tam_nonce: Challenge::new(d.bytes()?)?,
            },
            (Some(1), 2) => Asked::Result,
            _ => return Err(Malformed::StoredVersion),
        };
        Ok(Self::Query(Query { asked, items: DataItems(d.u64()?), renewal: d.bool()? }))
    }
}

fn read_agent(d: &mut Decoder<'_>) -> Result<(Thumbprint, Suite), Malformed> {
    if d.array()? != Some(2) {
        return Err(Malformed::StoredVersion);
    }
    let key = d.bytes()?.try_into().map_err(|_| Malformed::StoredVersion)?;
    let suite = Suite::from_id(d.i64()?).ok_or(Malformed::StoredVersion)?;
    Ok((Thumbprint(key), suite))
}

const VERSION: u64 = 1;
