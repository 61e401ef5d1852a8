//! X.509 certificates for TLS servers, made when a test runs.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use moc::config::Tls;

/// Gives certificates to servers.
pub(crate) struct Authority {
    key: SigningKey,
}

/// A server's certificate with its key, both PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Whom a certificate is for.
#[derive(Clone, Copy)]
pub(crate) enum Name {
    /// The address 127.0.0.1.
    Loopback,
    /// Another host.
    Other(&'static str),
}

/// From when to when a certificate holds: UTCTime.
pub(crate) type Validity = [&'static [u8]; 2];

pub(crate) const VALID: Validity = [b"200101000000Z", b"491231235959Z"];
pub(crate) const EXPIRED: Validity = [b"200101000000Z", b"200131000000Z"];
pub(crate) const EARLY: Validity = [b"490101000000Z", b"491231235959Z"];

impl Authority {
    pub(crate) fn new() -> Self {
        Self { key: SigningKey::generate(Algorithm::Esp256).unwrap() }
    }

    /// Its own certificate, PEM.
    pub(crate) fn root(&self) -> String {
        let is_authority = extension(&[0x55, 0x1d, 0x13], &seq(&[&der(0x01, &[0xff])]));
        pem("CERTIFICATE", &self.certificate(&self.key, "root", VALID, &is_authority))
    }

    pub(crate) fn issue(&self, name: Name, validity: Validity) -> Issued {
        let server = SigningKey::generate(Algorithm::Esp256).unwrap();
        let name = match name {
            Name::Loopback => der(0x87, &[127, 0, 0, 1]),
            Name::Other(host) => der(0x82, host.as_bytes()),
        };
        let alternative = extension(&[0x55, 0x1d, 0x11], &seq(&[&name]));
        let certificate = self.certificate(&server, "server", validity, &alternative);
        Issued {
            certificate: pem("CERTIFICATE", &certificate),
            key: pem("PRIVATE KEY", server.to_pkcs8().unwrap().expose()),
        }
    }

    fn certificate(
        &self,
        subject: &SigningKey,
        name: &str,
        [from, to]: Validity,
        extension: &[u8],
    ) -> Vec<u8> {
        let version = der(0xa0, &der(0x02, &[2]));
        let algorithm = seq(&[&der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
        let signed = seq(&[
            &version,
            &der(0x02, &[1]),
            &algorithm,
            &distinguished("root"),
            &seq(&[&der(0x17, from), &der(0x17, to)]),
            &distinguished(name),
            &public(subject),
            &der(0xa3, &seq(&[extension])),
        ]);
        let raw = self.key.sign(&signed).unwrap();
        let (r, s) = raw.split_at(32);
        seq(&[&signed, &algorithm, &bits(&seq(&[&integer(r), &integer(s)]))])
    }
}

impl Issued {
    /// Writes both files as an operator would.
    pub(crate) fn write(&self, dir: &Path) -> Tls {
        let files =
            Tls { certificate: dir.join("moc.pem"), key: dir.join("moc.key"), client_roots: None };
        std::fs::write(&files.certificate, &self.certificate).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        std::fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
        files
    }
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
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
