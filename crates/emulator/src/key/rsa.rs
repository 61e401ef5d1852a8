//! RSA-4096 keys of the emulated vendor; slow to make, so each is made once for an installation.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA384};

use crate::Error;
use crate::disk::{self, Access};

/// An RSA-4096 signing key.
pub(crate) struct RsaKey {
    pair: KeyPair,
    spki: Vec<u8>,
}

impl RsaKey {
    /// Loads a key from a private file, which is made at the first use.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, Error> {
        if let Some(pkcs8) = disk::read_if_present(path)? {
            let pair = KeyPair::from_pkcs8(&pkcs8);
            return Self::new(pair.map_err(|_| Error::damaged(path, "not an RSA key"))?);
        }
        let pair = KeyPair::generate(KeySize::Rsa4096);
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

    /// Signs with RSASSA-PSS: SHA-384 throughout, salt of 48 bytes.
    pub(crate) fn sign_pss(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| Error::Crypto("sign"))?;
        Ok(signature)
    }
}
