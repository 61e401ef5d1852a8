//! Claims of our own: keys of the Agent, and what a Trusted Application is.

use std::fmt::Write as _;

use cose::Key;
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::eat::cnf::{self, Confirmation};
use crate::eat::{Claims, manifests::Manifest};
use crate::label::claim;
use crate::map::{
    Entries, Members, array, bytes, encode, encode_bytes, encode_text, encode_uint, list, raw,
    text, tuple,
};
use crate::refusal::Malformed;

/// Keys of the Agent beside its TEEP key, each with one use.
///
/// ```cddl
/// session-keys = { 1: COSE_Key, 2: COSE_Key, ? 3: COSE_Key }     ; report, receipt, payload
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKeys {
    /// Signs SUIT reports.
    pub report: Key,
    /// Signs channel receipts.
    pub receipt: Key,
    /// Receives the encrypted payloads of manifests.
    pub payload: Option<Key>,
}

impl SessionKeys {
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let report = members.require(1, |d| cnf::key(raw(d)?))?;
        let receipt = members.require(2, |d| cnf::key(raw(d)?))?;
        let payload = members.take(3, |d| cnf::key(raw(d)?))?;
        Ok(Self { report, receipt, payload })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(1, self.report.encode());
        members.put(2, self.receipt.encode());
        members.put_some(3, self.payload.as_ref().map(Key::encode));
        members.encode()
    }
}

/// Reads the receiver keys of one exchange, one for each suite of the channel.
///
/// ```cddl
/// receivers = COSE_Key / [2*8 COSE_Key]                          ; no two on one curve
/// ```
pub(crate) fn receivers(d: &mut Decoder<'_>) -> Result<Vec<Key>, Malformed> {
    if d.datatype()? != Type::Array {
        return Ok(vec![cnf::key(raw(d)?)?]);
    }
    let keys = list(d, "receiver keys", |d| cnf::key(raw(d)?))?;
    let twice = |(at, key): (usize, &Key)| keys[..at].iter().any(|k| k.curve() == key.curve());
    if !(2..=RECEIVERS_MAX).contains(&keys.len()) || keys.iter().enumerate().any(twice) {
        return Err(Malformed::Value(claim::RECEIVERS.into()));
    }
    Ok(keys)
}

pub(crate) fn encode_receivers(keys: &[Key]) -> Option<Vec<u8>> {
    match keys {
        [] => None,
        [one] => Some(one.encode()),
        several => {
            let mut bytes = encode(|e| e.array(several.len() as u64)?.ok());
            several.iter().for_each(|key| bytes.extend(key.encode()));
            Some(bytes)
        }
    }
}

/// How an instance of a Trusted Application runs.
///
/// ```cddl
/// instance = { 1: "process" / "container" / "vm", 2: isolation [+ tstr], ? 3: submodule tstr,
///              ? 4: [ image bstr .size 32, configuration bstr .size 32 ] }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What kind of instance it is.
    pub kind: InstanceType,
    /// Every mechanism that separates it, as really enforced.
    pub isolation: Vec<String>,
    /// What runs it inside the instance, such as an interpreter.
    pub submodule: Option<String>,
    /// The image that a container was made from.
    pub image: Option<ImageId>,
}

/// An OCI image by its digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageId {
    /// SHA-256 of the image manifest: the digest by which registries name the image.
    pub manifest: [u8; 32],
    /// SHA-256 of the image configuration.
    pub config: [u8; 32],
}

impl Instance {
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let kind = members.require(1, |d| InstanceType::from_name(d.str()?))?;
        let isolation = members.require(2, |d| list(d, "one isolation or more", text))?;
        let submodule = members.take(3, text)?;
        let image = members.take(4, |d| {
            tuple(d, 2, "the digests of an image and its configuration")?;
            Ok(ImageId {
                manifest: array(d, "a digest of 32 bytes")?,
                config: array(d, "a digest of 32 bytes")?,
            })
        })?;
        Ok(Self { kind, isolation, submodule, image })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(1, encode_text(self.kind.name()));
        members.put(
            2,
            encode(|e| {
                e.array(self.isolation.len() as u64)?;
                self.isolation.iter().try_for_each(|name| e.str(name)?.ok())
            }),
        );
        members.put_some(3, self.submodule.as_deref().map(encode_text));
        members.put_some(
            4,
            self.image.map(|image| {
                encode(|e| e.array(2)?.bytes(&image.manifest)?.bytes(&image.config)?.ok())
            }),
        );
        members.encode()
    }
}

/// The instance types of the use-case draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceType {
    /// A process.
    Process,
    /// A container.
    Container,
    /// A virtual machine.
    Vm,
}

impl InstanceType {
    /// All of them, in the order of the draft.
    pub const ALL: [Self; 3] = [Self::Process, Self::Container, Self::Vm];

