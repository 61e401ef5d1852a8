//! X.509 certificates for TLS servers and for TEEP, made when a test runs.

#[path = "../../../teep/tests/protocol/authority.rs"]
mod authority;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use moc::config::Tls;

pub(crate) use authority::{Authority, EARLY, EXPIRED, VALID, Validity};

use authority::{der, extension, seq};

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

impl Authority {
    /// Its own certificate, PEM.
    pub(crate) fn root(&self) -> String {
        pem("CERTIFICATE", &self.anchor())
    }

    pub(crate) fn issue(&self, name: Name, validity: Validity) -> Issued {
        let server = SigningKey::generate(Algorithm::Esp256).unwrap();
        let name = match name {
            Name::Loopback => der(0x87, &[127, 0, 0, 1]),
            Name::Other(host) => der(0x82, host.as_bytes()),
        };
        let alternative = extension(&[0x55, 0x1d, 0x11], &seq(&[&name]));
        let certificate = self.certificate(server.key(), "server", validity, &alternative);
        Issued {
            certificate: pem("CERTIFICATE", &certificate),
            key: pem("PRIVATE KEY", server.to_pkcs8().unwrap().expose()),
        }
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

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
