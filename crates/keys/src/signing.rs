//! Signature keys in memory.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair,
};
use cose::{Algorithm, Curve, Key, KeyUnusable, Secret, Signer};

use crate::pem;
use crate::refusal::KeyRejected;

/// A private key for ESP256, Ed25519, ESP384 or ML-DSA-65.
pub struct SigningKey {
    pair: Pair,
    key: Key,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa65(PqdsaKeyPair),
}

impl SigningKey {
    /// Makes a new key for ESP256, Ed25519, ESP384 or ML-DSA-65.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyRejected> {
        match algorithm {
            Algorithm::Esp256 | Algorithm::Esp384 => {
                let parameters = parameters(algorithm).ok_or(KeyRejected::Unsupported)?;
                let pair =
                    EcdsaKeyPair::generate(parameters).map_err(|_| KeyRejected::Unsupported)?;
                Self::from_ecdsa(pair, algorithm)
            }
            Algorithm::Ed25519 => Self::from_ed25519(
                Ed25519KeyPair::generate().map_err(|_| KeyRejected::Unsupported)?,
            ),
            Algorithm::MlDsa65 => Self::from_ml_dsa(
                PqdsaKeyPair::generate(&signature::ML_DSA_65_SIGNING)
                    .map_err(|_| KeyRejected::Unsupported)?,
            ),
            Algorithm::Es256
            | Algorithm::EdDsa
            | Algorithm::Es384
            | Algorithm::HssLms
            | Algorithm::Other(_) => Err(KeyRejected::Unsupported),
        }
    }

    /// Reads a PKCS#8 PrivateKeyInfo (RFC 5958); the curve in it decides the algorithm.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyRejected> {
        for algorithm in [Algorithm::Esp256, Algorithm::Esp384] {
            if let Some(parameters) = parameters(algorithm)
                && let Ok(pair) = EcdsaKeyPair::from_pkcs8(parameters, der)
            {
                return Self::from_ecdsa(pair, algorithm);
            }
        }
        if let Ok(pair) = PqdsaKeyPair::from_pkcs8(&signature::ML_DSA_65_SIGNING, der) {
            return Self::from_ml_dsa(pair);
        }
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyRejected::Encoding)?;
        Self::from_ed25519(pair)
    }

    /// Reads a PEM text with one `PRIVATE KEY`.
    pub fn from_pem(text: &str) -> Result<Self, KeyRejected> {
        Self::from_pkcs8(&pem::decode(text)?)
    }

    /// The PKCS#8 PrivateKeyInfo. Handle with care.
    pub fn to_pkcs8(&self) -> Result<Secret, KeyUnusable> {
        let der = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(|_| KeyUnusable)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyUnusable)?;
                der.as_ref().to_vec()
            }
            Pair::MlDsa65(pair) => pair.to_pkcs8v1().map_err(|_| KeyUnusable)?.as_ref().to_vec(),
        };
        Ok(Secret::new(der))
    }

    fn from_ecdsa(pair: EcdsaKeyPair, algorithm: Algorithm) -> Result<Self, KeyRejected> {
        let curve = algorithm.curve().ok_or(KeyRejected::Unsupported)?;
        let key =
            Key::from_sec1(curve, pair.public_key().as_ref()).map_err(|_| KeyRejected::Encoding)?;
        Ok(Self { pair: Pair::Ecdsa(pair), key })
    }

    fn from_ml_dsa(pair: PqdsaKeyPair) -> Result<Self, KeyRejected> {
        let key = Key::from_akp(Curve::MlDsa65, pair.public_key().as_ref())
            .map_err(|_| KeyRejected::Encoding)?;
        Ok(Self { pair: Pair::MlDsa65(pair), key })
    }

    fn from_ed25519(pair: Ed25519KeyPair) -> Result<Self, KeyRejected> {
        let key = Key::from_okp(Curve::Ed25519, pair.public_key().as_ref())
            .map_err(|_| KeyRejected::Encoding)?;
        Ok(Self { pair: Pair::Ed25519(pair), key })
    }
}

impl Signer for SigningKey {
    fn algorithm(&self) -> Algorithm {
        match self.key.curve() {
            Curve::P384 => Algorithm::Esp384,
            Curve::Ed25519 => Algorithm::Ed25519,
            Curve::MlDsa65 => Algorithm::MlDsa65,
            Curve::P256 | Curve::X25519 | Curve::XWing | Curve::HssLms => Algorithm::Esp256,
        }
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::MlDsa65(pair) => {
                let mut signature = vec![0; signature::ML_DSA_65_SIGNING.signature_len()];
                let written = pair.sign(message, &mut signature).map_err(|_| KeyUnusable)?;
                signature.truncate(written);
                return Ok(signature);
            }
        };
        Ok(signature.map_err(|_| KeyUnusable)?.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey {{ key: {}, private: … }}", self.key.thumbprint())
    }
}

fn parameters(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        Algorithm::Esp256 => Some(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Esp384 => Some(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Ed25519
        | Algorithm::Es256
        | Algorithm::EdDsa
        | Algorithm::Es384
        | Algorithm::MlDsa65
        | Algorithm::HssLms
        | Algorithm::Other(_) => None,
    }
}
