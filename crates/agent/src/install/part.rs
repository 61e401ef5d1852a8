//! One manifest, alone or in a package, as something that this agent has a place for.

use std::collections::BTreeMap;

use cose::Thumbprint;
use rats::eat::InstanceType;
use suit::process::Obstacle;
use suit::{ComponentId, DigestAlgorithm, Verified};

use super::{Refused, manifest_id, terms};
use crate::settings::Settings;
use crate::store::{Content, New, Store};
use crate::ta::{BUNDLE_SUFFIX, DATA_SUFFIX, Facts};

/// A manifest with what it is about.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) facts: Facts,
    pub(super) kind: Kind,
    /// Where the envelope is kept.
    place: ComponentId,
    /// The envelope without its payloads.
    envelope: Vec<u8>,
}

/// What a component is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Trusted Application.
    Application,
    /// Nothing of its own: a package of other manifests.
    Package,
    /// Personalization Data for the application with this identifier.
    PersonalizationData { of: ComponentId },
    /// Personalization Data that brings a UA along (case 5).
    Bundle { of: ComponentId },
    /// An application of the REE, which the Broker installed.
    Untrusted,
}

impl Part {
    /// A manifest about this component of the TEE.
    pub(super) fn new(
        verified: &Verified<'_>,
        component: &ComponentId,
        instances: &[InstanceType],
    ) -> Result<Self, Refused> {
        let facts = facts(verified, component.clone(), instances)?;
        if component.manifest().ok().as_ref() != Some(&facts.manifest) {
            return Err(Refused::ManifestName);
        }
        let kind = Kind::of(component, facts.owner)?;
        let place = facts.manifest.clone();
        Ok(Self { facts, kind, place, envelope: bare(verified) })
    }

    /// The manifest of a package.
    pub(super) fn package(
        verified: &Verified<'_>,
        instances: &[InstanceType],
    ) -> Result<Self, Refused> {
        let place = manifest_id(verified)?;
        let facts = facts(verified, place.clone(), instances)?;
        Ok(Self { facts, kind: Kind::Package, place, envelope: bare(verified) })
    }

    /// A manifest in a package, kept at this place.
    pub(super) fn of_package(
        verified: &Verified<'_>,
        place: &ComponentId,
        instances: &[InstanceType],
    ) -> Result<Self, Refused> {
        let common = &verified.manifest().common;
        let ([component], true) = (common.components.as_slice(), common.dependencies.is_empty())
        else {
            return Err(Refused::NotOneComponent);
        };
        match component.is_in_ree() {
            true => Ok(Self { place: place.clone(), ..Self::untrusted(verified)? }),
            false => Self::new(verified, component, instances),
        }
    }

    /// The manifest of a UA. The Broker judges the class of what it runs.
    pub(super) fn untrusted(verified: &Verified<'_>) -> Result<Self, Refused> {
        let [component] = verified.manifest().common.components.as_slice() else {
            return Err(Refused::NotOneComponent);
        };
        let facts = facts(verified, component.clone(), &InstanceType::ALL)?;
        let place = facts.manifest.clone();
        Ok(Self { facts, kind: Kind::Untrusted, place, envelope: bare(verified) })
    }

    /// Refuses Personalization Data that the Network M/OC owns.
    ///
    /// Use-case draft section 2.1: "If the TAM owns the Package, there must have no
    /// Personalization Data inside this Package."
    pub(super) fn permitted(&self, settings: &Settings) -> Result<(), Refused> {
        let holds_data =
            matches!(self.kind, Kind::PersonalizationData { .. } | Kind::Bundle { .. });
        match holds_data && settings.tam_of(self.facts.owner).is_some() {
            true => Err(Refused::DataOfTheTam),
            false => Ok(()),
        }
    }

    /// The record of the installed manifest, with its envelope beside its contents.
    pub(super) fn record(
        &self,
        store: &mut Store,
        mut contents: BTreeMap<ComponentId, Content>,
    ) -> Result<New, Obstacle> {
        contents.insert(self.place.clone(), store.put(&self.envelope)?);
        Ok(New {
            manifest: self.facts.manifest.clone(),
            sequence_number: self.facts.sequence_number,
            digest: self.facts.manifest_digest,
            contents,
        })
    }
}

impl Kind {
    /// The name says it: `planner.pd` is the data of `planner`, `planner.ua-pd` brings a UA along.
    ///
    /// `[owner, name]` is about an application of the same owner, `[owner, other, name]` about
    /// one of another owner.
    fn of(component: &ComponentId, owner: Thumbprint) -> Result<Self, Refused> {
        let name = component.name().ok_or(Refused::Name)?;
        let application = |of: &str| {
            let owner = match component.parts() {
                [_, other, _] => Thumbprint(other[..].try_into().map_err(|_| Refused::Name)?),
                _ => owner,
            };
            let of = Some(of).filter(|of| !of.is_empty()).ok_or(Refused::Name)?;
            ComponentId::in_tee(owner, of).map_err(|_| Refused::Name)
        };
        if let Some(of) = name.strip_suffix(BUNDLE_SUFFIX) {
            return Ok(Self::Bundle { of: application(of)? });
        }
        match name.strip_suffix(DATA_SUFFIX) {
            Some(of) => Ok(Self::PersonalizationData { of: application(of)? }),
            None => Ok(Self::Application),
        }
    }
}

/// What is known of a component from its verified manifest.
pub(super) fn facts(
    verified: &Verified<'_>,
    component: ComponentId,
    instances: &[InstanceType],
) -> Result<Facts, Refused> {
    let digest = verified.digest();
    if digest.algorithm() != DigestAlgorithm::Sha256 {
        return Err(Refused::DigestAlgorithm);
    }
    Ok(Facts {
        component,
        manifest: manifest_id(verified)?,
        owner: verified.signer_thumbprint().ok_or(Refused::NoOwner)?,
        manifest_digest: digest.bytes().try_into().map_err(|_| Refused::DigestAlgorithm)?,
        sequence_number: verified.manifest().sequence_number,
        instance: terms::instance(verified, instances)?,
    })
}

/// The envelope without its payloads, which are kept as contents of their own or not at all.
fn bare(verified: &Verified<'_>) -> Vec<u8> {
    let envelope = verified.envelope();
    let names: Vec<&str> = envelope.payloads().keys().copied().collect();
    let bare =
        names.into_iter().fold(envelope.clone(), |envelope, name| envelope.without_payload(name));
    bare.encode()
}
