//! base64 (RFC 4648 sections 4 and 5), one spelling per octet string.

/// Decodes base64url without padding; other letters and left-over bits are refused.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    decode(text.as_bytes(), b"-_")
}

/// Decodes base64 with padding, in one line.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let letters = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    decode(letters, b"+/")
}

/// Encodes base64url without padding.
pub(crate) fn encode_base64url(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        let letters = (0..=group.len()).map(|digit| {
            let six = bits >> (18 - 6 * digit) & 0x3f;
            char::from(LETTERS[six as usize])
        });
        text.extend(letters);
    }
    text
}

fn decode(letters: &[u8], last: &[u8; 2]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    for group in letters.chunks(4) {
        let mut bits = 0_u32;
        for &letter in group {
            bits = bits << 6 | digit(letter, last)?;
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

fn digit(letter: u8, last: &[u8; 2]) -> Option<u32> {
    let digit = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        _ if letter == last[0] => 62,
        _ if letter == last[1] => 63,
        _ => return None,
    };
    Some(digit.into())
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
