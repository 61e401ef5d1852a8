//! CBOR that no other module knows, as diagnostic notation.

use cose::cbor::minicbor;

use super::part::{Part, shown};

/// Diagnostic notation (RFC 8949 section 8), shortened where it is long.
pub(super) fn diagnostic(bytes: &[u8]) -> String {
    let text = minicbor::display(bytes).to_string();
    if text.chars().count() <= DIAGNOSTIC_CHARS_MAX {
        return text;
    }
    let head: String = text.chars().take(DIAGNOSTIC_CHARS_MAX).collect();
    format!("{head}… ({} bytes)", bytes.len())
}

/// A value by itself.
pub(super) fn part(name: impl Into<String>, bytes: &[u8]) -> Part {
    match cose::cbor::check(bytes, cose::cbor::Limits::DEFAULT) {
        Ok(()) => Part::new(name, diagnostic(bytes)),
        Err(_) => Part::new(name, shown(bytes)),
    }
}

const DIAGNOSTIC_CHARS_MAX: usize = 240;
