//! Which platform made a piece of evidence: what a collateral store looks endorsements up by.
//!
//! What is read here is not verified. It chooses which endorsements are tried and nothing else
//! (EV-COM-2): endorsements of another platform are refused by the appraisal.

use std::fmt;

use crate::Kind;
use crate::evidence::dcap::quote::{Body, Certification, Quote};
use crate::evidence::dcap::{Carried, pck};
use crate::evidence::snp::container::Container;
use crate::evidence::snp::product::Product;
use crate::evidence::snp::report::SigningKey;
use crate::value::Hex;
use crate::x509::{Certificate, decode_pem};

/// A platform, as the service of its vendor names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// Intel: TCB info is by FMSPC, the list of revoked PCKs by authority.
    Intel {
        /// SGX or TDX.
        tee: Tee,
        /// Family, model, stepping, platform type and SKU.
        fmspc: [u8; 6],
        /// Who certified the PCK.
        authority: PckAuthority,
    },
    /// AMD: an endorsement key is by chip and TCB, a revocation list by product.
    Amd {
        /// The line of processors, if the report tells.
        product: Option<Product>,
        /// The chip; zero when it is masked.
        chip_id: [u8; 64],
        /// The reported TCB, as in the report.
        tcb: [u8; 8],
    },
}

/// Intel's two TEEs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tee {
    /// Enclaves.
    Sgx,
    /// Trust domains.
    Tdx,
}

/// Intel's two authorities for PCKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PckAuthority {
    /// Of multi-package platforms.
    Platform,
    /// Of single processors.
    Processor,
}

impl Platform {
    /// The platform that evidence names; nothing for kinds whose collateral is not by platform.
    #[must_use]
    pub fn of(kind: Kind, evidence: &[u8]) -> Option<Self> {
        match kind {
            Kind::Sgx | Kind::Tdx => intel(evidence),
            Kind::SevSnp => amd(evidence),
            Kind::Cca | Kind::Sev | Kind::TrustZone => None,
        }
    }

    /// Reads the name of a platform's folder; an AMD processor's product is not part of it.
    #[must_use]
    pub fn parse(kind: Kind, folder: &str) -> Option<Self> {
        let (first, second) = folder.split_once('-')?;
        let tee = match kind {
            Kind::Sgx => Tee::Sgx,
            Kind::Tdx => Tee::Tdx,
            Kind::SevSnp => {
                let (mut chip_id, mut tcb) = ([0; 64], [0; 8]);
                hex::decode_to_slice(first, &mut chip_id).ok()?;
                hex::decode_to_slice(second, &mut tcb).ok()?;
                return Some(Self::Amd { product: None, chip_id, tcb });
            }
            Kind::Cca | Kind::Sev | Kind::TrustZone => return None,
        };
        let mut fmspc = [0; 6];
        hex::decode_to_slice(first, &mut fmspc).ok()?;
        let all = [PckAuthority::Platform, PckAuthority::Processor];
        let authority = all.into_iter().find(|authority| authority.as_str() == second)?;
        Some(Self::Intel { tee, fmspc, authority })
    }

    /// The kind of evidence that the platform makes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Intel { tee: Tee::Sgx, .. } => Kind::Sgx,
            Self::Intel { tee: Tee::Tdx, .. } => Kind::Tdx,
            Self::Amd { .. } => Kind::SevSnp,
        }
    }
}

impl PckAuthority {
    /// The name in the provisioning service's addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

/// The name of its folder: `00906ed50000-processor`, or chip and TCB in hexadecimal.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intel { fmspc, authority, .. } => {
                write!(f, "{}-{}", Hex(*fmspc), authority.as_str())
            }
            Self::Amd { chip_id, tcb, .. } => write!(f, "{}-{}", Hex(*chip_id), Hex(*tcb)),
        }
    }
}

fn intel(evidence: &[u8]) -> Option<Platform> {
    let carried = Carried::read(evidence).ok()?;
    let quote = Quote::decode(&carried.quote).ok()?;
    let tee = match quote.body {
        Body::Enclave(_) => Tee::Sgx,
        Body::TrustDomain(_) => Tee::Tdx,
    };
    let Certification::Chain(pem) = quote.certification else { return None };
    let chain = decode_pem(pem).ok()?;
    let leaf = Certificate::decode(chain.first()?).ok()?;
    let authority = match leaf.issuer_common_name()? {
        "Intel SGX PCK Platform CA" => PckAuthority::Platform,
        "Intel SGX PCK Processor CA" => PckAuthority::Processor,
        _ => return None,
    };
    let fmspc = pck::Platform::decode(&leaf).ok()?.fmspc;
    Some(Platform::Intel { tee, fmspc, authority })
}

fn amd(evidence: &[u8]) -> Option<Platform> {
    let report = Container::decode(evidence).ok()?.report;
    if report.signing_key() != SigningKey::Vcek {
        return None;
    }
    let cpuid = report.cpuid();
    let product = cpuid.and_then(|cpuid| Product::from_cpuid(cpuid.family, cpuid.model));
    Some(Platform::Amd { product, chip_id: *report.chip_id(), tcb: *report.reported_tcb() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_is_read_again() {
        let amd = Platform::Amd { product: None, chip_id: [7; 64], tcb: [3; 8] };
        let intel = |tee| Platform::Intel {
            tee,
            fmspc: [0, 0x90, 0x6e, 0xd5, 0, 0],
            authority: PckAuthority::Processor,
        };
        for platform in [amd, intel(Tee::Sgx), intel(Tee::Tdx)] {
            assert_eq!(Platform::parse(platform.kind(), &platform.to_string()), Some(platform));
        }
    }

    #[test]
    fn other_folders_are_no_platforms() {
        for name in ["", "x-processor", "00906ed50000", "00906ed50000-other", "00906ED5-platform"] {
            assert_eq!(Platform::parse(Kind::Tdx, name), None, "{name}");
        }
        assert_eq!(Platform::parse(Kind::SevSnp, "00-00"), None);
        assert_eq!(Platform::parse(Kind::Cca, "00906ed50000-processor"), None);
    }

    #[test]
    fn what_is_no_evidence_names_no_platform() {
        for kind in Kind::ALL {
            assert_eq!(Platform::of(kind, &[0; 1184]), None);
        }
    }
}
