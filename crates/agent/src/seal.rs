//! Seals what the agent keeps on the disk of the REE: AES-256-GCM under a key of the TEE.
//!
//! Sealing hides content and shows changes. It does not show that an *older* sealed content was
//! put back: that is the business of [`crate::store`].

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use cose::Entropy as _;
use device::tee::SealingKey;
use keys::SystemEntropy;
use zeroize::Zeroizing;

/// The bytes were not sealed by this agent on this device, or not under this label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sealed by this agent on this device")]
pub struct Foreign;

/// Seals and opens under one key of the TEE.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Makes a sealer of a key of the TEE.
    pub fn new(key: &SealingKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose())
            .expect("a sealing key has the length of an AES-256 key");
        Self(LessSafeKey::new(key))
    }

    /// Seals `plain` under a label that says what it is.
    ///
    /// The nonce is random: far fewer than 2^32 contents are ever sealed under one key.
    pub fn seal(&self, label: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemEntropy.fill(&mut nonce);
        let mut body = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(label.as_bytes()),
                &mut body,
            )
            .expect("contents are far shorter than the limit of AES-GCM");

        let mut sealed = nonce.to_vec();
        sealed.append(&mut body);
        sealed
    }

    /// Opens what was sealed under the same label.
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Foreign> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Foreign)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(label.as_bytes()),
                &mut body,
            )
            .map_err(|_| Foreign)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_under_the_same_label_and_key_only() {
        let sealer = Sealer::new(&SealingKey::new([1; 32]));
        let other = Sealer::new(&SealingKey::new([2; 32]));

        let sealed = sealer.seal("index", b"content");

        assert_eq!(sealer.open("index", &sealed).unwrap().as_slice(), b"content");
        assert_eq!(sealer.open("identity", &sealed).unwrap_err(), Foreign);
        assert_eq!(other.open("index", &sealed).unwrap_err(), Foreign);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let sealer = Sealer::new(&SealingKey::new([1; 32]));
        let sealed = sealer.seal("index", b"content");

        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open("index", &changed).unwrap_err(), Foreign, "byte {at}");
            assert_eq!(sealer.open("index", &sealed[..at]).unwrap_err(), Foreign, "cut {at}");
        }
    }
}
