//! The certificate of an attestation key (AK): the quoting TA's key and measurements, signed by
//! the device root key (DRK).

use cose::Malformed;

use super::super::Endorsements;
use super::json::Json;
use super::{digest, fields, header, member, signed_bytes};
use crate::anchor::Anchor;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::crypto::{PublicKey, SignatureAlgorithm, sha256_of};
use crate::evidence::Request;
use crate::evidence::arm::{NotAToken, decode_base64, decode_base64url, missing, rsa_public_key};
use crate::value::{Octets, Value};
use crate::x509::Certificate;

/// An AK certificate, read but not verified.
///
/// `{"signature": {"drk_cert", "drk_sign"}, "payload": {"version", "timestamp", "scenario",
/// "sign_alg", "hash_alg", "qta_img", "qta_mem", "tcb", "ak_pub"}, "handler":
/// "provisioning-output"}`
#[derive(Clone, Debug)]
pub(crate) struct AkCertificate {
    /// The certificate of the DRK, DER.
    drk_certificate: Vec<u8>,
    drk_signature: Vec<u8>,
    /// What the DRK signed.
    signed: String,
    /// For showing.
    pub(super) fields: Vec<(&'static str, Value)>,
    /// Between which parties the key counts.
    pub(super) scenario: String,
    /// The measurement of the quoting TA's image.
    pub(super) qta_img: [u8; 32],
    /// The measurement of the quoting TA's memory.
    pub(super) qta_mem: [u8; 32],
    /// The key that signs reports.
    pub(super) key: AkKey,
}

/// The key of the quoting TA.
#[derive(Clone, Debug)]
pub(crate) enum AkKey {
    /// An RSAPublicKey of 4096 bits, DER.
    Rsa(Vec<u8>),
    /// For direct anonymous attestation, which is not appraised here.
    Daa,
}

impl AkCertificate {
    pub(super) fn read(json: &Json<'_>) -> Result<Self, NotAToken> {
        const MEMBERS: &str = "an AK certificate with signature, payload and handler";
        let [signature, payload, handler] =
            json.exactly(["signature", "payload", "handler"], MEMBERS)?;
        if handler.text(MEMBERS)? != "provisioning-output" {
            return Err(Malformed::Expected("the handler provisioning-output").into());
        }
        let [certificate, signed_by] = signature.exactly(["drk_cert", "drk_sign"], MEMBERS)?;
        let scenario = header(payload)?;
        let drk_signature = decode_base64url(signed_by.text("drk_sign as text")?);
        Ok(Self {
            drk_certificate: read_certificate(certificate.text("drk_cert as text")?)?,
            drk_signature: missing(drk_signature, "drk_sign in base64url")?,
            signed: signed_bytes(payload),
            fields: fields(payload)?,
            scenario,
            qta_img: digest(member(payload, "qta_img")?)?,
            qta_mem: digest(member(payload, "qta_mem")?)?,
            key: AkKey::read(member(payload, "ak_pub")?)?,
        })
    }

    /// Checks the DRK's chain and its signature, and names the device.
    pub(super) fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        let drk = Certificate::decode(&self.drk_certificate).or_else(|error| {
            let check = Check::new("huawei.device.certificate").expected(error.0);
            checks.fail(check.holds(false, || {
                let remedy = "send the device's certificate as its maker issued it";
                Failure::new(Reason::Malformed, Owner::Attester, remedy)
            }))
        })?;
        endorsements.huawei.check_device(&drk, request, anchor, checks)?;
        //= EV-KP-2: drk_sign is RSA-PSS with SHA-256 and salt 32 over the printed AK payload
        let ok = self.is_signed_by(&drk, endorsements);
        let check = Check::new("itrustee.ak.signature").source("DRK");
        checks.need(check.holds(ok, || {
            let remedy = "send the AK certificate as the device root key signed it";
            Failure::new(Reason::BadSignature, Owner::Attester, remedy)
        }))?;
        Ok(Octets::new(drk.common_name().unwrap_or_default().as_bytes()))
    }

    /// Verifies the signature, or remembers that this key made it.
    //= EV-PERF-1: keyed by the hash of key, signed bytes and signature
    fn is_signed_by(&self, drk: &Certificate<'_>, endorsements: &Endorsements) -> bool {
        let signed = sha256_of(&[self.signed.as_bytes()]);
        let name = sha256_of(&[&drk.spki_sha256(), &signed, &self.drk_signature]);
        if endorsements.known.find(&name).is_some() {
            return true;
        }
        let ok = drk.public_key().is_ok_and(|key| {
            matches!(key, PublicKey::Rsa(_))
                && self.drk_signature.len() == MODULUS
                && verify_pss(key, &self.signed, &self.drk_signature)
        });
        if ok {
            endorsements.known.insert(name, ());
        }
        ok
    }
}

impl AkKey {
    //= EV-KP-2: the AK has exponent 65537 and a modulus of 4096 bits
    fn read(json: &Json<'_>) -> Result<Self, NotAToken> {
        const AK: &str = "ak_pub with kty, n and e";
        let member = |name| json.get(name).ok_or(Malformed::Expected(AK));
        match member("kty")?.text(AK)? {
            "RSA" => {
                let modulus = decode_base64url(member("n")?.text(AK)?).unwrap_or_default();
                let exponent = decode_base64url(member("e")?.text(AK)?).unwrap_or_default();
                let full = modulus.len() == MODULUS && modulus.first() >= Some(&0x80);
                if !full || exponent != [1, 0, 1] {
                    return Err(NotAToken::unsupported("an AK other than RSA-4096 with e 65537"));
                }
                Ok(Self::Rsa(missing(rsa_public_key(&modulus, &exponent), AK)?))
            }
            "DAA" => Ok(Self::Daa),
            _ => Err(NotAToken::unsupported("an AK of another type than RSA and DAA")),
        }
    }
}

/// Verifies RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets.
pub(super) fn verify_pss(key: PublicKey<'_>, signed: &str, signature: &[u8]) -> bool {
    key.verify(&SignatureAlgorithm::PssSha256, signed.as_bytes(), signature)
}

/// base64url of base64 of DER, filled up with zeros.
fn read_certificate(text: &str) -> Result<Vec<u8>, NotAToken> {
    let filled = decode_base64url(text).unwrap_or_default();
    let length = filled.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    let der = decode_base64(&filled[..length]).filter(|der| !der.is_empty());
    missing(der, "drk_cert as base64url of base64 of a certificate")
}

/// The length of an RSA-4096 modulus and of signatures under it.
pub(super) const MODULUS: usize = 512;
