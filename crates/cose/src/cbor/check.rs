//! The well-formedness pass: one loop, a bounded stack, no allocation by declared lengths.

use super::Malformed;

/// What an input may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arrays, maps and tags inside each other.
    pub depth: u8,
    /// Bytes of input.
    pub bytes: usize,
    /// Data items, counting every key, element, tag and string chunk.
    pub items: usize,
}

impl Limits {
    /// 16 deep, 1 MiB, 16384 items.
    pub const DEFAULT: Self = Self { depth: 16, bytes: 1 << 20, items: 1 << 14 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

//= teep 14.2 (M), 14.16 (R): not well-formed, trailing bytes or a key twice: refused
/// Checks that the bytes are exactly one well-formed item in which no map has a key twice and all
/// text is UTF-8. Key order is free and indefinite lengths are allowed.
///
/// Map keys themselves must be definite and in their shortest form, or "twice" would have no
/// meaning.
pub fn check(bytes: &[u8], limits: Limits) -> Result<(), Malformed> {
    Pass::new(bytes, limits, Form::Any)?.run()
}

/// [`check`], and all lengths are definite and all heads in their shortest form (the preferred
/// serialization of RFC 8949 section 4.1, without indefinite lengths). Key order is free.
pub fn check_preferred(bytes: &[u8], limits: Limits) -> Result<(), Malformed> {
    Pass::new(bytes, limits, Form::Preferred)?.run()
}

/// [`check_preferred`], and map keys ascend by their bytes (RFC 8949 section 4.2.1).
pub fn check_deterministic(bytes: &[u8], limits: Limits) -> Result<(), Malformed> {
    Pass::new(bytes, limits, Form::Deterministic)?.run()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    Preferred,
    Deterministic,
}

struct Pass<'b> {
    bytes: &'b [u8],
    at: usize,
    items_left: usize,
    depth: usize,
    form: Form,
    /// The containers around the current position.
    open: Stack,
    /// The keys of all open maps, innermost last; where keys have to ascend, none are noted.
    keys: Vec<(usize, usize)>,
    /// How many of the open maps are in the middle of a key.
    inside_keys: usize,
}

/// Open containers. The innermost one is apart: what is flat, as most embedded items are, needs no
/// allocation.
#[derive(Default)]
struct Stack {
    innermost: Option<Container>,
    outer: Vec<Container>,
}

struct Container {
    kind: Kind,
    /// Items to come; none when the length is indefinite.
    left: Option<u64>,
}

enum Kind {
    Sequence,
    Map {
        /// Where the next key begins, when a key is next or under way.
        key: Option<usize>,
        /// Where the keys of this map begin in [`Pass::keys`].
        keys: usize,
        /// The key before.
        previous: Option<(usize, usize)>,
        ascending: bool,
    },
}

struct Head {
    major: u8,
    /// None when the length is indefinite.
    argument: Option<u64>,
}

impl Stack {
    fn len(&self) -> usize {
        self.outer.len() + usize::from(self.innermost.is_some())
    }

    fn last(&self) -> Option<&Container> {
        self.innermost.as_ref()
    }

    fn last_mut(&mut self) -> Option<&mut Container> {
        self.innermost.as_mut()
    }

    fn push(&mut self, container: Container) {
        self.outer.extend(self.innermost.replace(container));
    }

    fn pop(&mut self) -> Option<Container> {
        std::mem::replace(&mut self.innermost, self.outer.pop())
    }
}

impl<'b> Pass<'b> {
    fn new(bytes: &'b [u8], limits: Limits, form: Form) -> Result<Self, Malformed> {
        if bytes.len() > limits.bytes {
            return Err(Malformed::TooLarge);
        }
        Ok(Self {
            bytes,
            at: 0,
            items_left: limits.items,
            depth: usize::from(limits.depth),
            form,
            open: Stack::default(),
            keys: Vec::new(),
            inside_keys: 0,
        })
    }

