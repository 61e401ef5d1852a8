//! Trust anchors: the only place where it is decided whether hardware is real or emulated.
//!
//! An anchor is pinned by the SHA-256 of its SubjectPublicKeyInfo, because vendors re-issue root
//! certificates with the same key (EV-COM-8). Vendor roots are built in; enrolled device keys and
//! emulator roots count only when they are listed by name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::policy::Misconfigured;
use crate::value::{Hex, Octets};

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
    /// The one device that it vouches for; without, every device that its key vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
}

/// What evidence names its device by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Device {
    /// The instance id of a CCA platform or PSA device (33 octets), or the id that an OP-TEE
    /// device was given when it was enrolled.
    Instance(Octets),
    /// A PSA device whose token names its key: implementation id, and key id in the COSE header.
    Key {
        /// The implementation id.
        implementation_id: Hex<32>,
        /// The key id.
        key_id: Octets,
    },
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

//= EV-EMU-2 (M): the anchor alone tells an emulator; no other code asks
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

/// The key of one device as configuration lists it.
///
/// ```toml
/// vendor = "arm"
/// name = "roadside unit 17"
/// spki_sha256 = "…"
/// device = { instance = "01…" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedDevice {
    /// Whose evidence it may vouch for.
    pub vendor: Vendor,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal.
    pub spki_sha256: Hex<32>,
    /// What the device's evidence names it by.
    pub device: Device,
    /// Whether the device is a software emulator. Default: `false`.
    #[serde(default)]
    pub emulated: bool,
}

/// Anchors beyond the vendors' own, as a file lists them.
///
/// ```toml
/// [[emulator]]
/// vendor = "intel"
/// name = "tamarack-tee on bench-3"
/// spki_sha256 = "…"
///
/// [[device]]
/// vendor = "arm"
/// name = "roadside unit 17"
/// spki_sha256 = "…"
/// device = { instance = "01…" }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct List {
    /// Roots of software emulators.
    pub emulator: Vec<Listed>,
    /// Keys of single devices.
    pub device: Vec<ListedDevice>,
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

impl Vendor {
    /// Every vendor.
    pub const ALL: [Self; 5] = [Self::Amd, Self::Arm, Self::Huawei, Self::Intel, Self::OpTee];
}

impl ListedDevice {
    /// Reads a device from TOML; unknown fields are refused.
    pub fn from_toml(text: &str) -> Result<Self, Misconfigured> {
        toml::from_str(text)
            .map_err(|error| Misconfigured { what: "listed device", detail: error.to_string() })
    }
}

impl List {
    /// Reads a list from TOML; unknown fields are refused.
    pub fn from_toml(text: &str) -> Result<Self, Misconfigured> {
        toml::from_str(text)
            .map_err(|error| Misconfigured { what: "list of anchors", detail: error.to_string() })
    }

    /// Whether it names a software emulator.
    #[must_use]
    pub fn names_emulators(&self) -> bool {
        !self.emulator.is_empty() || self.device.iter().any(|device| device.emulated)
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
        self.with(listed, Standing::Emulator, None)
    }

    /// Adds the key of a real device that was recorded at enrolment.
    #[must_use]
    pub fn with_enrolled(self, listed: Listed) -> Self {
        self.with(listed, Standing::Enrolled, None)
    }

    /// Adds the key of one device: evidence that names this device counts under no other key.
    #[must_use]
    pub fn with_device(self, listed: ListedDevice) -> Self {
        let standing = if listed.emulated { Standing::Emulator } else { Standing::Enrolled };
        let ListedDevice { vendor, name, spki_sha256, device, .. } = listed;
        self.with(Listed { vendor, name, spki_sha256 }, standing, Some(device))
    }

    /// Adds everything that is listed.
    #[must_use]
    pub fn with_list(self, list: List) -> Self {
        let with_roots = list.emulator.into_iter().fold(self, Self::with_emulator);
        list.device.into_iter().fold(with_roots, Self::with_device)
    }

