//! Key agreement keys in memory.

use std::fmt;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{
    AsBigEndian as _, AsDer as _, Curve25519SeedBin, EcPrivateKeyBin, EcPublicKeyUncompressedBin,
    Pkcs8V1Der,
};
use cose::{Agreement, Curve, Key, KeyUnusable, Secret};

use crate::pem;
use crate::refusal::KeyRejected;

/// A private key for raw ECDH on P-256, P-384 or X25519.
pub struct AgreementKey {
    private: PrivateKey,
    key: Key,
}

impl AgreementKey {
    /// Makes a new key on P-256, P-384 or X25519.
    pub fn generate(curve: Curve) -> Result<Self, KeyRejected> {
        let private =
            PrivateKey::generate(parameters(curve)?).map_err(|_| KeyRejected::Unsupported)?;
        Self::new(curve, private)
    }

    /// A key from its private scalar: big-endian and of full length on the NIST curves, 32 bytes
    /// for X25519.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, KeyRejected> {
        let private = PrivateKey::from_private_key(parameters(curve)?, scalar)
            .map_err(|_| KeyRejected::Encoding)?;
        Self::new(curve, private)
    }

    /// Reads a PKCS#8 PrivateKeyInfo (RFC 5958, RFC 8410).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyRejected> {
        if let Some(scalar) = der.strip_prefix(X25519_PKCS8) {
            return Self::from_scalar(Curve::X25519, scalar);
        }
        for curve in [Curve::P256, Curve::P384] {
            if let Ok(private) = PrivateKey::from_private_key_der(parameters(curve)?, der) {
                return Self::new(curve, private);
            }
        }
        Err(KeyRejected::Encoding)
    }

    /// Reads a PEM text with one `PRIVATE KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyRejected> {
        Self::from_pkcs8(&pem::decode(text)?)
    }

    /// The PKCS#8 PrivateKeyInfo. Handle with care.
    pub fn to_pkcs8(&self) -> Result<Secret, KeyUnusable> {
        if self.key.curve() == Curve::X25519 {
            let scalar = self.to_scalar()?;
            return Ok(Secret::new([X25519_PKCS8, scalar.expose()].concat()));
        }
        let der: Pkcs8V1Der<'_> = self.private.as_der().map_err(|_| KeyUnusable)?;
        Ok(Secret::new(der.as_ref().to_vec()))
    }

    /// The private scalar, as [`from_scalar`](Self::from_scalar) takes it. Handle with care.
    pub fn to_scalar(&self) -> Result<Secret, KeyUnusable> {
        if self.key.curve() == Curve::X25519 {
            let seed: Curve25519SeedBin<'_> =
                self.private.as_be_bytes().map_err(|_| KeyUnusable)?;
            return Ok(Secret::new(seed.as_ref().to_vec()));
        }
        let scalar: EcPrivateKeyBin<'_> = self.private.as_be_bytes().map_err(|_| KeyUnusable)?;
        Ok(Secret::new(scalar.as_ref().to_vec()))
    }

    fn new(curve: Curve, private: PrivateKey) -> Result<Self, KeyRejected> {
        let public = private.compute_public_key().map_err(|_| KeyRejected::Encoding)?;
        let key = if curve == Curve::X25519 {
            Key::from_okp(curve, public.as_ref())
        } else {
            let point: EcPublicKeyUncompressedBin<'_> =
                public.as_be_bytes().map_err(|_| KeyRejected::Encoding)?;
            Key::from_sec1(curve, point.as_ref())
        };
        Ok(Self { private, key: key.map_err(|_| KeyRejected::Encoding)? })
    }
}

impl Agreement for AgreementKey {
    fn key(&self) -> &Key {
        &self.key
    }

    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable> {
        if peer.curve() != self.key.curve() {
            return Err(KeyUnusable);
        }
        let peer = UnparsedPublicKey::new(self.private.algorithm(), peer.public());
        agreement::agree(&self.private, peer, KeyUnusable, |secret| {
            Ok(Secret::new(secret.to_vec()))
        })
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreementKey {{ key: {}, private: … }}", self.key.thumbprint())
    }
}

fn parameters(curve: Curve) -> Result<&'static agreement::Algorithm, KeyRejected> {
    match curve {
        Curve::P256 => Ok(&agreement::ECDH_P256),
        Curve::P384 => Ok(&agreement::ECDH_P384),
        Curve::X25519 => Ok(&agreement::X25519),
        Curve::Ed25519 | Curve::MlDsa65 | Curve::XWing | Curve::HssLms => {
            Err(KeyRejected::Unsupported)
        }
    }
}

/// The PKCS#8 of an X25519 key up to its 32 bytes (RFC 8410 section 7).
const X25519_PKCS8: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20,
];
