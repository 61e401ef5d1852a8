//! What messages say about Trusted Components.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minicbor::decode::Decoder;
use suit::ComponentId;

use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::wire::{self, Options, Writer, Written};

/// Reads a SUIT_Component_Identifier.
///
/// ```cddl
/// SUIT_Component_Identifier = [ * bstr ]
/// ```
//= teep 14.19 (M): component identifiers are arrays of byte strings, never text
pub(crate) fn read_id(d: &mut Decoder<'_>) -> Result<ComponentId, Malformed> {
    let parts = wire::array(d, "component-id", limits::COMPONENT_ID_PARTS, |d| {
        wire::bytes(d, "a byte string in component-id")
    })?;
    ComponentId::new(parts).map_err(|_| Malformed::Expected("a component-id of usable size"))
}

pub(crate) fn write_id(e: &mut Writer, id: &ComponentId) -> Written {
    wire::put_array(e, id.parts(), |e, part| e.bytes(part)?.ok())
}

/// One entry of a tc-list: what is installed.
///
/// ```cddl
/// system-property-claims = { 0 : SUIT_Component_Identifier, + SUIT_Parameters }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemProperties<'b> {
    /// The component.
    pub component: ComponentId,
    /// SUIT parameters by label, each as one encoded CBOR item.
    pub parameters: BTreeMap<i64, Cow<'b, [u8]>>,
}

impl<'b> SystemProperties<'b> {
    /// A component with the digest of what was measured, as bytes of a SUIT_Digest.
    pub fn measured(component: ComponentId, digest: &[u8]) -> SystemProperties<'static> {
        let digest = wire::encode(|e| e.bytes(digest)?.ok());
        let parameters = BTreeMap::from([(PARAMETER_IMAGE_DIGEST, Cow::Owned(digest))]);
        SystemProperties { component, parameters }
    }

    /// The bytes of the SUIT_Digest that the entry states, if it states one.
    pub fn image_digest(&self) -> Option<&[u8]> {
        Decoder::new(self.parameters.get(&PARAMETER_IMAGE_DIGEST)?).bytes().ok()
    }

    /// The entry, no longer borrowed.
    pub fn into_owned(self) -> SystemProperties<'static> {
        let owned = |(label, value): (i64, Cow<'b, [u8]>)| (label, Cow::Owned(value.into_owned()));
        SystemProperties {
            component: self.component,
            parameters: self.parameters.into_iter().map(owned).collect(),
        }
    }

    pub(crate) fn decode(d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        let mut component = None;
        let mut parameters = BTreeMap::new();
        wire::map(d, "system-property-claims", limits::PARAMETERS + 1, |d| {
            match wire::int(d, "an integer as label of a SUIT parameter")? {
                COMPONENT_ID => component = Some(read_id(d)?),
                label => {
                    parameters.insert(label, Cow::Borrowed(wire::raw(d)?));
                }
            }
            Ok(())
        })?;
        let component = component.ok_or(Malformed::Missing("component-id of tc-list"))?;
        if parameters.is_empty() {
            return Err(Malformed::Empty("system-property-claims"));
        }
        Ok(Self { component, parameters })
    }

    pub(crate) fn encode(&self, e: &mut Writer) -> Written {
        e.map(1 + self.parameters.len() as u64)?;
        e.i64(COMPONENT_ID)?;
        write_id(e, &self.component)?;
        let (below, above): (Vec<_>, Vec<_>) = self.parameters.iter().partition(|(l, _)| **l < 0);
        for (label, value) in above.into_iter().chain(below.into_iter().rev()) {
            e.i64(*label)?;
            wire::put_raw(e, value);
        }
        Ok(())
    }
}

/// One entry of a requested-tc-list: what the REE asks for.
///
/// ```cddl
/// requested-tc-info = {
///   component-id => SUIT_Component_Identifier,
///   ? tc-manifest-sequence-number => uint,
///   ? have-binary => bool
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedTc {
    /// The component.
    pub component: ComponentId,
    /// What the device already has of it.
    pub present: Present,
}

/// What a device has of a requested component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// An earlier manifest with this sequence number.
    Manifest {
        /// tc-manifest-sequence-number.
        sequence_number: u64,
    },
    /// The binary too, so that the manifest need not bring it.
    //= teep 14.68 (M): have-binary true comes with the sequence number
    Binary {
        /// tc-manifest-sequence-number.
        sequence_number: u64,
    },
}

impl RequestedTc {
    pub(crate) fn decode(d: &mut Decoder<'_>, numbering: Numbering) -> Result<Self, Malformed> {
        let (mut component, mut sequence_number, mut have_binary) = (None, None, false);
        wire::map(d, "requested-tc-info", limits::OPTIONS, |d| {
            let number = wire::uint(d, "an unsigned integer as option label")?;
            match Label::from_number(number, numbering) {
                Some(Label::ComponentId) => component = Some(read_id(d)?),
                Some(Label::TcManifestSequenceNumber) => {
                    sequence_number = Some(wire::uint(d, "tc-manifest-sequence-number")?);
                }
                Some(Label::HaveBinary) => {
                    have_binary = d.bool().map_err(|_| Malformed::Expected("have-binary"))?;
                }
                Some(_) | None => d.skip()?,
            }
            Ok(())
        })?;
        let component = component.ok_or(Malformed::Missing("component-id of requested-tc-list"))?;
        let present = match (have_binary, sequence_number) {
            (false, None) => Present::Nothing,
            (false, Some(sequence_number)) => Present::Manifest { sequence_number },
            (true, Some(sequence_number)) => Present::Binary { sequence_number },
            (true, None) => return Err(Malformed::Missing("tc-manifest-sequence-number")),
        };
        Ok(Self { component, present })
    }

    pub(crate) fn encode(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        options.put(Label::ComponentId, |e| write_id(e, &self.component));
        if let Present::Manifest { sequence_number } | Present::Binary { sequence_number } =
            self.present
        {
            options.put(Label::TcManifestSequenceNumber, |e| e.u64(sequence_number)?.ok());
        }
        if matches!(self.present, Present::Binary { .. }) {
            options.put(Label::HaveBinary, |e| e.bool(true)?.ok());
        }
        options.finish(e)
    }
}

/// suit-parameter-image-digest.
const PARAMETER_IMAGE_DIGEST: i64 = 3;

/// The member of system-property-claims that names the component.
const COMPONENT_ID: i64 = 0;
