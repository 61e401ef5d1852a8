//! JSON as iTrustee signs it: objects, text and whole numbers, printed in one canonical way.
//!
//! The device signs what its JSON library prints, and transports re-print it; so the signed bytes
//! are made again from the members as received, in their order and with their numbers as spelt.
//! What is verified is what was read: nothing else of the received text is ever looked at.

use std::borrow::Cow;
use std::fmt::Write as _;

use cose::Malformed;

/// A JSON value; of the other kinds iTrustee has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json<'b> {
    /// An object, members in received order, no name twice.
    Object(Vec<(Cow<'b, str>, Self)>),
    /// Text.
    Text(Cow<'b, str>),
    /// A whole number as spelt.
    Number(&'b str),
}

impl<'b> Json<'b> {
    /// Reads exactly one value.
    pub(super) fn decode(text: &'b str) -> Result<Self, Malformed> {
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(value) } else { Err(Malformed::Trailing) }
    }

    /// The members of an object.
    pub(super) fn members(&self) -> Result<&[(Cow<'b, str>, Self)], Malformed> {
        match self {
            Self::Object(members) => Ok(members),
            Self::Text(_) | Self::Number(_) => Err(Malformed::Expected("a JSON object")),
        }
    }

    /// The member of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(it, _)| it == name).map(|(_, value)| value)
    }

    /// The values of an object that has these members and no others, in this order.
    pub(super) fn exactly<const N: usize>(
        &self,
        names: [&str; N],
        what: &'static str,
    ) -> Result<[&Self; N], Malformed> {
        let found = names.map(|name| self.get(name));
        if self.members()?.len() != N || found.iter().any(Option::is_none) {
            return Err(Malformed::Expected(what));
        }
        Ok(found.map(|value| value.expect("every member was found")))
    }

    /// Text.
    pub(super) fn text(&self, what: &'static str) -> Result<&str, Malformed> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Object(_) | Self::Number(_) => Err(Malformed::Expected(what)),
        }
    }

    /// The canonical print: tabs, one member a line, a tab before each value.
    //= EV-KP-4: cJSON's formatted style, members in received order, numbers as spelt
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        self.print_into(&mut text, 1);
        text
    }

    fn print_into(&self, text: &mut String, depth: usize) {
        match self {
            Self::Number(number) => text.push_str(number),
            Self::Text(value) => print_text(text, value),
            Self::Object(members) => {
                text.push_str("{\n");
                for (index, (name, value)) in members.iter().enumerate() {
                    text.extend(std::iter::repeat_n('\t', depth));
                    print_text(text, name);
                    text.push_str(":\t");
                    value.print_into(text, depth + 1);
                    text.push_str(if index + 1 < members.len() { ",\n" } else { "\n" });
                }
                text.extend(std::iter::repeat_n('\t', depth - 1));
                text.push('}');
            }
        }
    }
}

fn print_text(text: &mut String, value: &str) {
    text.push('"');
    if find_special(value.as_bytes()).is_none() {
        text.push_str(value);
        text.push('"');
        return;
    }
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..' ' => {
                write!(text, "\\u{:04x}", u32::from(letter)).expect("writing to memory works");
            }
            _ => text.push(letter),
        }
    }
    text.push('"');
}

/// Where the first letter stands that text does not contain as it is. All of them are ASCII, hence
/// octets by themselves in UTF-8.
fn find_special(text: &[u8]) -> Option<usize> {
    let special = |octet: &u8| matches!(octet, b'"' | b'\\' | b'\0'..b' ');
    // Without an early exit a block is compared at once.
    let plain = |block: &&[u8; 32]| !block.iter().fold(false, |any, it| any | special(it));
    let skipped = 32 * text.as_chunks().0.iter().take_while(plain).count();
    Some(skipped + text[skipped..].iter().position(special)?)
}

struct Reader<'b> {
    rest: &'b str,
}

