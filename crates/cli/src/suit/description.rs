//! A manifest as its author writes it down (TOML).

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use cose::encrypt::ContentAlgorithm;
use serde::{Deserialize, Serialize};
use suit::build::{Compatibility, Uri};

use super::device::{Class, Vendor};

/// A manifest. Paths are relative to the description; unknown members are errors.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Description {
    /// What it installs.
    pub kind: Kind,
    /// The component's name: the component is `[owner, name]`, the manifest `[owner, name.suit]`.
    pub name: String,
    /// The sequence number; it must grow with each release. Default: 1.
    #[serde(default = "one")]
    pub sequence: u64,
    /// The vendor of the devices. Default: `tamarack`.
    #[serde(default)]
    pub vendor: Vendor,
    /// The class of the devices. Default: `process`.
    #[serde(default)]
    pub class: Class,
    /// Where the full manifest is found. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_uri: Option<String>,
    /// What a TA or UA is given when it is started. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Arguments>,
    /// What the component consists of; every kind but `root` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Words for people. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// The parts of a package in their order; only `root` has them.
    #[serde(default, rename = "dependency", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
}

/// What a manifest is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A Trusted Application.
    Ta,
    /// An Untrusted Application.
    Ua,
    /// Personalization Data: sealed bytes.
    Pd,
    /// A package of other manifests.
    Root,
}

/// Bytes that a program is given.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(untagged, expecting = "a text, a list of texts, or { hex = \"…\" }")]
pub(super) enum Arguments {
    /// A text.
    Text(String),
    /// Arguments of a UA: a JSON array of texts.
    List(Vec<String>),
    /// Any bytes.
    Hex {
        /// Hexadecimal.
        hex: String,
    },
}

/// A payload: a file, or what is known of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    /// The payload. Default: it is elsewhere, and its digest and size are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Where devices fetch it. Default: it travels in the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its SHA-256, hexadecimal; in place of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its size in bytes; in place of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// For whom alone it is. Default: for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// How a payload is encrypted; the content key and the IV are drawn anew by every build.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    /// The cipher. Default: `A128GCM`.
    #[serde(default)]
    pub cipher: Cipher,
    /// Files with the public keys of the devices (COSE_Key on P-256 or X25519).
    pub receivers: Vec<PathBuf>,
    /// Where the ciphertext goes, if it does not travel in the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
}

/// The content ciphers of the SUIT profiles and their longer keys.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Cipher {
    /// AES-GCM with a 128-bit key.
    #[default]
    #[serde(rename = "A128GCM")]
    A128Gcm,
    /// AES-GCM with a 256-bit key.
    #[serde(rename = "A256GCM")]
    A256Gcm,
    /// ChaCha20/Poly1305.
    #[serde(rename = "ChaCha20/Poly1305")]
    ChaCha20Poly1305,
    /// AES-CTR with a 128-bit key: the digest of the manifest is what authenticates.
    #[serde(rename = "A128CTR")]
    A128Ctr,
    /// AES-CTR with a 256-bit key.
    #[serde(rename = "A256CTR")]
    A256Ctr,
}

impl Cipher {
    /// For COSE.
    pub(super) fn algorithm(self) -> ContentAlgorithm {
        match self {
            Self::A128Gcm => ContentAlgorithm::A128Gcm,
            Self::A256Gcm => ContentAlgorithm::A256Gcm,
            Self::ChaCha20Poly1305 => ContentAlgorithm::ChaCha20Poly1305,
            Self::A128Ctr => ContentAlgorithm::A128Ctr,
            Self::A256Ctr => ContentAlgorithm::A256Ctr,
        }
    }
}

/// Words for people, which a distributor may cut off.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Text {
    /// The language tag. Default: `en`.
    #[serde(default = "english")]
    pub language: String,
    /// What the manifest does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What the component is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The name of the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_name: Option<String>,
    /// The domain of the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_domain: Option<String>,
    /// The name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// The version, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A part of a package: its envelope, or what is known of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependency {
    /// The part's signed envelope. Default: it is elsewhere, and the members below are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Where devices fetch the envelope. Default: it travels in the package's envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The part's name; in place of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the part runs; in place of `file`. Default: `tee`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The digest of the part's manifest, hexadecimal; in place of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The bytes of the part's envelope; in place of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// Where a part of a package runs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// Inside the TEE.
    Tee,
    /// Outside.
    Ree,
}

