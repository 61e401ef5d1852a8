//! COSE_Sign1 as devices make it: ECDSA and RSASSA-PSS, the legacy identifiers included.

use cose::cbor::{Decoder, encode};
use cose::{Accept, Algorithm, Key, Malformed, Sign1, Tagging, Untrusted};

use super::{DeviceKey, NotAToken};
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::{PublicKey, SignatureAlgorithm};

/// A signed object of a device, signature not checked.
#[derive(Clone, Debug)]
pub(crate) struct Signed<'b> {
    sign1: Sign1<'b>,
    /// The content of the protected bucket's byte string, as received.
    protected: &'b [u8],
    payload: &'b [u8],
}

/// A signature scheme that devices use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// ES256 or ESP256.
    Es256,
    /// ES384 or ESP384.
    Es384,
    /// ES512 or ESP512.
    Es512,
    /// PS256.
    Ps256,
}

impl<'b> Signed<'b> {
    /// Reads a tagged COSE_Sign1 with its payload.
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        let sign1 = Sign1::decode(bytes, Tagging::Tagged)?;
        let payload = sign1.payload.ok_or(Malformed::Expected("an attached payload"))?;
        let mut d = Decoder::new(bytes);
        d.tag().and_then(|_| d.array()).map_err(Malformed::from)?;
        let protected = d.bytes().map_err(Malformed::from)?;
        Ok(Self { sign1, protected, payload })
    }

    /// The signed bytes; believed only after [`verify`](Self::verify).
    pub(crate) const fn payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The key id, protected or not: a hint.
    pub(crate) fn key_id(&self) -> Option<&[u8]> {
        self.sign1.kid()
    }

    /// The name of the algorithm in the protected header.
    pub(crate) fn algorithm(&self) -> String {
        match self.sign1.protected.algorithm {
            None => "none".to_owned(),
            Some(Algorithm::Other(ES512)) => format!("ES512 ({ES512})"),
            Some(Algorithm::Other(ESP512)) => format!("ESP512 ({ESP512})"),
            Some(Algorithm::Other(PS256)) => format!("PS256 ({PS256})"),
            Some(Algorithm::Other(other)) => format!("algorithm {other}"),
            Some(algorithm) => format!("{algorithm} ({})", algorithm.id()),
        }
    }

    /// Checks the signature by the key of a SubjectPublicKeyInfo.
    //= EV-CCA-8: the protected algorithm only, of the accepted ones, and with a key that fits
    pub(crate) fn verify(&self, spki: &[u8], accept: &[Scheme]) -> Result<(), Untrusted> {
        self.verify_by(spki, None, accept)
    }

    /// As [`verify`](Self::verify), by a key that was read before.
    pub(crate) fn verify_device(
        &self,
        device: &DeviceKey,
        accept: &[Scheme],
    ) -> Result<(), Untrusted> {
        self.verify_by(&device.spki, device.key.as_ref(), accept)
    }

    fn verify_by(
        &self,
        spki: &[u8],
        key: Option<&Key>,
        accept: &[Scheme],
    ) -> Result<(), Untrusted> {
        let algorithm = self.sign1.protected.algorithm.ok_or(Untrusted::AlgorithmNotProtected)?;
        let scheme = Scheme::of(algorithm).filter(|scheme| accept.contains(scheme));
        let scheme = scheme.ok_or(Untrusted::Algorithm { algorithm })?;
        if matches!(scheme, Scheme::Es256 | Scheme::Es384) {
            let accept = Accept::only(algorithm);
            let verified = match key {
                Some(key) => self.sign1.verify(key, &accept, &[]),
                None => {
                    let key = Key::from_spki(spki).map_err(|_| Untrusted::KeyMismatch)?;
                    return self.sign1.verify(&key, &accept, &[]).map(|_| ());
                }
            };
            return verified.map(|_| ());
        }
        if !self.sign1.protected.critical.is_empty() {
            return Err(Untrusted::CriticalHeader(CRIT));
        }
        let (message, signature) = (self.to_be_signed(), self.sign1.signature);
        let ok = match (PublicKey::from_spki(spki), scheme) {
            (Ok(key @ PublicKey::P521(_)), Scheme::Es512) => key.verify_fixed(&message, signature),
            (Ok(key @ PublicKey::Rsa(_)), Scheme::Ps256) => {
                key.verify(&SignatureAlgorithm::PssSha256, &message, signature)
            }
            _ => return Err(Untrusted::KeyMismatch),
        };
        if ok { Ok(()) } else { Err(Untrusted::Signature) }
    }

    /// ```cddl
    /// Sig_structure = [ "Signature1", body_protected : bstr, external_aad : bstr, payload : bstr ]
    /// ```
    fn to_be_signed(&self) -> Vec<u8> {
        encode(|e| {
            e.array(4)?.str("Signature1")?.bytes(self.protected)?.bytes(&[])?;
            e.bytes(self.payload)?.ok()
        })
    }
}

impl Scheme {
    const fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 | Algorithm::Esp256 => Some(Self::Es256),
            Algorithm::Es384 | Algorithm::Esp384 => Some(Self::Es384),
            Algorithm::Other(ES512 | ESP512) => Some(Self::Es512),
            Algorithm::Other(PS256) => Some(Self::Ps256),
            Algorithm::Ed25519
            | Algorithm::EdDsa
            | Algorithm::MlDsa65
            | Algorithm::HssLms
            | Algorithm::Other(_) => None,
        }
    }
}

/// Why a signature is not believed, as failure of a check.
pub(super) fn failure(error: &Untrusted, remedy: &'static str) -> Failure {
    let reason = match error {
        Untrusted::Algorithm { .. }
        | Untrusted::AlgorithmNotProtected
        | Untrusted::CriticalHeader(_)
        | Untrusted::CriticalText(_) => Reason::Unsupported,
        _ => Reason::BadSignature,
    };
    Failure::new(reason, Owner::Attester, remedy)
}

impl Signed<'_> {
    /// The check of a signature.
    pub(crate) fn check(
        &self,
        name: &'static str,
        spki: &[u8],
        accept: &[Scheme],
        remedy: &'static str,
    ) -> Check {
        let check = Check::new(name).seen(self.algorithm());
        match self.verify(spki, accept) {
            Ok(()) => check,
            Err(error) => check.source(error.to_string()).holds(false, || failure(&error, remedy)),
        }
    }
}

/// IANA registry "COSE Algorithms".
const ES512: i64 = -36;
const PS256: i64 = -37;
const ESP512: i64 = -52;
/// The header parameter `crit`.
const CRIT: i64 = 2;
