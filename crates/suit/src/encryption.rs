//! SUIT_Encryption_Info (suit-firmware-encryption): payloads that only their receiver can read.
//!
//! The processor hands encryption-info to the shell with the request that needs it, and has
//! refused before what nothing authenticates. The shell opens the payload with an
//! [`Intake`](crate::Intake) on its way into the TEE's store, or a small one whole with
//! [`Info::decrypt`]; what does not open leaves nothing behind.
//!
//! Tamarack's Personalization Data does not travel like this, since encryption-info binds no
//! author; code and other peers' payloads may.

use cose::encrypt::{self, ContentAlgorithm, ContentKey, Decryption, Encrypt};
use cose::encrypt::{Integrity, Opener, Recipient};
use cose::{Key, KeyUnusable, Payload, Secret, Tagging, Thumbprint};

use crate::error::{Error, Malformed, Unsupported, Untrusted};

/// A SUIT_Encryption_Info.
///
/// ```cddl
/// SUIT_Encryption_Info = COSE_Encrypt_Tagged   ; #6.96, its ciphertext nil
/// ```
#[derive(Clone, Debug)]
pub struct Info<'b> {
    object: Encrypt<'b>,
    algorithm: ContentAlgorithm,
}

impl<'b> Info<'b> {
    //= suit 13.82 (M): CTR with alg in protected header refused. E 6
    //= suit 13.92 (S): AES-CBC and unknown content algs: reason 3.
    /// Decodes the content of the parameter.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, Error> {
        let object = Encrypt::decode(bytes, Tagging::Tagged).map_err(Malformed::from)?;
        if object.ciphertext.is_some() {
            return Err(Malformed::Expected("a detached ciphertext").into());
        }
        let algorithm = object.algorithm().map_err(|error| refused(&error))?;
        Ok(Self { object, algorithm })
    }

    /// The cipher of the payload.
    pub fn algorithm(&self) -> ContentAlgorithm {
        self.algorithm
    }

    /// Whether the cipher proves by itself that the ciphertext is whole; AES-CTR does not.
    pub fn is_authenticating(&self) -> bool {
        self.algorithm.is_authenticated()
    }

    //= suit 13.77 (M): Both wrapping methods decrypt the vectors `firmware-encryption-24` and the
    //= TEEP personalization vectors. E 5
    //= suit 13.79 (M): KDF context byte-exact, all three `other` strings; mixing them fails. E
    //= 5.2.4, P 8.2
    //= suit 13.80 (M): Salt header honoured. E 5.2.4
    //= suit 13.89 (M): Ephemeral key not on curve / wrong curve refused.
    //= suit 13.78 (M): Wrong kid / foreign recipient: failure without oracle (same error as bad
    //= tag). E 5
    //= suit 13.81 (M): GCM and ChaCha tag failure: nothing of the plaintext becomes visible or
    //= readable (what was streamed is encrypted under an install key that is destroyed). E 6
    /// Opens a payload that a digest or the manifest's own signature binds.
    ///
    /// The processor lets no other payload through, see [`crate::process::Fault::Unauthenticated`].
    pub fn decrypt(&self, opener: &Opener<'_>, ciphertext: &[u8]) -> Result<Secret, Error> {
        let purpose = encrypt::other::SUIT_PAYLOAD;
        let integrity = Integrity::Elsewhere;
        let opened = self.object.decrypt_detached(opener, purpose, integrity, &[], ciphertext);
        opened.map_err(|_| Untrusted::Payload.into())
    }

    /// Starts to open such a payload piece by piece; [`Intake`](crate::Intake) does the rest.
    pub fn decryption(&self, opener: &Opener<'_>) -> Result<Decryption, Error> {
        let purpose = encrypt::other::SUIT_PAYLOAD;
        let started = self.object.decryption(opener, purpose, Integrity::Elsewhere, &[]);
        started.map_err(|_| Untrusted::Payload.into())
    }
}

/// A payload encrypted for its receivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The content of the parameter encryption-info.
    pub info: Vec<u8>,
    /// The payload to deliver.
    pub ciphertext: Vec<u8>,
}

//= suit 13.88 (M): Encoder: fresh CEK, IV unique over 10^6 runs. E 5, 11
/// Encrypts a payload. The content key is used up, so that no key and IV are used twice.
pub fn seal(
    content_key: ContentKey,
    recipients: &[Recipient<'_>],
    plaintext: &[u8],
) -> Result<Sealed, KeyUnusable> {
    let purpose = encrypt::other::SUIT_PAYLOAD;
    let payload = Payload::Detached(plaintext);
    let sealed = encrypt::encrypt(content_key, recipients, purpose, &[], payload)?;
    let ciphertext = sealed.ciphertext.ok_or(KeyUnusable)?;
    Ok(Sealed { info: sealed.object, ciphertext })
}

//= suit 13.90 (M): Encryption key differs from signing key (R).
/// Whether a receiver's key is none of the keys that sign: a key has one use.
pub fn may_receive(receiver: &Key, signers: &[Thumbprint]) -> bool {
    !signers.contains(&receiver.thumbprint())
}

fn refused(error: &cose::Untrusted) -> Error {
    if let cose::Untrusted::Algorithm { algorithm } = error {
        Unsupported::EncryptionAlgorithm(algorithm.id()).into()
    } else {
        Malformed::CoseHeader.into()
    }
}
