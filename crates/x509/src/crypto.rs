//! Signatures and digests as vendors use them, over aws-lc-rs.
//!
//! ECDSA with r or s equal to zero or not below the order is refused by the provider (EV-COM-12).

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use crate::Malformed;
use crate::der::{self, Reader};

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest_of(&digest::SHA256, &[bytes])
}

/// SHA-256 of the concatenated parts.
#[must_use]
pub fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    digest_of(&digest::SHA256, parts)
}

/// SHA-384 of the concatenated parts.
#[must_use]
pub fn sha384_of(parts: &[&[u8]]) -> [u8; 48] {
    digest_of(&digest::SHA384, parts)
}

/// SHA-512 of the concatenated parts.
#[must_use]
pub fn sha512_of(parts: &[&[u8]]) -> [u8; 64] {
    digest_of(&digest::SHA512, parts)
}

/// Compares in constant time.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

//= EV-COM-12: r ‖ s big-endian; zero and out-of-range values are refused
/// Checks an ECDSA P-256 SHA-256 signature given as r ‖ s by a key given as x ‖ y.
#[must_use]
pub fn verify_p256_raw(key: &[u8; 64], message: &[u8], signature: &[u8; 64]) -> bool {
    let mut point = [0x04; 65];
    point[1..].copy_from_slice(key);
    verify(&signature::ECDSA_P256_SHA256_FIXED, &point, message, signature)
}

/// A public key inside a SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKey<'b> {
    /// Uncompressed point on P-256.
    P256(&'b [u8]),
    /// Uncompressed point on P-384.
    P384(&'b [u8]),
    /// Uncompressed point on P-521.
    P521(&'b [u8]),
    /// DER RSAPublicKey of 2048 to 8192 bits.
    Rsa(&'b [u8]),
}

/// How a certificate or list is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256.
    EcdsaSha256,
    /// ecdsa-with-SHA384.
    EcdsaSha384,
    /// ecdsa-with-SHA512.
    EcdsaSha512,
    /// sha256WithRSAEncryption.
    Pkcs1Sha256,
    /// sha384WithRSAEncryption.
    Pkcs1Sha384,
    /// RSASSA-PSS, SHA-256, MGF1 with SHA-256, salt 32.
    PssSha256,
    /// RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt 48.
    PssSha384,
    /// Anything else: never verifies.
    Other,
}

impl<'b> PublicKey<'b> {
    /// Reads a SubjectPublicKeyInfo.
    pub fn from_spki(spki: &'b [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(spki);
        let mut fields = Reader::new(outer.read(der::SEQUENCE, "a SubjectPublicKeyInfo")?);
        outer.end("nothing after the SubjectPublicKeyInfo")?;
        let mut algorithm = Reader::new(fields.read(der::SEQUENCE, "a key algorithm")?);
        let key = fields.octet_aligned_bits("a public key")?;
        fields.end("nothing after the public key")?;
        let id = algorithm.read(der::OBJECT_IDENTIFIER, "a key algorithm")?;
        match id {
            EC_PUBLIC_KEY => match algorithm.read(der::OBJECT_IDENTIFIER, "a named curve")? {
                PRIME256V1 if key.len() == 65 => Ok(Self::P256(key)),
                SECP384R1 if key.len() == 97 => Ok(Self::P384(key)),
                SECP521R1 if key.len() == 133 => Ok(Self::P521(key)),
                _ => Err(Malformed("an uncompressed P-256, P-384 or P-521 key")),
            },
            RSA_ENCRYPTION => Ok(Self::Rsa(key)),
            _ => Err(Malformed("an EC or RSA key")),
        }
    }

    /// Checks a signature in the form that certificates use; a mismatch of key and algorithm
    /// is a mismatch of the signature.
    #[must_use]
    pub fn verify(&self, algorithm: &SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm as Algorithm;
        let scheme: &'static dyn VerificationAlgorithm = match (self, algorithm) {
            (Self::P256(_), Algorithm::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Self::P256(_), Algorithm::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Self::P384(_), Algorithm::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Self::P384(_), Algorithm::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Self::P521(_), Algorithm::EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1,
            (Self::Rsa(_), Algorithm::Pkcs1Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Self::Rsa(_), Algorithm::Pkcs1Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Self::Rsa(_), Algorithm::PssSha256) => &signature::RSA_PSS_2048_8192_SHA256,
            (Self::Rsa(_), Algorithm::PssSha384) => &signature::RSA_PSS_2048_8192_SHA384,
            (Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Rsa(_), _) => return false,
        };
        let (Self::P256(key) | Self::P384(key) | Self::P521(key) | Self::Rsa(key)) = *self;
        verify(scheme, key, message, signature)
    }

    /// Checks a signature given as r ‖ s, big-endian, with the curve's usual digest.
    #[must_use]
    pub fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => verify(&signature::ECDSA_P256_SHA256_FIXED, key, message, signature),
            Self::P384(key) => verify(&signature::ECDSA_P384_SHA384_FIXED, key, message, signature),
            Self::P521(key) => verify(&signature::ECDSA_P521_SHA512_FIXED, key, message, signature),
            Self::Rsa(_) => false,
        }
    }
}

