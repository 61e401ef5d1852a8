//! Trust anchors: the only place where it is decided whether hardware is real or emulated.
//!
//! An anchor is pinned by the SHA-256 of its SubjectPublicKeyInfo, because vendors re-issue root
//! certificates with the same key (EV-COM-8). Vendor roots are built in; enrolled device keys and
//! emulator roots count only when they are listed by name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::value::Hex;

/// A key in which trust begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// Whose evidence it may vouch for.
    pub vendor: Vendor,
    /// What people call it.
    pub name: Cow<'static, str>,
    /// Why it is trusted; this makes hardware real or emulated.
    pub standing: Standing,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: Hex<32>,
}

/// Whose evidence an anchor may vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vendor {
    /// SEV-SNP, SEV and SEV-ES.
    Amd,
    /// CCA platforms and PSA devices: no vendor-wide root, each key is enrolled.
    Arm,
    /// Kunpeng iTrustee and virtCCA.
    Huawei,
    /// SGX and TDX.
    Intel,
    /// OP-TEE: a key without certificate, recorded when the device was enrolled.
    OpTee,
}

/// Why an anchor is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The root of a named software emulator: no hardware protects anything under it.
    Emulator,
    /// The key of one real device or platform maker, recorded at enrolment.
    Enrolled,
    /// The published root of the hardware's vendor.
    Vendor,
}

/// An anchor as configuration lists it.
///
/// ```toml
/// vendor = "intel"
/// name = "tamarack-tee on bench-3"
/// spki_sha256 = "…"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Whose evidence it may vouch for.
    pub vendor: Vendor,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the root's SubjectPublicKeyInfo, in hexadecimal.
    pub spki_sha256: Hex<32>,
}

/// The anchors of one Verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors(Vec<Anchor>);

impl Anchor {
    /// Whether evidence under this anchor comes from a software emulator.
    #[must_use]
    pub fn is_emulated(&self) -> bool {
        self.standing == Standing::Emulator
    }
}

impl Anchors {
    /// The built-in roots of the hardware vendors, nothing emulated.
    #[must_use]
    pub fn vendors() -> Self {
        Self(ROOTS.iter().map(|&(vendor, name, key)| built_in(vendor, name, key)).collect())
    }

    /// Adds the root of an emulator.
    ///
    /// A vendor's own root cannot be listed again: what it vouches for stays real, and no
    /// emulated key can be declared real.
    #[must_use]
    pub fn with_emulator(self, listed: Listed) -> Self {
        self.with(listed, Standing::Emulator)
    }

    /// Adds the key of a real device that was recorded at enrolment.
    #[must_use]
    pub fn with_enrolled(self, listed: Listed) -> Self {
        self.with(listed, Standing::Enrolled)
    }

    /// The anchor with that key which may vouch for that vendor's evidence.
    #[must_use]
    pub fn find(&self, vendor: Vendor, spki_sha256: &[u8; 32]) -> Option<&Anchor> {
        self.0.iter().find(|anchor| anchor.vendor == vendor && anchor.spki_sha256.0 == *spki_sha256)
    }

    /// Every anchor, built-in ones first.
    pub fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.0.iter()
    }

    fn with(mut self, listed: Listed, standing: Standing) -> Self {
        if !self.0.iter().any(|anchor| anchor.spki_sha256 == listed.spki_sha256) {
            self.0.push(Anchor {
                vendor: listed.vendor,
                name: listed.name.into(),
                standing,
                spki_sha256: listed.spki_sha256,
            });
        }
        self
    }
}

fn built_in(vendor: Vendor, name: &'static str, key: &str) -> Anchor {
    let mut spki_sha256 = Hex([0; 32]);
    hex::decode_to_slice(key, &mut spki_sha256.0).expect("the table holds 32 octets each");
    Anchor { vendor, name: name.into(), standing: Standing::Vendor, spki_sha256 }
}

const ROOTS: &[(Vendor, &str, &str)] = &[
    (Vendor::Amd, "ARK-Genoa", "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    (Vendor::Amd, "ARK-Milan", "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    (Vendor::Amd, "ARK-Turin", "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
    (
        Vendor::Huawei,
        "Huawei Equipment CA",
        "904a25a3d70550522eb95d52809357e905c8f3df3b2e44dc6776d7a2b8335d9e",
    ),
    (
        Vendor::Intel,
        "Intel SGX Root CA",
        "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(key: u8) -> Listed {
        Listed { vendor: Vendor::Intel, name: "bench".into(), spki_sha256: Hex([key; 32]) }
    }

    #[test]
    fn an_emulator_counts_only_when_it_is_listed_and_for_its_vendor() {
        let anchors = Anchors::vendors();
        assert_eq!(anchors.find(Vendor::Intel, &[7; 32]), None);

        let anchors = anchors.with_emulator(listed(7));

        assert!(anchors.find(Vendor::Intel, &[7; 32]).is_some_and(Anchor::is_emulated));
        assert_eq!(anchors.find(Vendor::Amd, &[7; 32]), None);
    }

    #[test]
    fn the_standing_of_a_key_cannot_be_changed_by_listing_it_again() {
        let intel = built_in(ROOTS[4].0, ROOTS[4].1, ROOTS[4].2).spki_sha256;
        let as_emulator = Listed { spki_sha256: intel, ..listed(0) };

        let anchors = Anchors::vendors()
            .with_emulator(as_emulator)
            .with_emulator(listed(7))
            .with_enrolled(listed(7));

        let standing = |key| anchors.find(Vendor::Intel, key).map(|anchor| anchor.standing);
        assert_eq!(standing(&intel.0), Some(Standing::Vendor));
        assert_eq!(standing(&[7; 32]), Some(Standing::Emulator));
    }
}
