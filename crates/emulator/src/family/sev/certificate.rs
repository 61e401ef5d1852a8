//! Certificates of AMD's own formats (SEV API, appendix C): everything little-endian.

use crate::Error;
use crate::key::{P384Key, RsaKey, sha256};

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Ark,
    Ask,
    Oca,
    Pek,
    Pdh,
    Cek,
}

impl Usage {
    const fn number(self) -> u32 {
        match self {
            Self::Ark => 0,
            Self::Ask => 0x13,
            Self::Oca => 0x1001,
            Self::Pek => 0x1002,
            Self::Pdh => 0x1003,
            Self::Cek => 0x1004,
        }
    }
}

/// Who signs a platform's certificate.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    P384(&'a P384Key),
    Rsa(&'a RsaKey),
}

/// The certificate of an ARK or ASK: version, key id, id of the issuer, usage, 16 zeros, sizes of
/// exponent and modulus in bits, exponent, modulus, signature.
pub(super) fn authority(key: &RsaKey, usage: Usage, issuer: &RsaKey) -> Result<Vec<u8>, Error> {
    let modulus = key.modulus();
    let width = modulus.len();
    let bits = (width as u32 * 8).to_le_bytes();
    let mut certificate = 1_u32.to_le_bytes().to_vec();
    certificate.extend(key_id(key));
    certificate.extend(key_id(issuer));
    certificate.extend(usage.number().to_le_bytes());
    certificate.extend([0; 16]);
    certificate.extend([bits, bits].concat());
    certificate.extend(little_endian(&[1, 0, 1], width));
    certificate.extend(little_endian(&modulus, width));
    let signature = issuer.sign_pss(&certificate)?;
    certificate.extend(little_endian(&signature, width));
    Ok(certificate)
}

/// A certificate of a platform: 1044 bytes and two places for signatures.
pub(super) fn platform(
    [major, minor]: [u8; 2],
    usage: Usage,
    point: &[u8],
    signers: &[(Usage, Signer<'_>)],
) -> Result<Vec<u8>, Error> {
    let (x, y) = point[1..].split_at(48);
    let algorithm = if usage == Usage::Pdh { ECDH_SHA256 } else { ECDSA_SHA256 };
    let mut body = vec![0; BODY_BYTES];
    let mut put = |at: usize, bytes: &[u8]| body[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &1_u32.to_le_bytes());
    put(4, &[major, minor]);
    put(8, &usage.number().to_le_bytes());
    put(12, &algorithm.to_le_bytes());
    put(16, &CURVE_P384.to_le_bytes());
    put(X_AT, &little_endian(x, 48));
    put(Y_AT, &little_endian(y, 48));

    let mut certificate = body.clone();
    for (usage, signer) in signers {
        let (algorithm, value) = match signer {
            Signer::P384(key) => {
                let signature = key.sign(&body)?;
                let (r, s) = signature.split_at(48);
                (ECDSA_SHA384, [little_endian(r, 72), little_endian(s, 72)].concat())
            }
            Signer::Rsa(key) => {
                let signature = key.sign_pss(&body)?;
                (RSA_SHA384, little_endian(&signature, signature.len()))
            }
        };
        certificate.extend(place(usage.number(), algorithm, &value));
    }
    if signers.len() == 1 {
        certificate.extend(place(NO_USAGE, 0, &[]));
    }
    Ok(certificate)
}

/// The key in a platform's or owner's certificate, as a point.
pub(super) fn point(certificate: &[u8]) -> Option<Vec<u8>> {
    let curve = certificate.get(16..20)?.try_into().ok().map(u32::from_le_bytes)?;
    if certificate.len() < BODY_BYTES || curve != CURVE_P384 {
        return None;
    }
    let number = |at: usize| certificate[at..at + 48].iter().rev().copied();
    Some([4].into_iter().chain(number(X_AT)).chain(number(Y_AT)).collect())
}

fn key_id(key: &RsaKey) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&sha256(key.spki())[..16]);
    id
}

fn little_endian(number: &[u8], width: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.iter().rev().copied().collect();
    bytes.resize(width, 0);
    bytes
}

fn place(usage: u32, algorithm: u32, value: &[u8]) -> Vec<u8> {
    let mut place = [usage.to_le_bytes(), algorithm.to_le_bytes()].concat();
    place.extend(value);
    place.resize(PLACE_BYTES, 0);
    place
}

const BODY_BYTES: usize = 1044;
const PLACE_BYTES: usize = 520;
const X_AT: usize = 20;
const Y_AT: usize = 92;
const CURVE_P384: u32 = 2;
const NO_USAGE: u32 = 0x1000;
const ECDSA_SHA256: u32 = 2;
const ECDH_SHA256: u32 = 3;
const RSA_SHA384: u32 = 0x101;
const ECDSA_SHA384: u32 = 0x102;
