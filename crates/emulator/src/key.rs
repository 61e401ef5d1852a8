//! Keys of the emulated vendors and of the emulated hardware; P-256 here, others below.

mod p384;
mod rsa;

use std::path::Path;

use aws_lc_rs::agreement;
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::disk::{self, Access};
use crate::{Error, der};

pub(crate) use p384::P384Key;
pub(crate) use rsa::RsaKey;

/// A P-256 signing key.
pub(crate) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// Loads a key from a private file, which is made at the first use.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, Error> {
        if let Some(pkcs8) = disk::read_if_present(path)? {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8);
            return key.map(Self).map_err(|_| Error::damaged(path, "not a P-256 key"));
        }
        let key = Self::generate()?;
        let pkcs8 = key.0.to_pkcs8v1().map_err(|_| Error::Crypto("encode a key"))?;
        disk::write(path, pkcs8.as_ref(), Access::Private)?;
        Ok(key)
    }

    /// Makes a key from the system's randomness.
    pub(crate) fn generate() -> Result<Self, Error> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        key.map(Self).map_err(|_| Error::Crypto("generate a key"))
    }

    /// Makes the key with this private scalar; `None` when the scalar is zero or too large.
    pub(crate) fn from_scalar(scalar: &[u8; 32]) -> Option<Self> {
        let private = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar);
        let public = private.ok()?.compute_public_key().ok()?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, public.as_ref());
        key.ok().map(Self)
    }

    /// The public point: 4, x, y.
    pub(crate) fn point(&self) -> [u8; 65] {
        self.0.public_key().as_ref().try_into().expect("a P-256 point has 65 bytes")
    }

    /// The public coordinates: x, y.
    pub(crate) fn coordinates(&self) -> [u8; 64] {
        let [_, coordinates @ ..] = self.point();
        coordinates
    }

    /// SubjectPublicKeyInfo (RFC 5480 section 2).
    pub(crate) fn spki(&self) -> Vec<u8> {
        spki(&self.point())
    }

    /// Signs with SHA-256; the signature is r, s.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| Error::Crypto("sign"))?;
        Ok(signature.as_ref().try_into().expect("a P-256 signature has 64 bytes"))
    }

    /// Signs with SHA-256; the signature is Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
    pub(crate) fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.sign(message)?;
        let (r, s) = signature.split_at(32);
        Ok(der::sequence(&[&der::integer(r), &der::integer(s)]))
    }
}

/// SubjectPublicKeyInfo of a P-256 point (RFC 5480 section 2).
pub(crate) fn spki(point: &[u8; 65]) -> Vec<u8> {
    let algorithm = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(PRIME256V1)]);
    der::sequence(&[&algorithm, &der::bit_string(point)])
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
