//! Sealing keys from the one that hardware derives, and chance.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use cose::Entropy as _;
use device::tee::SealingKey;
use keys::SystemEntropy;
use zeroize::Zeroizing;

/// The key for a label, from a key that hardware derived for this program on this device.
pub(super) fn derive(hardware: &[u8], label: &str) -> SealingKey {
    let mut key = Zeroizing::new([0; 32]);
    let secret = Salt::new(HKDF_SHA256, SALT).extract(hardware);
    let info = [label.as_bytes()];
    let output = secret.expand(&info, Bytes32).expect("32 bytes are within HKDF's limit");
    output.fill(key.as_mut()).expect("the length is that of the buffer");
    SealingKey::new(*key)
}

/// Bytes that nobody can guess.
pub(super) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

const SALT: &[u8] = b"tamarack sealing key v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealing_key_depends_on_the_hardwares_key_and_the_label() {
        let key = derive(&[7; 16], "storage");

        assert_eq!(key, derive(&[7; 16], "storage"));
        assert_ne!(key, derive(&[8; 16], "storage"));
        assert_ne!(key, derive(&[7; 16], "storages"));
    }
}
