//! Content ciphers over a text that comes in pieces and is longer than memory.
//!
//! The provider's AEADs take the whole text at once. AES-GCM is put together from two of its
//! operations, both of which it runs at full speed: AES-CTR, and GMAC over one piece at a time.
//! GHASH is a polynomial in the hash key, so the GMACs of the pieces add up to the tag of the
//! whole: one multiplication in the field for each piece. ChaCha20/Poly1305 is composed as
//! RFC 8439 says, since the provider has neither half of it alone.
//!
//! Every piece but the last is a multiple of [`BLOCK`] bytes long; [`crate::encrypt`] sees to it.

use aws_lc_rs::aead::{self, LessSafeKey, Nonce};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::iv::FixedLength;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit as _, UniversalHash as _};
use zeroize::Zeroizing;

use super::cipher::{Aead, Failed, aes};

/// Pieces are a multiple of this long, which is a whole number of blocks of every cipher.
pub(crate) const BLOCK: usize = 64;

/// The length of every tag.
pub(crate) const TAG: usize = 16;

/// A cipher in the middle of a text.
pub(crate) enum Stream {
    Ctr(Box<Ctr>),
    Gcm(Box<Gcm>),
    ChaCha(Box<ChaChaPoly>),
}

impl Stream {
    /// Starts AES-CTR.
    pub(crate) fn ctr(key: &[u8], iv: [u8; 16]) -> Result<Self, Failed> {
        Ctr::new(key, iv).map(|cipher| Self::Ctr(Box::new(cipher)))
    }

    /// Starts an AEAD.
    pub(crate) fn aead(aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Self, Failed> {
        let nonce = nonce.try_into().map_err(|_| Failed)?;
        match aead {
            Aead::ChaCha20Poly1305 => {
                ChaChaPoly::new(key, nonce, aad).map(|cipher| Self::ChaCha(Box::new(cipher)))
            }
            Aead::Aes128Gcm | Aead::Aes192Gcm | Aead::Aes256Gcm => {
                Gcm::new(aead, key, nonce, aad).map(|cipher| Self::Gcm(Box::new(cipher)))
            }
        }
    }

    /// The bytes of the ciphertext that are no text: those of the tag at its end.
    pub(crate) fn tag_len(&self) -> usize {
        match self {
            Self::Ctr(_) => 0,
            Self::Gcm(_) | Self::ChaCha(_) => TAG,
        }
    }

    /// Decrypts the next piece.
    pub(crate) fn decrypt(&mut self, piece: &mut [u8]) -> Result<(), Failed> {
        match self {
            Self::Ctr(ctr) => ctr.apply(piece),
            Self::Gcm(gcm) => gcm.decrypt(piece),
            Self::ChaCha(cipher) => cipher.decrypt(piece),
        }
    }

    /// Decrypts a piece whose front is in `text` and whose other part is `body`, into `text`.
    pub(crate) fn decrypt_after(
        &mut self,
        front: usize,
        body: &[u8],
        text: &mut [u8],
    ) -> Result<(), Failed> {
        let (before, after) = text.split_at_mut(front);
        if let Self::ChaCha(cipher) = self {
            cipher.decrypt(before)?;
            return cipher.decrypt_into(body, after);
        }
        after.copy_from_slice(body);
        self.decrypt(text)
    }

    /// Compares the tag with that of everything decrypted.
    pub(crate) fn finish(self, tag: &[u8]) -> Result<(), Failed> {
        let computed = match self {
            Self::Ctr(_) => return if tag.is_empty() { Ok(()) } else { Err(Failed) },
            Self::Gcm(gcm) => gcm.tag(),
            Self::ChaCha(cipher) => cipher.tag(),
        };
        if super::equal(&computed, tag) { Ok(()) } else { Err(Failed) }
    }
}

/// AES in counter mode.
pub(crate) struct Ctr {
    key: EncryptingKey,
    counter: u128,
}

impl Ctr {
    fn new(key: &[u8], iv: [u8; 16]) -> Result<Self, Failed> {
        let key = EncryptingKey::ctr(aes(key)?).map_err(|_| Failed)?;
        Ok(Self { key, counter: u128::from_be_bytes(iv) })
    }

    fn apply(&mut self, text: &mut [u8]) -> Result<(), Failed> {
        let iv = FixedLength::from(self.counter.to_be_bytes());
        let blocks = text.len().div_ceil(16) as u128;
        self.key.less_safe_encrypt(text, EncryptionContext::Iv128(iv)).map_err(|_| Failed)?;
        self.counter = self.counter.wrapping_add(blocks);
        Ok(())
    }

