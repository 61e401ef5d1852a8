//! Root manifests: a package made of the manifests of its parts.

use std::collections::BTreeSet;

use cose::{Signer, Thumbprint};

use super::draft::Draft;
use super::writer::SequenceWriter;
use super::{
    Built, Compatibility, DEPENDENCIES_MAX, Description, Name, Unbuildable, Uri, owner_of,
};
use crate::command::{Condition, Directive};
use crate::common::Dependency;
use crate::component::{ComponentId, REE};
use crate::parameter::Parameter;
use crate::section::Section;

/// The manifest of a package: it has no component of its own, and its dependencies run in the
/// order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    name: Name,
    sequence_number: u64,
    compatibility: Compatibility,
    parts: Vec<(&'a Built, Delivery)>,
    description: Option<Description<'a>>,
    reference_uri: Option<Uri>,
}

/// How the envelope of a dependency comes to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In the envelope of the root manifest.
    Integrated,
    /// From this place.
    At(Uri),
}

impl<'a> Root<'a> {
    /// Begins a package for these devices.
    pub fn new(name: Name, sequence_number: u64, compatibility: Compatibility) -> Self {
        Self {
            name,
            sequence_number,
            compatibility,
            parts: Vec::new(),
            description: None,
            reference_uri: None,
        }
    }

    /// Adds a part behind the parts that it has.
    pub fn with(mut self, part: &'a Built, delivery: Delivery) -> Self {
        self.parts.push((part, delivery));
        self
    }

    /// Adds words for people; a distributor may cut them off.
    pub fn described(mut self, description: Description<'a>) -> Self {
        self.description = Some(description);
        self
    }

    /// Says where the full manifest is found; reports repeat it.
    pub fn referenced_at(mut self, uri: Uri) -> Self {
        self.reference_uri = Some(uri);
        self
    }

    /// Signs the manifest with the owner's key.
    pub fn sign(self, owner: &dyn Signer) -> Result<Built, Unbuildable> {
        let thumbprint = owner_of(owner);
        let places = self.places(thumbprint)?;
        let mut draft = Draft::new(self.sequence_number);
        let own = ComponentId::in_tee(thumbprint, self.name.as_str()).expect(NAME_FITS);
        draft.component_id = Some(own.manifest().expect(NAME_FITS));
        draft.reference_uri = self.reference_uri.as_ref().map(|uri| uri.as_str().to_owned());
        draft.text = self.description.map(|words| words.encode(None));
        draft.dependencies =
            (0..).zip(&places).map(|(index, _)| (index, Dependency::default())).collect();
        draft.shared = self.shared();
        draft.sections = self.sections().into_iter().collect();
        for (place, (part, delivery)) in self.parts.iter().enumerate() {
            if *delivery == Delivery::Integrated {
                draft.payloads.insert(integrated_key(place), part.envelope.clone());
            }
        }
        draft.components = places;
        Ok(draft.sign(owner)?)
    }

    /// Where each dependency's envelope is kept: in the TEE, below the root's owner.
    fn places(&self, owner: Thumbprint) -> Result<Vec<ComponentId>, Unbuildable> {
        if self.parts.is_empty() {
            return Err(Unbuildable::NoDependency);
        }
        if self.parts.len() > DEPENDENCIES_MAX {
            return Err(Unbuildable::TooManyDependencies);
        }
        let mut seen = BTreeSet::new();
        let places = self.parts.iter().map(|(part, _)| place(owner, part));
        let places: Vec<ComponentId> = places.collect();
        match places.iter().find(|place| !seen.insert(*place)) {
            Some(twice) => Err(Unbuildable::DependencyTwice(twice.clone())),
            None => Ok(places),
        }
    }

    fn shared(&self) -> SequenceWriter {
        let mut shared = SequenceWriter::new()
            .select(0)
            .override_parameters(&self.compatibility.parameters())
            .condition(Condition::VendorIdentifier)
            .condition(Condition::ClassIdentifier);
        for (index, (part, _)) in (0..).zip(&self.parts) {
            shared = shared.select(index).override_parameters(&[
                Parameter::ImageDigest(part.digest),
                Parameter::ImageSize(part.envelope.len() as u64),
            ]);
        }
        shared
    }

    fn sections(&self) -> Vec<(Section, SequenceWriter)> {
        let mut resolution = SequenceWriter::new();
        for (place, (_, delivery)) in self.parts.iter().enumerate() {
            let integrated = integrated_key(place);
            let uri = match delivery {
                Delivery::Integrated => &integrated,
                Delivery::At(uri) => uri.as_str(),
            };
            resolution = resolution
                .select(place as u64)
                .override_parameters(&[Parameter::Uri(uri)])
                .directive(Directive::Fetch)
                .condition(Condition::DependencyIntegrity)
                .directive(Directive::ProcessDependency);
        }
        let mut uninstall = SequenceWriter::new();
        for place in (0..self.parts.len()).rev() {
            uninstall = uninstall.select(place as u64).directive(Directive::Unlink);
        }
        let each = || {
            (0..self.parts.len()).fold(SequenceWriter::new(), |sequence, place| {
                sequence
                    .select(place as u64)
                    .condition(Condition::DependencyIntegrity)
                    .directive(Directive::ProcessDependency)
            })
        };
        let all = [Section::PayloadFetch, Section::Install, Section::Validate, Section::Load];
        let all = all.into_iter().chain([Section::Invoke]).map(|section| (section, each()));
        let own = [(Section::DependencyResolution, resolution), (Section::Uninstall, uninstall)];
        own.into_iter().chain(all).collect()
    }
}

fn place(owner: Thumbprint, part: &Built) -> ComponentId {
    let name = part.manifest_component.parts().last().map(Vec::as_slice).unwrap_or_default();
    let parts: &[&[u8]] = if part.manifest_component.is_in_ree() {
        &[&owner.0, REE, name]
    } else {
        &[&owner.0, name]
    };
    ComponentId::new(parts).expect("the parts of an identifier fit into another one")
}

fn integrated_key(place: usize) -> String {
    format!("#{place}.suit")
}

const NAME_FITS: &str = "a name and its suffix fit into a part of an identifier";
