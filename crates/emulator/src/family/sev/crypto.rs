//! What the firmware computes.

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey, UnparsedPublicKey, agree as exchange};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use cose::hmac_sha256;
use zeroize::Zeroizing;

/// ECDH on P-384.
pub(super) fn agree(own: &[u8; 48], peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let own = PrivateKey::from_private_key(&ECDH_P384, own).ok()?;
    let peer = UnparsedPublicKey::new(&ECDH_P384, peer);
    exchange(&own, peer, (), |shared| Ok(Zeroizing::new(shared.to_vec()))).ok()
}

/// SP 800-108 section 5.1 with HMAC-SHA-256: 128 bits, so that one block is enough.
pub(super) fn derive(key: &[u8], label: &str, context: &[u8]) -> Zeroizing<[u8; 16]> {
    let (counter, bits) = (1_u32.to_le_bytes(), 128_u32.to_le_bytes());
    let parts: [&[u8]; 5] = [&counter, label.as_bytes(), &[0], context, &bits];
    let mut derived = Zeroizing::new([0; 16]);
    derived.copy_from_slice(&hmac_sha256(key, &parts.concat())[..16]);
    derived
}

/// AES-128 in counter mode, in both directions.
pub(super) fn crypt(key: &[u8; 16], iv: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).ok()?).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let mut text = text.to_vec();
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    Some(text)
}
