//! The TEEP protocol, draft-ietf-teep-protocol-26: messages, their COSE wrapper, and the session
//! machines of TAM and Agent.
//!
//! Bytes, time and randomness come in; messages and effects go out. The crate deliberately does
//! not know how a message travels, where keys and exchanges are kept, what Evidence proves, what a
//! manifest does, or who may have what: the shells around it know, and each machine asks by an
//! effect.

pub mod agent;
pub mod appraisal;
pub mod confidential;
pub mod envelope;
pub mod evidence;
pub mod limits;
pub mod message;
pub mod option;
pub mod report;
pub mod tam;

mod attestation;
mod challenge;
mod cipher_suite;
mod component;
mod err_code;
mod malformed;
mod misbehaved;
mod misuse;
mod numbering;
mod suit_cose_profile;
mod text;
mod token;
mod wire;

pub use attestation::{AttestationPayload, MediaType};
pub use challenge::{Challenge, ChallengeKey, Issued, Stale, UserNonce};
pub use cipher_suite::{CipherSuite, Operation, Suite};
pub use component::{Present, RequestedTc, SystemProperties};
pub use err_code::ErrCode;
pub use malformed::Malformed;
pub use message::Message;
pub use misbehaved::Misbehaved;
pub use misuse::Misuse;
pub use numbering::Numbering;
pub use rats::Timestamp;
pub use suit::ComponentId;
pub use suit_cose_profile::SuitCoseProfile;
pub use text::{ErrLang, Msg};
pub use token::{Fresh, Token};

/// The media type of TEEP messages (section 13.1).
pub const MEDIA_TYPE: &str = "application/teep+cbor";
