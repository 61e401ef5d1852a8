//! SUIT_Digest (suit-manifest section 8.2).

use std::fmt;

use crate::cbor::{Reader, Writer, bytes_header};
use crate::error::{Error, Malformed, Unsupported};

/// A SUIT_Digest.
///
/// ```cddl
/// SUIT_Digest = [
///   suit-digest-algorithm-id : suit-cose-hash-algs,
///   suit-digest-bytes : bstr,
///   * $$SUIT_Digest-extensions
/// ]
/// ```
///
/// Extensions are refused, since none is defined and an unknown one may change the meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    bytes: [u8; LENGTH_MAX],
}

impl Digest {
    /// Takes a digest that was computed elsewhere.
    pub fn new(algorithm: DigestAlgorithm, bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != algorithm.length() {
            return Err(Malformed::DigestLength { algorithm, length: bytes.len() });
        }
        let mut padded = [0; LENGTH_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { algorithm, bytes: padded })
    }

    /// Takes a SHA-256 digest.
    pub fn sha256(bytes: [u8; 32]) -> Self {
        let mut padded = [0; LENGTH_MAX];
        padded[..32].copy_from_slice(&bytes);
        Self { algorithm: DigestAlgorithm::Sha256, bytes: padded }
    }

    /// Hashes `content`.
    pub fn of(algorithm: DigestAlgorithm, content: &[u8]) -> Result<Self, Unsupported> {
        let digest = match algorithm {
            DigestAlgorithm::Sha256 => Self::new(algorithm, &cose::sha256(content)),
            DigestAlgorithm::Sha384 => Self::new(algorithm, &cose::sha384(content)),
            DigestAlgorithm::Sha512 => Self::new(algorithm, &cose::sha512(content)),
            DigestAlgorithm::Shake128 | DigestAlgorithm::Shake256 => {
                return Err(Unsupported::DigestAlgorithm(algorithm.id()));
            }
        };
        Ok(digest.expect("a hash is as long as its algorithm says"))
    }

    /// Hashes a member of the envelope **with** its byte string header, as M 8.3 and 8.4.12 do.
    pub fn of_member(algorithm: DigestAlgorithm, content: &[u8]) -> Result<Self, Unsupported> {
        let mut wrapped = bytes_header(content.len());
        wrapped.extend_from_slice(content);
        Self::of(algorithm, &wrapped)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }

    /// Decodes an encoded SUIT_Digest that stands alone.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        // The usual digest has one spelling.
        if let [0x82, 0x2f, 0x58, 0x20, digest @ ..] = bytes
            && digest.len() == 32
        {
            return Ok(Self::new(DigestAlgorithm::Sha256, digest)?);
        }
        Self::read(&mut Reader::open(bytes)?)
    }

    /// Encodes the SUIT_Digest.
    pub fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| self.write(w))
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let length = reader.array()?;
        if length < 2 {
            return Err(Malformed::Expected("a SUIT_Digest").into());
        }
        let algorithm = DigestAlgorithm::from_id(reader.int()?)?;
        let digest = Self::new(algorithm, reader.bytes()?)?;
        if length > 2 {
            return Err(Unsupported::DigestExtension.into());
        }
        Ok(digest)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(2).int(self.algorithm.id()).bytes(self.bytes());
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm)?;
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// suit-cose-hash-algs: the hash algorithms of RFC 9054 that SUIT names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-256, which everybody implements.
    Sha256,
    /// SHAKE128 with 256 bits of output; read and never computed.
    Shake128,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHAKE256 with 512 bits of output; read and never computed.
    Shake256,
}

impl DigestAlgorithm {
    /// The algorithms that this crate computes.
    pub const COMPUTED: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The COSE algorithm identifier.
    pub const fn id(self) -> i64 {
        match self {
            Self::Sha256 => -16,
            Self::Shake128 => -18,
            Self::Sha384 => -43,
            Self::Sha512 => -44,
            Self::Shake256 => -45,
        }
    }

    /// The algorithm with this COSE identifier.
    pub const fn from_id(id: i64) -> Result<Self, Unsupported> {
        match id {
            -16 => Ok(Self::Sha256),
            -18 => Ok(Self::Shake128),
            -43 => Ok(Self::Sha384),
            -44 => Ok(Self::Sha512),
            -45 => Ok(Self::Shake256),
            _ => Err(Unsupported::DigestAlgorithm(id)),
        }
    }

    /// The bytes of a digest.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 | Self::Shake128 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Shake256 => 64,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha-256",
            Self::Shake128 => "shake128",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Shake256 => "shake256",
        })
    }
}

const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_encoding() {
        for algorithm in DigestAlgorithm::COMPUTED {
            let digest = Digest::of(algorithm, b"content").unwrap();

            assert_eq!(Digest::decode(&digest.encode()).unwrap(), digest);
        }
    }

    #[test]
    fn a_digest_of_the_wrong_length_is_malformed() {
        let short = Writer::collect(|w| {
            w.array(2).int(-16).bytes(&[0; 31]);
        });

        assert_eq!(
            Digest::decode(&short),
            Err(Malformed::DigestLength { algorithm: DigestAlgorithm::Sha256, length: 31 }.into())
        );
    }

    #[test]
    fn an_unknown_hash_and_an_extension_are_unsupported() {
        let unknown = Writer::collect(|w| {
            w.array(2).int(-15).bytes(&[0; 8]);
        });
        let extended = Writer::collect(|w| {
            w.array(3).int(-16).bytes(&[0; 32]).null();
        });

        assert_eq!(Digest::decode(&unknown), Err(Unsupported::DigestAlgorithm(-15).into()));
        assert_eq!(Digest::decode(&extended), Err(Unsupported::DigestExtension.into()));
    }

    #[test]
    fn shake_is_read_and_not_computed() {
        let digest = Digest::new(DigestAlgorithm::Shake256, &[7; 64]).unwrap();

        assert_eq!(Digest::decode(&digest.encode()).unwrap(), digest);
        assert_eq!(
            Digest::of(DigestAlgorithm::Shake256, b""),
            Err(Unsupported::DigestAlgorithm(-45))
        );
    }
}
