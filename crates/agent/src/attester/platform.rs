//! What is known of each hardware family apart from how it is reached.

use aws_lc_rs::digest;
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

    /// The family whose evidence has this media type.
    pub(super) fn of_media_type(media_type: &str) -> Option<Self> {
        let all = [Self::Cca, Self::SevSnp, Self::Sgx, Self::Tdx, Self::TrustZone];
        all.into_iter().find(|family| family.media_type() == media_type)
    }

    /// Whether evidence of a virtual machine says that it was started with these settings: by
    /// MRCONFIGID, HOST_DATA or the realm's personalization value.
    pub(super) fn covers_settings(self, evidence: &[u8], settings: &[u8]) -> bool {
        let digest = |algorithm| digest::digest(algorithm, settings).as_ref().to_vec();
        let has = |at: usize, value: Vec<u8>| evidence.get(at..at + value.len()) == Some(&value);
        match self {
            Self::SevSnp => has(0xc0, digest(&digest::SHA256)),
            Self::Tdx => has(tdx_body(evidence) + 184, digest(&digest::SHA384)),
            Self::Cca => {
                // The claim's key and the head of its value: nothing else in a token is so spelt.
                let claim = [RPV, &digest(&digest::SHA512)].concat();
                evidence.windows(claim.len()).any(|window| window == claim)
            }
            Self::Sgx | Self::TrustZone => false,
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
            Self::Tdx => tdx_body(evidence) + 520,
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

/// Where the body of a TDX quote begins: version 5 has a descriptor of 6 bytes before it.
fn tdx_body(quote: &[u8]) -> usize {
    if quote.starts_with(&5_u16.to_le_bytes()) { 48 + 6 } else { 48 }
}

/// Claim 44235 of a realm, 64 bytes.
const RPV: &[u8] = &[0x19, 0xac, 0xcb, 0x58, 0x40];
/// RFC 9711 section 4.2.1: type RAND.
const UEID_RANDOM: u8 = 0x01;
/// Organisations as the IEEE numbers them.
const AMD: [u8; 3] = [0x00, 0x00, 0x1a];
const ARM: [u8; 3] = [0x00, 0x02, 0xf7];
const INTEL: [u8; 3] = [0x00, 0x02, 0xb3];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Family; 5] =
        [Family::Cca, Family::SevSnp, Family::Sgx, Family::Tdx, Family::TrustZone];

    #[test]
    fn settings_count_where_the_hardware_names_them_and_nowhere_else() {
        let digest = |algorithm| digest::digest(algorithm, b"settings").as_ref().to_vec();
        let cases = [
            (Family::SevSnp, 0, 0xc0, digest(&digest::SHA256)),
            (Family::Tdx, 4, 48 + 184, digest(&digest::SHA384)),
            (Family::Tdx, 5, 48 + 6 + 184, digest(&digest::SHA384)),
            (Family::Cca, 0, 900, [RPV, &digest(&digest::SHA512)].concat()),
        ];
        for (family, version, at, value) in cases {
            let mut evidence = vec![0; 2000];
            evidence[0] = version;
            evidence[at..at + value.len()].copy_from_slice(&value);
            assert!(family.covers_settings(&evidence, b"settings"), "{family:?} {version}");
            assert!(!family.covers_settings(&evidence, b"others"), "{family:?} {version}");

            evidence[at + value.len() - 1] ^= 1;
            assert!(!family.covers_settings(&evidence, b"settings"), "{family:?} {version}");
        }
        for family in ALL {
            assert!(!family.covers_settings(&[], b"settings"), "{family:?}");
        }
    }

    #[test]
    fn evidence_of_each_family_is_checked_for_length_and_data() {
        for family in ALL {
            let (data, mut evidence) = ([7; 64], vec![0; family.evidence_bytes_min()]);
            let at = if family == Family::SevSnp { 0x50 } else { 0 };
            let at = if family == Family::Sgx { 368 } else { at };
            let at = if family == Family::Tdx { 568 } else { at };
            evidence[at..at + 64].copy_from_slice(&data);
            assert_eq!(family.check(&evidence, &data), Ok(()), "{family:?}");

            assert_eq!(family.check(&evidence, &[8; 64]), Err(Problem::OtherData), "{family:?}");
            let expected = evidence.len();
            evidence.pop();
            let short = Problem::Length { expected, seen: expected - 1 };
            assert_eq!(family.check(&evidence, &data), Err(short), "{family:?}");
            assert_eq!(Family::of_media_type(family.media_type()), Some(family));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            evidence in proptest::collection::vec(any::<u8>(), 0..2000)
        ) {
            for family in ALL {
                let described = family.describe(&evidence, "test", [1; 32]);
                prop_assert_eq!(described.ueid.len(), 33);
                prop_assert!(family.check(&evidence, &[7; 64]).is_err());
                prop_assert!(!family.covers_settings(&evidence, b"settings"));
            }
        }
    }
}
