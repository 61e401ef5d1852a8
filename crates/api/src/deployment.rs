//! A deployment as its Network User sees it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Event, Hardware, InstanceType, Problem};

/// `GET /v1/deployments/{id}` (tenant).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deployment {
    /// Identifier.
    pub deployment: String,
    /// Where it stands.
    pub state: State,
    /// Case of the use-case draft.
    pub case: u8,
    /// What the Trusted Application runs as.
    pub instance: InstanceType,
    /// Whether a UA belongs to it.
    pub with_ua: bool,
    /// The device.
    pub device: String,
    /// Its hardware family.
    pub hardware: Hardware,
    /// Whether the device's last evidence rests on an emulator's trust anchor.
    pub emulated: bool,
    /// Grows with every change; `?wait=` takes the last one that the caller saw.
    pub seq: u64,
    /// What the Network User has to bring before anything moves on.
    pub needs: Vec<Need>,
    /// The steps so far, in order.
    pub events: Vec<Event>,
    /// The place that it holds; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// Until when its last attestation counts; absent when no lease was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Why it ended, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Problem>,
}

/// Trust that has an end unless the device attests again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lease {
    /// How long it lasts, in seconds.
    pub seconds: u64,
    /// When it ends, in milliseconds since 1970; absent before the deployment runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// How often the device has renewed it.
    pub renewals: u64,
    /// Whether it is over: nobody may rely on the deployment any more.
    pub ended: bool,
    /// Whether the TEE itself ends the Trusted Application then.
    pub enforcement: Enforcement,
}

/// Who makes an ended lease come true on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Enforcement {
    /// Nobody: the TEE has no clock that the REE cannot stop, so a device that is cut off keeps
    /// what was released to it.
    NotEnforceable,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A place on a device that nobody else has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reservation {
    /// Which of the device's slots, from 0.
    pub slot: u64,
    /// Grows with every place that is given on the device: who acts for an older one is too late.
    pub fence: u64,
    /// When it is given back unless something happens in the deployment before, in milliseconds
    /// since 1970; absent for one that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// The Network User's turn: see `needs`.
    Waiting,
    /// The device's turn: a package is under way.
    Deploying,
    /// The device's turn: evidence is under way.
    Attesting,
    /// Every step of the figure's row is done.
    Running,
    /// Ended; see `failure`.
    Failed,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something that only the Network User can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Need {
    /// `PUT …/packages/ua`
    Ua,
    /// `PUT …/packages/ta`
    Ta,
    /// `POST …/attestations`
    Nonce,
    /// `PUT …/packages/pd`
    Pd,
    /// `PUT …/packages/ua-ta`
    UaTa,
    /// `PUT …/packages/ua-ta-pd`
    UaTaPd,
    /// `PUT …/packages/ta-pd`
    TaPd,
    /// `PUT …/packages/ua-pd`
    UaPd,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A Package of a deployment: last path segment of `PUT …/packages/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PackageName {
    /// The Untrusted Application.
    Ua,
    /// The Trusted Application.
    Ta,
    /// The Personalization Data.
    Pd,
    /// UA and TA (case 2).
    #[serde(rename = "ua-ta")]
    UaTa,
    /// UA, TA and Personalization Data (case 1).
    #[serde(rename = "ua-ta-pd")]
    UaTaPd,
    /// TA and Personalization Data (case 4).
    #[serde(rename = "ta-pd")]
    TaPd,
    /// UA and Personalization Data (case 5): one opaque ciphertext.
    #[serde(rename = "ua-pd")]
    UaPd,
}

impl PackageName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ua, Self::Ta, Self::Pd, Self::UaTa, Self::UaTaPd, Self::TaPd, Self::UaPd];

    /// Whether Personalization Data is in it.
    pub const fn holds_data(self) -> bool {
        match self {
            Self::Ua | Self::Ta | Self::UaTa => false,
            Self::Pd | Self::UaTaPd | Self::TaPd | Self::UaPd => true,
        }
    }

    /// Whether it is a root manifest with the manifests of its parts.
    pub const fn is_bundle(self) -> bool {
        matches!(self, Self::UaTa | Self::UaTaPd | Self::TaPd)
    }

    /// As the figures write it.
    pub const fn figure(self) -> &'static str {
        match self {
            Self::Ua => "(UA)",
            Self::Ta => "(TA)",
            Self::Pd => "(PD)",
            Self::UaTa => "(UA,TA)",
            Self::UaTaPd => "(UA,TA,PD)",
            Self::TaPd => "(TA,PD)",
            Self::UaPd => "(UA,PD)",
        }
    }

    /// The path segment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ua => "ua",
            Self::Ta => "ta",
            Self::Pd => "pd",
            Self::UaTa => "ua-ta",
            Self::UaTaPd => "ua-ta-pd",
            Self::TaPd => "ta-pd",
            Self::UaPd => "ua-pd",
        }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPackage(pub String);

impl fmt::Display for UnknownPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not one of ua, ta, pd, ua-ta, ua-ta-pd, ta-pd, ua-pd", self.0)
    }
}

impl std::error::Error for UnknownPackage {}

impl FromStr for PackageName {
    type Err = UnknownPackage;

    fn from_str(text: &str) -> Result<Self, UnknownPackage> {
        let named = Self::ALL.into_iter().find(|package| package.as_str() == text);
        named.ok_or_else(|| UnknownPackage(text.to_owned()))
    }
}

/// 201 (stored) or 200 (the same bytes were there) to `PUT …/packages/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PackageStored {
    /// The package.
    pub package: PackageName,
    /// SHA-256 of the SUIT_Envelope, hex.
    pub sha256: String,
    /// SHA-256 of the SUIT_Manifest as its SUIT_Digest names it, hex.
    pub manifest: String,
    /// The manifest's sequence number.
    pub sequence_number: u64,
}

/// `GET …/receipts`: base64 (standard alphabet, padded) of each COSE_Sign1, oldest first.
pub type Receipts = Vec<String>;

/// POST to the receipts of a deployment: Personalization Data was released live, past the M/OC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostReceipt {
    /// The Agent's receipt, a COSE_Sign1 in base64.
    pub receipt: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_by_its_path_segment() {
        for package in PackageName::ALL {
            assert_eq!(package.as_str().parse(), Ok(package));
            let json = serde_json::to_string(&package).unwrap();
            assert_eq!(json, format!("\"{package}\""));
        }
        assert_eq!("UA".parse::<PackageName>(), Err(UnknownPackage("UA".into())));
    }

    #[test]
    fn members_that_are_not_known_yet_are_ignored() {
        let text = r#"{"deployment":"d","state":"paused","case":3,"instance":"process",
            "with_ua":true,"device":"e","hardware":"SGX","emulated":true,"seq":4,
            "needs":["lease"],"events":[],"colour":"red"}"#;

        let deployment: Deployment = serde_json::from_str(text).unwrap();

        assert_eq!(deployment.state, State::Unknown);
        assert_eq!(deployment.needs, [Need::Unknown]);
    }
}
