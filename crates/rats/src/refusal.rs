//! Why something is refused, sorted by whose fault it is.

use crate::label::Label;
use crate::time::Timestamp;

/// The bytes are not what the document says.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The CBOR or the COSE object itself.
    #[error("not valid CBOR or COSE")]
    Cbor(#[from] cose::Malformed),
    /// JSON text (of an EAR) that is not what RFC 8259 or EAR says.
    #[error("not valid JSON at byte {0}")]
    Json(usize),
    /// Another type or shape was asked for.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A required claim or member is missing.
    #[error("claim {0} is missing")]
    Missing(Label),
    /// A claim or member has a value that the document forbids.
    #[error("claim {0} has a value that is not allowed")]
    Value(Label),
    /// A time was given as a floating-point number (RFC 9711 section 4.3.1 forbids it).
    #[error("claim {0} is a floating-point time")]
    FloatTime(Label),
    /// A nonce that is not one byte string of 8 to 64 bytes.
    #[error("nonce is not one byte string of 8 to 64 bytes")]
    Nonce,
    /// A confirmation whose COSE_Key and key identifiers name different keys.
    #[error("the key identifier in cnf is not the thumbprint of its COSE_Key")]
    CnfDisagrees,
    /// A status that is better than the claims it summarises allow (EAR section 3.2).
    #[error("the status is better than the worst claim under it")]
    StatusTooGood,
    /// A profile that the reader does not accept, or none.
    #[error("the profile is missing or another one")]
    Profile,
    /// A signed CMW without the content type that says so.
    #[error("the protected content type is missing or another one")]
    ContentType,
    /// More nesting or more entries than the reader accepts.
    #[error("nested too deeply or too many entries")]
    TooLarge,
}

impl From<minicbor::decode::Error> for Malformed {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Cbor(cose::Malformed::from(error))
    }
}

/// The bytes are valid, but say something that is not done here.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A CoRIM under a profile that changes the meaning of its parts.
    #[error("CoRIM profile is unknown")]
    CorimProfile,
    /// A statement that restricts the match and that this reader cannot evaluate.
    #[error("CoRIM member {0} restricts the match in an unknown way")]
    CorimMember(i64),
}

/// A signature, an anchor, a time or a binding says no.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The COSE signature does not hold.
    #[error("the signature is not one to trust")]
    Signature(#[from] cose::Untrusted),
    /// No key that the reader trusts made the signature.
    #[error("signed by a key that is not trusted here")]
    UnknownSigner,
    /// A result that is signed by the very key whose owner it judges.
    #[error("the result is signed by the attester itself")]
    SelfSigned,
    /// The time of expiry has come.
    #[error("expired at {exp}, and it is {now}")]
    Expired {
        /// When it ended.
        exp: Timestamp,
        /// The reader's time.
        now: Timestamp,
    },
    /// The time of issue has not come.
    #[error("issued at {iat}, and it is {now}")]
    FromTheFuture {
        /// When it says it was issued.
        iat: Timestamp,
        /// The reader's time.
        now: Timestamp,
    },
    /// The nonce is missing or another one.
    #[error("the nonce is missing or not the one that was sent")]
    NonceMismatch,
    /// The report data of the hardware does not cover these binding bytes.
    #[error("the report data does not cover the binding")]
    ReportDataMismatch,
    /// The binding covers another challenge, key or set of claims.
    #[error("the binding is for another {0}")]
    BindingMismatch(&'static str),
    /// The key that is confirmed is another one than the signer of the message.
    #[error("the confirmed key is another one")]
    CnfMismatch,
}

/// Any reason for refusing a signed object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not what the document says.
    #[error("malformed")]
    Malformed(#[from] Malformed),
    /// Valid, but not done here.
    #[error("unsupported")]
    Unsupported(#[from] Unsupported),
    /// Valid, but not trusted.
    #[error("untrusted")]
    Untrusted(#[from] Untrusted),
}

impl From<cose::Malformed> for Refused {
    fn from(error: cose::Malformed) -> Self {
        Self::Malformed(error.into())
    }
}

impl From<cose::Untrusted> for Refused {
    fn from(error: cose::Untrusted) -> Self {
        Self::Untrusted(error.into())
    }
}
