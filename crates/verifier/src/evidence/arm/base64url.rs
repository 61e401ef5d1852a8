//! base64url without padding (RFC 4648 section 5), one spelling per octet string.

/// Decodes; padding, other letters and left-over bits are refused.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for &letter in group {
            bits = bits << 6 | digit(letter)?;
        }
        let [_, first, second, third] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        match group.len() {
            4 => octets.extend([first, second, third]),
            3 if third == 0 => octets.extend([first, second]),
            2 if second == 0 && third == 0 => octets.push(first),
            _ => return None,
        }
    }
    Some(octets)
}

fn digit(letter: u8) -> Option<u32> {
    let digit = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(digit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_decodes() {
        for (text, octets) in [
            ("", &[][..]),
            ("AA", &[0]),
            ("_-8", &[0xff, 0xef]),
            ("AQID", &[1, 2, 3]),
            ("AQIDBA", &[1, 2, 3, 4]),
        ] {
            assert_eq!(decode_base64url(text).as_deref(), Some(octets), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["A", "AB", "AAB", "AA==", "A+8", "A/8", "AA A", "AQIDB"] {
            assert_eq!(decode_base64url(text), None, "{text}");
        }
    }
}
