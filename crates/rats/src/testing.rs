//! A software signer for the tests of this crate. The keys are published: trust none of them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use cose::{Algorithm, Curve, Key, KeyUnusable, Signer};

/// A P-256 key of a scalar.
pub(crate) struct Software {
    pair: EcdsaKeyPair,
    key: Key,
}

impl Software {
    pub(crate) fn new((scalar, point): (&str, &str)) -> Self {
        let (scalar, point) = (hex::decode(scalar).unwrap(), hex::decode(point).unwrap());
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &scalar,
            &point,
        )
        .unwrap();
        let key = Key::from_sec1(Curve::P256, pair.public_key().as_ref()).unwrap();
        Self { pair, key }
    }
}

impl Signer for Software {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Esp256
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        Ok(self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }
}

/// RFC 5903 section 8.1, initiator.
pub(crate) const KEY: (&str, &str) = (
    "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
    "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
     5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
);
/// RFC 5903 section 8.1, responder.
pub(crate) const OTHER: (&str, &str) = (
    "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
    "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63\
     56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
);

/// A vector from outside the repository; says so and gives nothing when it is absent.
pub(crate) fn vector(path: &str) -> Option<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !folder.is_dir() {
        println!("skipped: ../shared/vectors is absent");
        return None;
    }
    Some(std::fs::read(folder.join(path)).unwrap())
}

/// A public key of the TEEP vectors.
pub(crate) fn vector_key(name: &str) -> Option<Key> {
    Some(Key::decode(&vector(&format!("teep/keys/{name}.public.cosekey.cbor"))?).unwrap())
}
