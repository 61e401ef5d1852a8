//! base64 (RFC 4648 sections 4 and 5), one spelling per octet string.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Decodes base64url without padding; other letters and left-over bits are refused.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes base64 with padding, in one line.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Encodes base64url without padding.
pub(crate) fn encode_base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_survives_the_round_trip() {
        for (text, octets) in [
            ("", &[][..]),
            ("AA", &[0]),
            ("_-8", &[0xff, 0xef]),
            ("AQID", &[1, 2, 3]),
            ("AQIDBA", &[1, 2, 3, 4]),
        ] {
            assert_eq!(decode_base64url(text).as_deref(), Some(octets), "{text}");
            assert_eq!(encode_base64url(octets), text);
        }
        assert_eq!(decode_base64(b"/+8="), Some(vec![0xff, 0xef]));
        assert_eq!(decode_base64(b"AQID"), Some(vec![1, 2, 3]));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["A", "AB", "AAB", "AA==", "A+8", "A/8", "AA A", "AQIDB"] {
            assert_eq!(decode_base64url(text), None, "{text}");
        }
        for text in ["AA", "A===", "AA=", "AB==", "=AAA", "A-8=", "AA=A", "===="] {
            assert_eq!(decode_base64(text.as_bytes()), None, "{text}");
        }
    }
}
