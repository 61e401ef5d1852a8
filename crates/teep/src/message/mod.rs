//! The five TEEP messages (section 4) as values.
//!
//! Decoding yields values that satisfy the document's shapes and sizes; whether a message fits the
//! moment is the session machines' question. Manifests, reports and attestation payloads are
//! borrowed from the message bytes. Nothing here knows about signatures.

mod error;
mod fields;
mod query_request;
mod query_response;
mod success;
mod update;

use minicbor::data::Type;
use minicbor::decode::Decoder;

pub use error::Error;
pub use query_request::{DataItems, FreshnessMechanism, QueryRequest};
pub use query_response::QueryResponse;
pub use success::Success;
pub use update::Update;

use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::token::Token;
use crate::wire::{self, Writer, Written};
use fields::Fields;

/// A TEEP message.
///
/// ```cddl
/// teep-message = $teep-message-type .within teep-message-framework
/// teep-message-framework = [ type: $teep-type / $teep-type-extension,
///                            options: { * teep-option }, * any ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// TAM to Agent.
    QueryRequest(QueryRequest<'b>),
    /// Agent to TAM.
    QueryResponse(QueryResponse<'b>),
    /// TAM to Agent.
    Update(Update<'b>),
    /// Agent to TAM.
    Success(Success<'b>),
    /// Agent to TAM.
    Error(Error<'b>),
}

/// Which message one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// TAM to Agent.
    QueryRequest,
    /// Agent to TAM.
    QueryResponse,
    /// TAM to Agent.
    Update,
    /// Agent to TAM.
    Success,
    /// Agent to TAM.
    Error,
}

impl<'b> Message<'b> {
    /// Reads one message that is all of `payload`.
    //= teep 14.2 (M): CBOR that is not well-formed, or followed by bytes, is refused
    //= teep 14.20 (M): all -26 example payloads decode, re-encode and round-trip
    //= teep 14.5 (M): each message is validated against its shape
    //= teep 14.16 (R): duplicate map keys are refused
    pub fn decode(payload: &'b [u8], numbering: Numbering) -> Result<Self, Malformed> {
        wire::whole(payload, limits::MESSAGE, |d| Self::read(d, numbering))
    }

    //= teep 15.106: what was signed for another purpose is no TEEP array
    fn read(d: &mut Decoder<'b>, numbering: Numbering) -> Result<Self, Malformed> {
        let length = d.array().map_err(|_| Malformed::Expected("an array as TEEP message"))?;
        let number = wire::uint(d, "an unsigned integer as message type")?;
        let kind = Kind::from_number(number, numbering).ok_or(Malformed::UnknownType(number))?;
        if length.is_some_and(|length| length != kind.elements()) {
            return Err(Malformed::Expected(kind.shape()));
        }
        let fields = Fields::decode(d, numbering)?;
        let message = match kind {
            Kind::QueryRequest => Self::QueryRequest(QueryRequest::decode(fields, d)?),
            Kind::QueryResponse => Self::QueryResponse(QueryResponse::decode(fields)?),
            Kind::Update => Self::Update(Update::decode(fields)?),
            Kind::Success => Self::Success(Success::decode(fields)?),
            Kind::Error => Self::Error(Error::decode(fields, d)?),
        };
        if length.is_none() {
            if d.datatype()? != Type::Break {
                return Err(Malformed::Expected(kind.shape()));
            }
            d.set_position(d.position() + 1);
        }
        Ok(message)
    }

    /// The message as the payload of a COSE object, deterministically encoded.
    //= teep 14.17 (R): the encoder's output is deterministic
    pub fn encode(&self, numbering: Numbering) -> Vec<u8> {
        wire::encode(|e| self.write(e, numbering))
    }

    fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let kind = self.kind();
        e.array(kind.elements())?.u64(kind.number(numbering))?;
        match self {
            Self::QueryRequest(message) => message.write(e, numbering),
            Self::QueryResponse(message) => message.write(e, numbering),
            Self::Update(message) => message.write(e, numbering),
            Self::Success(message) => message.write(e, numbering),
            Self::Error(message) => message.write(e, numbering),
        }
    }

    /// Which message this is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::QueryRequest(_) => Kind::QueryRequest,
            Self::QueryResponse(_) => Kind::QueryResponse,
            Self::Update(_) => Kind::Update,
            Self::Success(_) => Kind::Success,
            Self::Error(_) => Kind::Error,
        }
    }

    /// The token, if the message has one.
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::QueryRequest(message) => message.token,
            Self::QueryResponse(message) => message.token,
            Self::Update(message) => message.token,
            Self::Success(message) => message.token,
            Self::Error(message) => message.token,
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::QueryRequest, Self::QueryResponse, Self::Update, Self::Success, Self::Error];

    /// The message type on the wire (section 13.2).
    pub const fn number(self, numbering: Numbering) -> u64 {
        match (self, numbering) {
            (Self::QueryRequest, _) => 1,
            (Self::QueryResponse, _) => 2,
            (Self::Update, _) => 3,
            (Self::Success, Numbering::V26) => 4,
            (Self::Success, Numbering::Legacy18) | (Self::Error, Numbering::V26) => 5,
            (Self::Error, Numbering::Legacy18) => 6,
        }
    }

    /// The kind with this message type.
    pub fn from_number(number: u64, numbering: Numbering) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number(numbering) == number)
    }

    /// The name as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueryRequest => "QueryRequest",
            Self::QueryResponse => "QueryResponse",
            Self::Update => "Update",
            Self::Success => "Success",
            Self::Error => "Error",
        }
    }

    const fn elements(self) -> u64 {
        match self {
            Self::QueryRequest => 5,
            Self::QueryResponse | Self::Update | Self::Success => 2,
            Self::Error => 3,
        }
    }

    const fn shape(self) -> &'static str {
        match self {
            Self::QueryRequest => "a QueryRequest of five elements",
            Self::QueryResponse => "a QueryResponse of two elements",
            Self::Update => "an Update of two elements",
            Self::Success => "a Success of two elements",
            Self::Error => "an Error of three elements",
        }
    }
}

/// The token of bytes that are not a message as they should be, where one can be made out.
///
/// The Error that answers them carries it, if their signer is known.
pub fn recover_token(payload: &[u8], numbering: Numbering) -> Option<Token> {
    let find = |d: &mut Decoder<'_>| {
        let mut token = None;
        d.array()?;
        d.skip()?;
        wire::map(d, "options", limits::OPTIONS, |d| {
            let here = wire::label(d)? == i64::try_from(Label::Token.number(numbering)).ok();
            let value = wire::raw(d)?;
            if here && token.is_none() {
                token = Token::decode(&mut Decoder::new(value)).ok();
            }
            Ok(())
        })?;
        Ok::<_, Malformed>(token)
    };
    cose::cbor::check(payload, limits::MESSAGE).ok()?;
    find(&mut Decoder::new(payload)).ok()?
}
