//! Asking the Network M/OC for a place.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Constraints, InstanceType};

/// Hardware family, spelt as in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Hardware {
    /// Arm Confidential Compute Architecture.
    #[serde(rename = "CCA")]
    Cca,
    /// Hygon China Secure Virtualization.
    #[serde(rename = "CSV")]
    Csv,
    /// AMD Secure Encrypted Virtualization.
    #[serde(rename = "SEV")]
    Sev,
    /// AMD SEV with Secure Nested Paging.
    #[serde(rename = "SEV-SNP")]
    SevSnp,
    /// Intel Software Guard Extensions.
    #[serde(rename = "SGX")]
    Sgx,
    /// Intel Trust Domain Extensions.
    #[serde(rename = "TDX")]
    Tdx,
    /// Arm TrustZone.
    #[serde(rename = "TrustZone")]
    TrustZone,
}

impl Hardware {
    /// Every family there is.
    pub const ALL: [Self; 7] =
        [Self::Cca, Self::Csv, Self::Sev, Self::SevSnp, Self::Sgx, Self::Tdx, Self::TrustZone];

    /// Whether the figures have this instance type on this hardware: processes stand in SGX and
    /// TrustZone, virtual machines in the families that encrypt whole machines, containers in
    /// both.
    pub const fn hosts(self, instance: InstanceType) -> bool {
        let process_tee = matches!(self, Self::Sgx | Self::TrustZone);
        match instance {
            InstanceType::Process => process_tee,
            InstanceType::Container => true,
            InstanceType::Vm => !process_tee,
        }
    }

    /// The spelling of the API and the figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cca => "CCA",
            Self::Csv => "CSV",
            Self::Sev => "SEV",
            Self::SevSnp => "SEV-SNP",
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
            Self::TrustZone => "TrustZone",
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no hardware family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHardware(pub String);

impl fmt::Display for UnknownHardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a hardware family", self.0)
    }
}

impl std::error::Error for UnknownHardware {}

impl FromStr for Hardware {
    type Err = UnknownHardware;

    fn from_str(text: &str) -> Result<Self, UnknownHardware> {
        Self::ALL
            .into_iter()
            .find(|hardware| hardware.as_str() == text)
            .ok_or_else(|| UnknownHardware(text.to_owned()))
    }
}

/// `POST /v1/requests` (tenant): a place for one deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostRequest {
    /// Case of the use-case draft, section 4: 1 to 5.
    pub case: u8,
    /// What the Trusted Application runs as.
    pub instance: InstanceType,
    /// The families that the Network User accepts, the most wanted first; empty accepts any.
    #[serde(default)]
    pub hardware: Vec<Hardware>,
    /// Whether a UA belongs to the deployment.
    #[serde(default)]
    pub with_ua: bool,
    /// Only this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only devices of this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether an emulated device will do; the Network User's own appraisal asks again.
    #[serde(default = "yes")]
    pub emulated: bool,
    /// What else the place has to be like.
    #[serde(default, skip_serializing_if = "Constraints::is_none")]
    pub constraints: Constraints,
    /// For how many seconds an attestation of the running deployment counts, from 60 to 86,400: the
    /// device is asked again before they are over. Absent: nobody asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u64>,
}

fn yes() -> bool {
    true
}

/// 201 to [`PostRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestPlaced {
    /// Identifier of the request.
    pub request: String,
    /// Identifier of the deployment that now waits for its packages.
    pub deployment: String,
    /// The device that was chosen.
    pub device: String,
    /// Its hardware family.
    pub hardware: Hardware,
    /// Whether its last evidence rests on an emulator's trust anchor.
    pub emulated: bool,
    /// Why this device, in words: the choice first, then the others, each with what excludes it;
    /// of many, the first hundred and a count.
    pub reasons: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_documented_and_refuses_unknown_members() {
        let text = r#"{"case":3,"instance":"process","hardware":["SGX"],"with_ua":true}"#;

        let request: PostRequest = serde_json::from_str(text).unwrap();

        assert_eq!(request.hardware, [Hardware::Sgx]);
        assert_eq!(request.device, None);
        assert!(request.emulated);
        assert!(
            serde_json::from_str::<PostRequest>(r#"{"case":3,"instance":"vm","x":1}"#).is_err()
        );
    }

    #[test]
    fn every_family_comes_back_from_its_text() {
        for hardware in Hardware::ALL {
            assert_eq!(hardware.as_str().parse(), Ok(hardware));
            let text = serde_json::to_string(&hardware).unwrap();
            assert_eq!(text, format!("\"{hardware}\""));
        }
        assert_eq!("sgx".parse::<Hardware>(), Err(UnknownHardware("sgx".into())));
    }
}
