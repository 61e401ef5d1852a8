//! AES Key Wrap (RFC 3394).

use aws_lc_rs::cipher::{DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext};
use aws_lc_rs::key_wrap::{self, AesBlockCipher, AesKek, KeyWrap as _};

use super::cipher::{Failed, aes};
use super::equal;
use crate::handle::Secret;

/// Wraps a key with a key of 16, 24 or 32 bytes.
pub(crate) fn wrap(kek: &[u8], key: &Secret) -> Result<Vec<u8>, Failed> {
    let Some(cipher) = provided(kek) else { return wrap_blocks(kek, key) };
    let mut wrapped = vec![0; key.expose().len() + BLOCK];
    AesKek::new(cipher, kek)
        .map_err(|_| Failed)?
        .wrap(key.expose(), &mut wrapped)
        .map_err(|_| Failed)?;
    Ok(wrapped)
}

/// Unwraps a key; fails when it was not wrapped with this one.
pub(crate) fn unwrap(kek: &[u8], wrapped: &[u8]) -> Result<Secret, Failed> {
    let Some(cipher) = provided(kek) else { return unwrap_blocks(kek, wrapped) };
    let mut key = Secret::new(vec![0; wrapped.len().checked_sub(BLOCK).ok_or(Failed)?]);
    AesKek::new(cipher, kek)
        .map_err(|_| Failed)?
        .unwrap(wrapped, key.expose_mut())
        .map_err(|_| Failed)?;
    Ok(key)
}

/// The provider wraps with AES-128 and AES-256, not with AES-192.
fn provided(kek: &[u8]) -> Option<&'static AesBlockCipher> {
    match kek.len() {
        16 => Some(&key_wrap::AES_128),
        32 => Some(&key_wrap::AES_256),
        _ => None,
    }
}

/// RFC 3394 section 2.2.1, over the block cipher.
fn wrap_blocks(kek: &[u8], key: &Secret) -> Result<Vec<u8>, Failed> {
    let blocks = block_count(key.expose())?;
    let cipher = EncryptingKey::ecb(aes(kek)?).map_err(|_| Failed)?;
    let mut wrapped = [&INITIAL, key.expose()].concat();
    for step in 1..=ROUNDS * blocks {
        let at = BLOCK * ((step - 1) % blocks + 1);
        let mut pair = Pair::new(&wrapped, at);
        cipher.less_safe_encrypt(&mut pair.0, EncryptionContext::None).map_err(|_| Failed)?;
        pair.count(step);
        pair.put(&mut wrapped, at);
    }
    Ok(wrapped)
}

/// RFC 3394 section 2.2.2, over the block cipher.
fn unwrap_blocks(kek: &[u8], wrapped: &[u8]) -> Result<Secret, Failed> {
    let blocks = block_count(wrapped.get(BLOCK..).ok_or(Failed)?)?;
    let cipher = DecryptingKey::ecb(aes(kek)?).map_err(|_| Failed)?;
    let mut text = Secret::new(wrapped.to_vec());
    for step in (1..=ROUNDS * blocks).rev() {
        let at = BLOCK * ((step - 1) % blocks + 1);
        let mut pair = Pair::new(text.expose(), at);
        pair.count(step);
        cipher.decrypt(&mut pair.0, DecryptionContext::None).map_err(|_| Failed)?;
        pair.put(text.expose_mut(), at);
    }
    let (initial, key) = text.expose().split_at(BLOCK);
    if !equal(initial, &INITIAL) {
        return Err(Failed);
    }
    Ok(Secret::new(key.to_vec()))
}

/// The block of integrity and one block of the key, side by side.
#[derive(zeroize::ZeroizeOnDrop)]
struct Pair([u8; 2 * BLOCK]);

impl Pair {
    fn new(text: &[u8], at: usize) -> Self {
        let mut pair = [0; 2 * BLOCK];
        pair[..BLOCK].copy_from_slice(&text[..BLOCK]);
        pair[BLOCK..].copy_from_slice(&text[at..at + BLOCK]);
        Self(pair)
    }

