//! Maps in the deterministic form: definite length, ascending keys, none twice.

use super::{Decoder, Encoder, Malformed, Written, encode};

/// Reads a deterministic map with integer keys, one entry after the other.
///
/// ```
/// # use cose::cbor::{Decoder, MapReader, Malformed};
/// let mut decoder = Decoder::new(&[0xa2, 0x01, 0x02, 0x20, 0x03]);
/// let mut map = MapReader::new(&mut decoder)?;
/// let mut sum = 0;
/// while let Some(key) = map.key()? {
///     sum += key + map.value().i64()?;
/// }
/// assert_eq!(sum, 5);
/// # Ok::<(), Malformed>(())
/// ```
#[derive(Debug)]
pub struct MapReader<'a, 'b> {
    decoder: &'a mut Decoder<'b>,
    left: u64,
    previous: Option<&'b [u8]>,
}

impl<'a, 'b> MapReader<'a, 'b> {
    /// Reads the head of the map.
    pub fn new(decoder: &'a mut Decoder<'b>) -> Result<Self, Malformed> {
        let left = decoder.map()?.ok_or(Malformed::Indefinite)?;
        Ok(Self { decoder, left, previous: None })
    }

    /// The next key, or nothing at the end. The caller then takes exactly one item from
    /// [`value`](Self::value).
    pub fn key(&mut self) -> Result<Option<i64>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let start = self.decoder.position();
        let key = self.decoder.i64()?;
        let bytes =
            self.decoder.input().get(start..self.decoder.position()).ok_or(Malformed::Truncated)?;
        if let Some(previous) = self.previous {
            match previous.cmp(bytes) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Malformed::DuplicateKey),
                std::cmp::Ordering::Greater => return Err(Malformed::Order),
            }
        }
        self.previous = Some(bytes);
        Ok(Some(key))
    }

    /// The decoder, standing at the value of the last key.
    pub fn value(&mut self) -> &mut Decoder<'b> {
        self.decoder
    }
}

/// Writes a deterministic map: entries come in any order and leave sorted.
///
/// A key put twice keeps its last value.
#[derive(Clone, Debug, Default)]
pub struct MapWriter(Vec<(Vec<u8>, Vec<u8>)>);

impl MapWriter {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under an integer key.
    pub fn put(&mut self, key: i64, value: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written) {
        self.put_encoded(key, encode(value));
    }

    /// Puts an encoded value under an integer key.
    pub fn put_encoded(&mut self, key: i64, value: Vec<u8>) {
        self.0.push((encode(|e| e.i64(key)?.ok()), value));
    }

    /// Puts an encoded value under a text key.
    pub fn put_text(&mut self, key: &str, value: Vec<u8>) {
        self.0.push((encode(|e| e.str(key)?.ok()), value));
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encoded map.
    pub fn finish(self) -> Vec<u8> {
        let mut entries = self.0;
        // The sort is stable, so of one key the last value comes first and is the one that stays.
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|(a, _), (b, _)| a == b);
        encode(|e| {
            e.map(entries.len() as u64)?;
            for part in entries.iter().flat_map(|(key, value)| [key, value]) {
                e.writer_mut().extend_from_slice(part);
            }
            Ok(())
        })
    }
}
