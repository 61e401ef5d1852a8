//! What the policy's owner may say about SEV-SNP.

use serde::{Deserialize, Serialize};

use super::product::{Product, TcbVersion};
use super::report::Cpuid;
use crate::value::Hex;

/// Rules for SEV-SNP guests.
///
/// ```toml
/// [snp]
/// vmpls = [0]
/// guest_policy_required = ["single-socket"]
///
/// [[snp.tcb_min]]
/// product = "milan"
/// bootloader = 4
/// snp = 24
/// microcode = 219
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Refuse a report for whose root no revocation list was supplied. Default: `true`.
    pub revocation_list_required: bool,
    /// How old that list may be, in seconds since AMD issued it, whatever validity it states.
    /// Default: no limit of its own.
    pub revocation_list_age_s_max: Option<u64>,
    /// The lowest TCB versions. AMD endorses old firmware as it endorses new one and publishes no
    /// status, so what is too old is said here. Every entry that fits the processor counts.
    /// Default: none.
    pub tcb_min: Vec<MinimumTcb>,
    /// Refuse a processor that no entry of `tcb_min` fits. Default: `true`.
    pub tcb_min_required: bool,
    /// The lowest committed version of the SEV firmware: major, minor, build.
    /// Default: `[0, 0, 0]`.
    pub firmware_min: [u8; 3],
    /// Mitigations that must have been verified at launch and now, as a mask. When it is not
    /// zero, reports below version 5 are refused, which do not tell. Default: `0`.
    pub mitigations_required: u64,
    /// The privilege levels that may ask for a report: 0 for a plain guest, the level of the
    /// guest below a service module or paravisor. Default: `[0]`.
    pub vmpls: Vec<u8>,
    /// The lowest ABI that the guest's own policy must demand: major, minor. Default: `[0, 0]`.
    pub abi_min: [u8; 2],
    /// What the guest's own policy must demand. Default: none.
    pub guest_policy_required: Vec<GuestPolicyBit>,
    /// What the guest's own policy must not permit or demand. Default: `["cxl"]`.
    pub guest_policy_refused: Vec<GuestPolicyBit>,
    /// How the platform must be set up. Default: `["alias-check-complete"]` (CVE-2024-21944).
    pub platform_required: Vec<PlatformBit>,
    /// How the platform must not be set up. Default: none.
    pub platform_refused: Vec<PlatformBit>,
    /// Report ids of trusted migration agents; a guest that another one may export is refused.
    /// Default: none.
    pub migration_agents: Vec<Hex<32>>,
    /// Cloud providers whose VLEK is accepted, by the id in the certificate
    /// (`CN=cc-us-east-2.amazonaws.com`). Default: none.
    pub csp_ids: Vec<String>,
    /// Accept a report that a paravisor wrapped (Azure HCL). Its measurement covers the paravisor;
    /// what runs above it is vouched for by the paravisor's vTPM alone. Default: `false`.
    pub paravisor_allowed: bool,
    /// Refuse a wrapped report without a quote of that vTPM. Default: `true`.
    pub vtpm_quote_required: bool,
}

/// The lowest TCB version of some processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinimumTcb {
    /// The product.
    pub product: Product,
    /// Only processors of this CPUID model; microcode versions differ between models of one
    /// product. Reports of version 2 tell no model and fit any.
    #[serde(default)]
    pub model: Option<u8>,
    /// Only processors of this CPUID stepping.
    #[serde(default)]
    pub stepping: Option<u8>,
    /// The lowest FMC version; Turin only.
    #[serde(default)]
    pub fmc: u8,
    /// The lowest boot loader version.
    #[serde(default)]
    pub bootloader: u8,
    /// The lowest TEE version.
    #[serde(default)]
    pub tee: u8,
    /// The lowest SNP firmware version.
    #[serde(default)]
    pub snp: u8,
    /// The lowest microcode version.
    #[serde(default)]
    pub microcode: u8,
}

/// What the guest's own policy may permit or demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestPolicyBit {
    /// Multithreading is permitted.
    Smt,
    /// The guest runs on one socket only.
    SingleSocket,
    /// CXL memory or devices are permitted.
    Cxl,
    /// Memory must be encrypted with AES-256-XTS.
    #[serde(rename = "aes-256-xts")]
    Aes256Xts,
    /// Power measurement must be off.
    RaplDisabled,
    /// Ciphertext must be hidden from the host.
    CiphertextHiding,
    /// Pages must not be moved or swapped.
    PageSwapDisabled,
}

