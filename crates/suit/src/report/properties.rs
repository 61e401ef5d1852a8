//! Properties of a component: parameters with the values that were measured.

use std::collections::BTreeMap;

use crate::cbor::{Reader, Writer, int_key};
use crate::component::ComponentId;
use crate::error::{Error, Malformed};
use crate::parameter::Parameter;

/// Parameters by key, each at most once.
///
/// ```cddl
/// { * $$SUIT_Parameters }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<i64, Vec<u8>>,
}

impl Properties {
    /// No property.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a property.
    pub fn with(mut self, parameter: &Parameter<'_>) -> Self {
        self.values.insert(parameter.key(), parameter.encode());
        self
    }

    /// The property with this key.
    pub fn find(&self, key: i64) -> Option<Parameter<'_>> {
        let value = self.values.get(&key)?;
        Parameter::decode(key, value).ok()
    }

    /// Every property.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'_>> {
        self.values.iter().filter_map(|(key, value)| Parameter::decode(*key, value).ok())
    }

    /// Whether there is no property.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut values = BTreeMap::new();
        for _ in 0..reader.map()? {
            let key = reader.int()?;
            let value = reader.raw()?;
            Parameter::read(key, &mut Reader::trusted(value))?;
            values.insert(key, value.to_vec());
        }
        Ok(Self { values })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.sorted_map(self.entries().collect());
    }

    fn entries(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        self.values.iter().map(|(key, value)| (int_key(*key), value.clone()))
    }
}

/// Reads `system-property-claims`, which is also an entry of TEEP's tc-list.
///
/// ```cddl
/// system-property-claims = {
///   system-component-id (0) => SUIT_Component_Identifier, + $$SUIT_Parameters
/// }
/// ```
pub(super) fn read_system_properties(
    reader: &mut Reader<'_>,
) -> Result<(ComponentId, Properties), Error> {
    let length = reader.map()?;
    if length < 2 || reader.int()? != COMPONENT_ID {
        return Err(Malformed::Expected("a component and its properties").into());
    }
    let component = ComponentId::read(reader)?;
    let mut properties = Properties::new();
    for _ in 1..length {
        let key = reader.int()?;
        let value = reader.raw()?;
        Parameter::read(key, &mut Reader::trusted(value))?;
        properties.values.insert(key, value.to_vec());
    }
    Ok((component, properties))
}

pub(super) fn write_system_properties(
    w: &mut Writer,
    component: &ComponentId,
    properties: &Properties,
) {
    let own = (int_key(COMPONENT_ID), component.encode());
    w.sorted_map(std::iter::once(own).chain(properties.entries()).collect());
}

impl Properties {
    /// Decodes `system-property-claims`: a component and what is known of it.
    pub fn decode_system(bytes: &[u8]) -> Result<(ComponentId, Self), Error> {
        read_system_properties(&mut Reader::open(bytes)?)
    }

    /// Encodes `system-property-claims`.
    pub fn encode_system(&self, component: &ComponentId) -> Vec<u8> {
        Writer::collect(|w| write_system_properties(w, component, self))
    }
}

const COMPONENT_ID: i64 = 0;
