//! Submodules of a token.

use std::collections::BTreeMap;

use cose::{Accept, Key, Verified};
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::eat::private::{TA_PREFIX, TaEntry};
use crate::eat::{Claims, Token};
use crate::label::{Label, claim};
use crate::map::{Members, raw, text, whole};
use crate::refusal::{Malformed, Refused};

/// The submods claim (RFC 9711 section 4.2.18): entries for Trusted Applications are read, others
/// are kept as received.
///
/// ```cddl
/// submods = { + tstr => claims-set / nested-token bstr / detached-submodule-digest }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submods {
    tas: BTreeMap<String, TaEntry>,
    other: BTreeMap<String, Submod>,
}

impl Submods {
    /// Adds the entry of a Trusted Application, under its own name.
    pub fn insert_ta(&mut self, entry: TaEntry) {
        self.tas.insert(entry.submod_name(), entry);
    }

    /// Adds another submodule. A name that belongs to a Trusted Application is refused.
    pub fn insert(&mut self, name: impl Into<String>, submod: Submod) -> Result<(), Malformed> {
        let name = name.into();
        if name.starts_with(TA_PREFIX) {
            return Err(Malformed::Value(Label::Text(name)));
        }
        self.other.insert(name, submod);
        Ok(())
    }

    /// The Trusted Applications, in the order of their names.
    pub fn tas(&self) -> impl Iterator<Item = &TaEntry> {
        self.tas.values()
    }

    /// The Trusted Application that was installed by the manifest with this component identifier.
    pub fn ta(&self, manifest_component_id: &[Vec<u8>]) -> Option<&TaEntry> {
        self.tas.values().find(|ta| ta.manifest.component_id == manifest_component_id)
    }

    /// The submodules that are not Trusted Applications.
    pub fn other(&self) -> &BTreeMap<String, Submod> {
        &self.other
    }

    /// Whether there is no submodule at all.
    pub fn is_empty(&self) -> bool {
        self.tas.is_empty() && self.other.is_empty()
    }

    //= rats 11.14 (M): submodules of an unknown kind are kept, not refused
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let count = match d.map()? {
            Some(count) if count > 0 => count,
            _ => return Err(Malformed::Value(claim::SUBMODS.into())),
        };
        let mut submods = Self::default();
        for _ in 0..count {
            let name = text(d)?;
            let value = raw(d)?;
            if !name.starts_with(TA_PREFIX) {
                submods.other.insert(name, Submod::decode(value)?);
                continue;
            }
            let entry = TaEntry::decode(value)?;
            if entry.submod_name() != name {
                return Err(Malformed::Value(Label::Text(name)));
            }
            submods.tas.insert(name, entry);
        }
        Ok(submods)
    }

    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut members = Members::default();
        for (name, entry) in &self.tas {
            members.put(name.as_str(), entry.encode());
        }
        for (name, submod) in &self.other {
            members.put(name.as_str(), submod.encode());
        }
        (!members.is_empty()).then(|| members.encode())
    }
}

/// A submodule that is not a Trusted Application of ours, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submod {
    /// An encoded claims set, under the signature of the surrounding token.
    Claims(Vec<u8>),
    /// A nested token with a protection of its own.
    Token(Vec<u8>),
    /// Any other kind, encoded: a detached digest, or something newer.
    Other(Vec<u8>),
}

impl Submod {
    /// Verifies a nested token with its own key, never with the key of the surrounding token.
    //= rats 11.16 (M): a nested token is verified with its own key
    pub fn verify(&self, key: &Key, accept: &Accept) -> Result<Verified<Token>, Refused> {
        match self {
            Self::Token(token) => super::verify(token, key, accept),
            Self::Claims(_) | Self::Other(_) => {
                Err(Malformed::Expected("a nested token with a signature of its own").into())
            }
        }
    }

    /// Reads the claims of a submodule that the surrounding token vouches for.
    pub fn claims(&self) -> Result<Claims, Malformed> {
        match self {
            Self::Claims(claims) => Claims::decode(claims),
            Self::Token(_) | Self::Other(_) => Err(Malformed::Expected("a claims set")),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        whole(bytes, |d| match d.datatype()? {
            Type::Map => Ok(Self::Claims(raw(d)?.to_vec())),
            Type::Bytes => Ok(Self::Token(d.bytes()?.to_vec())),
            _ => Ok(Self::Other(raw(d)?.to_vec())),
        })
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Claims(encoded) | Self::Other(encoded) => encoded.clone(),
            Self::Token(token) => crate::map::encode_bytes(token),
        }
    }
}
