//! JSON as cJSON prints it, which is what iTrustee signs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// JSON with members in the order of the document.
pub(super) enum Json {
    Object(Vec<(&'static str, Self)>),
    Text(String),
}

impl Json {
    pub(super) fn object<const N: usize>(members: [(&'static str, Self); N]) -> Self {
        Self::Object(members.into())
    }

    /// Text without characters that would have to be escaped.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn base64url(bytes: &[u8]) -> Self {
        Self::Text(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// One member a line, a tab for each depth and after each colon.
    pub(super) fn print(&self) -> String {
        self.print_at(1)
    }

    //= EV-KP-4: base64url of the payload as cJSON prints it
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.encode(self.print()).into_bytes()
    }

    fn print_at(&self, depth: usize) -> String {
        match self {
            Self::Text(text) => format!("\"{text}\""),
            Self::Object(members) => {
                let tabs = "\t".repeat(depth);
                let members = members.iter().map(|(name, value)| {
                    format!("{tabs}\"{name}\":\t{}", value.print_at(depth + 1))
                });
                let members = members.collect::<Vec<_>>().join(",\n");
                format!("{{\n{members}\n{}}}", "\t".repeat(depth - 1))
            }
        }
    }
}

/// A certificate as devices carry it: base64 in a field of fixed length.
pub(super) fn filled(certificate: &[u8]) -> Vec<u8> {
    let mut text = STANDARD.encode(certificate).into_bytes();
    text.resize(CERTIFICATE_BYTES, 0);
    text
}

const CERTIFICATE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_printed_with_tabs_and_in_their_order() {
        let inner = Json::object([("b", Json::text("1")), ("a", Json::text("2"))]);

        let printed = Json::object([("x", inner)]).print();

        assert_eq!(printed, "{\n\t\"x\":\t{\n\t\t\"b\":\t\"1\",\n\t\t\"a\":\t\"2\"\n\t}\n}");
    }
}
