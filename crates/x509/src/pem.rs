//! PEM chains of certificates (RFC 7468), strict: nothing between or around the blocks.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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
    if !text.starts_with(b"\n") && !text.starts_with(b"\r\n") {
        return Err(BASE64);
    }
    let mut letters = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        let line_end = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n"));
        letters.extend_from_slice(line_end.unwrap_or(line));
    }
    STANDARD.decode(letters).map_err(|_| BASE64)
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    &bytes[count..]
}

/// Where the block ends: at the first dash, which base64 has none of.
fn find(bytes: &[u8], end: &[u8]) -> Option<usize> {
    let at = bytes.iter().position(|&octet| octet == b'-')?;
    bytes[at..].starts_with(end).then_some(at)
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
