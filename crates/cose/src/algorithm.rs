//! COSE algorithm identifiers, and which of them a verifier accepts.

use std::fmt;

use crate::key::Curve;

/// A COSE algorithm identifier (IANA registry "COSE Algorithms").
///
/// The legacy identifiers do not name their curve. They are verified on request
/// ([`Accept::WITH_LEGACY`]) and never emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 9864).
    Esp256,
    /// ECDSA with SHA-256, legacy (RFC 9053).
    Es256,
    /// EdDSA on Ed25519 (RFC 9864).
    Ed25519,
    /// EdDSA, legacy (RFC 9053).
    EdDsa,
    /// ECDSA on P-384 with SHA-384 (RFC 9864).
    Esp384,
    /// ECDSA with SHA-384, legacy (RFC 9053).
    Es384,
    /// ML-DSA-65 (FIPS 204, draft-ietf-cose-dilithium), accepted where a caller adds it to its
    /// [`Accept`].
    MlDsa65,
    /// HSS/LMS (RFC 8778), the one of the SUIT profiles that outlives quantum computers; accepted
    /// where a caller adds it to its [`Accept`].
    HssLms,
    /// Any other identifier; signatures with it are refused.
    Other(i64),
}

impl Algorithm {
    /// The registered number.
    pub const fn id(self) -> i64 {
        match self {
            Self::Esp256 => -9,
            Self::Es256 => -7,
            Self::Ed25519 => -19,
            Self::EdDsa => -8,
            Self::Esp384 => -51,
            Self::Es384 => -35,
            Self::MlDsa65 => -49,
            Self::HssLms => -46,
            Self::Other(id) => id,
        }
    }

    /// The algorithm of a registered number.
    pub const fn from_id(id: i64) -> Self {
        match id {
            -9 => Self::Esp256,
            -7 => Self::Es256,
            -19 => Self::Ed25519,
            -8 => Self::EdDsa,
            -51 => Self::Esp384,
            -35 => Self::Es384,
            -49 => Self::MlDsa65,
            -46 => Self::HssLms,
            _ => Self::Other(id),
        }
    }

    /// Whether the identifier is one of those that do not name their curve.
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Es256 | Self::EdDsa | Self::Es384)
    }

    /// The curve, or what stands for it, that a key for this signature algorithm
    /// has.
    pub const fn curve(self) -> Option<Curve> {
        match self {
            Self::Esp256 | Self::Es256 => Some(Curve::P256),
            Self::Ed25519 | Self::EdDsa => Some(Curve::Ed25519),
            Self::Esp384 | Self::Es384 => Some(Curve::P384),
            Self::MlDsa65 => Some(Curve::MlDsa65),
            Self::HssLms => Some(Curve::HssLms),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esp256 => f.write_str("ESP256"),
            Self::Es256 => f.write_str("ES256"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::EdDsa => f.write_str("EdDSA"),
            Self::Esp384 => f.write_str("ESP384"),
            Self::Es384 => f.write_str("ES384"),
            Self::MlDsa65 => f.write_str("ML-DSA-65"),
            Self::HssLms => f.write_str("HSS-LMS"),
            Self::Other(id) => write!(f, "algorithm {id}"),
        }
    }
}

/// The set of signature algorithms that a verifier accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept(u8);

impl Accept {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// The fully specified algorithms that the specifications name: ESP256, Ed25519, ESP384.
    pub const CURRENT: Self =
        Self::NONE.and(Algorithm::Esp256).and(Algorithm::Ed25519).and(Algorithm::Esp384);
    /// [`Accept::CURRENT`] and the legacy identifiers ES256, EdDSA, ES384.
    pub const WITH_LEGACY: Self =
        Self::CURRENT.and(Algorithm::Es256).and(Algorithm::EdDsa).and(Algorithm::Es384);

    /// Exactly one algorithm. [`Algorithm::Other`] gives the empty set.
    pub const fn only(algorithm: Algorithm) -> Self {
        Self::NONE.and(algorithm)
    }

    /// This set and one algorithm more.
    pub const fn and(self, algorithm: Algorithm) -> Self {
        Self(self.0 | Self::bit(algorithm))
    }

    /// Both sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the algorithm is in the set.
    pub const fn allows(self, algorithm: Algorithm) -> bool {
        self.0 & Self::bit(algorithm) != 0
    }

    const fn bit(algorithm: Algorithm) -> u8 {
        match algorithm {
            Algorithm::Esp256 => 1,
            Algorithm::Es256 => 1 << 1,
            Algorithm::Ed25519 => 1 << 2,
            Algorithm::EdDsa => 1 << 3,
            Algorithm::Esp384 => 1 << 4,
            Algorithm::Es384 => 1 << 5,
            Algorithm::MlDsa65 => 1 << 6,
            Algorithm::HssLms => 1 << 7,
            Algorithm::Other(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 8] = [
        Algorithm::Esp256,
        Algorithm::Es256,
        Algorithm::Ed25519,
        Algorithm::EdDsa,
        Algorithm::Esp384,
        Algorithm::Es384,
        Algorithm::MlDsa65,
        Algorithm::HssLms,
    ];

    #[test]
    fn every_identifier_survives_the_way_through_its_number() {
        for algorithm in ALL {
            assert_eq!(Algorithm::from_id(algorithm.id()), algorithm);
        }
        assert_eq!(Algorithm::from_id(-48), Algorithm::Other(-48));
    }

    #[test]
    fn the_current_set_holds_no_legacy_algorithm() {
        for algorithm in ALL {
            let by_default = !matches!(algorithm, Algorithm::MlDsa65 | Algorithm::HssLms);
            let current = by_default && !algorithm.is_legacy();
            assert_eq!(Accept::CURRENT.allows(algorithm), current);
            assert_eq!(Accept::WITH_LEGACY.allows(algorithm), by_default);
            assert!(Accept::CURRENT.and(algorithm).allows(algorithm));
        }
    }

    #[test]
    fn an_unknown_algorithm_is_in_no_set() {
        assert!(!Accept::only(Algorithm::Other(-48)).allows(Algorithm::Other(-48)));
        assert!(!Accept::WITH_LEGACY.allows(Algorithm::Other(-47)));
    }
}
