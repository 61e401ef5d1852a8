//! One PKCS#8 private key as PEM (RFC 7468 section 10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::refusal::KeyRejected;

/// Wraps DER into PEM.
pub(crate) fn encode(der: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * der.len() + 2 * BEGIN.len()));
    let mut line = Zeroizing::new([0; LINE]);
    text.push_str(BEGIN);
    text.push('\n');
    for chunk in der.chunks(LINE / 4 * 3) {
        let written =
            STANDARD.encode_slice(chunk, line.as_mut_slice()).expect("48 bytes are 64 digits");
        text.extend(line[..written].iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Finds the one private key of a PEM text. Text around it is ignored.
pub(crate) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyRejected> {
    let (_, rest) = text.split_once(BEGIN).ok_or(KeyRejected::Pem)?;
    let (body, rest) = rest.split_once(END).ok_or(KeyRejected::Pem)?;
    if rest.contains(BEGIN) {
        return Err(KeyRejected::Pem);
    }
    let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
    digits.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; digits.len()]);
    let written =
        STANDARD.decode_slice(digits.as_slice(), &mut der).map_err(|_| KeyRejected::Pem)?;
    der.truncate(written);
    Ok(der)
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrapped_is_found_again() {
        for length in [0, 1, 47, 48, 49, 138] {
            let der: Vec<u8> = (0..length).collect();

            let text = encode(&der);

            assert_eq!(decode(&text).as_deref(), Ok(&der));
            assert!(text.lines().all(|line| line.len() <= LINE));
        }
    }

    #[test]
    fn text_around_the_key_is_ignored() {
        let text = format!("Bag Attributes\n{}\ntrailer\n", *encode(b"key"));

        assert_eq!(decode(&text).as_deref(), Ok(&b"key".to_vec()));
    }

    #[test]
    fn anything_else_is_refused() {
        let twice = encode(b"key").repeat(2);
        let cut = &encode(b"key")[..30];
        let foreign = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let digits = format!("{BEGIN}\n***\n{END}\n");

        for text in ["", twice.as_str(), cut, foreign, digits.as_str()] {
            assert_eq!(decode(text), Err(KeyRejected::Pem));
        }
    }
}
