//! EATs that only the TAM can read (draft-ietf-teep-protocol section 8.2).

use cose::encrypt::{
    ContentAlgorithm, ContentKey, Encrypt, Integrity, Opener, Recipient, encrypt as cose_encrypt,
    other,
};
use cose::{Agreement, Entropy, Key, KeyUnusable, Payload, Secret, Tagging};

use crate::refusal::Refused;

/// Encrypts a signed token to a TAM's static key: ECDH-ES + A128KW, then AES-128-GCM.
///
/// The token is signed first. `ephemeral` is a key pair on the receiver's curve that was made for
/// this message.
//= rats 11.30 (M): an encrypted EAT opens under its own context string alone
pub fn encrypt(
    token: &[u8],
    receiver: &Key,
    ephemeral: &dyn Agreement,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, KeyUnusable> {
    let content_key = ContentKey::draw(ContentAlgorithm::A128Gcm, entropy);
    let recipient = Recipient::Agreement { receiver, ephemeral };
    let payload = Payload::Attached(token);
    Ok(cose_encrypt(content_key, &[recipient], other::EAT, &[], payload)?.object)
}

/// Decrypts to the signed token, which is still to be verified.
///
/// Ciphers without a tag are accepted: the signature inside authenticates.
//= rats 11.30 (M): an encrypted EAT opens under its own context string alone
pub fn decrypt(encrypted: &[u8], receiver: &dyn Agreement) -> Result<Secret, Refused> {
    let message = Encrypt::decode(encrypted, Tagging::Either)?;
    let opener = Opener::Agreement(receiver);
    Ok(message.decrypt(&opener, other::EAT, Integrity::Elsewhere, &[])?)
}
