//! Certificates, revocation lists and keys as vendors and OpenSSL write them.

use cose::Key;
use verifier::{
    crypto::{PublicKey, sha256},
    evidence::sev::certificate::{AuthorityCertificate, PlatformCertificate},
    time::Rfc3339,
    x509::{Certificate, RevocationList},
};

use super::{Keyring, cose as cose_parts, part::Part};

/// DER: a certificate, a revocation list or a SubjectPublicKeyInfo.
pub(super) fn der(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    if let Ok(certificate) = Certificate::decode(bytes) {
        return Some(x509(&certificate, keys));
    }
    if let Ok(list) = RevocationList::decode(bytes) {
        let serials: Vec<Part> =
            list.serials().take(SERIALS_MAX).map(|one| Part::bytes("revoked", one)).collect();
        let mut parts = vec![
            Part::new("this update", Rfc3339(list.this_update).to_string()),
            Part::new("next update", Rfc3339(list.next_update).to_string()),
            Part::new("signed with", format!("{:?}, not checked", list.algorithm)),
            Part::new("revoked certificates", list.serials().count().to_string()),
        ];
        parts.extend(serials);
        return Some(Part::group("X.509 certificate revocation list", "", parts));
    }
    public_key(bytes, keys)
}

/// A SubjectPublicKeyInfo.
pub(super) fn public_key(spki: &[u8], keys: &Keyring) -> Option<Part> {
    if let Ok(key) = Key::from_spki(spki) {
        return Some(cose_parts::key("public key", &key, keys));
    }
    let shown = format!("{}, SHA-256 {}", kind(spki)?, hex::encode(sha256(spki)));
    Some(Part::new("public key", shown))
}

/// AMD's own certificates: of its authorities and of a platform.
pub(super) fn amd(bytes: &[u8]) -> Option<Part> {
    if let Ok(certificate) = AuthorityCertificate::decode(bytes) {
        let parts = vec![
            Part::bytes("key", certificate.key_id),
            Part::bytes("certified by", certificate.certifying_id),
            Part::new("SHA-256 of its key", hex::encode(certificate.spki_sha256())),
        ];
        return Some(Part::group(
            "AMD authority certificate",
            format!("{:?}", certificate.usage),
            parts,
        ));
    }
    let certificate = PlatformCertificate::decode(bytes).ok()?;
    let [major, minor] = certificate.api;
    let mut parts = vec![
        Part::new("firmware API", format!("{major}.{minor}")),
        Part::new("thumbprint of its key", certificate.key.thumbprint().to_string()),
    ];
    let signatures = certificate.signatures().iter();
    parts.extend(signatures.map(|one| Part::new("signed by", format!("{:?}", one.usage))));
    Some(Part::group("AMD platform certificate", format!("{:?}", certificate.usage), parts))
}

fn x509(certificate: &Certificate<'_>, keys: &Keyring) -> Part {
    let name = |name: Option<&str>| name.unwrap_or("without a common name").to_owned();
    let mut parts = vec![
        Part::new("subject", name(certificate.common_name())),
        Part::new("issuer", name(certificate.issuer_common_name())),
        Part::bytes("serial number", certificate.serial),
        Part::new("valid from", Rfc3339(certificate.not_before).to_string()),
        Part::new("valid until", Rfc3339(certificate.not_after).to_string()),
    ];
    parts.extend(public_key(certificate.spki, keys));
    let authority = if certificate.is_authority() { "yes" } else { "no" };
    parts.push(Part::new("authority", authority));
    let itself = certificate.issuer == certificate.subject && certificate.is_signed_by(certificate);
    let signer = if itself { "itself, verified" } else { "its issuer, not checked" };
    parts.push(Part::new("signed by", format!("{signer} ({:?})", certificate.algorithm)));
    Part::group("X.509 certificate", name(certificate.common_name()), parts)
}

fn kind(spki: &[u8]) -> Option<&'static str> {
    Some(match PublicKey::from_spki(spki).ok()? {
        PublicKey::P256(_) => "P-256",
        PublicKey::P384(_) => "P-384",
        PublicKey::P521(_) => "P-521",
        PublicKey::Rsa(_) => "RSA",
    })
}

/// How many serial numbers of a list are shown.
const SERIALS_MAX: usize = 16;
