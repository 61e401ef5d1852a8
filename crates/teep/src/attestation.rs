//! The attestation-payload of a message and its format (sections 4.2 to 4.4).

use std::borrow::Cow;
use std::fmt;

use crate::option::Label;
use crate::wire::Options;

/// Evidence or an Attestation Result, and what it is. `Debug` keeps the bytes out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct AttestationPayload<'b> {
    /// attestation-payload-format: a media type. Absent stands for an Attestation Result in the
    /// TEEP profile of EAT.
    pub format: Option<Cow<'b, str>>,
    /// attestation-payload, opaque here.
    pub bytes: Cow<'b, [u8]>,
}

impl<'b> AttestationPayload<'b> {
    /// A payload of this media type.
    //= teep 14.18 (M): the format is present unless the payload is a TEEP-profile EAT
    pub fn new(format: impl Into<Cow<'b, str>>, bytes: impl Into<Cow<'b, [u8]>>) -> Self {
        Self { format: Some(format.into()), bytes: bytes.into() }
    }

    /// The payload, no longer borrowed.
    pub fn into_owned(self) -> AttestationPayload<'static> {
        AttestationPayload {
            format: self.format.map(|format| Cow::Owned(format.into_owned())),
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }

    pub(crate) fn write_bytes(payload: Option<&Self>, options: &mut Options) {
        options.put_some(Label::AttestationPayload, payload, |e, p| e.bytes(&p.bytes)?.ok());
    }

    pub(crate) fn write_format(payload: Option<&Self>, options: &mut Options) {
        let format = payload.and_then(|payload| payload.format.as_ref());
        options.put_some(Label::AttestationPayloadFormat, format, |e, f| e.str(f)?.ok());
    }
}

//= teep 14.48 (S): logs hold codes and ids alone
impl fmt::Debug for AttestationPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = self.format.as_deref().unwrap_or("no format");
        write!(f, "AttestationPayload({format}, {} bytes)", self.bytes.len())
    }
}

/// A media type, to be compared as media types are.
///
/// Type, subtype and parameter names compare without case, parameters in any order, and a value
/// with or without quotes: the draft prints `eat_profile` bare, HTTP grammar wants it quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads a media type; whatever does not look like a parameter is part of the type.
    pub fn new(text: &str) -> Self {
        let mut pieces = split(text).into_iter();
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut parameters: Vec<(String, String)> = pieces
            .map(|piece| match piece.split_once('=') {
                Some((name, value)) => (name.trim().to_ascii_lowercase(), unquoted(value.trim())),
                None => (piece.trim().to_ascii_lowercase(), String::new()),
            })
            .collect();
        parameters.sort();
        Self { essence, parameters }
    }

    /// Type and subtype in lower case.
    pub fn essence(&self) -> &str {
        &self.essence
    }
}

/// The pieces between semicolons that stand outside quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
    .collect()
}

/// A parameter value; that of eat_profile is a URI or OID and compares without case.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_compare_as_media_types() {
        let printed = MediaType::new("application/eat+cwt; eat_profile=urn:ietf:rfc:rfcXXXX");

        for same in [
            "application/eat+cwt; eat_profile=\"urn:ietf:rfc:rfcXXXX\"",
            "Application/EAT+CWT;EAT_PROFILE=urn:ietf:rfc:rfcxxxx",
            " application/eat+cwt ;  eat_profile = urn:ietf:rfc:rfcXXXX ",
        ] {
            assert_eq!(MediaType::new(same), printed, "{same}");
        }
        for other in ["application/eat+cwt", "application/eat+cwt; eat_profile=urn:other", ""] {
            assert_ne!(MediaType::new(other), printed, "{other}");
        }
    }

    #[test]
    fn the_order_of_parameters_and_a_quoted_semicolon_do_not_matter() {
        assert_eq!(MediaType::new("a/b; x=1; y=2"), MediaType::new("a/b;y=2;x=\"1\""));
        assert_eq!(MediaType::new("a/b; x=\"1;2\"").essence(), "a/b");
        assert_ne!(MediaType::new("a/b; x=\"1;2\""), MediaType::new("a/b; x=1"));
    }
}
