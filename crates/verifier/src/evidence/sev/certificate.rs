//! AMD's binary certificates: of its own authorities (ARK, ASK) and of a platform (CEK, OCA, PEK,
//! PDH). They are little-endian, carry no names and no dates, and nothing revokes them.

use cose::{Curve, Key};

use crate::crypto::{PublicKey, SignatureAlgorithm, sha256};
use crate::x509::der;

/// The certificate of an AMD authority: header, exponent, modulus and signature.
#[derive(Clone, Debug)]
pub struct AuthorityCertificate<'b> {
    /// What the key may sign.
    pub usage: Usage,
    /// The identifier of the key.
    pub key_id: &'b [u8; 16],
    /// The identifier of the key that signed.
    pub certifying_id: &'b [u8; 16],
    /// DER RSAPublicKey.
    key: Vec<u8>,
    /// RSASSA-PSS with the digest that goes with the width of the key.
    scheme: SignatureAlgorithm,
    /// The width of the key in octets.
    width: usize,
    signed: &'b [u8],
    signature: Vec<u8>,
}

/// The certificate of a platform's key: body and two places for signatures.
#[derive(Clone, Debug)]
pub struct PlatformCertificate<'b> {
    /// The whole certificate.
    pub raw: &'b [u8; PLATFORM_LENGTH],
    /// What the key is for.
    pub usage: Usage,
    /// The version of the firmware API that made it: major, minor.
    pub api: [u8; 2],
    /// How the key is used.
    pub algorithm: u32,
    /// The key.
    pub key: Key,
    signatures: [Signature<'b>; 2],
}

/// One place for a signature.
#[derive(Clone, Copy, Debug)]
pub struct Signature<'b> {
    /// Which key signed.
    pub usage: Usage,
    /// How it signed.
    pub algorithm: u32,
    value: &'b [u8],
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// AMD Root Key.
    Ark,
    /// AMD SEV Key.
    Ask,
    /// Owner Certificate Authority.
    Oca,
    /// Platform Endorsement Key.
    Pek,
    /// Platform Diffie-Hellman key.
    Pdh,
    /// Chip Endorsement Key.
    Cek,
    /// Nothing: an empty place for a signature.
    None,
}

/// Why bytes are not a certificate that this Verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACertificate {
    /// The bytes break the format.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// A legal certificate of a form that is not appraised.
    #[error("{0} is not appraised")]
    Unsupported(&'static str),
}

use NotACertificate::{Malformed, Unsupported};

impl<'b> AuthorityCertificate<'b> {
    /// Reads exactly one certificate.
    //= EV-SEV-2: AMD CA certificate, RSA of 2048 or 4096 bits
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotACertificate> {
        const HEADER: NotACertificate = Malformed("an AMD authority's certificate of version 1");
        let header = bytes.first_chunk::<64>().ok_or(HEADER)?;
        let (exponent_bits, modulus_bits) = (word(header, 0x38), word(header, 0x3c));
        if [exponent_bits, modulus_bits] == [0; 2] && word_at(bytes, 0x40) == Some(CURVE_SM2) {
            return Err(HYGON);
        }
        let zeros = header[0x28..0x38].iter().all(|&octet| octet == 0);
        if word(header, 0) != 1 || exponent_bits != modulus_bits || !zeros {
            return Err(HEADER);
        }
        let (width, scheme) = match modulus_bits {
            2048 => (256, SignatureAlgorithm::PssSha256),
            4096 => (512, SignatureAlgorithm::PssSha384),
            _ => return Err(HEADER),
        };
        //= EV-SEV-3: the Naples ARK without its signature is refused
        if bytes.len() == 64 + 2 * width {
            return Err(Malformed("a signature: an early Naples ARK was published without one"));
        }
        if bytes.len() != 64 + 3 * width {
            return Err(Malformed("a certificate of the stated width"));
        }
        let (signed, signature) = bytes.split_at(64 + 2 * width);
        let (exponent, modulus) = signed[64..].split_at(width);
        Ok(Self {
            usage: Usage::decode(word(header, 0x24))?,
            key_id: field(header, 0x04),
            certifying_id: field(header, 0x14),
            key: rsa_public_key(&reversed(modulus), &reversed(exponent)),
            scheme,
            width,
            signed,
            signature: reversed(signature),
        })
    }