    fn run(mut self) -> Result<(), Malformed> {
        loop {
            let complete =
                if self.peek()? == BREAK { self.end_indefinite()? } else { self.item()? };
            if complete && self.completed()? {
                break;
            }
        }
        if self.at != self.bytes.len() {
            return Err(Malformed::Trailing);
        }
        Ok(())
    }

    /// Reads one head, and the content of a string; true when the item is complete with that.
    fn item(&mut self) -> Result<bool, Malformed> {
        self.begin_key();
        let head = self.head()?;
        match (head.major, head.argument) {
            (0 | 1 | 7, _) => Ok(true),
            (2 | 3, Some(length)) => {
                self.string(head.major, length)?;
                Ok(true)
            }
            (2 | 3, None) => {
                self.chunks(head.major)?;
                Ok(true)
            }
            (4, left) => self.push(Kind::Sequence, left),
            (5, pairs) => {
                let left = match pairs {
                    Some(pairs) => Some(pairs.checked_mul(2).ok_or(Malformed::Truncated)?),
                    None => None,
                };
                let keys = self.keys.len();
                self.push(Kind::Map { key: None, keys, previous: None, ascending: true }, left)
            }
            (_, _) => self.push(Kind::Sequence, Some(1)),
        }
    }

    //= teep 15.109, 15.110 (M): depth and lengths are bounded before anything is allocated
    fn push(&mut self, kind: Kind, left: Option<u64>) -> Result<bool, Malformed> {
        if self.open.len() == self.depth {
            return Err(Malformed::Depth);
        }
        // Every item takes a byte at least, so a larger count cannot be satisfied.
        if left.is_some_and(|left| left > self.rest()) {
            return Err(Malformed::Truncated);
        }
        if left == Some(0) {
            return Ok(true);
        }
        self.open.push(Container { kind, left });
        Ok(false)
    }

    /// Notes the start of a key if the innermost container is a map at a key.
    fn begin_key(&mut self) {
        let at = self.at;
        if let Some(Container { kind: Kind::Map { key, .. }, .. }) = self.open.last_mut()
            && key.is_none()
        {
            *key = Some(at);
            self.inside_keys += 1;
        }
    }

    fn end_indefinite(&mut self) -> Result<bool, Malformed> {
        match self.open.last() {
            Some(Container { kind: Kind::Sequence, left: None })
            | Some(Container { kind: Kind::Map { key: None, .. }, left: None }) => {}
            _ => return Err(Malformed::NotWellFormed),
        }
        self.at += 1;
        self.close()?;
        Ok(true)
    }

    /// Counts a complete item in its container; true when it was the outermost.
    fn completed(&mut self) -> Result<bool, Malformed> {
        loop {
            let at = self.at;
            let Some(container) = self.open.last_mut() else { return Ok(true) };
            let mut ended_key = None;
            if let Kind::Map { key, .. } = &mut container.kind {
                match *key {
                    Some(VALUE) => *key = None,
                    Some(start) => {
                        *key = Some(VALUE);
                        ended_key = Some((start, at));
                    }
                    None => return Err(Malformed::NotWellFormed),
                }
            }
            if let Some(left) = &mut container.left {
                *left -= 1;
            }
            let full = container.left == Some(0);
            if let Some(range) = ended_key {
                self.inside_keys -= 1;
                self.end_key(range)?;
            }
            if !full {
                return Ok(false);
            }
            self.close()?;
        }
    }

