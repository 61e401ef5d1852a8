//! The processors that are emulated, and their security versions.

use serde::Serialize;

/// A line of processors, each with a root of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// EPYC 9004: report version 3.
    Genoa,
    /// EPYC 9005: report version 5.
    Turin,
}

impl Product {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// How file names begin.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Genoa => "genoa",
            Self::Turin => "turin",
        }
    }

    pub(super) const fn report_version(self) -> u32 {
        match self {
            Self::Genoa => 3,
            Self::Turin => 5,
        }
    }

    /// CPUID: combined family and model, stepping.
    pub(super) const fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Genoa => [0x19, 0x11, 1],
            Self::Turin => [0x1a, 0x02, 1],
        }
    }

    /// How much of the chip id's field is used; the rest is zero.
    pub(super) const fn chip_id_bytes(self) -> usize {
        match self {
            Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

/// The security version of each part of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tcb {
    /// The FMC firmware, on Turin.
    pub fmc: u8,
    /// The boot loader of the secure processor.
    pub bootloader: u8,
    /// The operating system of the secure processor.
    pub tee: u8,
    /// The SEV-SNP firmware.
    pub snp: u8,
    /// The microcode of the cores.
    pub microcode: u8,
}

impl Tcb {
    /// What the emulated platforms run: what a Verifier's policy should ask for.
    pub const UP_TO_DATE: Self = Self { fmc: 1, bootloader: 10, tee: 1, snp: 24, microcode: 219 };

    /// What they ran before.
    pub(super) const OUT_OF_DATE: Self =
        Self { fmc: 1, bootloader: 7, tee: 0, snp: 14, microcode: 62 };

    /// TCB_VERSION in the product's layout.
    pub(super) const fn to_bytes(self, product: Product) -> [u8; 8] {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        match product {
            Product::Genoa => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            Product::Turin => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
        }
    }
}
