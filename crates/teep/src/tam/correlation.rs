//! Which exchange a message belongs to.

use cose::Thumbprint;

use crate::challenge::Challenge;
use crate::envelope::Opened;
use crate::evidence;
use crate::message::Message;
use crate::token::Token;

/// What to look an exchange up by.
///
/// HTTP has no session, and connections and addresses say nothing: only what is inside a message
/// tells which exchange it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Correlation {
    /// The exchange that waits for this token.
    Token(Token),
    /// The exchange that waits for Evidence with this nonce.
    Challenge(Challenge),
    /// The newest exchange with this Agent that waits for neither token nor nonce, or for Evidence.
    Agent(Thumbprint),
}

impl Correlation {
    /// A key for tables: one byte for the kind, then the bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Self::Token(token) => (b't', token.as_bytes()),
            Self::Challenge(challenge) => (b'c', challenge.as_bytes()),
            Self::Agent(key) => (b'a', &key.0[..]),
        };
        [&[kind], bytes].concat()
    }
}

/// Tells what to look up for a message.
pub fn correlate(opened: &Opened<'_>) -> Correlation {
    correlate_payload(opened.message())
        .unwrap_or_else(|| Correlation::Agent(opened.signer().thumbprint))
}

/// Tells what to look up for a message whose signer is not known yet, if the message itself says.
pub fn correlate_payload(message: &Message<'_>) -> Option<Correlation> {
    if let Some(token) = message.token() {
        return Some(Correlation::Token(token));
    }
    match message {
        Message::QueryResponse(response) => {
            let nonce = evidence::peek(&response.attestation_payload.as_ref()?.bytes).nonce?;
            Challenge::new(nonce).ok().map(Correlation::Challenge)
        }
        Message::Error(error) => error.request_challenge.clone().map(Correlation::Challenge),
        Message::QueryRequest(_) | Message::Update(_) | Message::Success(_) => None,
    }
}
