//! Devices of our own: keys on each curve, claim maps, and COSE_Sign1 in every shape.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use cose::cbor::{Encoder, Tag, encode};

/// ES256, ES384 and ES512.
pub(crate) const ES256: i64 = -7;
pub(crate) const ES384: i64 = -35;
pub(crate) const ES512: i64 = -36;

/// A key of a device.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    pub(crate) algorithm: i64,
}

impl Key {
    pub(crate) fn generate(algorithm: i64) -> Self {
        let scheme: &'static EcdsaSigningAlgorithm = match algorithm {
            ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref()).expect("a key");
        Self { pair, pkcs8: pkcs8.as_ref().to_vec(), algorithm }
    }

    /// A signature with a key on P-521 as certificates have it.
    pub(crate) fn sign_asn1(&self, message: &[u8]) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_ASN1_SIGNING, &self.pkcs8);
        let pair = pair.expect("a key on P-521");
        pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }

    /// The uncompressed point.
    pub(crate) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let prefix = match self.algorithm {
            ES256 => "3059301306072a8648ce3d020106082a8648ce3d030107034200",
            ES384 => "3076301006072a8648ce3d020106052b81040022036200",
            _ => "30819b301006072a8648ce3d020106052b810400230381860 0",
        };
        let prefix = hex::decode(prefix.replace(' ', "")).expect("hexadecimal");
        [&prefix[..], self.point()].concat()
    }

    /// The key in PEM.
    pub(crate) fn pem(&self) -> Vec<u8> {
        pem("PUBLIC KEY", &self.spki())
    }

    /// The key as COSE_Key on P-384.
    pub(crate) fn cose_key(&self) -> Vec<u8> {
        cose::Key::from_sec1(cose::Curve::P384, self.point()).expect("a point").encode()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }

    /// A COSE_Sign1 with the key's own algorithm.
    pub(crate) fn sign1(&self, payload: &[u8]) -> Vec<u8> {
        let protected = header(self.algorithm);
        sign1(&protected, &[0xa0], payload, |message| self.sign(message))
    }
}

/// `{ 1: algorithm }`.
pub(crate) fn header(algorithm: i64) -> Vec<u8> {
    encode(|e| e.map(1)?.i64(1)?.i64(algorithm)?.ok())
}

/// A tagged COSE_Sign1 with encoded buckets.
pub(crate) fn sign1(
    protected: &[u8],
    unprotected: &[u8],
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let message = encode(|e| {
        e.array(4)?.str("Signature1")?.bytes(protected)?.bytes(&[])?.bytes(payload)?.ok()
    });
    let signature = sign(&message);
    encode(|e| {
        e.tag(Tag::new(18))?.array(4)?.bytes(protected)?;
        e.writer_mut().extend_from_slice(unprotected);
        e.bytes(payload)?.bytes(&signature)?.ok()
    })
}

/// One claim with its encoded value.
pub(crate) type Claim = (i64, Vec<u8>);

pub(crate) fn bytes(label: i64, value: &[u8]) -> Claim {
    (label, encode(|e| e.bytes(value)?.ok()))
}

pub(crate) fn text(label: i64, value: &str) -> Claim {
    (label, encode(|e| e.str(value)?.ok()))
}

pub(crate) fn number(label: i64, value: i64) -> Claim {
    (label, encode(|e| e.i64(value)?.ok()))
}

pub(crate) fn list(label: i64, values: &[Vec<u8>]) -> Claim {
    let value = encode(|e| {
        e.array(values.len() as u64)?;
        values.iter().for_each(|value| e.writer_mut().extend_from_slice(value));
        Ok(())
    });
    (label, value)
}

/// A claim map in the order given, as firmware writes it.
pub(crate) fn map(claims: &[Claim]) -> Vec<u8> {
    encode(|e: &mut Encoder<Vec<u8>>| {
        e.map(claims.len() as u64)?;
        for (label, value) in claims {
            e.i64(*label)?;
            e.writer_mut().extend_from_slice(value);
        }
        Ok(())
    })
}

/// A software component.
pub(crate) fn component(kind: &str, measurement: &[u8], signer: &[u8]) -> Vec<u8> {
    map(&[text(1, kind), bytes(5, signer), bytes(2, measurement), text(6, "sha-256")])
}

pub(crate) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let body = base64(der, b"+/");
    let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

/// base64 with padding, the last two letters as given.
pub(crate) fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut octets = [0; 4];
        octets[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(octets);
        for digit in 0..4 {
            let index = (number >> (18 - 6 * digit) & 0x3f) as usize;
            let letter = LETTERS.get(index).or(last.get(index.saturating_sub(62)));
            text.push(if digit <= group.len() {
                char::from(*letter.expect("a letter"))
            } else {
                '='
            });
        }
    }
    text
}
