//! Slots: contents at rest that only the holder of their key can read.
//!
//! Each content is sealed under an install key of its own, segment by segment, while it streams
//! in. Who keeps the key keeps the content: the store writes the key down in the commit that makes
//! the content visible, and until then it is in memory alone. A failed tag, a wrong digest or a
//! loss of power destroys it, and what the slot holds is noise.
//!
//! ```text
//! slot = *(AES-256-GCM(64 KiB) 64 KiB + 16 bytes) AES-256-GCM(last, at most 64 KiB)
//! ```

use std::fmt;

use cose::{KeyUnusable, SEGMENT_OVERHEAD, Secret, SegmentKey};

use crate::intake::Sink;
use crate::process::Obstacle;

/// The length of an install key.
pub const KEY_BYTES: usize = 32;

/// Content on its way into a slot.
pub struct Sealing {
    key: SegmentKey,
    number: u64,
    segment: Vec<u8>,
}

/// Content on its way out of a slot.
#[derive(Debug)]
pub struct Opening(Sealing);

impl Sealing {
    /// Starts a slot with a fresh key, which must be used for nothing else.
    pub fn new(key: &Secret) -> Result<Self, KeyUnusable> {
        let segment = Vec::with_capacity(SEALED);
        Ok(Self { key: SegmentKey::new(key)?, number: 0, segment })
    }

    /// Takes content, and gives the sink what belongs into the slot.
    pub fn take(&mut self, mut content: &[u8], sink: Sink<'_>) -> Result<(), Obstacle> {
        while !content.is_empty() {
            // Which segment is the last one shows only when there is no more.
            if self.segment.len() == SEGMENT {
                self.seal(false, sink)?;
            }
            let room = (SEGMENT - self.segment.len()).min(content.len());
            let (piece, rest) = content.split_at(room);
            self.segment.extend_from_slice(piece);
            content = rest;
        }
        Ok(())
    }

    /// The content is complete.
    pub fn finish(mut self, sink: Sink<'_>) -> Result<(), Obstacle> {
        self.seal(true, sink)
    }

    fn seal(&mut self, last: bool, sink: Sink<'_>) -> Result<(), Obstacle> {
        let sealed = self.key.seal(self.number, last, &mut self.segment);
        sealed.map_err(|_| Obstacle::Storage)?;
        self.number += 1;
        sink(&self.segment)?;
        self.segment.clear();
        Ok(())
    }
}

impl Opening {
    /// Starts to read a slot.
    pub fn new(key: &Secret) -> Result<Self, KeyUnusable> {
        Sealing::new(key).map(Self)
    }

    /// Takes bytes of the slot, and gives the sink the content. Nothing of it is whole before
    /// [`Opening::finish`]: a slot may have been cut off.
    pub fn take(&mut self, mut sealed: &[u8], sink: Sink<'_>) -> Result<(), Obstacle> {
        while !sealed.is_empty() {
            if self.0.segment.len() == SEALED {
                self.open(false, sink)?;
            }
            let room = (SEALED - self.0.segment.len()).min(sealed.len());
            let (piece, rest) = sealed.split_at(room);
            self.0.segment.extend_from_slice(piece);
            sealed = rest;
        }
        Ok(())
    }

    /// The slot ends here.
    pub fn finish(mut self, sink: Sink<'_>) -> Result<(), Obstacle> {
        self.open(true, sink)
    }

    fn open(&mut self, last: bool, sink: Sink<'_>) -> Result<(), Obstacle> {
        let Sealing { key, number, segment } = &mut self.0;
        let text = key.open(*number, last, segment).map_err(|_| Obstacle::Storage)?;
        *number += 1;
        if !text.is_empty() {
            sink(text)?;
        }
        segment.clear();
        Ok(())
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.segment.zeroize();
    }
}

const SEGMENT: usize = 64 << 10;
const SEALED: usize = SEGMENT + SEGMENT_OVERHEAD;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gives_back_what_went_in_whatever_the_pieces() {
        let key = Secret::new(vec![5; KEY_BYTES]);
        for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 100] {
            let content: Vec<u8> = (0..length).map(|at| (at * 11) as u8).collect();
            for piece in [1000, SEGMENT, 1 << 20] {
                let slot = seal(&key, &content, piece);

                assert_eq!(open(&key, &slot, piece + 7), Ok(content.clone()), "{length} {piece}");
                let sealed = length + SEGMENT_OVERHEAD * length.div_ceil(SEGMENT).max(1);
                assert_eq!(slot.len(), sealed);
            }
        }
    }

    #[test]
    fn a_slot_that_is_changed_cut_off_reordered_or_of_another_key_is_noticed() {
        let (key, other) = (Secret::new(vec![5; KEY_BYTES]), Secret::new(vec![6; KEY_BYTES]));
        let slot = seal(&key, &vec![1; 2 * SEGMENT + 10], SEGMENT);
        let mut changed = slot.clone();
        changed[SEALED + 9] ^= 1;
        let mut reordered = slot.clone();
        reordered[..2 * SEALED].rotate_left(SEALED);

        for (what, slot) in [
            ("changed", &changed[..]),
            ("reordered", &reordered),
            ("cut at a segment", &slot[..2 * SEALED]),
            ("cut in a segment", &slot[..SEALED + 5]),
            ("empty", &[]),
        ] {
            assert_eq!(open(&key, slot, SEGMENT), Err(Obstacle::Storage), "{what}");
        }
        assert_eq!(open(&other, &slot, SEGMENT), Err(Obstacle::Storage));
        assert!(open(&key, &slot, SEGMENT).is_ok());
    }

    fn seal(key: &Secret, content: &[u8], piece: usize) -> Vec<u8> {
        let (mut slot, mut sealing) = (Vec::new(), Sealing::new(key).unwrap());
        let mut sink = |bytes: &[u8]| {
            slot.extend_from_slice(bytes);
            Ok(())
        };
        content.chunks(piece).for_each(|piece| sealing.take(piece, &mut sink).unwrap());
        sealing.finish(&mut sink).unwrap();
        slot
    }

    fn open(key: &Secret, slot: &[u8], piece: usize) -> Result<Vec<u8>, Obstacle> {
        let (mut content, mut opening) = (Vec::new(), Opening::new(key).unwrap());
        let mut sink = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        slot.chunks(piece).try_for_each(|piece| opening.take(piece, &mut sink))?;
        opening.finish(&mut sink)?;
        Ok(content)
    }
}
