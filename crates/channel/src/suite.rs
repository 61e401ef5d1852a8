//! Suites of the channel, which differ in their KEM alone.

use std::{fmt, str::FromStr};

use cose::{Curve, Key};

/// A suite: a KEM with HKDF-SHA256 and AES-256-GCM.
///
/// Which one a container is sealed with follows from the receiver's key, so no field says it and no
/// field can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// DHKEM(P-256, HKDF-SHA256), 0x0010.
    P256,
    /// DHKEM(X25519, HKDF-SHA256), 0x0020.
    X25519,
    /// X-Wing, 0x647a: X25519 with ML-KEM-768 (draft-ietf-hpke-pq). What is recorded now stays
    /// closed as long as either of them holds.
    XWing,
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 3] = [Self::P256, Self::X25519, Self::XWing];

    /// The suite that a key is for.
    #[must_use]
    pub fn of(key: &Key) -> Option<Self> {
        match key.curve() {
            Curve::P256 => Some(Self::P256),
            Curve::X25519 => Some(Self::X25519),
            Curve::XWing => Some(Self::XWing),
            Curve::P384 | Curve::Ed25519 | Curve::MlDsa65 | Curve::HssLms => None,
        }
    }

    /// As settings and reports spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p-256",
            Self::X25519 => "x25519",
            Self::XWing => "x-wing",
        }
    }

    /// The length of `enc`, which differs from suite to suite, bytes.
    pub(crate) const fn enc_len(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Suite {
    type Err = UnusableSuites;

    fn from_str(text: &str) -> Result<Self, UnusableSuites> {
        let found = Self::ALL.into_iter().find(|suite| suite.as_str() == text);
        found.ok_or_else(|| UnusableSuites::Unknown(text.to_owned()))
    }
}

/// Different suites, at least one, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suites(Vec<Suite>);

/// Why a list of suites cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSuites {
    /// Not one that is known here.
    #[error("`{0}` is none of `x-wing`, `p-256` and `x25519`")]
    Unknown(String),
    /// There is none.
    #[error("a channel needs a suite")]
    None,
    /// It stands there more than once.
    #[error("the suite `{0}` stands there twice")]
    Twice(Suite),
}

impl Suites {
    /// A list of suites.
    ///
    /// # Errors
    /// See [`UnusableSuites`].
    pub fn new(suites: impl IntoIterator<Item = Suite>) -> Result<Self, UnusableSuites> {
        let mut list = Vec::new();
        for suite in suites {
            if list.contains(&suite) {
                return Err(UnusableSuites::Twice(suite));
            }
            list.push(suite);
        }
        if list.is_empty() { Err(UnusableSuites::None) } else { Ok(Self(list)) }
    }

    /// Reads names.
    ///
    /// # Errors
    /// See [`UnusableSuites`].
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, UnusableSuites> {
        let suites: Result<Vec<Suite>, _> = names.into_iter().map(str::parse).collect();
        Self::new(suites?)
    }

    /// The suites, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Suite> {
        self.0.iter().copied()
    }

    /// Of the offered keys, the one of the suite that is preferred here.
    #[must_use]
    pub fn choose<'k>(&self, offered: &'k [Key]) -> Option<&'k Key> {
        self.iter().find_map(|suite| offered.iter().find(|key| Suite::of(key) == Some(suite)))
    }
}

impl Default for Suites {
    /// The hybrid first: what is recorded now may be attacked later.
    fn default() -> Self {
        Self(vec![Suite::XWing, Suite::P256, Suite::X25519])
    }
}

impl fmt::Display for Suites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Suite::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn names_are_read_in_their_order_and_others_are_refused() {
        let read = Suites::parse(["x25519", "x-wing"]).unwrap();

        assert_eq!(read.to_string(), "x25519, x-wing");
        assert_eq!(Suites::parse(["rsa"]), Err(UnusableSuites::Unknown("rsa".to_owned())));
        assert_eq!(Suites::parse([]), Err(UnusableSuites::None));
        assert_eq!(Suites::parse(["p-256", "p-256"]), Err(UnusableSuites::Twice(Suite::P256)));
    }

    #[test]
    fn the_preferred_of_the_offered_keys_is_chosen_and_no_other_than_allowed() {
        let offered = [Suite::P256, Suite::X25519, Suite::XWing]
            .map(|suite| PrivateKey::of_suite(suite, &mut keys::SystemEntropy).public().clone());
        let chosen = |names: &[&str], offered| {
            Suites::parse(names.iter().copied()).unwrap().choose(offered).and_then(Suite::of)
        };

        assert_eq!(Suites::default().choose(&offered).and_then(Suite::of), Some(Suite::XWing));
        assert_eq!(chosen(&["x25519", "x-wing"], &offered), Some(Suite::X25519));
        assert_eq!(chosen(&["x-wing", "x25519"], &offered[..2]), Some(Suite::X25519));
        assert_eq!(chosen(&["x-wing"], &offered[..2]), None);
    }
}