    /// Whether `issuer` signed this certificate; identifiers are compared as well.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &AuthorityCertificate<'_>) -> bool {
        self.certifying_id == issuer.key_id && issuer.verify(self.signed, &self.signature)
    }

    /// SHA-256 of the key as SubjectPublicKeyInfo: how anchors are pinned.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        let algorithm = tlv(der::SEQUENCE, &[RSA_ENCRYPTION, &[der::NULL, 0]].concat());
        let key = tlv(der::BIT_STRING, &[&[0], &self.key[..]].concat());
        sha256(&tlv(der::SEQUENCE, &[algorithm, key].concat()))
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        PublicKey::Rsa(&self.key).verify(&self.scheme, message, signature)
    }

    /// The number that names the scheme in a platform's certificate.
    fn algorithm(&self) -> u32 {
        if self.scheme == SignatureAlgorithm::PssSha256 { RSA_SHA256 } else { RSA_SHA384 }
    }
}

impl<'b> PlatformCertificate<'b> {
    /// Reads exactly one certificate.
    //= EV-SEV-2: SEV certificate of 2084 octets, P-384, two signatures
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotACertificate> {
        const CERTIFICATE: NotACertificate =
            Malformed("a platform's certificate of 2084 octets and version 1");
        let raw: &[u8; PLATFORM_LENGTH] = bytes.try_into().map_err(|_| CERTIFICATE)?;
        let algorithm = word(raw, 12);
        if algorithm & 0xff == ALGORITHM_SM2 || word(raw, 16) == CURVE_SM2 {
            return Err(HYGON);
        }
        if word(raw, 0) != 1 || raw[6..8] != [0; 2] {
            return Err(CERTIFICATE);
        }
        let (point, rest) = raw[20..SIGNED].split_at(2 * COORDINATE_FIELD);
        let (x, y) = point.split_at(COORDINATE_FIELD);
        let wide = [&x[COORDINATE..], &y[COORDINATE..], rest].concat();
        if word(raw, 16) != CURVE_P384 || wide.iter().any(|&octet| octet != 0) {
            return Err(Malformed("a P-384 key and zeros after it"));
        }
        let point = [&[4][..], &reversed(&x[..COORDINATE]), &reversed(&y[..COORDINATE])].concat();
        let key = Key::from_sec1(Curve::P384, &point).map_err(|_| Malformed("a point on P-384"))?;
        let signatures = [Signature::decode(&raw[SIGNED..1564])?, Signature::decode(&raw[1564..])?];
        let usage = Usage::decode(word(raw, 8))?;
        Ok(Self { raw, usage, api: [raw[4], raw[5]], algorithm, key, signatures })
    }

    /// The places for signatures.
    #[must_use]
    pub const fn signatures(&self) -> &[Signature<'b>; 2] {
        &self.signatures
    }

    /// Whether the places for signatures name these keys and no other.
    #[must_use]
    pub fn names_signers(&self, usages: [Usage; 2]) -> bool {
        let [first, second] = self.signatures.map(|signature| signature.usage);
        [first, second] == usages || [second, first] == usages
    }

    /// Whether the key in `issuer` signed this certificate.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PlatformCertificate<'_>) -> bool {
        let key = PublicKey::P384(issuer.key.public());
        self.signature_of(issuer.usage).is_some_and(|signature| {
            let scheme = match signature.algorithm {
                ECDSA_SHA256 => SignatureAlgorithm::EcdsaSha256,
                ECDSA_SHA384 => SignatureAlgorithm::EcdsaSha384,
                _ => return false,
            };
            let value = signature.ecdsa();
            value.is_some_and(|value| key.verify(&scheme, &self.raw[..SIGNED], &value))
        })
    }

    /// Whether an AMD authority signed this certificate.
    #[must_use]
    pub fn is_signed_by_authority(&self, issuer: &AuthorityCertificate<'_>) -> bool {
        self.signature_of(issuer.usage).is_some_and(|signature| {
            let (value, rest) = signature.value.split_at(issuer.width);
            signature.algorithm == issuer.algorithm()
                && rest.iter().all(|&octet| octet == 0)
                && issuer.verify(&self.raw[..SIGNED], &reversed(value))
        })
    }

    fn signature_of(&self, usage: Usage) -> Option<&Signature<'b>> {
        self.signatures.iter().find(|signature| signature.usage == usage)
    }
}