impl Description {
    /// Reads a description.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let description: Self = toml::from_str(text)?;
        description.check()?;
        Ok(description)
    }

    /// Writes the description.
    pub(super) fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("writing the description")
    }

    /// The devices.
    pub(super) fn compatibility(&self) -> Compatibility {
        Compatibility { vendor: self.vendor.0, class: self.class.0 }
    }

    /// The reference URI.
    pub(super) fn reference(&self) -> Result<Option<Uri>> {
        self.reference_uri.as_deref().map(Uri::new).transpose().context("reference-uri")
    }

    fn check(&self) -> Result<()> {
        let starts = matches!(self.kind, Kind::Ta | Kind::Ua);
        ensure!(
            starts || self.arguments.is_none(),
            "`arguments` are for kind = \"ta\" and \"ua\": nothing else is started"
        );
        if self.kind == Kind::Root {
            ensure!(self.payload.is_none(), "a root has no [payload]: give [[dependency]]");
            ensure!(!self.dependencies.is_empty(), "a root needs at least one [[dependency]]");
            let text = self.text.as_ref();
            let of_manifest = |text: &Text| *text == text.only_about_the_manifest();
            ensure!(
                text.is_none_or(of_manifest),
                "the [text] of a root has `language` and `manifest`: it has no component"
            );
        } else {
            ensure!(self.dependencies.is_empty(), "[[dependency]] is for kind = \"root\"");
            let payload = self.payload.as_ref().context("[payload] is missing: give `file`")?;
            payload.check()?;
        }
        Ok(())
    }
}

impl Payload {
    fn check(&self) -> Result<()> {
        let Some(encryption) = &self.encryption else { return Ok(()) };
        ensure!(self.file.is_some(), "`payload.encryption` needs `payload.file`: what to encrypt");
        ensure!(!encryption.receivers.is_empty(), "`payload.encryption.receivers` names nobody");
        ensure!(
            encryption.out.is_some() == self.uri.is_some(),
            "`payload.encryption.out` goes with `payload.uri`: without it the ciphertext travels \
             in the envelope"
        );
        Ok(())
    }
}

impl Text {
    fn only_about_the_manifest(&self) -> Self {
        let Self { language, manifest, .. } = self.clone();
        Self { language, manifest, ..Self::default() }
    }

    /// For the builder.
    pub(super) fn words(&self) -> suit::build::Description<'_> {
        suit::build::Description {
            language: &self.language,
            manifest: self.manifest.as_deref(),
            component: self.component.as_deref(),
            vendor_name: self.vendor_name.as_deref(),
            vendor_domain: self.vendor_domain.as_deref(),
            model_name: self.model_name.as_deref(),
            version: self.version.as_deref(),
        }
    }
}

impl Arguments {
    /// The bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::List(list) => serde_json::to_vec(list).context("writing `arguments`")?,
            Self::Hex { hex } => hex::decode(hex).context("`arguments.hex` is not hexadecimal")?,
        })
    }

    /// The most readable form of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let list: Option<Vec<String>> = serde_json::from_slice(bytes).ok();
        let exactly = |list: &Vec<String>| serde_json::to_vec(list).is_ok_and(|own| own == bytes);
        match (list.filter(exactly), std::str::from_utf8(bytes)) {
            (Some(list), _) => Self::List(list),
            (None, Ok(text)) => Self::Text(text.to_owned()),
            (None, Err(_)) => Self::Hex { hex: hex::encode(bytes) },
        }
    }
}

/// A SHA-256 digest in hexadecimal.
pub(super) fn sha256(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).context("`sha256` is not hexadecimal")?;
    <[u8; 32]>::try_from(bytes.as_slice()).ok().context("`sha256` is not 32 bytes (64 digits)")
}

fn one() -> u64 {
    1
}

fn english() -> String {
    "en".to_owned()
}
