//! RSA keys of emulated vendors and devices; slow to make, so each is made once.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding,
};

use crate::Error;
use crate::disk::{self, Access};

/// An RSA signing key.
pub(crate) struct RsaKey {
    pair: KeyPair,
    spki: Vec<u8>,
}

impl RsaKey {
    /// Loads a key of 4096 bits from a private file, which is made at the first use.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, Error> {
        Self::load_or_create_sized(path, KeySize::Rsa4096)
    }

    /// The same for another size.
    pub(crate) fn load_or_create_sized(path: &Path, size: KeySize) -> Result<Self, Error> {
        if let Some(pkcs8) = disk::read_if_present(path)? {
            let pair = KeyPair::from_pkcs8(&pkcs8);
            return Self::new(pair.map_err(|_| Error::damaged(path, "not an RSA key"))?);
        }
        let pair = KeyPair::generate(size);
        let pair = pair.map_err(|_| Error::Crypto("generate a key"))?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Crypto("encode a key"))?;
        disk::write(path, pkcs8.as_ref(), Access::Private)?;
        Self::new(pair)
    }

    fn new(pair: KeyPair) -> Result<Self, Error> {
        let spki: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
        let spki = spki.map_err(|_| Error::Crypto("encode a key"))?.as_ref().to_vec();
        Ok(Self { pair, spki })
    }

    /// SubjectPublicKeyInfo (RFC 3279 section 2.3.1).
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The modulus, big-endian.
    pub(crate) fn modulus(&self) -> Vec<u8> {
        // RSAPublicKey: the modulus as INTEGER with a sign octet, then the exponent 65537.
        let key = self.pair.public_key().as_ref();
        let end = key.len() - EXPONENT_BYTES;
        key[end - self.pair.public_modulus_len()..end].to_vec()
    }

    /// Signs with RSASSA-PSS: SHA-384 throughout, salt of 48 bytes.
    pub(crate) fn sign_pss(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PSS_SHA384, message)
    }

    /// Signs with RSASSA-PSS: SHA-256 throughout, salt of 32 bytes.
    pub(crate) fn sign_pss_sha256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    pub(crate) fn sign_pkcs1(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    fn sign(&self, scheme: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(scheme, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| Error::Crypto("sign"))?;
        Ok(signature)
    }
}

/// INTEGER 65537 with tag and length.
const EXPONENT_BYTES: usize = 5;
