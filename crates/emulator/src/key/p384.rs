//! P-384 keys of the emulated hardware.

use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::EC_PUBLIC_KEY;
use crate::{Error, der};

/// A P-384 signing key.
pub(crate) struct P384Key(EcdsaKeyPair);

impl P384Key {
    /// Makes a key from the system's randomness.
    pub(crate) fn generate() -> Result<Self, Error> {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
        key.map(Self).map_err(|_| Error::Crypto("generate a key"))
    }

    /// Makes the key with this private scalar; `None` when the scalar is zero or too large.
    pub(crate) fn from_scalar(scalar: &[u8; 48]) -> Option<Self> {
        let private = agreement::PrivateKey::from_private_key(&agreement::ECDH_P384, scalar);
        let public = private.ok()?.compute_public_key().ok()?;
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, public.as_ref());
        key.ok().map(Self)
    }

    /// The public point: 4, x, y.
    pub(crate) fn point(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// SubjectPublicKeyInfo (RFC 5480 section 2).
    pub(crate) fn spki(&self) -> Vec<u8> {
        let algorithm = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(SECP384R1)]);
        der::sequence(&[&algorithm, &der::bit_string(self.point())])
    }

    /// Signs with SHA-384; the signature is r, s.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 96], Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| Error::Crypto("sign"))?;
        Ok(signature.as_ref().try_into().expect("a P-384 signature has 96 bytes"))
    }
}

/// 1.3.132.0.34
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
