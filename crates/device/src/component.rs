//! Component identifiers as they travel inside the device.

use crate::Malformed;
use crate::codec::{Reader, Writer};

/// A SUIT Component Identifier: one to eight byte strings.
///
/// ```cddl
/// component-id = [ 1*8 bstr .size (0..256) ]
/// ```
///
/// In the TEE it is `[owner, name]`, in the REE `['REE', owner, name]`; the owner is the SHA-256
/// thumbprint of the signer's key. The suffix `.suit` in the name makes the manifest's identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(Vec<Vec<u8>>);

impl ComponentId {
    /// Makes an identifier of these elements, if their number and lengths are allowed.
    pub fn new(elements: Vec<Vec<u8>>) -> Result<Self, Malformed> {
        if elements.is_empty() || elements.len() > ELEMENTS_MAX {
            return Err(Malformed::Arity { what: WHAT, got: elements.len() as u64 });
        }
        if let Some(long) = elements.iter().find(|element| element.len() > ELEMENT_BYTES_MAX) {
            return Err(Malformed::Length { what: WHAT, got: long.len() });
        }
        Ok(Self(elements))
    }

    /// Returns the elements in order.
    pub fn elements(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Returns the elements in order.
    pub fn into_elements(self) -> Vec<Vec<u8>> {
        self.0
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let elements = reader.array(WHAT, ELEMENTS_MAX as u64)?;
        let mut read = Vec::new();
        for _ in 0..elements {
            read.push(reader.bytes_up_to(WHAT, ELEMENT_BYTES_MAX)?.to_vec());
        }
        Self::new(read)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(self.0.len());
        for element in &self.0 {
            writer.bytes(element);
        }
    }
}

const WHAT: &str = "component identifier";
const ELEMENTS_MAX: usize = 8;
const ELEMENT_BYTES_MAX: usize = 256;
