//! A verified manifest laid out for running: places in the envelope's bytes, nothing decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::authentication::Signer;
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::error::{Error, Malformed};
use crate::section::Section;
use crate::sequence::Labels;
use crate::verified::Verified;

/// A manifest that the processor runs, with the envelope that it owns or borrows.
#[derive(Clone, Debug)]
pub(super) struct Program<'b> {
    bytes: Cow<'b, [u8]>,
    pub(super) digest: Digest,
    pub(super) signer: Signer,
    pub(super) sequence_number: u64,
    pub(super) reference_uri: String,
    /// What its uses of components are counted under.
    pub(super) identity: ComponentId,
    /// Every index that commands may select.
    pub(super) components: BTreeMap<u64, ComponentId>,
    /// The indices that are dependencies, with the prefix of their components.
    pub(super) dependencies: BTreeMap<u64, Option<ComponentId>>,
    pub(super) shared: Option<Range<usize>>,
    /// The sections; none in place of one that was severed and is absent.
    pub(super) sections: BTreeMap<Section, Option<Range<usize>>>,
    pub(super) payloads: BTreeMap<String, Range<usize>>,
    /// Every command that the sequences hold.
    pub(super) labels: Labels,
}

impl<'b> Program<'b> {
    /// Lays out a manifest whose components are below `scope`, if it has one.
    pub(super) fn new(verified: &Verified<'b>, scope: Option<&ComponentId>) -> Result<Self, Error> {
        let manifest = verified.manifest();
        let bytes = verified.envelope().bytes();
        let at = |part: &[u8]| locate(bytes, part);
        let scoped = |component: &ComponentId| match scope {
            Some(prefix) => component.below(prefix),
            None => Ok(component.clone()),
        };
        let mut components = BTreeMap::new();
        for (index, component) in manifest.common.indices() {
            components.insert(index, scoped(component)?);
        }
        let mut dependencies = BTreeMap::new();
        for index in manifest.common.dependencies.keys() {
            let below = manifest.common.scope(*index).map(scoped).transpose()?;
            dependencies.insert(*index, below.or_else(|| scope.cloned()));
        }
        let mut sections = BTreeMap::new();
        for (section, content) in &manifest.sections {
            let place = match content.content() {
                Some(sequence) => Some(at(sequence.bytes())?),
                None => None,
            };
            sections.insert(*section, place);
        }
        let shared = manifest.common.shared.map(|sequence| at(sequence.bytes())).transpose()?;
        let mut payloads = BTreeMap::new();
        for (name, payload) in verified.envelope().payloads() {
            payloads.insert((*name).to_owned(), at(payload)?);
        }
        Ok(Self {
            bytes: Cow::Borrowed(bytes),
            digest: verified.digest(),
            signer: verified.signer().clone(),
            sequence_number: manifest.sequence_number,
            reference_uri: manifest.reference_uri.unwrap_or_default().to_owned(),
            identity: scoped(manifest.identity())?,
            components,
            dependencies,
            shared,
            sections,
            payloads,
            labels: manifest.labels.clone(),
        })
    }

    /// The same program with bytes of its own.
    pub(super) fn into_owned(self) -> Program<'static> {
        let Self {
            bytes,
            digest,
            signer,
            sequence_number,
            reference_uri,
            identity,
            components,
            dependencies,
            shared,
            sections,
            payloads,
            labels,
        } = self;
        Program {
            bytes: Cow::Owned(bytes.into_owned()),
            digest,
            signer,
            sequence_number,
            reference_uri,
            identity,
            components,
            dependencies,
            shared,
            sections,
            payloads,
            labels,
        }
    }

    /// The whole envelope.
    pub(super) fn envelope(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes at a place that this program named.
    pub(super) fn slice(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }

    /// The place of a part of this program's bytes.
    pub(super) fn locate(&self, part: &[u8]) -> Result<Range<usize>, Malformed> {
        locate(&self.bytes, part)
    }
}

/// Where `part`, which was sliced out of `whole`, lies in it.
fn locate(whole: &[u8], part: &[u8]) -> Result<Range<usize>, Malformed> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr());
    let place = start.and_then(|start| Some(start..start.checked_add(part.len())?));
    place.filter(|place| place.end <= whole.len()).ok_or(Malformed::Truncated)
}