    /// The anchors that may vouch for evidence which names its device by each of `names`: those
    /// that list the device by the first name that is listed at all, or else those of this vendor
    /// that list no device.
    #[must_use]
    pub fn for_device(&self, vendor: Vendor, names: &[Device]) -> Vec<&Anchor> {
        let of_vendor = || self.0.iter().filter(|anchor| anchor.vendor == vendor);
        let named = |name: &Device| -> Vec<_> {
            of_vendor().filter(|anchor| anchor.device.as_ref() == Some(name)).collect()
        };
        let listed = names.iter().map(named).find(|anchors| !anchors.is_empty());
        let any = || of_vendor().filter(|anchor| anchor.device.is_none()).collect();
        listed.unwrap_or_else(any)
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

    fn with(mut self, listed: Listed, standing: Standing, device: Option<Device>) -> Self {
        let listed_before = self.0.iter().any(|anchor| {
            let elsewhere = anchor.device != device || anchor.vendor != listed.vendor;
            anchor.spki_sha256 == listed.spki_sha256 && !(anchor.standing == standing && elsewhere)
        });
        if !listed_before {
            self.0.push(Anchor {
                vendor: listed.vendor,
                name: listed.name.into(),
                standing,
                spki_sha256: listed.spki_sha256,
                device,
            });
        }
        self
    }
}

fn built_in(vendor: Vendor, name: &'static str, key: &str) -> Anchor {
    let mut spki_sha256 = Hex([0; 32]);
    hex::decode_to_slice(key, &mut spki_sha256.0).expect("the table holds 32 octets each");
    Anchor { vendor, name: name.into(), standing: Standing::Vendor, spki_sha256, device: None }
}

const ROOTS: &[(Vendor, &str, &str)] = &[
    (Vendor::Amd, "ARK-Genoa", "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    (Vendor::Amd, "ARK-Milan", "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    (Vendor::Amd, "ARK-Naples", "3a04f8f1347de206c9206a81148ba4ef0a233b245d43a15dd82de043bb3e4f69"),
    (Vendor::Amd, "ARK-Rome", "7447ffa21e2b938bfade89f5e9066c00a328813bfc43685605cceabd18da6fde"),
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
        let vendors = Anchors::vendors();
        let intel = vendors.iter().find(|anchor| anchor.vendor == Vendor::Intel);
        let intel = intel.expect("a built-in root").spki_sha256;
        let as_emulator = Listed { spki_sha256: intel, ..listed(0) };

        let anchors = Anchors::vendors()
            .with_emulator(as_emulator)
            .with_emulator(listed(7))
            .with_enrolled(listed(7));

        let standing = |key| anchors.find(Vendor::Intel, key).map(|anchor| anchor.standing);
        assert_eq!(standing(&intel.0), Some(Standing::Vendor));
        assert_eq!(standing(&[7; 32]), Some(Standing::Emulator));
    }

    #[test]
    fn a_device_that_is_listed_counts_under_its_own_key_only() {
        let device = |id: u8| Device::Instance(Octets::new(&[id; 33]));
        let anchors = Anchors::vendors()
            .with_enrolled(Listed { vendor: Vendor::Arm, ..listed(1) })
            .with_device(ListedDevice {
                vendor: Vendor::Arm,
                name: "unit 17".into(),
                spki_sha256: Hex([2; 32]),
                device: device(17),
                emulated: false,
            });
        let keys_for = |vendor, id| -> Vec<u8> {
            let found = anchors.for_device(vendor, &[device(id)]);
            found.iter().map(|anchor| anchor.spki_sha256.0[0]).collect()
        };

        assert_eq!(keys_for(Vendor::Arm, 17), [2]);
        assert_eq!(keys_for(Vendor::Arm, 18), [1]);
        assert!(keys_for(Vendor::OpTee, 17).is_empty());
    }

    #[test]
    fn a_device_is_listed_by_instance_or_by_key() {
        let by_instance = "vendor = 'arm'\nname = 'a'\nspki_sha256 = 'KEY'\n\
                           device = { instance = '01ff' }";
        let by_key = "vendor = 'op-tee'\nname = 'a'\nspki_sha256 = 'KEY'\nemulated = true\n\
                      device = { key = { implementation_id = 'KEY', key_id = '07' } }";
        let read = |text: &str| {
            ListedDevice::from_toml(&text.replace("KEY", &"ab".repeat(32))).expect("listed")
        };

        assert_eq!(read(by_instance).device, Device::Instance(Octets::new(&[1, 0xff])));
        let key_id = Octets::new(&[7]);
        let implementation_id = Hex([0xab; 32]);
        assert_eq!(read(by_key).device, Device::Key { implementation_id, key_id });
        assert!(ListedDevice::from_toml("vendor = 'arm'").is_err());
    }
}
