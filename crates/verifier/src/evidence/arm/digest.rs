//! Hash algorithms as tokens name them (IANA registry "Named Information Hash Algorithm", and the
//! spelling of TF-M).

use crate::crypto::{sha256_of, sha384_of, sha512_of};
use crate::value::Octets;

/// A hash algorithm of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `sha-256`.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl HashAlgorithm {
    /// The algorithm of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha-256" | "SHA256" | "SHA-256" => Some(Self::Sha256),
            "sha-384" | "SHA384" | "SHA-384" => Some(Self::Sha384),
            "sha-512" | "SHA512" | "SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// How long its digests are.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of the concatenated parts.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Octets {
        match self {
            Self::Sha256 => Octets::new(&sha256_of(parts)),
            Self::Sha384 => Octets::new(&sha384_of(parts)),
            Self::Sha512 => Octets::new(&sha512_of(parts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_an_algorithm_and_its_length() {
        for (name, length) in [("sha-256", 32), ("SHA256", 32), ("sha-384", 48), ("sha-512", 64)] {
            let algorithm = HashAlgorithm::from_name(name).expect("a known name");

            assert_eq!(algorithm.length(), length);
            assert_eq!(algorithm.digest(&[b"a"]).as_slice().len(), length);
        }
        assert_eq!(HashAlgorithm::from_name("md5"), None);
    }
}