impl<'b> Signature<'b> {
    fn decode(bytes: &'b [u8]) -> Result<Self, NotACertificate> {
        let (usage, algorithm, value) = (word(bytes, 0), word(bytes, 4), &bytes[8..]);
        let usage = Usage::decode(usage)?;
        let empty = algorithm == 0 && value.iter().all(|&octet| octet == 0);
        if usage == Usage::None && !empty {
            return Err(Malformed("an empty signature to be empty"));
        }
        Ok(Self { usage, algorithm, value })
    }

    /// r and s in the form of X.509; `None` when they are wider than P-384.
    fn ecdsa(&self) -> Option<Vec<u8>> {
        let (numbers, rest) = self.value.split_at(2 * COORDINATE_FIELD);
        let (r, s) = numbers.split_at(COORDINATE_FIELD);
        let narrow = [&r[COORDINATE..], &s[COORDINATE..], rest].concat().iter().all(|&it| it == 0);
        let number = |octets: &[u8]| reversed(&octets[..COORDINATE]);
        narrow.then(|| ecdsa_value(&number(r), &number(s)))
    }
}

impl Usage {
    /// The number in certificates.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Ark => 0,
            Self::Ask => 0x13,
            Self::Oca => 0x1001,
            Self::Pek => 0x1002,
            Self::Pdh => 0x1003,
            Self::Cek => 0x1004,
            Self::None => 0x1000,
        }
    }

    fn decode(number: u32) -> Result<Self, NotACertificate> {
        [Self::Ark, Self::Ask, Self::Oca, Self::Pek, Self::Pdh, Self::Cek, Self::None]
            .into_iter()
            .find(|usage| usage.number() == number)
            .ok_or(Malformed("a known usage"))
    }
}

/// A certificate that nobody signed, for the ephemeral key of a launch.
#[must_use]
pub(super) fn unsigned(key: &Key) -> Vec<u8> {
    let mut raw = vec![0; PLATFORM_LENGTH];
    let mut put = |at: usize, octets: &[u8]| raw[at..at + octets.len()].copy_from_slice(octets);
    put(0, &1_u32.to_le_bytes());
    put(8, &Usage::Pdh.number().to_le_bytes());
    put(12, &ECDH_SHA256.to_le_bytes());
    put(16, &CURVE_P384.to_le_bytes());
    let (x, y) = key.public()[1..].split_at(COORDINATE);
    put(20, &reversed(x));
    put(20 + COORDINATE_FIELD, &reversed(y));
    put(SIGNED, &Usage::None.number().to_le_bytes());
    put(1564, &Usage::None.number().to_le_bytes());
    raw
}

/// The Ecdsa-Sig-Value of two big-endian numbers.
pub(super) fn ecdsa_value(r: &[u8], s: &[u8]) -> Vec<u8> {
    tlv(der::SEQUENCE, &[integer(r), integer(s)].concat())
}

/// The RSAPublicKey of two big-endian numbers.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    tlv(der::SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

/// A non-negative INTEGER of a big-endian number.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&octet| octet == 0).count();
    let digits = &number[zeros.min(number.len().saturating_sub(1))..];
    let sign: &[u8] = if digits.first().is_some_and(|&octet| octet >= 0x80) { &[0] } else { &[] };
    tlv(der::INTEGER, &[sign, digits].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] =
        u16::try_from(content.len()).expect("keys and signatures are below 64 KiB").to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..0x80) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn reversed(octets: &[u8]) -> Vec<u8> {
    octets.iter().rev().copied().collect()
}

fn field<const N: usize>(bytes: &[u8; 64], offset: usize) -> &[u8; N] {
    bytes[offset..].first_chunk().expect("the field lies inside the header")
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    word_at(bytes, offset).expect("the word lies inside a part of fixed size")
}

fn word_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// How many octets a platform's certificate has.
pub const PLATFORM_LENGTH: usize = 2084;
const SIGNED: usize = 1044;
const COORDINATE: usize = 48;
const COORDINATE_FIELD: usize = 72;
const CURVE_P384: u32 = 2;
const CURVE_SM2: u32 = 3;
const RSA_SHA256: u32 = 0x001;
const ECDSA_SHA256: u32 = 0x002;
const ECDH_SHA256: u32 = 0x003;
const ALGORITHM_SM2: u32 = 0x004;
const RSA_SHA384: u32 = 0x101;
const ECDSA_SHA384: u32 = 0x102;
const HYGON: NotACertificate = Unsupported("a Hygon certificate (SM2)");
/// The object identifier 1.2.840.113549.1.1.1, whole.
const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
