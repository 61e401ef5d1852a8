//! Products, and the layout of TCB_VERSION that depends on them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Value;

/// A line of processors with one AMD Root Key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, Bergamo and Siena.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// TCB_VERSION: the security version of each part of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcbVersion {
    /// The FMC firmware; Turin only.
    pub fmc: Option<u8>,
    /// The boot loader of the secure processor.
    pub bootloader: u8,
    /// The operating system of the secure processor.
    pub tee: u8,
    /// The SEV-SNP firmware.
    pub snp: u8,
    /// The microcode of the cores.
    pub microcode: u8,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in certificates.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product with that name in a certificate; a stepping may follow (`Milan-B0`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.split('-').next();
        Self::ALL.into_iter().find(|product| name == Some(product.as_str()))
    }

    /// The product of a processor with that combined family and model.
    #[must_use]
    pub const fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// How many octets a chip's identifier has; the rest of its field is zero.
    #[must_use]
    pub const fn chip_id_length(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TcbVersion {
    /// Reads the octets in the product's layout.
    #[must_use]
    pub const fn decode(product: Product, octets: &[u8; 8]) -> Self {
        let [first, second, third, fourth, _, _, snp, microcode] = *octets;
        match product {
            Product::Milan | Product::Genoa => {
                Self { fmc: None, bootloader: first, tee: second, snp, microcode }
            }
            Product::Turin => {
                Self { fmc: Some(first), bootloader: second, tee: third, snp: fourth, microcode }
            }
        }
    }

    /// Each part by name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u8)> {
        let fmc = self.fmc.map(|fmc| ("fmc", fmc));
        fmc.into_iter().chain([
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ])
    }

    /// Whether no part is below the other's.
    #[must_use]
    pub fn is_at_least(&self, other: &Self) -> bool {
        self.parts().zip(other.parts()).all(|((_, own), (_, other))| own >= other)
    }
}

impl From<TcbVersion> for Value {
    fn from(version: TcbVersion) -> Self {
        Self::Map(version.parts().map(|(name, svn)| (Cow::Borrowed(name), svn.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-SNP-5: the layout follows the product
    #[test]
    fn the_same_octets_say_something_else_on_turin() {
        let octets = [1, 2, 3, 4, 5, 6, 7, 8];

        let parts = |product| TcbVersion::decode(product, &octets).parts().collect::<Vec<_>>();

        let older = [("bootloader", 1), ("tee", 2), ("snp", 7), ("microcode", 8)];
        assert_eq!(parts(Product::Milan), older);
        assert_eq!(parts(Product::Genoa), older);
        let newer = [("fmc", 1), ("bootloader", 2), ("tee", 3), ("snp", 4), ("microcode", 8)];
        assert_eq!(parts(Product::Turin), newer);
    }

    #[test]
    fn a_version_is_compared_part_by_part() {
        let version =
            |snp, microcode| TcbVersion { fmc: None, bootloader: 4, tee: 0, snp, microcode };

        assert!(version(24, 219).is_at_least(&version(24, 219)));
        assert!(version(25, 219).is_at_least(&version(24, 219)));
        assert!(!version(25, 218).is_at_least(&version(24, 219)));
    }

    #[test]
    fn names_and_processors_lead_to_products() {
        assert_eq!(Product::from_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::from_name("Turin"), Some(Product::Turin));
        assert_eq!(Product::from_name("Milano"), None);
        assert_eq!(Product::from_cpuid(0x19, 0xa0), Some(Product::Genoa));
        assert_eq!(Product::from_cpuid(0x1a, 0x11), Some(Product::Turin));
        assert_eq!(Product::from_cpuid(0x17, 0x31), None);
    }
}
