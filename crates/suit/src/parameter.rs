//! SUIT_Parameters (suit-manifest section 8.4.8 and the drafts that extend it).

use std::fmt;

use crate::cbor::{Kind, Reader, Writer, int_key};
use crate::digest::Digest;
use crate::error::{Error, Malformed, Unsupported};

mod version;
mod wait;

pub use version::{Comparison, VersionMatch};
pub(crate) use version::{read_version, write_version};
pub use wait::WaitEvent;

/// One parameter with its typed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter<'b> {
    /// suit-parameter-vendor-identifier.
    VendorId(VendorId<'b>),
    /// suit-parameter-class-identifier.
    ClassId(Uuid),
    /// suit-parameter-image-digest, `bstr .cbor SUIT_Digest`.
    ImageDigest(Digest),
    /// suit-parameter-use-before, seconds since 1970 (update-management).
    UseBefore(u64),
    /// suit-parameter-component-slot.
    ComponentSlot(u64),
    /// suit-parameter-strict-order.
    StrictOrder(bool),
    /// suit-parameter-soft-failure.
    SoftFailure(bool),
    /// suit-parameter-image-size.
    ImageSize(u64),
    /// suit-parameter-content.
    Content(&'b [u8]),
    /// suit-parameter-encryption-info, `bstr .cbor COSE_Encrypt` (firmware-encryption).
    EncryptionInfo(&'b [u8]),
    /// suit-parameter-uri.
    Uri(&'b str),
    /// suit-parameter-source-component.
    SourceComponent(u64),
    /// suit-parameter-invoke-args.
    InvokeArgs(&'b [u8]),
    /// suit-parameter-device-identifier.
    DeviceId(Uuid),
    /// suit-parameter-fetch-arguments.
    FetchArguments(&'b [u8]),
    /// suit-parameter-minimum-battery, milliwatt-hours (update-management).
    MinimumBattery(u64),
    /// suit-parameter-update-priority (update-management).
    UpdatePriority(i64),
    /// suit-parameter-version (update-management).
    Version(VersionMatch),
    /// suit-parameter-wait-info, `bstr .cbor SUIT_Wait_Event` (update-management).
    WaitInfo(&'b [u8]),
    /// suit-parameter-component-metadata (update-management).
    ComponentMetadata(&'b [u8]),
    /// A parameter of the application, with a key below -256.
    Custom(i64, CustomValue<'b>),
}

impl<'b> Parameter<'b> {
    /// The keys of every parameter that is read here, custom ones aside.
    pub const KEYS: [i64; 20] = [
        key::VENDOR_ID,
        key::CLASS_ID,
        key::IMAGE_DIGEST,
        key::USE_BEFORE,
        key::COMPONENT_SLOT,
        key::STRICT_ORDER,
        key::SOFT_FAILURE,
        key::IMAGE_SIZE,
        key::CONTENT,
        key::ENCRYPTION_INFO,
        key::URI,
        key::SOURCE_COMPONENT,
        key::INVOKE_ARGS,
        key::DEVICE_ID,
        key::FETCH_ARGUMENTS,
        key::MINIMUM_BATTERY,
        key::UPDATE_PRIORITY,
        key::VERSION,
        key::WAIT_INFO,
        key::COMPONENT_METADATA,
    ];

    /// The key of the parameter in the registry.
    pub const fn key(&self) -> i64 {
        match self {
            Self::VendorId(_) => key::VENDOR_ID,
            Self::ClassId(_) => key::CLASS_ID,
            Self::ImageDigest(_) => key::IMAGE_DIGEST,
            Self::UseBefore(_) => key::USE_BEFORE,
            Self::ComponentSlot(_) => key::COMPONENT_SLOT,
            Self::StrictOrder(_) => key::STRICT_ORDER,
            Self::SoftFailure(_) => key::SOFT_FAILURE,
            Self::ImageSize(_) => key::IMAGE_SIZE,
            Self::Content(_) => key::CONTENT,
            Self::EncryptionInfo(_) => key::ENCRYPTION_INFO,
            Self::Uri(_) => key::URI,
            Self::SourceComponent(_) => key::SOURCE_COMPONENT,
            Self::InvokeArgs(_) => key::INVOKE_ARGS,
            Self::DeviceId(_) => key::DEVICE_ID,
            Self::FetchArguments(_) => key::FETCH_ARGUMENTS,
            Self::MinimumBattery(_) => key::MINIMUM_BATTERY,
            Self::UpdatePriority(_) => key::UPDATE_PRIORITY,
            Self::Version(_) => key::VERSION,
            Self::WaitInfo(_) => key::WAIT_INFO,
            Self::ComponentMetadata(_) => key::COMPONENT_METADATA,
            Self::Custom(key, _) => *key,
        }
    }

    /// Decodes the encoded value of parameter `key`.
    pub fn decode(key: i64, value: &'b [u8]) -> Result<Self, Error> {
        Self::read(key, &mut Reader::open(value)?)
    }

    /// Reads a value of a checked map.
    pub(crate) fn read(key: i64, reader: &mut Reader<'b>) -> Result<Self, Error> {
        Self::read_value(key, reader)
            .map_err(|error| error.unless_expected(Malformed::Parameter(key)))
    }

    fn read_value(key: i64, reader: &mut Reader<'b>) -> Result<Self, Error> {
        let parameter = match key {
            key::VENDOR_ID => Self::VendorId(VendorId::read(reader)?),
            key::CLASS_ID => Self::ClassId(Uuid::read(reader)?),
            key::IMAGE_DIGEST => Self::ImageDigest(Digest::decode(reader.bytes()?)?),
            key::USE_BEFORE => Self::UseBefore(reader.uint()?),
            key::COMPONENT_SLOT => Self::ComponentSlot(reader.uint()?),
            key::STRICT_ORDER => Self::StrictOrder(reader.bool()?),
            key::SOFT_FAILURE => Self::SoftFailure(reader.bool()?),
            key::IMAGE_SIZE => Self::ImageSize(reader.uint()?),
            key::CONTENT => Self::Content(reader.bytes()?),
            key::ENCRYPTION_INFO => Self::EncryptionInfo(reader.bytes()?),
            key::URI => Self::Uri(reader.text()?),
            key::SOURCE_COMPONENT => Self::SourceComponent(reader.uint()?),
            key::INVOKE_ARGS => Self::InvokeArgs(reader.bytes()?),
            key::DEVICE_ID => Self::DeviceId(Uuid::read(reader)?),
            key::FETCH_ARGUMENTS => Self::FetchArguments(reader.bytes()?),
            key::MINIMUM_BATTERY => Self::MinimumBattery(reader.uint()?),
            key::UPDATE_PRIORITY => Self::UpdatePriority(reader.int()?),
            key::VERSION => Self::Version(VersionMatch::read(&mut Reader::open(reader.bytes()?)?)?),
            key::WAIT_INFO => {
                let events = reader.bytes()?;
                WaitEvent::decode(events)?;
                Self::WaitInfo(events)
            }
            key::COMPONENT_METADATA => Self::ComponentMetadata(reader.bytes()?),
            key if key < CUSTOM_BELOW => Self::Custom(key, CustomValue::read(reader)?),
            key => return Err(Unsupported::Parameter(key).into()),
        };
        Ok(parameter)
    }

    /// Encodes the value without its key.
    pub fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| self.write(w))
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::VendorId(VendorId::Uuid(id)) | Self::ClassId(id) | Self::DeviceId(id) => {
                w.bytes(&id.0);
            }
            Self::VendorId(VendorId::Pen(oid)) => {
                w.tag(TAG_PEN).bytes(oid);
            }
            Self::ImageDigest(digest) => {
                w.wrapped(|w| digest.write(w));
            }
            Self::UseBefore(value)
            | Self::ComponentSlot(value)
            | Self::ImageSize(value)
            | Self::SourceComponent(value)
            | Self::MinimumBattery(value) => {
                w.uint(*value);
            }
            Self::StrictOrder(value) | Self::SoftFailure(value) => {
                w.bool(*value);
            }
            Self::Content(value)
            | Self::EncryptionInfo(value)
            | Self::InvokeArgs(value)
            | Self::FetchArguments(value)
            | Self::WaitInfo(value)
            | Self::ComponentMetadata(value) => {
                w.bytes(value);
            }
            Self::Uri(value) => {
                w.text(value);
            }
            Self::UpdatePriority(value) => {
                w.int(*value);
            }
            Self::Version(version) => {
                w.wrapped(|w| version.write(w));
            }
            Self::Custom(_, value) => value.write(w),
        }
    }
}

/// A map of parameters, kept as received.
///
/// ```cddl
/// { + $$SUIT_Parameters }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'b> {
    entries: Vec<(i64, &'b [u8])>,
}

impl<'b> Parameters<'b> {
    /// The parameters in the order of their keys' encoding.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'b>> + '_ {
        self.entries.iter().map(|(key, value)| {
            Parameter::read(*key, &mut Reader::trusted(value)).expect("checked when it was read")
        })
    }

    /// Keys and encoded values.
    pub fn raw(&self) -> &[(i64, &'b [u8])] {
        &self.entries
    }

    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, Error> {
        let length = reader.map()?;
        if length == 0 {
            return Err(Malformed::Expected("at least one parameter").into());
        }
        let mut entries = Vec::new();
        for _ in 0..length {
            let key = reader.int()?;
            let value = reader.raw()?;
            Parameter::read(key, &mut Reader::trusted(value))?;
            entries.push((key, value));
        }
        Ok(Self { entries })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.sorted_map(
            self.entries.iter().map(|(key, value)| (int_key(*key), value.to_vec())).collect(),
        );
    }
}

/// Writes a map of parameters.
pub(crate) fn write_parameters(w: &mut Writer, parameters: &[Parameter<'_>]) {
    w.sorted_map(parameters.iter().map(|each| (int_key(each.key()), each.encode())).collect());
}

/// A vendor identifier: a UUID, or a private enterprise number of IANA under tag 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendorId<'b> {
    /// RFC 9562, version 3, 4 or 5.
    Uuid(Uuid),
    /// A relative object identifier below 1.3.6.1.4.1 (RFC 9090).
    Pen(&'b [u8]),
}

impl<'b> VendorId<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, Malformed> {
        if reader.kind()? != Kind::Tag {
            return Ok(Self::Uuid(Uuid::read(reader)?));
        }
        match reader.tag()? {
            TAG_PEN => Ok(Self::Pen(reader.bytes()?)),
            _ => Err(Malformed::Expected("a UUID or tag 112")),
        }
    }
}

/// A UUID of version 3, 4 or 5 (suit-manifest section 8.4.8.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Takes 16 bytes that are a UUID of version 3, 4 or 5.
    pub const fn new(bytes: [u8; 16]) -> Result<Self, Malformed> {
        if matches!(bytes[6] >> 4, 3..=5) && bytes[8] >> 6 == 0b10 {
            Ok(Self(bytes))
        } else {
            Err(Malformed::Uuid)
        }
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes = reader.bytes()?.try_into().map_err(|_| Malformed::Expected("16 bytes"))?;
        Self::new(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a custom parameter.
///
/// ```cddl
/// int / bool / tstr / bstr
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomValue<'b> {
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(&'b str),
    /// Bytes.
    Bytes(&'b [u8]),
}

impl<'b> CustomValue<'b> {
    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, Malformed> {
        match reader.kind()? {
            Kind::Uint | Kind::Negative => Ok(Self::Int(reader.int()?)),
            Kind::Bool => Ok(Self::Bool(reader.bool()?)),
            Kind::Text => Ok(Self::Text(reader.text()?)),
            Kind::Bytes => Ok(Self::Bytes(reader.bytes()?)),
            Kind::Array | Kind::Map | Kind::Tag | Kind::Null | Kind::Other => {
                Err(Malformed::Expected("an integer, boolean, text or byte string"))
            }
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::Int(value) => w.int(*value),
            Self::Bool(value) => w.bool(*value),
            Self::Text(value) => w.text(value),
            Self::Bytes(value) => w.bytes(value),
        };
    }
}

/// The keys of the registry of SUIT parameters.
pub mod key {
    /// suit-parameter-vendor-identifier
    pub const VENDOR_ID: i64 = 1;
    /// suit-parameter-class-identifier
    pub const CLASS_ID: i64 = 2;
    /// suit-parameter-image-digest
    pub const IMAGE_DIGEST: i64 = 3;
    /// suit-parameter-use-before
    pub const USE_BEFORE: i64 = 4;
    /// suit-parameter-component-slot
    pub const COMPONENT_SLOT: i64 = 5;
    /// suit-parameter-strict-order
    pub const STRICT_ORDER: i64 = 12;
    /// suit-parameter-soft-failure
    pub const SOFT_FAILURE: i64 = 13;
    /// suit-parameter-image-size
    pub const IMAGE_SIZE: i64 = 14;
    /// suit-parameter-content
    pub const CONTENT: i64 = 18;
    /// suit-parameter-encryption-info
    pub const ENCRYPTION_INFO: i64 = 19;
    /// suit-parameter-uri
    pub const URI: i64 = 21;
    /// suit-parameter-source-component
    pub const SOURCE_COMPONENT: i64 = 22;
    /// suit-parameter-invoke-args
    pub const INVOKE_ARGS: i64 = 23;
    /// suit-parameter-device-identifier
    pub const DEVICE_ID: i64 = 24;
    /// suit-parameter-fetch-arguments
    pub const FETCH_ARGUMENTS: i64 = 25;
    /// suit-parameter-minimum-battery
    pub const MINIMUM_BATTERY: i64 = 26;
    /// suit-parameter-update-priority
    pub const UPDATE_PRIORITY: i64 = 27;
    /// suit-parameter-version
    pub const VERSION: i64 = 28;
    /// suit-parameter-wait-info
    pub const WAIT_INFO: i64 = 29;
    /// suit-parameter-component-metadata
    pub const COMPONENT_METADATA: i64 = 30;
}

/// Keys and labels below this belong to the application.
pub(crate) const CUSTOM_BELOW: i64 = -256;
const TAG_PEN: u64 = 112;
