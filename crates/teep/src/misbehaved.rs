//! How a peer, or whoever stands between, can break the protocol.

use crate::challenge::Stale;
use crate::message::Kind;

/// A validly signed message that does not belong here. It changed nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// Not a message for this state, or for this side.
    #[error("{} is not valid in this state", .0.name())]
    UnexpectedMessage(Kind),
    /// No exchange waits for this token: it was used, forgotten, or never issued.
    #[error("no exchange waits for this token")]
    UnknownExchange,
    /// The exchange waits for another token, or for none.
    #[error("token is not the one that was sent")]
    TokenMismatch,
    /// The token's or challenge's time is over.
    #[error("the exchange has expired")]
    Expired,
    /// The challenge is not one to accept.
    #[error("challenge is stale")]
    Stale(#[from] Stale),
    /// Signed by another key than the exchange is with.
    #[error("signed by another key than the exchange is with")]
    AnotherSigner,
    /// Signed by a key that only the message itself vouches for.
    #[error("signed by a key that is not known")]
    UnknownSigner,
    /// Signed in another suite than the exchange began with.
    #[error("signed in another suite than the session's")]
    SuiteChanged,
    /// Read by other code points than the exchange began with.
    #[error("code points changed within the exchange")]
    NumberingChanged,
    /// Signed by a key whose time is over.
    #[error("signed by a key that has expired")]
    KeyExpired,
    /// A SUIT report has no nonce or another one.
    #[error("nonce of a SUIT report is not the token")]
    ReportNonce,
    /// A SUIT report is protected by the key of the message.
    #[error("a SUIT report is protected by the key of the message")]
    ReportKey,
    /// A SUIT report that cannot be read.
    #[error("a SUIT report is not readable")]
    ReportUnreadable,
    /// Encrypted, and not to this side or not as it should be.
    #[error("what is encrypted does not open")]
    Undecipherable,
    /// The session waits for its own side.
    #[error("the session is busy")]
    Busy,
    /// There is no such session.
    #[error("there is no session with this handle")]
    UnknownSession,
}