    fn end_key(&mut self, (start, end): (usize, usize)) -> Result<(), Malformed> {
        let Some(Container { kind: Kind::Map { previous, ascending, .. }, .. }) =
            self.open.last_mut()
        else {
            return Ok(());
        };
        if let Some((from, to)) = previous.replace((start, end)) {
            match self.bytes[from..to].cmp(&self.bytes[start..end]) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Malformed::DuplicateKey),
                std::cmp::Ordering::Greater if self.form == Form::Deterministic => {
                    return Err(Malformed::Order);
                }
                std::cmp::Ordering::Greater => *ascending = false,
            }
        }
        if self.form != Form::Deterministic {
            self.keys.push((start, end));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        let Some(Container { kind: Kind::Map { keys, ascending, .. }, .. }) = self.open.pop()
        else {
            return Ok(());
        };
        if !ascending {
            let keys = &mut self.keys[keys..];
            keys.sort_unstable_by_key(|&(from, to)| &self.bytes[from..to]);
            let twice = |pair: &[(usize, usize)]| {
                self.bytes[pair[0].0..pair[0].1] == self.bytes[pair[1].0..pair[1].1]
            };
            if keys.windows(2).any(twice) {
                return Err(Malformed::DuplicateKey);
            }
        }
        self.keys.truncate(keys);
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Malformed::TooMany)?;
        let initial = self.peek()?;
        self.at += 1;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let length = match info {
            0..=23 => return Ok(Head { major, argument: Some(u64::from(info)) }),
            24..=27 => 1usize << (info - 24),
            31 if matches!(major, 2..=5) => {
                if self.strict() {
                    return Err(Malformed::Indefinite);
                }
                return Ok(Head { major, argument: None });
            }
            _ => return Err(Malformed::NotWellFormed),
        };
        let argument =
            self.take(length)?.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        if major == 7 {
            self.simple_or_float(length, argument)?;
        } else if self.strict() && argument < SHORTEST[usize::from(info - 24)] {
            return Err(Malformed::NotShortest);
        }
        Ok(Head { major, argument: Some(argument) })
    }

    fn simple_or_float(&self, length: usize, argument: u64) -> Result<(), Malformed> {
        if length == 1 && argument < 32 {
            return Err(Malformed::NotWellFormed);
        }
        let shorter = match length {
            4 => f32::from_bits(argument as u32).is_nan() || fits_half(argument as u32),
            8 => {
                let value = f64::from_bits(argument);
                value.is_nan() || f64::from(value as f32).to_bits() == argument
            }
            2 => argument & 0x7c00 == 0x7c00 && argument & 0x3ff != 0 && argument != 0x7e00,
            _ => false,
        };
        if self.strict() && shorter {
            return Err(Malformed::NotShortest);
        }
        Ok(())
    }

    fn string(&mut self, major: u8, length: u64) -> Result<(), Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        let content = self.take(length)?;
        if major == TEXT && std::str::from_utf8(content).is_err() {
            return Err(Malformed::Utf8);
        }
        Ok(())
    }

    fn chunks(&mut self, major: u8) -> Result<(), Malformed> {
        while self.peek()? != BREAK {
            let head = self.head()?;
            match head.argument {
                Some(length) if head.major == major => self.string(major, length)?,
                _ => return Err(Malformed::NotWellFormed),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn strict(&self) -> bool {
        self.form != Form::Any || self.inside_keys > 0
    }

    fn peek(&self) -> Result<u8, Malformed> {
        self.bytes.get(self.at).copied().ok_or(Malformed::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn rest(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }
}

/// Whether the float of 32 bits has a spelling of 16.
fn fits_half(bits: u32) -> bool {
    let (exponent, fraction) = ((bits >> 23 & 0xff) as i32, bits & 0x7f_ffff);
    match exponent {
        0 => fraction == 0,
        0xff => fraction == 0,
        // Subnormal halves lose one more bit of fraction with every step below 2^-14.
        103..=112 => fraction & ((1 << (126 - exponent)) - 1) == 0,
        113..=142 => fraction & 0x1fff == 0,
        _ => false,
    }
}

const BREAK: u8 = 0xff;
const TEXT: u8 = 3;
/// In [`Kind::Map`]: a value is next or under way.
const VALUE: usize = usize::MAX;
/// The smallest argument that needs a head of 1, 2, 4 and 8 more bytes.
const SHORTEST: [u64; 4] = [24, 1 << 8, 1 << 16, 1 << 32];