impl SignatureAlgorithm {
    /// Reads the contents of an AlgorithmIdentifier; what is unknown becomes [`Self::Other`].
    pub fn decode(content: &[u8]) -> Self {
        let mut fields = Reader::new(content);
        let Ok(id) = fields.read(der::OBJECT_IDENTIFIER, "an algorithm") else {
            return Self::Other;
        };
        let no_parameters = fields.is_empty();
        let null = fields.optional(der::NULL).is_ok_and(|null| null == Some(&[]));
        let null = null && fields.is_empty();
        match id {
            ECDSA_WITH_SHA256 if no_parameters => Self::EcdsaSha256,
            ECDSA_WITH_SHA384 if no_parameters => Self::EcdsaSha384,
            ECDSA_WITH_SHA512 if no_parameters => Self::EcdsaSha512,
            SHA256_WITH_RSA if null => Self::Pkcs1Sha256,
            SHA384_WITH_RSA if null => Self::Pkcs1Sha384,
            RSASSA_PSS => match pss_digest(fields) {
                Ok((SHA256, 32)) => Self::PssSha256,
                Ok((SHA384, 48)) => Self::PssSha384,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// Reads RSASSA-PSS-params (RFC 4055 section 3.1): digest and salt length, MGF1 of one digest.
fn pss_digest(mut fields: Reader<'_>) -> Result<(&[u8], u64), Malformed> {
    const PARAMETERS: &str = "RSASSA-PSS parameters";
    let mut outer = Reader::new(fields.read(der::SEQUENCE, PARAMETERS)?);
    fields.end(PARAMETERS)?;
    let mut digest = Reader::new(outer.read(der::context(0), PARAMETERS)?);
    let mut mask = Reader::new(outer.read(der::context(1), PARAMETERS)?);
    let salt = Reader::new(outer.read(der::context(2), PARAMETERS)?).unsigned(PARAMETERS)?;
    if let Some(trailer) = outer.optional(der::context(3))?
        && Reader::new(trailer).unsigned(PARAMETERS) != Ok(1)
    {
        return Err(Malformed(PARAMETERS));
    }
    outer.end(PARAMETERS)?;
    let digest = Reader::new(digest.read(der::SEQUENCE, PARAMETERS)?)
        .read(der::OBJECT_IDENTIFIER, PARAMETERS)?;
    let mut mask = Reader::new(mask.read(der::SEQUENCE, PARAMETERS)?);
    let generator = mask.read(der::OBJECT_IDENTIFIER, PARAMETERS)?;
    let inner = Reader::new(mask.read(der::SEQUENCE, PARAMETERS)?)
        .read(der::OBJECT_IDENTIFIER, PARAMETERS)?;
    if generator == MGF1 && inner == digest {
        Ok((digest, salt))
    } else {
        Err(Malformed(PARAMETERS))
    }
}

fn verify(
    scheme: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(scheme, key).verify(message, signature).is_ok()
}

fn digest_of<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("the caller's array has the digest's length")
}

/// 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7.
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34.
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.132.0.35.
const SECP521R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
/// 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 1.2.840.10045.4.3.3.
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 1.2.840.10045.4.3.4.
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
/// 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.8.
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// 1.2.840.113549.1.1.10.
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.2.840.113549.1.1.11.
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// 1.2.840.113549.1.1.12.
const SHA384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
/// 2.16.840.1.101.3.4.2.1.
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 2.16.840.1.101.3.4.2.2.
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
