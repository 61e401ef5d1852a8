//! Signatures without any format around them: what no implementation can do without.

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::signature::{RsaKeyPair, VerificationAlgorithm};
use cose::{Curve, Key};
use keys::SigningKey;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// A signature with everything that its verification needs, as bytes.
pub(crate) struct Signed {
    scheme: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    pub(crate) message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    /// A signature that verifies.
    pub(crate) fn new(
        scheme: &'static dyn VerificationAlgorithm,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Self> {
        let [key, message, signature] = [key, message, signature].map(<[u8]>::to_vec);
        let signed = Self { scheme, key, message, signature };
        signed.is_valid().then_some(signed).context("the bare signature does not verify")
    }

    /// The signature of a COSE_Sign1, whose payload may be detached.
    pub(crate) fn of_sign1(object: &[u8], key: &Key, detached: Option<&[u8]>) -> Result<Self> {
        let mut d = Decoder::new(object);
        if d.datatype()? == Type::Tag {
            d.tag()?;
        }
        d.array()?;
        let protected = d.bytes()?;
        d.skip()?;
        let payload = if d.datatype()? == Type::Null {
            d.null()?;
            detached.context("the payload is detached")?
        } else {
            d.bytes()?
        };
        let mut message = Encoder::new(Vec::new());
        message.array(4)?.str("Signature1")?.bytes(protected)?.bytes(&[])?.bytes(payload)?;
        let signature = d.bytes()?;
        let point = key.sec1();
        let (scheme, key): (&'static dyn VerificationAlgorithm, _) = match key.curve() {
            Curve::P256 => (&signature::ECDSA_P256_SHA256_FIXED, &point[..]),
            Curve::P384 => (&signature::ECDSA_P384_SHA384_FIXED, &point[..]),
            Curve::Ed25519 => (&signature::ED25519, key.x()),
            Curve::MlDsa65 => return Err(anyhow!("no suite of this benchmark has ML-DSA")),
            Curve::X25519 | Curve::XWing | Curve::HssLms => {
                return Err(anyhow!("the key does not sign"));
            }
        };
        Self::new(scheme, key, message.writer(), signature)
    }

    /// A message of this length under a new P-256 key.
    pub(crate) fn with_p256(length: usize) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Self::by(&pair, &signature::ECDSA_P256_SHA256_FIXED, length)
    }

    /// A message of this length under a new P-384 key.
    pub(crate) fn with_p384(length: usize) -> Result<Self> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?;
        Self::by(&pair, &signature::ECDSA_P384_SHA384_FIXED, length)
    }

    fn by(
        pair: &EcdsaKeyPair,
        scheme: &'static dyn VerificationAlgorithm,
        length: usize,
    ) -> Result<Self> {
        let message = vec![0x5a; length];
        let made = pair.sign(&SystemRandom::new(), &message)?;
        Self::new(scheme, pair.public_key().as_ref(), &message, made.as_ref())
    }

    /// A message of this length under a new RSA key of 4096 bits.
    pub(crate) fn with_rsa_4096(length: usize) -> Result<Self> {
        let message = vec![0x5a; length];
        let pair = RsaKeyPair::generate(KeySize::Rsa4096)?;
        let mut made = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PSS_SHA384, &SystemRandom::new(), &message, &mut made)?;
        let key = pair.public_key().as_ref();
        Self::new(&signature::RSA_PSS_2048_8192_SHA384, key, &message, &made)
    }

    /// Verifies.
    pub(crate) fn verify(&self) {
        assert!(self.is_valid(), "the signature was valid when it was read");
    }

    fn is_valid(&self) -> bool {
        UnparsedPublicKey::new(self.scheme, &self.key)
            .verify(&self.message, &self.signature)
            .is_ok()
    }
}

/// A private key that is nothing but one.
pub(crate) enum Pair {
    /// ECDSA on P-256 with SHA-256.
    P256(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// The same key as the product holds it.
    pub(crate) fn of(key: &SigningKey) -> Result<Self> {
        let der = key.to_pkcs8()?;
        let der = der.expose();
        let scheme = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(scheme, der) {
            return Ok(Self::P256(pair));
        }
        let pair = Ed25519KeyPair::from_pkcs8(der);
        Ok(Self::Ed25519(pair.map_err(|_| anyhow!("neither P-256 nor Ed25519"))?))
    }

    /// Signs.
    pub(crate) fn sign(&self, message: &[u8]) -> signature::Signature {
        match self {
            Self::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("a P-256 key signs everything")
            }
            Self::Ed25519(pair) => pair.sign(message),
        }
    }
}