    /// The block cipher itself, by its key stream at this counter.
    fn block(&mut self, counter: u128) -> Result<Element, Failed> {
        let mut block = Zeroizing::new([0; 16]);
        self.counter = counter;
        self.apply(block.as_mut())?;
        Ok(Element(u128::from_be_bytes(*block)))
    }
}

/// AES-GCM (SP 800-38D).
///
/// With `Y` the state of GHASH after the blocks so far, `z` is `Y·H`. The provider's GMAC over a
/// piece of `n` blocks is `(P + L)·H + E`, where `P` is GHASH's state after the piece alone, `L`
/// the block of lengths and `E` the encrypted first counter. So `z` becomes `z·Hⁿ + P·H`.
pub(crate) struct Gcm {
    ctr: Ctr,
    mac: LessSafeKey,
    nonce: [u8; 12],
    hash_key: Element,
    first: Element,
    z: Element,
    aad_bytes: u64,
    text_bytes: u64,
    /// Pieces are mostly of one length: `n` and `Hⁿ`.
    power: (u64, Element),
}

impl Gcm {
    fn new(aead: Aead, key: &[u8], nonce: [u8; 12], aad: &[u8]) -> Result<Self, Failed> {
        let mut first = [0; 16];
        first[..12].copy_from_slice(&nonce);
        first[15] = 1;
        let first = u128::from_be_bytes(first);
        let (mac, _) = aead.prepare(key, &nonce)?;
        let mut ctr = Ctr::new(key, [0; 16])?;
        let (hash_key, masked) = (ctr.block(0)?, ctr.block(first)?);
        ctr.counter = first + 1;
        let mut gcm = Self {
            ctr,
            mac,
            nonce,
            hash_key,
            first: masked,
            z: Element(0),
            aad_bytes: aad.len() as u64,
            text_bytes: 0,
            power: (0, Element::ONE),
        };
        gcm.absorb(aad)?;
        Ok(gcm)
    }

    fn decrypt(&mut self, piece: &mut [u8]) -> Result<(), Failed> {
        self.text_bytes += piece.len() as u64;
        if self.text_bytes > GCM_BYTES_MAX {
            return Err(Failed);
        }
        self.absorb(piece)?;
        self.ctr.apply(piece)
    }

    /// Adds bytes to the hash; they are padded to whole blocks.
    fn absorb(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.is_empty() {
            return Ok(());
        }
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let aad = aead::Aad::from(bytes);
        // The tag stays here, so that the nonce may serve for every piece.
        let tag = self.mac.seal_in_place_separate_tag(nonce, aad, &mut []).map_err(|_| Failed)?;
        let tag = tag.as_ref().try_into().map_err(|_| Failed)?;
        let tag = Element(u128::from_be_bytes(tag));
        let lengths = Element::lengths(bytes.len() as u64, 0);
        let piece = tag.plus(self.first).plus(lengths.times(self.hash_key));
        let blocks = bytes.len().div_ceil(16) as u64;
        if self.power.0 != blocks {
            self.power = (blocks, self.hash_key.power(blocks));
        }
        self.z = self.z.times(self.power.1).plus(piece);
        Ok(())
    }

    fn tag(&self) -> [u8; TAG] {
        let lengths = Element::lengths(self.aad_bytes, self.text_bytes);
        self.z.plus(lengths.times(self.hash_key)).plus(self.first).0.to_be_bytes()
    }
}

/// An element of the field of GHASH; the most significant bit is the coefficient of x⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq, zeroize::Zeroize)]
struct Element(u128);

impl Element {
    const ONE: Self = Self(1 << 127);

    fn lengths(aad_bytes: u64, text_bytes: u64) -> Self {
        Self(u128::from(aad_bytes * 8) << 64 | u128::from(text_bytes * 8))
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// SP 800-38D section 6.3, in time that does not depend on the values.
    fn times(self, other: Self) -> Self {
        let (mut product, mut shifted) = (0, other.0);
        for bit in (0..128).rev() {
            product ^= shifted & (self.0 >> bit & 1).wrapping_neg();
            shifted = shifted >> 1 ^ 0xe1 << 120 & (shifted & 1).wrapping_neg();
        }
        Self(product)
    }

    /// The exponent is no secret.
    fn power(self, mut exponent: u64) -> Self {
        let (mut power, mut square) = (Self::ONE, self);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = power.times(square);
            }
            square = square.times(square);
            exponent >>= 1;
        }
        power
    }
}

impl Drop for Gcm {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        for element in [&mut self.hash_key, &mut self.first, &mut self.z, &mut self.power.1] {
            element.zeroize();
        }
    }
}

/// AEAD_CHACHA20_POLY1305 (RFC 8439 section 2.8).
pub(crate) struct ChaChaPoly {
    cipher: ChaCha20,
    mac: Poly1305,
    aad_bytes: u64,
    text_bytes: u64,
}

impl ChaChaPoly {
    fn new(key: &[u8], nonce: [u8; 12], aad: &[u8]) -> Result<Self, Failed> {
        let key: &[u8; 32] = key.try_into().map_err(|_| Failed)?;
        let mut cipher = ChaCha20::new(key.into(), &nonce.into());
        // The whole first block belongs to the one-time key.
        let mut first = Zeroizing::new([0; BLOCK]);
        cipher.apply_keystream(first.as_mut());
        let one_time: &[u8; 32] = first.first_chunk().ok_or(Failed)?;
        let mut mac = Poly1305::new(one_time.into());
        mac.update_padded(aad);
        Ok(Self { cipher, mac, aad_bytes: aad.len() as u64, text_bytes: 0 })
    }

