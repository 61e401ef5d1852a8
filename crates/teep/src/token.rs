//! Tokens: what matches an answer to its request (section 4.2).

use std::fmt;

use minicbor::decode::Decoder;

use crate::limits;
use crate::malformed::Malformed;
use crate::wire;

/// A token.
///
/// ```cddl
/// token => bstr .size (8..64)
/// ```
///
/// It says which request an answer belongs to, and is good for one answer. It is no secret, and
/// `Debug` keeps it out of logs all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    length: u8,
    bytes: [u8; limits::TOKEN_BYTES.1],
}

impl Token {
    /// A token of these bytes, if their number is allowed.
    //= teep 14.6 (M): a token shorter than 8 or longer than 64 bytes is refused
    pub fn new(bytes: &[u8]) -> Result<Self, Malformed> {
        let (min, max) = limits::TOKEN_BYTES;
        if bytes.len() < min || bytes.len() > max {
            return Err(Malformed::Length { what: "token", got: bytes.len() });
        }
        let mut padded = [0; limits::TOKEN_BYTES.1];
        padded[..bytes.len()].copy_from_slice(bytes);
        let length = u8::try_from(bytes.len()).expect("length checked above");
        Ok(Self { length, bytes: padded })
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Self::new(&wire::bytes(d, "token")?)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// 32 bytes from an approved random number generator, good for one use.
///
/// Randomness comes in from outside, as time does. The type has no `Clone`: what is made from it
/// consumes it, so no two tokens or challenges come from the same draw.
pub struct Fresh(Source);

enum Source {
    Drawn([u8; 32]),
    /// Most messages need no randomness, and a draw costs microseconds.
    Deferred(fn(&mut [u8; 32])),
}

impl Fresh {
    /// Draws from the generator.
    pub fn draw(entropy: &mut dyn cose::Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(Source::Drawn(bytes))
    }

    /// Draws from a generator when a token or challenge is made, if one is.
    pub const fn deferred(fill: fn(&mut [u8; 32])) -> Self {
        Self(Source::Deferred(fill))
    }

    /// Takes bytes that were drawn elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Source::Drawn(bytes))
    }

    /// A new token of 32 bytes.
    //= teep 14.27 (M): the first token is random and all tokens are distinct
    pub fn into_token(self) -> Token {
        Token::new(&self.into_bytes()).expect("32 bytes are an allowed length")
    }

    pub(crate) fn into_bytes(self) -> [u8; 32] {
        match self.0 {
            Source::Drawn(bytes) => bytes,
            Source::Deferred(fill) => {
                let mut bytes = [0; 32];
                fill(&mut bytes);
                bytes
            }
        }
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= teep 14.6 (M): a token shorter than 8 or longer than 64 bytes is refused
    #[test]
    fn a_token_has_8_to_64_bytes() {
        for length in [8, 9, 63, 64] {
            assert_eq!(Token::new(&vec![7; length]).unwrap().as_bytes(), vec![7; length]);
        }
        for got in [0, 7, 65, 512] {
            assert_eq!(Token::new(&vec![7; got]), Err(Malformed::Length { what: "token", got }));
        }
    }

    #[test]
    fn what_is_deferred_is_drawn_once_and_only_for_use() {
        use std::sync::atomic::{AtomicU8, Ordering};
        static DRAWS: AtomicU8 = AtomicU8::new(0);
        let deferred = || Fresh::deferred(|out| out.fill(DRAWS.fetch_add(1, Ordering::Relaxed)));

        let _unused = deferred();
        let tokens = [deferred().into_token(), deferred().into_token()];

        assert_eq!(DRAWS.load(Ordering::Relaxed), 2);
        assert_eq!(tokens.map(|token| token.as_bytes().to_vec()), [vec![0; 32], vec![1; 32]]);
    }

    #[test]
    fn tokens_of_different_length_differ() {
        assert_ne!(Token::new(&[0; 8]), Token::new(&[0; 9]));
    }

    //= teep 14.48 (S): logs hold codes and ids alone
    #[test]
    fn debug_shows_no_token_and_no_randomness() {
        assert_eq!(format!("{:?}", Token::new(&[0xab; 16]).unwrap()), "Token(…)");
        assert_eq!(format!("{:?}", Fresh::from_bytes([0xab; 32])), "Fresh(…)");
    }
}
