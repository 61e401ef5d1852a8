//! X.509 certificates for TLS servers, made when a test runs.

use cose::{Algorithm, Signer as _};
use keys::SigningKey;

/// A certificate authority with the certificate that it has given to one server.
pub(crate) struct Issued {
    /// The authority's certificate, PEM.
    pub(crate) root: String,
    /// The server's certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// The server's key, PKCS#8.
    pub(crate) key: Vec<u8>,
}

/// What a certificate is for.
pub(crate) enum Name {
    /// The address 127.0.0.1.
    Loopback,
    /// Another host.
    Other(&'static str),
}

pub(crate) fn issue(name: Name) -> Issued {
    let authority = SigningKey::generate(Algorithm::Esp256).unwrap();
    let server = SigningKey::generate(Algorithm::Esp256).unwrap();
    let is_authority = extension(&[0x55, 0x1d, 0x13], &seq(&[&der(0x01, &[0xff])]));
    let name = match name {
        Name::Loopback => der(0x87, &[127, 0, 0, 1]),
        Name::Other(host) => der(0x82, host.as_bytes()),
    };
    let alternative = extension(&[0x55, 0x1d, 0x11], &seq(&[&name]));
    let root = certificate(&authority, &authority, "root", &is_authority);
    let certificate = certificate(&authority, &server, "server", &alternative);
    let key = server.to_pkcs8().unwrap().expose().to_vec();
    Issued { root: pem(&root), certificate, key }
}

fn certificate(issuer: &SigningKey, subject: &SigningKey, name: &str, extension: &[u8]) -> Vec<u8> {
    let version = der(0xa0, &der(0x02, &[2]));
    let algorithm = seq(&[&der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
    let validity = seq(&[&der(0x17, b"200101000000Z"), &der(0x17, b"491231235959Z")]);
    let extensions = der(0xa3, &seq(&[extension]));
    let signed = seq(&[
        &version,
        &der(0x02, &[1]),
        &algorithm,
        &distinguished("root"),
        &validity,
        &distinguished(name),
        &public(subject),
        &extensions,
    ]);
    let raw = issuer.sign(&signed).unwrap();
    let (r, s) = raw.split_at(32);
    let signature = seq(&[&integer(r), &integer(s)]);
    seq(&[&signed, &algorithm, &bits(&signature)])
}

fn public(key: &SigningKey) -> Vec<u8> {
    let ec = der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    let p256 = der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    seq(&[&seq(&[&ec, &p256]), &bits(&key.key().sec1())])
}

fn distinguished(name: &str) -> Vec<u8> {
    let common_name = seq(&[&der(0x06, &[0x55, 0x04, 0x03]), &der(0x0c, name.as_bytes())]);
    seq(&[&der(0x31, &common_name)])
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&der(0x06, id), &der(0x04, value)])
}

fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let mut bytes = big_endian[zeros..].to_vec();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    der(0x02, &bytes)
}

fn bits(content: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0], content].concat())
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(content.len() as u8),
        0x80..0x100 => out.extend([0x81, content.len() as u8]),
        _ => {
            out.push(0x82);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let group = [three[0], *three.get(1).unwrap_or(&0), *three.get(2).unwrap_or(&0)];
        let number = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let six = (number >> (18 - 6 * place)) & 63;
            text.push(if place <= three.len() { ALPHABET[six as usize] as char } else { '=' });
        }
        if text.len() % 65 == 64 {
            text.push('\n');
        }
    }
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", text.trim_end())
}
