//! DER, writing only (ITU-T X.690): just what certificates and revocation lists need.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Error;

/// Writes one element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    match content.len() {
        0..=0x7f => der.push(length[length.len() - 1]),
        _ => {
            let length = &length[zeros..];
            der.push(0x80 | length.len() as u8);
            der.extend_from_slice(length);
        }
    }
    der.extend_from_slice(content);
    der
}

/// Writes a SEQUENCE.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// Writes a SET with one element.
pub(crate) fn set(part: &[u8]) -> Vec<u8> {
    element(0x31, part)
}

/// Writes an unsigned INTEGER from its big-endian bytes.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut content = bytes[zeros..].to_vec();
    if content.first().is_none_or(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// Writes an unsigned INTEGER.
pub(crate) fn number(value: u64) -> Vec<u8> {
    integer(&value.to_be_bytes())
}

/// Writes a BOOLEAN.
pub(crate) fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// Writes an ENUMERATED below 128.
pub(crate) fn enumerated(value: u8) -> Vec<u8> {
    element(0x0a, &[value])
}

/// Writes a BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// Writes an OCTET STRING.
pub(crate) fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(0x04, bytes)
}

/// Writes an OBJECT IDENTIFIER from its encoded arcs.
pub(crate) fn oid(arcs: &[u8]) -> Vec<u8> {
    element(0x06, arcs)
}

/// Writes a UTF8String.
pub(crate) fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// Writes a constructed element with a context-specific tag.
pub(crate) fn context(tag: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | tag, content)
}

/// Writes a primitive element with a context-specific tag.
pub(crate) fn context_primitive(tag: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | tag, content)
}

/// Writes a Time as RFC 5280 section 4.1.2.5 says: UTCTime until 2049, else GeneralizedTime.
pub(crate) fn time(at: Timestamp) -> Result<Vec<u8>, Error> {
    let at = at.to_zoned(TimeZone::UTC);
    let (tag, format) = match at.year() {
        2000..=2049 => (0x17, "%y%m%d%H%M%SZ"),
        2050..=9000 => (0x18, "%Y%m%d%H%M%SZ"),
        _ => return Err(Error::Clock),
    };
    Ok(element(tag, at.strftime(format).to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(octet_string(&[])[..], [4, 0]);
        assert_eq!(octet_string(&[0; 127])[..2], [4, 127]);
        assert_eq!(octet_string(&[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(octet_string(&[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn integers_take_the_shortest_form_and_stay_positive() {
        assert_eq!(number(0), [2, 1, 0]);
        assert_eq!(number(127), [2, 1, 127]);
        assert_eq!(number(128), [2, 2, 0, 128]);
        assert_eq!(integer(&[0, 0, 1, 2]), [2, 2, 1, 2]);
    }

    #[test]
    fn a_time_changes_its_form_in_2050() {
        let utc = time("2049-12-31T23:59:59Z".parse().unwrap()).unwrap();
        assert_eq!(&utc[..], b"\x17\x0d491231235959Z");

        let generalized = time("2050-01-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(&generalized[..], b"\x18\x0f20500101000000Z");

        assert_eq!(time("1999-12-31T23:59:59Z".parse().unwrap()), Err(Error::Clock));
    }
}
