//! JSON text (RFC 8259) as values: integers only, no member twice, bounded depth.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::refusal::Malformed;

/// A JSON value. Numbers with a fraction or an exponent are kept apart: no claim has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not an integer of 64 bits, as written.
    Number(String),
    Text(String),
    Array(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Value {
    /// Reads text that is one value and nothing else.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at == text.len() { Ok(value) } else { Err(parser.refused()) }
    }

    /// Writes compact text, members in the order of their names.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Number(value) => out.push_str(value),
            Self::Text(value) => write_text(value, out),
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: u8) -> Result<Value, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed::TooLarge);
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.refused()),
        }
    }

    fn object(&mut self, depth: u8) -> Result<Value, Malformed> {
        let mut members = BTreeMap::new();
        self.at += 1;
        self.space();
        if self.eat(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.expect(b':')?;
            if members.insert(name, self.value(depth + 1)?).is_some() {
                return Err(self.refused());
            }
            self.space();
            if self.eat(b'}') {
                return Ok(Value::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, depth: u8) -> Result<Value, Malformed> {
        let mut values = Vec::new();
        self.at += 1;
        self.space();
        if self.eat(b']') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.space();
            if self.eat(b']') {
                return Ok(Value::Array(values));
            }
            self.expect(b',')?;
        }
    }

    fn string(&mut self) -> Result<String, Malformed> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or(Malformed::Json(self.text.len()))?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            if self.eat(b'"') {
                return Ok(out);
            }
            self.expect(b'\\')?;
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let letter = self.peek().ok_or(self.refused())?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err(self.refused()),
        })
    }

    fn code_point(&mut self) -> Result<char, Malformed> {
        let mut code = u32::from(self.hex()?);
        if (0xd800..0xdc00).contains(&code) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let low = u32::from(self.hex()?);
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.refused());
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code).ok_or(self.refused())
    }

    fn hex(&mut self) -> Result<u16, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(self.refused())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(self.refused());
        }
        let value = u16::from_str_radix(digits, 16).map_err(|_| self.refused())?;
        self.at += 4;
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') && self.digits() == 0 {
            return Err(self.refused());
        }
        let whole = self.at;
        if self.eat(b'.') && self.digits() == 0 {
            return Err(self.refused());
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            if self.digits() == 0 {
                return Err(self.refused());
            }
        }
        let written = &self.text[start..self.at];
        match written.parse() {
            Ok(value) if whole == self.at => Ok(Value::Int(value)),
            _ => Ok(Value::Number(written.to_owned())),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.refused());
        }
        self.at += word.len();
        Ok(value)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(self.refused()) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refused(&self) -> Malformed {
        Malformed::Json(self.at)
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

const DEPTH_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_every_kind_is_read() {
        let text = r#" {"a" : [1, -2, 0, 1.5, 2e3, true, false, null],
            "b": "x\u00e9\ud83d\ude00\n"} "#;

        let Value::Object(members) = Value::parse(text).unwrap() else { panic!("an object") };

        assert_eq!(members["b"], Value::Text("xé😀\n".to_owned()));
        assert_eq!(
            members["a"],
            Value::Array(vec![
                Value::Int(1),
                Value::Int(-2),
                Value::Int(0),
                Value::Number("1.5".to_owned()),
                Value::Number("2e3".to_owned()),
                Value::Bool(true),
                Value::Bool(false),
                Value::Null,
            ])
        );
    }

    #[test]
    fn text_that_is_not_json_is_refused_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\":1,}", 7),
            ("[1 2]", 3),
            ("01", 1),
            ("\"a", 2),
            ("\"\\x\"", 3),
            ("\"\\ud800\"", 7),
            ("1.", 2),
            ("{\"a\":1,\"a\":2}", 12),
            ("1 1", 2),
            ("nul", 0),
            ("\"\u{1}\"", 1),
            ("-", 1),
            ("\"\\u+123\"", 3),
        ] {
            assert_eq!(Value::parse(text), Err(Malformed::Json(at)), "{text}");
        }
        assert_eq!(Value::parse(&"[".repeat(100_000)), Err(Malformed::TooLarge));
    }

    proptest! {
        #[test]
        fn any_text_survives_the_round_trip(text in ".*") {
            let mut out = String::new();
            Value::Text(text.clone()).write(&mut out);

            prop_assert_eq!(Value::parse(&out), Ok(Value::Text(text)));
        }

        #[test]
        fn no_input_makes_the_reader_panic(text in ".*") {
            let _ = Value::parse(&text);
        }
    }
}
