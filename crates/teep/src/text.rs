//! Texts that travel in messages: msg, err-msg and err-lang (sections 4.4 to 4.6).

use std::borrow::Cow;
use std::fmt;

use minicbor::decode::Decoder;

use crate::limits;
use crate::malformed::Malformed;
use crate::wire;

/// A msg or err-msg.
///
/// ```cddl
/// msg => text .size (1..128)
/// err-msg => text .size (1..128)
/// ```
///
/// The size counts bytes. A peer reads this text, so it never holds Personalization Data, keys or
/// the inner cause of a failure (section 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg<'b>(Cow<'b, str>);

impl<'b> Msg<'b> {
    /// The text, cut on a character boundary where it is too long; nothing for an empty one.
    //= teep 14.8 (M): msg and err-msg have 1 to 128 bytes, cut on a character boundary
    pub fn new(text: impl Into<Cow<'b, str>>) -> Option<Self> {
        let text = text.into();
        let cut = match text {
            Cow::Borrowed(text) => {
                Cow::Borrowed(&text[..text.floor_char_boundary(limits::MSG_BYTES)])
            }
            Cow::Owned(mut text) => {
                text.truncate(text.floor_char_boundary(limits::MSG_BYTES));
                Cow::Owned(text)
            }
        };
        (!cut.is_empty()).then_some(Self(cut))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, no longer borrowed.
    pub fn into_owned(self) -> Msg<'static> {
        Msg(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn decode(d: &mut Decoder<'b>, what: &'static str) -> Result<Self, Malformed> {
        Ok(Self(sized(d, what, limits::MSG_BYTES)?))
    }
}

impl fmt::Display for Msg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An err-lang: an RFC 5646 language tag, known or not.
///
/// ```cddl
/// err-lang => text .size (1..35)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrLang<'b>(Cow<'b, str>);

impl<'b> ErrLang<'b> {
    /// The language of the texts that this implementation writes.
    pub const EN: ErrLang<'static> = ErrLang(Cow::Borrowed("en"));

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    //= teep 14.9 (M): err-lang has 1 to 35 characters
    pub(crate) fn decode(d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        Ok(Self(sized(d, "err-lang", limits::ERR_LANG_BYTES)?))
    }
}

/// A text of 1 to `max` bytes.
//= teep 14.8 (M): msg and err-msg of 0 or more than 128 bytes are refused on receipt
pub(crate) fn sized<'b>(
    d: &mut Decoder<'b>,
    what: &'static str,
    max: usize,
) -> Result<Cow<'b, str>, Malformed> {
    let text = wire::text(d, what)?;
    if text.is_empty() || text.len() > max {
        return Err(Malformed::Length { what, got: text.len() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> Vec<u8> {
        wire::encode(|e| e.str(text)?.ok())
    }

    //= teep 14.8 (M): msg and err-msg have 1 to 128 bytes, cut on a character boundary
    #[test]
    fn a_long_text_is_cut_between_characters() {
        let three_byte_characters = "€".repeat(43);

        let msg = Msg::new(three_byte_characters.as_str()).unwrap();

        assert_eq!(msg.as_str(), "€".repeat(42));
        assert_eq!(Msg::new(three_byte_characters.clone()), Some(msg));
        assert_eq!(Msg::new("x".repeat(129)).unwrap().as_str().len(), 128);
        assert_eq!(Msg::new(""), None);
    }

    //= teep 14.8 (M): msg and err-msg of 0 or more than 128 bytes are refused on receipt
    #[test]
    fn a_text_of_another_size_is_refused() {
        for got in [0, 129, 130] {
            let bytes = encoded(&"x".repeat(got));

            let outcome = Msg::decode(&mut Decoder::new(&bytes), "msg");

            assert_eq!(outcome, Err(Malformed::Length { what: "msg", got }));
        }
        for length in [1, 128] {
            let bytes = encoded(&"x".repeat(length));
            assert!(Msg::decode(&mut Decoder::new(&bytes), "msg").is_ok());
        }
    }

    //= teep 14.9 (M): err-lang has 1 to 35 characters
    #[test]
    fn a_language_tag_has_1_to_35_bytes() {
        for (length, fine) in [(0, false), (1, true), (35, true), (36, false)] {
            let bytes = encoded(&"e".repeat(length));
            assert_eq!(ErrLang::decode(&mut Decoder::new(&bytes)).is_ok(), fine);
        }
    }
}
