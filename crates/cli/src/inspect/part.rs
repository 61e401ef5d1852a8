//! What is said about an artefact: a tree of named values.

use serde_json::{Map, Value, json};

/// A named value with what it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name, in the specification's words.
    pub name: String,
    /// Its value, for a person.
    pub value: String,
    /// What it consists of.
    pub parts: Vec<Self>,
}

impl Part {
    /// A value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), parts: Vec::new() }
    }

    /// A byte string, shown shortened.
    pub fn bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(name, shown(bytes))
    }

    /// Something that consists of parts.
    pub fn group(name: impl Into<String>, value: impl Into<String>, parts: Vec<Self>) -> Self {
        Self { name: name.into(), value: value.into(), parts }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), json!(self.name));
        if !self.value.is_empty() {
            object.insert("value".into(), json!(self.value));
        }
        if !self.parts.is_empty() {
            object.insert("parts".into(), self.parts.iter().map(Self::json).collect());
        }
        Value::Object(object)
    }

    /// As indented lines.
    #[must_use]
    pub fn lines(&self, depth: usize) -> Vec<String> {
        let indentation = "  ".repeat(depth);
        let separator = if self.value.is_empty() { "" } else { ": " };
        let mut lines = vec![format!("{indentation}{}{separator}{}", self.name, self.value)];
        lines.extend(self.parts.iter().flat_map(|part| part.lines(depth + 1)));
        lines
    }
}

/// Bytes in hexadecimal, the middle of long ones left out.
pub(super) fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= WHOLE_BYTES_MAX {
        return format!("h'{}'", hex::encode(bytes));
    }
    let (head, tail) = (&bytes[..16], &bytes[bytes.len() - 8..]);
    format!("h'{}…{}' ({} bytes)", hex::encode(head), hex::encode(tail), bytes.len())
}

/// A component identifier: text where it is text, a short thumbprint where it is one.
pub(super) fn component<'a>(elements: impl IntoIterator<Item = &'a [u8]>) -> String {
    let words: Vec<String> = elements.into_iter().map(element).collect();
    format!("[{}]", words.join(", "))
}

fn element(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => format!("'{text}'"),
        Ok(_) | Err(_) => shown(bytes),
    }
}

const WHOLE_BYTES_MAX: usize = 40;
