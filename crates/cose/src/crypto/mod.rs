//! The cryptographic provider: plain functions over aws-lc-rs, and nothing of it outside.

mod cipher;
mod key_wrap;
mod segment;
mod stream;

use aws_lc_rs::{constant_time, digest, hkdf, hmac, signature};

use crate::algorithm::Algorithm;
use crate::handle::Secret;
use crate::hss;
use crate::key::{Curve, Key};

pub(crate) use cipher::{Aead, aes_ctr};
pub(crate) use key_wrap::{unwrap, wrap};
pub use segment::{SEGMENT_OVERHEAD, SegmentKey};
pub(crate) use stream::{BLOCK, Stream};

/// SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    fixed(&digest::SHA256, bytes)
}

/// SHA-384 of the bytes.
pub fn sha384(bytes: &[u8]) -> [u8; 48] {
    fixed(&digest::SHA384, bytes)
}

/// SHA-512 of the bytes.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    fixed(&digest::SHA512, bytes)
}

fn fixed<const N: usize>(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(digest::digest(algorithm, bytes).as_ref());
    out
}

macro_rules! in_pieces {
    ($name:ident, $algorithm:ident, $bytes:literal, $what:literal) => {
        #[doc = concat!($what, " over bytes that arrive in pieces.")]
        #[derive(Clone)]
        pub struct $name(digest::Context);

        impl $name {
            /// Starts an empty digest.
            pub fn new() -> Self {
                Self(digest::Context::new(&digest::$algorithm))
            }

            /// Adds bytes.
            pub fn update(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }

            /// The digest of all bytes added.
            pub fn finish(self) -> [u8; $bytes] {
                let mut out = [0; $bytes];
                out.copy_from_slice(self.0.finish().as_ref());
                out
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

in_pieces!(Sha256, SHA256, 32, "SHA-256");
in_pieces!(Sha384, SHA384, 48, "SHA-384");
in_pieces!(Sha512, SHA512, 64, "SHA-512");

/// HMAC with SHA-256 (RFC 2104).
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    hmac_sha256_parts(key, &[data])
}

pub(crate) fn hmac_sha256_parts(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// HKDF with SHA-256 (RFC 5869), for keys of at most 32 bytes.
pub(crate) fn hkdf_sha256(salt: &[u8], secret: &Secret, info: &[u8], length: usize) -> Secret {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose());
    let mut okm = Secret::new(vec![0; length]);
    prk.expand(&[info], KeyLength(length))
        .and_then(|key| key.fill(okm.expose_mut()))
        .expect("32 bytes are within the limit of HKDF");
    okm
}

struct KeyLength(usize);

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        self.0
    }
}

/// Compares in time that depends on the lengths alone.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Why a signature did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Key,
    Signature,
}

/// Verifies a COSE signature over the concatenation of `parts`.
pub(crate) fn verify(
    algorithm: Algorithm,
    key: &Key,
    parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), Mismatch> {
    if algorithm.curve() != Some(key.curve()) {
        return Err(Mismatch::Key);
    }
    //= EV-COM-12: r ‖ s, big-endian, of full length
    if key.curve().signature_len().is_some_and(|length| signature.len() != length) {
        return Err(Mismatch::Signature);
    }
    let verified = match key.curve() {
        Curve::P256 => {
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key.public())
                .verify_digest(&digest_parts(&digest::SHA256, parts), signature)
        }
        Curve::P384 => {
            signature::UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, key.public())
                .verify_digest(&digest_parts(&digest::SHA384, parts), signature)
        }
        // Ed25519 reads its message twice, so it has to be in one piece.
        Curve::Ed25519 => signature::UnparsedPublicKey::new(&signature::ED25519, key.public())
            .verify(&parts.concat(), signature),
        // So does ML-DSA, whose message follows a digest of the key.
        Curve::MlDsa65 => signature::UnparsedPublicKey::new(&signature::ML_DSA_65, key.public())
            .verify(&parts.concat(), signature),
        Curve::HssLms if hss::verify(key.public(), parts, signature) => Ok(()),
        Curve::HssLms => return Err(Mismatch::Signature),
        Curve::X25519 | Curve::XWing => return Err(Mismatch::Key),
    };
    verified.map_err(|_| Mismatch::Signature)
}

fn digest_parts(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

/// Checks that a SEC1 point lies on its curve, and gives it uncompressed.
pub(crate) fn uncompressed_point(curve: Curve, point: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::encoding::AsDer as _;

    let algorithm = match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
        Curve::Ed25519 | Curve::X25519 | Curve::MlDsa65 | Curve::XWing | Curve::HssLms => {
            return None;
        }
    };
    // The provider would take a SubjectPublicKeyInfo or a hybrid point as well.
    let length = match point.first()? {
        2 | 3 => 1 + curve.coordinate_len(),
        &UNCOMPRESSED => 1 + 2 * curve.coordinate_len(),
        _ => return None,
    };
    if point.len() != length {
        return None;
    }
    let parsed = signature::ParsedPublicKey::new(algorithm, point).ok()?;
    if point.first() == Some(&UNCOMPRESSED) {
        return Some(point.to_vec());
    }
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = parsed.as_der().ok()?;
    let spki = spki.as_ref();
    let start = spki.len().checked_sub(1 + 2 * curve.coordinate_len())?;
    spki.get(start..).filter(|point| point.first() == Some(&UNCOMPRESSED)).map(<[u8]>::to_vec)
}

const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_digest_like_the_whole() {
        let mut pieces = Sha256::new();
        pieces.update(b"ab");
        pieces.update(b"c");

        assert_eq!(pieces.finish(), sha256(b"abc"));
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(sha384(b"abc")[..4], [0xcb, 0x00, 0x75, 0x3f]);
        assert_eq!(sha512(b"abc")[..4], [0xdd, 0xaf, 0x35, 0xa1]);
    }

    /// RFC 4231 section 4.3, test case 2.
    #[test]
    fn hmac_matches_the_vector_of_rfc_4231() {
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");

        assert_eq!(mac[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(hmac_sha256_parts(b"Jefe", &[b"what do ya want", b" for nothing?"]), mac);
    }

    #[test]
    fn slices_of_different_length_are_not_equal() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