    fn decrypt(&mut self, piece: &mut [u8]) -> Result<(), Failed> {
        self.text_bytes += piece.len() as u64;
        self.mac.update_padded(piece);
        self.cipher.try_apply_keystream(piece).map_err(|_| Failed)
    }

    /// The same without a pass that copies; in parts that stay in the nearest cache.
    fn decrypt_into(&mut self, piece: &[u8], text: &mut [u8]) -> Result<(), Failed> {
        self.text_bytes += piece.len() as u64;
        for (piece, text) in piece.chunks(PART).zip(text.chunks_mut(PART)) {
            self.mac.update_padded(piece);
            self.cipher.try_apply_keystream_b2b(piece, text).map_err(|_| Failed)?;
        }
        Ok(())
    }

    fn tag(mut self: Box<Self>) -> [u8; TAG] {
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&self.aad_bytes.to_le_bytes());
        lengths[8..].copy_from_slice(&self.text_bytes.to_le_bytes());
        self.mac.update(&[lengths.into()]);
        self.mac.finalize().into()
    }
}

/// SP 800-38D section 5.2.1.1: the counter has 32 bits, two of whose values are taken.
const GCM_BYTES_MAX: u64 = ((1 << 32) - 2) * 16;

/// A multiple of [`BLOCK`].
const PART: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const AEADS: [(Aead, usize); 4] = [
        (Aead::Aes128Gcm, 16),
        (Aead::Aes192Gcm, 24),
        (Aead::Aes256Gcm, 32),
        (Aead::ChaCha20Poly1305, 32),
    ];

    #[test]
    fn every_split_of_a_text_opens_what_the_provider_sealed_at_once() {
        for (aead, key_len) in AEADS {
            let key: Vec<u8> = (0..key_len as u8).collect();
            for length in [0, 1, 15, 16, 63, 64, 65, 1000, 4096, 70_000] {
                for aad_len in [0, 5, 16, 33] {
                    let plain: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
                    let aad = vec![0xa5; aad_len];
                    let mut sealed = plain.clone();
                    aead.seal(&key, &[9; 12], &aad, &mut sealed).unwrap();
                    for piece in [BLOCK, 3 * BLOCK, 1024, 1 << 16] {
                        let (mut text, tag) = (sealed.clone(), sealed[length..].to_vec());
                        text.truncate(length);
                        let mut stream = Stream::aead(aead, &key, &[9; 12], &aad).unwrap();

                        text.chunks_mut(piece).for_each(|piece| stream.decrypt(piece).unwrap());

                        assert_eq!(stream.finish(&tag), Ok(()), "{aead:?} {length} {aad_len}");
                        assert_eq!(text, plain);
                    }
                }
            }
        }
    }

    #[test]
    fn a_changed_bit_of_text_tag_or_data_is_refused() {
        for (aead, key_len) in AEADS {
            let key = vec![1; key_len];
            let mut sealed = vec![7; 200];
            aead.seal(&key, &[2; 12], b"data", &mut sealed).unwrap();
            let open = |sealed: &[u8], aad: &[u8]| {
                let (text, tag) = sealed.split_at(200);
                let mut stream = Stream::aead(aead, &key, &[2; 12], aad).unwrap();
                text.to_vec().chunks_mut(BLOCK).for_each(|piece| stream.decrypt(piece).unwrap());
                stream.finish(tag)
            };

            assert_eq!(open(&sealed, b"data"), Ok(()));
            assert_eq!(open(&sealed, b"date"), Err(Failed));
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << (at % 8);
                assert_eq!(open(&changed, b"data"), Err(Failed), "{aead:?} byte {at}");
            }
        }
    }

    #[test]
    fn counter_mode_goes_on_where_it_stopped() {
        for key_len in [16, 24, 32] {
            let (key, iv) = (vec![3; key_len], [0xff; 16]);
            let mut whole = vec![0; 5000];
            super::super::aes_ctr(&key, &iv, &mut whole).unwrap();
            let mut stream = Stream::ctr(&key, iv).unwrap();
            let mut pieces = vec![0; 5000];

            pieces.chunks_mut(2 * BLOCK).for_each(|piece| stream.decrypt(piece).unwrap());

            assert_eq!(pieces, whole);
            assert_eq!(stream.finish(&[]), Ok(()));
        }
    }

    #[test]
    fn aes_gcm_ends_before_its_counter_does() {
        let mut stream = Gcm::new(Aead::Aes128Gcm, &[0; 16], [0; 12], &[]).unwrap();
        stream.text_bytes = GCM_BYTES_MAX - 16;

        assert_eq!(stream.decrypt(&mut [0; 16]), Ok(()));
        assert_eq!(stream.decrypt(&mut [0]), Err(Failed));
    }

    #[test]
    fn the_field_has_a_one_and_multiplies_in_any_order() {
        let (a, b) = (Element(0x1234_5678 << 64 | 9), Element(u128::MAX / 7));

        assert_eq!(a.times(Element::ONE), a);
        assert_eq!(a.times(b), b.times(a));
        assert_eq!(a.power(5), a.times(a).times(a).times(a).times(a));
        assert_eq!(a.power(0), Element::ONE);
    }
}