    /// The SUIT class identifier of packages for this instance type, whatever the hardware: UUID
    /// version 5 of `confidential process` (or `container`, `vm`) in the namespace of
    /// [`VENDOR_ID`].
    pub const fn class_id(self) -> [u8; 16] {
        match self {
            Self::Process => 0x7b39_7450_6111_5eb1_8e91_ba8b_2c60_eede_u128,
            Self::Container => 0x34c9_a948_c7d1_5061_8a5b_275f_752f_dcca,
            Self::Vm => 0xa6c4_590c_78c7_5cd0_b288_1e91_a42e_cf6c,
        }
        .to_be_bytes()
    }

    /// The instance type of packages of this class, if the class names one.
    pub fn of_class_id(class_id: &[u8; 16]) -> Option<Self> {
        Self::ALL.into_iter().find(|instance| instance.class_id() == *class_id)
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Vm => "vm",
        }
    }

    /// Reads a name of the wire.
    pub fn from_name(name: &str) -> Result<Self, Malformed> {
        match name {
            "process" => Ok(Self::Process),
            "container" => Ok(Self::Container),
            "vm" => Ok(Self::Vm),
            _ => Err(Malformed::Value(claim::INSTANCE.into())),
        }
    }
}

impl std::fmt::Display for InstanceType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The SUIT vendor identifier of packages for every device of the use-case draft: UUID version 5
/// of `tamarack.example` in the DNS namespace.
pub const VENDOR_ID: [u8; 16] = 0xd98d_fd44_7114_5376_bf7c_3adf_b471_2dd2_u128.to_be_bytes();

/// The SUIT manifest that an instance was installed by.
///
/// ```cddl
/// manifest = { 1: component-id [+ bstr], 2: digest bstr .size 32, 3: sequence-number uint }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestId {
    /// The manifest component identifier, owner first.
    pub component_id: Vec<Vec<u8>>,
    /// SHA-256 of the manifest, the bytes of its SUIT_Digest.
    pub digest: [u8; 32],
    /// The manifest sequence number.
    pub sequence_number: u64,
}

impl ManifestId {
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        Ok(Self {
            component_id: members.require(1, |d| list(d, "a component identifier", bytes))?,
            digest: members.require(2, |d| array(d, "a digest of 32 bytes"))?,
            sequence_number: members.require(3, |d| Ok(d.u64()?))?,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        members.put(
            1,
            encode(|e| {
                e.array(self.component_id.len() as u64)?;
                self.component_id.iter().try_for_each(|part| e.bytes(part)?.ok())
            }),
        );
        members.put(2, encode_bytes(&self.digest));
        members.put(3, encode_uint(self.sequence_number));
        members.encode()
    }
}

/// What the Agent says of one installed Trusted Application: a submodule of its claims.
///
/// ```cddl
/// ta = {
///   8: { 1: COSE_Key },              ; the TA's service key
///   -75803: instance,
///   -75804: manifest,
///   ? -75802: receivers,             ; of this exchange
///   ? 270: swname tstr,
///   ? 272: manifests
/// }
/// ```
///
/// It has nothing but its own members: claims of the surrounding token are not inherited.
//= rats 11.15 (M): submodules do not inherit claims
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaEntry {
    /// The key that the TA made and serves callers with (P-256, HPKE).
    pub service_key: Key,
    /// The keys that Personalization Data of this exchange may be sealed to, one for each suite.
    pub receivers: Vec<Key>,
    /// How it runs.
    pub instance: Instance,
    /// What it was installed by.
    pub manifest: ManifestId,
    /// Its name.
    pub swname: Option<String>,
    /// References to its manifests.
    pub manifests: Vec<Manifest>,
}

impl TaEntry {
    /// The name of the submodule: `ta:` and the manifest component identifier in hexadecimal,
    /// its parts separated by `/`, so that two owners' components of one name stay two.
    pub fn submod_name(&self) -> String {
        let mut name = String::from(TA_PREFIX);
        for (index, part) in self.manifest.component_id.iter().enumerate() {
            if index > 0 {
                name.push('/');
            }
            for byte in part {
                let _ = write!(name, "{byte:02x}");
            }
        }
        name
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let claims = Claims::decode_members(bytes)?;
        let missing = |label: i64| Malformed::Missing(label.into());
        let Some(Confirmation::Key(service_key)) = claims.cnf else {
            return Err(missing(claim::CNF));
        };
        Ok(Self {
            service_key,
            receivers: claims.receivers,
            instance: claims.instance.ok_or(missing(claim::INSTANCE))?,
            manifest: claims.manifest.ok_or(missing(claim::MANIFEST))?,
            swname: claims.swname,
            manifests: claims.manifests,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Claims {
            cnf: Some(Confirmation::Key(self.service_key.clone())),
            receivers: self.receivers.clone(),
            instance: Some(self.instance.clone()),
            manifest: Some(self.manifest.clone()),
            swname: self.swname.clone(),
            manifests: self.manifests.clone(),
            ..Claims::default()
        }
        .encode()
    }
}

const RECEIVERS_MAX: usize = 8;

/// How the name of a Trusted Application's submodule begins.
pub(crate) const TA_PREFIX: &str = "ta:";
