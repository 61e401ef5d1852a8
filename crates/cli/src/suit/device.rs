//! Vendor and class identifiers by name, and the device that a dry run pretends to be.

use std::{collections::BTreeSet, fmt, str::FromStr};

use anyhow::{Context as _, Result, bail};
use rats::eat::{InstanceType, VENDOR_ID};
use serde::{Deserialize, Serialize};
use suit::{Device, Uuid};

/// A vendor identifier: `tamarack`, or a UUID.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Vendor(pub Uuid);

/// A class identifier: `process`, `container`, `vm`, or a UUID.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Class(pub Uuid);

macro_rules! named {
    ($identifier:ident, $words:expr) => {
        impl FromStr for $identifier {
            type Err = anyhow::Error;

            fn from_str(text: &str) -> Result<Self> {
                from_words(text, &$words).map(Self)
            }
        }

        impl TryFrom<String> for $identifier {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse().map_err(|error: anyhow::Error| format!("{error:#}"))
            }
        }

        impl From<$identifier> for String {
            fn from(identifier: $identifier) -> Self {
                identifier.to_string()
            }
        }

        impl fmt::Display for $identifier {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match $words.iter().find(|(_, bytes)| bytes == self.0.bytes()) {
                    Some((word, _)) => f.write_str(word),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
}

named!(Vendor, VENDORS);
named!(Class, CLASSES);

impl Default for Vendor {
    fn default() -> Self {
        Self(known(VENDOR_ID))
    }
}

impl Default for Class {
    fn default() -> Self {
        Self(known(InstanceType::Process.class_id()))
    }
}

/// What a device answers to: `vendor=…,class=…`, each as often as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    vendors: BTreeSet<Uuid>,
    classes: BTreeSet<Uuid>,
}

impl Default for Identity {
    /// Tamarack's vendor with all of its classes.
    fn default() -> Self {
        Self {
            vendors: BTreeSet::from([known(VENDOR_ID)]),
            classes: CLASSES.into_iter().map(|(_, bytes)| known(bytes)).collect(),
        }
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (mut vendors, mut classes) = (BTreeSet::new(), BTreeSet::new());
        for pair in text.split(',') {
            match pair.split_once('=') {
                Some(("vendor", value)) => vendors.insert(value.parse::<Vendor>()?.0),
                Some(("class", value)) => classes.insert(value.parse::<Class>()?.0),
                _ => bail!("`{pair}` is neither `vendor=…` nor `class=…`"),
            };
        }
        let Self { vendors: own, classes: every } = Self::default();
        Ok(Self {
            vendors: if vendors.is_empty() { own } else { vendors },
            classes: if classes.is_empty() { every } else { classes },
        })
    }
}

impl Identity {
    /// A device that runs every command, fetches by http and https, and knows the time.
    pub(super) fn device(&self) -> Device {
        let mut device = Device::new(known(VENDOR_ID), known(InstanceType::Process.class_id()));
        device.vendors.clone_from(&self.vendors);
        device.classes.clone_from(&self.classes);
        device.schemes = ["http", "https"].map(str::to_owned).into();
        device.now = u64::try_from(jiff::Timestamp::now().as_second()).ok();
        device
    }
}

fn from_words(text: &str, words: &[(&str, [u8; 16])]) -> Result<Uuid> {
    if let Some((_, bytes)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(known(*bytes));
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let what = || format!("`{text}` is neither a UUID nor one of: {}", words.join(", "));
    let digits = hex::decode(text.replace('-', "")).ok().filter(|_| has_uuid_form(text));
    let bytes = digits.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).with_context(what)?;
    Uuid::new(bytes).with_context(|| format!("`{text}`"))
}

fn has_uuid_form(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
}

fn known(bytes: [u8; 16]) -> Uuid {
    Uuid::new(bytes).expect("the constants are UUIDs of version 5")
}

const VENDORS: [(&str, [u8; 16]); 1] = [("tamarack", VENDOR_ID)];
const CLASSES: [(&str, [u8; 16]); 3] = {
    use InstanceType::{Container, Process, Vm};
    [
        (Process.name(), Process.class_id()),
        (Container.name(), Container.class_id()),
        (Vm.name(), Vm.class_id()),
    ]
};
