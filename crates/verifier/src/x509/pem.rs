//! PEM chains of certificates (RFC 7468), strict: nothing between or around the blocks.

use std::borrow::Cow;

use super::Malformed;

/// Decodes a chain of certificates in PEM.
///
/// Lines end in LF or CRLF; empty lines and NUL octets may follow the last block, as vendors
/// write them. Anything else outside the blocks is refused, so that a chain has one spelling.
pub fn decode_pem(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut chain = Vec::new();
    let mut rest = bytes;
    loop {
        rest = skip_line_ends(rest);
        if rest.iter().all(|&octet| octet == 0) {
            break;
        }
        rest = rest.strip_prefix(BEGIN).ok_or(Malformed("a PEM certificate"))?;
        if chain.len() == MAX_CHAIN {
            return Err(Malformed("at most eight certificates"));
        }
        let end = find(rest, END).ok_or(Malformed("the end of a PEM certificate"))?;
        chain.push(decode_base64(&rest[..end])?);
        rest = &rest[end + END.len()..];
    }
    if chain.is_empty() { Err(Malformed("a PEM certificate")) } else { Ok(chain) }
}

/// Decodes one public key in PEM: the SubjectPublicKeyInfo.
///
/// Line ends may stand around the block, nothing else.
pub fn decode_public_key_pem(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let block =
        skip_line_ends(bytes).strip_prefix(BEGIN_KEY).ok_or(Malformed("a PEM public key"))?;
    let end = find(block, END_KEY).ok_or(Malformed("the end of a PEM public key"))?;
    if !skip_line_ends(&block[end + END_KEY.len()..]).is_empty() {
        return Err(Malformed("nothing after the PEM public key"));
    }
    decode_base64(&block[..end])
}

/// The DER of a revocation list in any spelling that vendors' services and caches use: DER, PEM,
/// or hexadecimal. What is none of these is given back for the reader of DER to refuse.
#[must_use]
pub fn decode_list_file(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = bytes.trim_ascii();
    if let Some(block) = text.strip_prefix(BEGIN_LIST) {
        let end = block.strip_suffix(END_LIST);
        let der = end.and_then(|block| decode_base64(block).ok());
        return der.map_or(Cow::Borrowed(bytes), Cow::Owned);
    }
    match hex::decode(text) {
        Ok(der) if !der.is_empty() => Cow::Owned(der),
        _ => Cow::Borrowed(bytes),
    }
}

/// Decodes base64 (RFC 4648 section 4) in lines.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    const BASE64: Malformed = Malformed("base64 in lines");
    let text = match text {
        [b'\n', inner @ ..] | [b'\r', b'\n', inner @ ..] => inner,
        _ => return Err(BASE64),
    };
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut count, mut padding) = (0_u32, 0_u8, 0_u8);
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        let digit = match octet {
            b'\n' => continue,
            b'\r' if octets.peek() == Some(&b'\n') => continue,
            b'=' if count >= 2 => {
                padding += 1;
                0
            }
            _ if padding > 0 => return Err(BASE64),
            _ => base64_digit(octet).ok_or(BASE64)?,
        };
        group = group << 6 | digit;
        count += 1;
        if count == 4 {
            let [_, first, second, third] = group.to_be_bytes();
            match padding {
                0 => decoded.extend([first, second, third]),
                1 if third == 0 => decoded.extend([first, second]),
                2 if second == 0 && third == 0 => decoded.push(first),
                _ => return Err(BASE64),
            }
            (group, count) = (0, 0);
        }
    }
    if count != 0 || padding > 2 { Err(BASE64) } else { Ok(decoded) }
}

fn base64_digit(octet: u8) -> Option<u32> {
    let digit = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(digit.into())
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    &bytes[count..]
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// How many certificates a chain may have.
pub const MAX_CHAIN: usize = 8;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";
const BEGIN_LIST: &[u8] = b"-----BEGIN X509 CRL-----";
const END_LIST: &[u8] = b"-----END X509 CRL-----";
const BEGIN_KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----";
const END_KEY: &[u8] = b"-----END PUBLIC KEY-----";

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> Vec<u8> {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    #[test]
    fn blocks_are_decoded_in_order() {
        let chain = [pem("AAEC"), pem("Aw=="), b"\0".to_vec()].concat();

        assert_eq!(decode_pem(&chain), Ok(vec![vec![0, 1, 2], vec![3]]));
    }

    #[test]
    fn a_public_key_is_one_block_alone() {
        let key =
            String::from_utf8(pem("AAEC")).expect("text").replace("CERTIFICATE", "PUBLIC KEY");

        assert_eq!(decode_public_key_pem(key.as_bytes()), Ok(vec![0, 1, 2]));
        assert!(decode_public_key_pem(&pem("AAEC")).is_err());
        assert!(decode_public_key_pem(key.repeat(2).as_bytes()).is_err());
    }

    #[test]
    fn a_list_is_read_as_der_pem_or_hexadecimal() {
        let block =
            String::from_utf8(pem("AAEC")).expect("text").replace("CERTIFICATE", "X509 CRL");
        let der = [0x30, 0x01, 0xff];

        assert_eq!(*decode_list_file(&der), der);
        assert_eq!(*decode_list_file(block.as_bytes()), [0, 1, 2]);
        assert_eq!(*decode_list_file(b"3001Ff\n"), der);
        assert_eq!(*decode_list_file(b"3001f"), *b"3001f");
        assert_eq!(*decode_list_file(&pem("AAEC")), pem("AAEC"));
        assert_eq!(*decode_list_file(b""), *b"");
    }

    #[test]
    fn other_spellings_are_refused() {
        for body in ["AAE", "A", "A===", "Aw=", "Ax==", "AA=A", "AAEC AAEC", "AA\rEC", "===="] {
            assert!(decode_pem(&pem(body)).is_err(), "{body}");
        }
        for text in ["", "\n", "junk", "-----BEGIN CERTIFICATE-----\nAAEC\n"] {
            assert!(decode_pem(text.as_bytes()).is_err(), "{text}");
        }
        assert!(decode_pem(&[pem("AAEC"), b"junk".to_vec()].concat()).is_err());
        assert!(decode_pem(&pem("AAEC").repeat(MAX_CHAIN + 1)).is_err());
    }
}
