//! PEM, writing only (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes certificates one after the other.
pub(crate) fn certificates<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> String {
    ders.into_iter().map(|der| encode("CERTIFICATE", der)).collect()
}

/// Writes a SubjectPublicKeyInfo.
pub(crate) fn public_key(der: &[u8]) -> String {
    encode("PUBLIC KEY", der)
}

fn encode(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut text = STANDARD.encode(der);
    while !text.is_empty() {
        let rest = text.split_off(text.len().min(LINE_CHARACTERS));
        pem.push_str(&text);
        pem.push('\n');
        text = rest;
    }
    pem + &format!("-----END {label}-----\n")
}

const LINE_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_64_characters() {
        let pem = certificates([[0u8; 49].as_slice()]);

        let lines: Vec<usize> = pem.lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 4, 25]);
    }
}
