//! Contents at rest that are longer than memory: numbered segments, each sealed by itself.

use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, Nonce, UnboundKey};

use crate::handle::{KeyUnusable, Secret};
use crate::verified::Untrusted;

/// AES-256-GCM over the segments of one content, under a key that seals nothing else.
///
/// A nonce is the number of the segment and whether it is the last one, so that segments cannot
/// be exchanged, left out or cut off (the STREAM construction of Hoang, Reyhanitabar, Rogaway and
/// Vizár). A key that sealed two contents would use a nonce twice.
pub struct SegmentKey(LessSafeKey);

/// The bytes by which a sealed segment is longer.
pub const SEGMENT_OVERHEAD: usize = 16;

impl SegmentKey {
    /// Takes a key of 32 bytes.
    pub fn new(key: &Secret) -> Result<Self, KeyUnusable> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| KeyUnusable)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a segment in place; it grows by its tag.
    pub fn seal(&self, number: u64, last: bool, segment: &mut Vec<u8>) -> Result<(), KeyUnusable> {
        let sealed = self.0.seal_in_place_append_tag(nonce(number, last), empty(), segment);
        sealed.map_err(|_| KeyUnusable)
    }

    /// Opens a segment in place, and gives its text.
    pub fn open<'s>(
        &self,
        number: u64,
        last: bool,
        segment: &'s mut [u8],
    ) -> Result<&'s [u8], Untrusted> {
        let opened = self.0.open_in_place(nonce(number, last), empty(), segment);
        opened.map(|text| &*text).map_err(|_| Untrusted::Authentication)
    }
}

impl std::fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentKey(…)")
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

fn empty() -> aead::Aad<[u8; 0]> {
    aead::Aad::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_opens_at_its_place_only() {
        let key = SegmentKey::new(&Secret::new(vec![1; 32])).unwrap();
        let other = SegmentKey::new(&Secret::new(vec![2; 32])).unwrap();
        let mut sealed = b"segment".to_vec();
        key.seal(3, false, &mut sealed).unwrap();
        let open = |key: &SegmentKey, number, last| {
            key.open(number, last, &mut sealed.clone()).map(<[u8]>::to_vec)
        };

        assert_eq!(open(&key, 3, false), Ok(b"segment".to_vec()));
        assert_eq!(open(&key, 4, false), Err(Untrusted::Authentication));
        assert_eq!(open(&key, 3, true), Err(Untrusted::Authentication));
        assert_eq!(open(&other, 3, false), Err(Untrusted::Authentication));
        assert_eq!(SegmentKey::new(&Secret::new(vec![0; 16])).err(), Some(KeyUnusable));
    }
}
