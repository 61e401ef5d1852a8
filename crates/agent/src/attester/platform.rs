//! What is known of each hardware family apart from how it is reached.

use device::tee::{Description, REPORT_DATA_BYTES};

use super::Problem;

/// A hardware family that the Agent can attest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Arm CCA.
    Cca,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel SGX.
    Sgx,
    /// Intel TDX.
    Tdx,
    /// Arm TrustZone with OP-TEE.
    TrustZone,
}

impl Family {
    /// The family behind a provider of configfs-tsm.
    pub(super) fn of_provider(provider: &str) -> Option<Self> {
        match provider {
            "arm_cca_guest" => Some(Self::Cca),
            "sev_guest" => Some(Self::SevSnp),
            "tdx_guest" => Some(Self::Tdx),
            _ => None,
        }
    }

    /// The name, as in evidence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cca => "CCA",
            Self::SevSnp => "SEV-SNP",
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
            Self::TrustZone => "TrustZone",
        }
    }

    /// The media type of the hardware layer in the Agent's evidence.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Cca => rats::evidence::CCA_TOKEN,
            Self::SevSnp => rats::evidence::SEV_SNP_REPORT,
            Self::Sgx => rats::evidence::SGX_QUOTE,
            Self::Tdx => rats::evidence::TDX_QUOTE,
            Self::TrustZone => "application/vnd.tamarack.trustzone-report+cbor",
        }
    }

    /// The least length of evidence.
    const fn evidence_bytes_min(self) -> usize {
        match self {
            Self::Cca => 512,
            Self::SevSnp => 1184,
            // Header, body, length and a signature of P-256 with its key.
            Self::Sgx => 48 + 384 + 4 + 128,
            Self::Tdx => 48 + 584 + 4 + 128,
            Self::TrustZone => 32 + 256,
        }
    }

    /// Where evidence has the caller's data; a CCA token has it somewhere in a claim.
    fn report_data(self, evidence: &[u8]) -> Option<&[u8]> {
        let at = match self {
            Self::SevSnp => 0x50,
            Self::Sgx => 48 + 320,
            // Version 5 has a descriptor of 6 bytes before the body.
            Self::Tdx if evidence.starts_with(&5_u16.to_le_bytes()) => 48 + 6 + 520,
            Self::Tdx => 48 + 520,
            Self::Cca | Self::TrustZone => return None,
        };
        evidence.get(at..at + REPORT_DATA_BYTES)
    }

    //= EV-IF-2 (M): the returned evidence carries the user data just written
    /// Checks that evidence is long enough and covers these bytes.
    pub(super) fn check(
        self,
        evidence: &[u8],
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<(), Problem> {
        let (expected, seen) = (self.evidence_bytes_min(), evidence.len());
        if seen < expected {
            return Err(Problem::Length { expected, seen });
        }
        let carried = match self.report_data(evidence) {
            Some(carried) => carried == report_data,
            None => evidence.windows(REPORT_DATA_BYTES).any(|window| window == report_data),
        };
        if carried { Ok(()) } else { Err(Problem::OtherData) }
    }

    /// What evidence names its platform by, where it does.
    fn platform(self, evidence: &[u8]) -> &[u8] {
        let range = match self {
            // The chip's id; zero where the host hides it.
            Self::SevSnp => 0x1a0..0x1e0,
            // The quoting enclave's id.
            Self::Sgx | Self::Tdx => 28..44,
            Self::Cca | Self::TrustZone => return &[],
        };
        evidence.get(range).unwrap_or_default()
    }

    /// Describes a device by evidence that it gave.
    ///
    /// The identifier is the platform's where evidence names one, and otherwise one of `chance`,
    /// which is then new for each start.
    pub(super) fn describe(
        self,
        evidence: &[u8],
        interface: &str,
        chance: [u8; 32],
    ) -> Description {
        let platform = self.platform(evidence);
        let named = platform.iter().any(|octet| *octet != 0);
        let id = if named { cose::sha256(platform) } else { chance };
        let mut ueid = vec![UEID_RANDOM];
        ueid.extend(id);
        let (oemid, hwmodel): ([u8; 3], _) = match self {
            Self::Cca | Self::TrustZone => (ARM, self.name()),
            Self::SevSnp => (AMD, self.name()),
            Self::Sgx | Self::Tdx => (INTEL, self.name()),
        };
        Description {
            family: self.name().to_owned(),
            hwmodel: hwmodel.into(),
            hwversion: String::new(),
            oemid: oemid.to_vec(),
            ueid,
            interface: interface.to_owned(),
        }
    }
}

/// RFC 9711 section 4.2.1: type RAND.
const UEID_RANDOM: u8 = 0x01;
/// Organisations as the IEEE numbers them.
const AMD: [u8; 3] = [0x00, 0x00, 0x1a];
const ARM: [u8; 3] = [0x00, 0x02, 0xf7];
const INTEL: [u8; 3] = [0x00, 0x02, 0xb3];
