//! Just enough DER to issue certificates and revocation lists.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};

/// A P-256 key that signs in both spellings.
pub(crate) struct Key {
    asn1: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn generate() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("a key");
        let load = |scheme| EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref()).expect("a key");
        Self {
            asn1: load(&ECDSA_P256_SHA256_ASN1_SIGNING),
            fixed: load(&ECDSA_P256_SHA256_FIXED_SIGNING),
        }
    }

    /// x ‖ y.
    pub(crate) fn raw(&self) -> [u8; 64] {
        self.fixed.public_key().as_ref()[1..].try_into().expect("an uncompressed point")
    }

    /// r ‖ s.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.fixed.sign(&SystemRandom::new(), message).expect("a signature");
        signature.as_ref().try_into().expect("64 octets")
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let id = sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), &oid(PRIME256V1)]);
        sequence(&[&id, &bits(&[&[4][..], &self.raw()].concat())])
    }

    /// The signed object: to be signed, algorithm, signature.
    pub(crate) fn issue(&self, tbs: &[u8]) -> Vec<u8> {
        let signature = self.asn1.sign(&SystemRandom::new(), tbs).expect("a signature");
        sequence(&[tbs, &algorithm(), &bits(signature.as_ref())])
    }
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..0x80 => bytes.push(length as u8),
        0x80..0x100 => bytes.extend([0x81, length as u8]),
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend(content);
    bytes
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    tlv(0x06, content)
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0][..], content].concat())
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub(crate) fn integer(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take(7).take_while(|&&octet| octet == 0).count();
    let digits = &bytes[skip..];
    let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
    tlv(0x02, &[sign, digits].concat())
}

pub(crate) fn time(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    tlv(0x18, &[&digits[..], b"Z"].concat())
}

pub(crate) fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid(&[0x55, 0x04, 0x03]), &tlv(0x0c, common_name.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

pub(crate) fn algorithm() -> Vec<u8> {
    sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])])
}

pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { boolean(true) } else { Vec::new() };
    sequence(&[&oid(id), &critical, &octets(value)])
}

pub(crate) fn pem(certificates: &[&[u8]]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for certificate in certificates {
        text.extend(b"-----BEGIN CERTIFICATE-----\n");
        let mut body = Vec::new();
        for group in certificate.chunks(3) {
            let mut octets = [0; 4];
            octets[1..=group.len()].copy_from_slice(group);
            let number = u32::from_be_bytes(octets);
            for digit in 0..4 {
                let index = (number >> (18 - 6 * digit)) & 0x3f;
                body.push(if digit <= group.len() { DIGITS[index as usize] } else { b'=' });
            }
        }
        for line in body.chunks(64) {
            text.extend(line);
            text.push(b'\n');
        }
        text.extend(b"-----END CERTIFICATE-----\n");
    }
    text
}

const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