    fn count(&mut self, step: usize) {
        for (byte, count) in self.0.iter_mut().zip((step as u64).to_be_bytes()) {
            *byte ^= count;
        }
    }

    fn put(&self, text: &mut [u8], at: usize) {
        text[..BLOCK].copy_from_slice(&self.0[..BLOCK]);
        text[at..at + BLOCK].copy_from_slice(&self.0[BLOCK..]);
    }
}

fn block_count(key: &[u8]) -> Result<usize, Failed> {
    if key.len() < 2 * BLOCK || !key.len().is_multiple_of(BLOCK) {
        return Err(Failed);
    }
    Ok(key.len() / BLOCK)
}

const BLOCK: usize = 8;
const ROUNDS: usize = 6;
const INITIAL: [u8; BLOCK] = [0xa6; BLOCK];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3394 section 4: the start of the ciphertext for each pair of lengths.
    const VECTORS: [(usize, usize, [u8; 8]); 6] = [
        (16, 16, [0x1f, 0xa6, 0x8b, 0x0a, 0x81, 0x12, 0xb4, 0x47]),
        (24, 16, [0x96, 0x77, 0x8b, 0x25, 0xae, 0x6c, 0xa4, 0x35]),
        (32, 16, [0x64, 0xe8, 0xc3, 0xf9, 0xce, 0x0f, 0x5b, 0xa2]),
        (24, 24, [0x03, 0x1d, 0x33, 0x26, 0x4e, 0x15, 0xd3, 0x32]),
        (32, 24, [0xa8, 0xf9, 0xbc, 0x16, 0x12, 0xc6, 0x8b, 0x3f]),
        (32, 32, [0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4]),
    ];

    #[test]
    fn wrapping_matches_rfc_3394() {
        for (kek_len, key_len, start) in VECTORS {
            let kek: Vec<u8> = (0..kek_len as u8).collect();
            let wrapped = wrap(&kek, &secret(key_len)).unwrap();

            assert_eq!(wrapped[..8], start);
            assert_eq!(unwrap(&kek, &wrapped), Ok(secret(key_len)));
        }
    }

    #[test]
    fn our_blocks_agree_with_the_provider() {
        for kek_len in [16, 32] {
            let kek: Vec<u8> = (0..kek_len).collect();

            let wrapped = wrap_blocks(&kek, &secret(32)).unwrap();

            assert_eq!(wrap(&kek, &secret(32)).unwrap(), wrapped);
            assert_eq!(unwrap_blocks(&kek, &wrapped), Ok(secret(32)));
        }
    }

    #[test]
    fn a_flipped_bit_or_another_key_is_refused() {
        for kek_len in [16, 24, 32] {
            let kek = vec![1; kek_len];
            let wrapped = wrap(&kek, &secret(16)).unwrap();

            for bit in 0..wrapped.len() * 8 {
                let mut flipped = wrapped.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(unwrap(&kek, &flipped), Err(Failed));
            }
            assert_eq!(unwrap(&vec![2; kek_len], &wrapped), Err(Failed));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for kek_len in [16, 24, 32] {
            let kek = vec![1; kek_len];

            for length in [0, 7, 8, 15, 16, 23, 25] {
                assert_eq!(unwrap(&kek, &vec![0; length]), Err(Failed));
            }
            assert_eq!(wrap(&kek, &secret(15)), Err(Failed));
        }
        assert_eq!(wrap(&[0; 20], &secret(16)), Err(Failed));
        assert_eq!(unwrap(&[0; 20], &[0; 24]), Err(Failed));
    }

    /// The key data of RFC 3394 section 4.
    fn secret(length: usize) -> Secret {
        let data = (0..16u8).map(|i| i * 0x11).chain(0..16);
        Secret::new(data.take(length).collect())
    }
}