impl<'b> Reader<'b> {
    fn value(&mut self, depth: usize) -> Result<Json<'b>, Malformed> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{') if depth < MAX_DEPTH => self.object(depth).map(Json::Object),
            Some(b'{') => Err(Malformed::Depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            None => Err(Malformed::Truncated),
            Some(_) => Err(Malformed::Expected("an object, text or a whole number")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(Cow<'b, str>, Json<'b>)>, Malformed> {
        let mut members: Vec<(Cow<'b, str>, Json<'b>)> = Vec::new();
        self.expect('{')?;
        if self.take('}') {
            return Ok(members);
        }
        loop {
            self.skip_space();
            let name = self.text()?;
            if members.len() == MAX_MEMBERS {
                return Err(Malformed::TooMany);
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(Malformed::DuplicateKey);
            }
            self.expect(':')?;
            members.push((name, self.value(depth + 1)?));
            if !self.take(',') {
                self.expect('}')?;
                return Ok(members);
            }
        }
    }

    fn text(&mut self) -> Result<Cow<'b, str>, Malformed> {
        const TEXT: Malformed = Malformed::Expected("JSON text");
        self.rest = self.rest.strip_prefix('"').ok_or(TEXT)?;
        let mut text = Cow::Borrowed("");
        loop {
            let at = find_special(self.rest.as_bytes()).ok_or(Malformed::Truncated)?;
            let (plain, rest) = self.rest.split_at(at);
            text += plain;
            self.rest = rest;
            if let Some(rest) = rest.strip_prefix('"') {
                self.rest = rest;
                return Ok(text);
            }
            self.rest = rest.strip_prefix('\\').ok_or(TEXT)?;
            text.to_mut().push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, Malformed> {
        const ESCAPE: Malformed = Malformed::Expected("a JSON escape");
        let mut letters = self.rest.chars();
        let letter = letters.next().ok_or(Malformed::Truncated)?;
        self.rest = letters.as_str();
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (digits, rest) = self.rest.split_at_checked(4).ok_or(Malformed::Truncated)?;
                self.rest = rest;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return Err(ESCAPE);
                }
                let code = u32::from_str_radix(digits, 16).map_err(|_| ESCAPE)?;
                char::from_u32(code).ok_or(ESCAPE)?
            }
            _ => return Err(ESCAPE),
        })
    }

    fn number(&mut self) -> Result<&'b str, Malformed> {
        let sign = usize::from(self.rest.starts_with('-'));
        let digits = self.rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(sign + digits);
        let other = rest.starts_with(['.', 'e', 'E']);
        let padded = digits > 1 && number[sign..].starts_with('0');
        if digits == 0 || digits > MAX_DIGITS || padded || other {
            return Err(Malformed::Expected("a whole number"));
        }
        self.rest = rest;
        Ok(number)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, letter: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, letter: char) -> Result<(), Malformed> {
        if self.take(letter) { Ok(()) } else { Err(Malformed::Expected("well-formed JSON")) }
    }
}

const MAX_DEPTH: usize = 8;
const MAX_MEMBERS: usize = 64;
/// A number of 64 bits.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-KP-4: newline, one tab per depth, tab before the value, no trailing newline
    #[test]
    fn the_print_is_canonical_whatever_the_spaces_were() {
        let received =
            " { \"b\" : 3541669582407074,\r\n\t\"a\":{\"x\":\"y\\/\\u0001\",\"e\":{}} }\n";

        let json = Json::decode(received).expect("JSON");

        assert_eq!(
            json.print(),
            "{\n\t\"b\":\t3541669582407074,\n\t\"a\":\t{\n\t\t\"x\":\t\"y/\\u0001\",\n\
             \t\t\"e\":\t{\n\t\t}\n\t}\n}"
        );
        assert_eq!(Json::decode(&json.print()), Ok(json.clone()));
    }

    #[test]
    fn text_is_escaped_as_the_device_does() {
        let json = Json::Text("\"\\\u{8}\u{c}\n\r\t\u{1f}é".into());

        assert_eq!(json.print(), "\"\\\"\\\\\\b\\f\\n\\r\\t\\u001fé\"");
        assert_eq!(Json::decode(&json.print()), Ok(json.clone()));
    }

    #[test]
    fn numbers_keep_their_spelling_and_are_whole() {
        for number in ["0", "-1", "9223372036854775800"] {
            assert_eq!(Json::decode(number).map(|json| json.print()), Ok(number.to_owned()));
        }
        for other in ["01", "-", "1.5", "1e3", "1E3", "+1", "123456789012345678901", "-00"] {
            assert!(Json::decode(other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_not_of_this_form_is_refused() {
        for other in [
            "",
            "{",
            "[]",
            "true",
            "null",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\u+123\"",
            "\"\n\"",
            "{} {}",
            "1 2",
        ] {
            assert!(Json::decode(other).is_err(), "{other}");
        }
        assert_eq!(Json::decode("{\"a\":1,\"a\":2}"), Err(Malformed::DuplicateKey));
        assert_eq!(Json::decode(&"{\"a\":".repeat(9)), Err(Malformed::Depth));
        let many = (0..65).map(|index| format!("\"{index}\":1")).collect::<Vec<_>>().join(",");
        assert_eq!(Json::decode(&format!("{{{many}}}")), Err(Malformed::TooMany));
    }
}
