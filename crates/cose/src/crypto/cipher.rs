//! Content encryption: AES-GCM, ChaCha20/Poly1305, AES-CTR.

use aws_lc_rs::aead::{self, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// An authenticated cipher with a 12-byte nonce and a 16-byte tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aead {
    Aes128Gcm,
    Aes192Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// A length that does not fit, or bytes that do not authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl Aead {
    /// Encrypts in place and appends the tag.
    pub(crate) fn seal(
        self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let (key, nonce) = self.prepare(key, nonce)?;
        key.seal_in_place_append_tag(nonce, aead::Aad::from(aad), text).map_err(|_| Failed)
    }

    /// Decrypts in place and drops the tag.
    pub(crate) fn open(
        self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let (key, nonce) = self.prepare(key, nonce)?;
        let opened = key.open_in_place(nonce, aead::Aad::from(aad), text).map_err(|_| Failed)?;
        let length = opened.len();
        text.truncate(length);
        Ok(())
    }

    pub(super) fn prepare(self, key: &[u8], nonce: &[u8]) -> Result<(LessSafeKey, Nonce), Failed> {
        let algorithm = match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes192Gcm => &aead::AES_192_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Failed)?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

/// AES in counter mode, in place, both ways. The key's length chooses the variant; the counter
/// starts at the IV and covers all 16 bytes.
pub(crate) fn aes_ctr(key: &[u8], iv: &[u8; 16], text: &mut [u8]) -> Result<(), Failed> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    EncryptingKey::ctr(aes(key)?)
        .and_then(|key| key.less_safe_encrypt(text, context))
        .map_err(|_| Failed)?;
    Ok(())
}

/// The AES key of this length.
pub(super) fn aes(key: &[u8]) -> Result<UnboundCipherKey, Failed> {
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        32 => &cipher::AES_256,
        _ => return Err(Failed),
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SP 800-38A appendix F.5, the first block of each key length, with the counter that rolls
    /// over in the last byte.
    #[test]
    fn counter_mode_matches_sp_800_38a() {
        let iv: [u8; 16] = std::array::from_fn(|i| 0xf0 + i as u8);
        let plain = bytes("6bc1bee22e409f96e93d7e117393172a");
        let cases = [
            ("2b7e151628aed2a6abf7158809cf4f3c", "874d6191b620e3261bef6864990db6ce"),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "1abc932417521ca24f2b0459fe7e6e0b",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "601ec313775789a5b7a7f504bbf3d228",
            ),
        ];
        for (key, expected) in cases {
            let mut text = plain.clone();

            aes_ctr(&bytes(key), &iv, &mut text).unwrap();

            assert_eq!(text, bytes(expected));
        }
    }

    /// The second block needs a carry into the last byte but one.
    #[test]
    fn the_counter_carries_over_all_sixteen_bytes() {
        let key = [7; 16];
        let mut two = vec![0; 32];
        aes_ctr(&key, &[0xff; 16], &mut two).unwrap();
        let mut second = vec![0; 16];

        aes_ctr(&key, &[0; 16], &mut second).unwrap();

        assert_eq!(two[16..], second);
    }

    /// RFC 8439 section 2.8.2.
    #[test]
    fn chacha20_poly1305_matches_rfc_8439() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce = bytes("070000004041424344454647");
        let aad = bytes("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: \
            If I could offer you only one tip for the future, sunscreen would be it.";
        let mut text = plain.to_vec();

        Aead::ChaCha20Poly1305.seal(&key, &nonce, &aad, &mut text).unwrap();

        assert_eq!(text[..8], bytes("d31a8d34648e60db"));
        assert_eq!(text[plain.len()..], bytes("1ae10b594f09e26a7e902ecbd0600691"));
        Aead::ChaCha20Poly1305.open(&key, &nonce, &aad, &mut text).unwrap();
        assert_eq!(text, plain);
    }

    #[test]
    fn wrong_lengths_fail() {
        let mut text = vec![0; 16];

        assert_eq!(aes_ctr(&[0; 17], &[0; 16], &mut text), Err(Failed));
        assert_eq!(Aead::Aes128Gcm.seal(&[0; 32], &[0; 12], &[], &mut text), Err(Failed));
        assert_eq!(Aead::Aes128Gcm.seal(&[0; 16], &[0; 16], &[], &mut text), Err(Failed));
        assert_eq!(Aead::Aes128Gcm.open(&[0; 16], &[0; 12], &[], &mut vec![0; 15]), Err(Failed));
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |index: usize| u8::from_str_radix(&hex[index..index + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }
}
