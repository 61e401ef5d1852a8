//! COSE encryption: COSE_Encrypt with recipients, and COSE_Encrypt0 (RFC 9052 section 5).
//!
//! A fresh content key encrypts the content; it reaches each recipient wrapped, with a shared key
//! (AES Key Wrap) or with one agreed on (ECDH-ES + AES Key Wrap). Authenticated ciphers are
//! AES-GCM and ChaCha20/Poly1305; AES-CTR (RFC 9459) is read and written for the profiles that
//! ask for it, and only where the caller says what else authenticates the content.
//!
//! Randomness comes from the caller: [`ContentKey::draw`] takes [`Entropy`](crate::Entropy), and
//! the ephemeral key is an [`Agreement`](crate::Agreement) made for one recipient of one message.

mod content;
mod encrypt0;
mod kdf;
mod message;
pub(crate) mod recipient;
mod stream;

pub use content::{ContentAlgorithm, ContentKey, Integrity};
pub use encrypt0::{Encrypt0, encrypt0};
pub use message::{Encrypt, encrypt};
pub use recipient::{KeyWrap, Opener, ReceivedRecipient, Recipient};
pub use stream::Decryption;

/// What encryption gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The tagged COSE object.
    pub object: Vec<u8>,
    /// The ciphertext, when it is detached from the object.
    pub ciphertext: Option<Vec<u8>>,
}

/// The `other` strings of the key derivation: what the content is, so that a key agreed on for one
/// purpose opens nothing else.
pub mod other {
    /// The payload of a SUIT manifest (draft-ietf-suit-firmware-encryption).
    pub const SUIT_PAYLOAD: &str = "SUIT Payload Encryption";
    /// A SUIT report (draft-ietf-teep-protocol section 8.2).
    pub const SUIT_REPORT: &str = "SUIT Report Encryption";
    /// An EAT (draft-ietf-teep-protocol section 8.2).
    pub const EAT: &str = "EAT Encryption";
}