/// How a platform may be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformBit {
    /// Multithreading is on.
    Smt,
    /// Transparent memory encryption is on.
    Tsme,
    /// Memory corrects errors.
    Ecc,
    /// Power measurement is off.
    RaplDisabled,
    /// Ciphertext is hidden from the host.
    CiphertextHiding,
    /// Memory was found free of aliases since the last reset.
    AliasCheckComplete,
    /// Trusted I/O is on.
    Tio,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            revocation_list_required: true,
            revocation_list_age_s_max: None,
            tcb_min: Vec::new(),
            tcb_min_required: true,
            firmware_min: [0; 3],
            mitigations_required: 0,
            vmpls: vec![0],
            abi_min: [0; 2],
            guest_policy_required: Vec::new(),
            guest_policy_refused: vec![GuestPolicyBit::Cxl],
            platform_required: vec![PlatformBit::AliasCheckComplete],
            platform_refused: Vec::new(),
            migration_agents: Vec::new(),
            csp_ids: Vec::new(),
            paravisor_allowed: false,
            vtpm_quote_required: true,
        }
    }
}

impl MinimumTcb {
    /// No minimum for any processor of `product`, to be raised where it matters.
    #[must_use]
    pub const fn none(product: Product) -> Self {
        Self {
            product,
            model: None,
            stepping: None,
            fmc: 0,
            bootloader: 0,
            tee: 0,
            snp: 0,
            microcode: 0,
        }
    }

    /// Whether the entry is about this processor.
    pub(super) fn fits(&self, product: Product, cpuid: Option<Cpuid>) -> bool {
        let same = |own: Option<u8>, seen: Option<u8>| match (own, seen) {
            (Some(own), Some(seen)) => own == seen,
            (None, _) | (_, None) => true,
        };
        self.product == product
            && same(self.model, cpuid.map(|cpuid| cpuid.model))
            && same(self.stepping, cpuid.map(|cpuid| cpuid.stepping))
    }

    /// The minimum in the layout of the product.
    pub(super) fn version(&self) -> TcbVersion {
        TcbVersion {
            fmc: (self.product == Product::Turin).then_some(self.fmc),
            bootloader: self.bootloader,
            tee: self.tee,
            snp: self.snp,
            microcode: self.microcode,
        }
    }
}

impl GuestPolicyBit {
    /// The bit in POLICY.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Smt => 16,
            Self::SingleSocket => 20,
            Self::Cxl => 21,
            Self::Aes256Xts => 22,
            Self::RaplDisabled => 23,
            Self::CiphertextHiding => 24,
            Self::PageSwapDisabled => 25,
        }
    }

    pub(super) const fn check(self) -> &'static str {
        match self {
            Self::Smt => "snp.policy.smt",
            Self::SingleSocket => "snp.policy.single-socket",
            Self::Cxl => "snp.policy.cxl",
            Self::Aes256Xts => "snp.policy.aes-256-xts",
            Self::RaplDisabled => "snp.policy.rapl-disabled",
            Self::CiphertextHiding => "snp.policy.ciphertext-hiding",
            Self::PageSwapDisabled => "snp.policy.page-swap-disabled",
        }
    }
}

impl PlatformBit {
    /// The bit in PLATFORM_INFO.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Smt => 0,
            Self::Tsme => 1,
            Self::Ecc => 2,
            Self::RaplDisabled => 3,
            Self::CiphertextHiding => 4,
            Self::AliasCheckComplete => 5,
            Self::Tio => 7,
        }
    }

    pub(super) const fn check(self) -> &'static str {
        match self {
            Self::Smt => "snp.platform.smt",
            Self::Tsme => "snp.platform.tsme",
            Self::Ecc => "snp.platform.ecc",
            Self::RaplDisabled => "snp.platform.rapl-disabled",
            Self::CiphertextHiding => "snp.platform.ciphertext-hiding",
            Self::AliasCheckComplete => "snp.platform.alias-check-complete",
            Self::Tio => "snp.platform.tio",
        }
    }

    /// What the operator of the device does about it.
    pub(super) const fn remedy(self, on: bool) -> &'static str {
        match (self, on) {
            (Self::Smt, true) => "turn multithreading on in the BIOS",
            (Self::Smt, false) => "turn multithreading off in the BIOS",
            (Self::Tsme, true) => "turn transparent memory encryption on in the BIOS",
            (Self::Tsme, false) => "turn transparent memory encryption off in the BIOS",
            (Self::Ecc, true) => "run on memory that corrects errors",
            (Self::Ecc, false) => "run on memory that does not correct errors",
            (Self::RaplDisabled, true) => "turn power measurement (RAPL) off",
            (Self::RaplDisabled, false) => "turn power measurement (RAPL) on",
            (Self::CiphertextHiding, true) => {
                "turn ciphertext hiding on in the host, on a processor that has it"
            }
            (Self::CiphertextHiding, false) => "turn ciphertext hiding off in the host",
            (Self::AliasCheckComplete, true) => {
                "update BIOS and SEV firmware to versions that check memory for aliases \
                 (CVE-2024-21944), and reset the platform"
            }
            (Self::AliasCheckComplete, false) => "remove this bit from platform_refused",
            (Self::Tio, true) => "turn trusted I/O on in the host",
            (Self::Tio, false) => "turn trusted I/O off in the host",
        }
    }
}
