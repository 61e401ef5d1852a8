//! What follows the last command of a manifest: applications start, releases open, and one
//! commit makes everything durable.

use rats::eat::InstanceType;
use suit::process::Ending;
use suit::report::Entry;
use suit::{ComponentId, Digest, Verified};
use teep::agent::Outcome;
use tracing::{info, warn};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::part::{Kind, Part};
use super::staging::Staging;
use super::{Place, Refused, authenticate, chain, report};
use crate::backend::Failed;
use crate::store::{Change, Damaged};
use crate::ta::Ta;

/// What a manifest is about.
#[derive(Debug)]
pub(super) enum Subject {
    /// One component.
    One(Part),
    /// A package: only other manifests, which are at these places.
    Package { root: Part, places: Vec<ComponentId> },
}

/// Why the device stays as it was although every command succeeded.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// The commands left no content.
    #[error("the manifest leaves {0} without content")]
    NoContent(ComponentId),
    /// A part of the package has no place here.
    #[error("a part of the package is refused")]
    Part(#[from] Refused),
    /// Personalization Data for an application that does not run here.
    #[error("the application that the data is for does not run here")]
    NoApplication,
    /// The application did not start, or did not take the data.
    #[error(transparent)]
    Instance(#[from] Failed),
    /// The store failed.
    #[error("the store cannot be used")]
    Store(#[from] Damaged),
    /// The receipt could not be signed.
    #[error("the receipt cannot be signed")]
    Receipt(#[from] cose::KeyUnusable),
}

/// What was done so far, and can still be undone.
#[derive(Default)]
struct Done {
    change: Change,
    /// Applications that run and that nobody knows of yet.
    started: Vec<Arc<Ta>>,
    /// Applications that took Personalization Data.
    personalized: Vec<Arc<Ta>>,
    records: Vec<Entry>,
}

impl Subject {
    /// Looks at what the manifest is about, and refuses what the agent has no place for.
    pub(super) fn new(
        verified: &Verified<'_>,
        instances: &[InstanceType],
    ) -> Result<Self, Refused> {
        let common = &verified.manifest().common;
        if common.components.iter().any(ComponentId::is_in_ree) {
            return Err(Refused::NotOneComponent);
        }
        let (places, own): (Vec<_>, Vec<_>) = (0..)
            .zip(&common.components)
            .partition(|(index, _)| common.dependencies.contains_key(index));
        match own.as_slice() {
            [(_, component)] => Part::new(verified, component, instances).map(Self::One),
            [] => {
                let places = places.into_iter().map(|(_, place)| place.clone()).collect();
                Ok(Self::Package { root: Part::package(verified, instances)?, places })
            }
            _ => Err(Refused::NotOneComponent),
        }
    }

    /// The identifier for logs.
    pub(super) fn manifest(&self) -> &ComponentId {
        match self {
            Self::One(part) | Self::Package { root: part, .. } => &part.facts.manifest,
        }
    }

    /// The component of the manifest, if it has one of its own.
    fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::One(part) => Some(&part.facts.component),
            Self::Package { .. } => None,
        }
    }

    /// Makes the new state the state of the device, or leaves the old one.
    fn apply(&self, staging: &Staging, place: &mut Place<'_>) -> Result<Applied, Stopped> {
        let mut done = Done::default();
        match self.prepare(&mut done, staging, place) {
            Ok(components) => {
                for ta in done.started {
                    place.applications.admit(ta);
                }
                Ok(Applied { components, records: done.records })
            }
            Err(stopped) => {
                // Data must not stay where the device does not know of it.
                done.personalized.iter().for_each(|ta| ta.restart());
                Err(stopped)
            }
        }
    }

    fn prepare(
        &self,
        done: &mut Done,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<Vec<ComponentId>, Stopped> {
        let mut components = Vec::new();
        match self {
            Self::One(part) => {
                done.prepare(part, staging, place)?;
                components.push(part.facts.component.clone());
            }
            Self::Package { root, places } => {
                for at in places {
                    let none = || Stopped::NoContent(at.clone());
                    let envelope = staging.read(place.store, at)?.ok_or_else(none)?;
                    let instances = &place.settings.instances;
                    let part = Part::of_package(&authenticate(&envelope)?, at, instances)?;
                    done.prepare(&part, staging, place)?;
                    components.push(part.facts.component);
                }
                done.change.install.push(root.record(BTreeMap::new()));
            }
        }
        place.store.commit(std::mem::take(&mut done.change))?;
        Ok(components)
    }
}

/// What a manifest changed.
struct Applied {
    components: Vec<ComponentId>,
    records: Vec<Entry>,
}

impl Done {
    fn prepare(
        &mut self,
        part: &Part,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<(), Stopped> {
        let facts = &part.facts;
        if part.kind == Kind::Untrusted {
            self.change.install.push(part.record(BTreeMap::new()));
            self.records.push(report::said_by_broker(&facts.component));
            return Ok(());
        }
        let none = || Stopped::NoContent(facts.component.clone());
        let content = staging.read(place.store, &facts.component)?.ok_or_else(none)?;
        let digest = Digest::sha256(cose::sha256(&content));
        self.records.push(report::measured(&facts.component, digest, content.len() as u64));
        match &part.kind {
            Kind::Application => {
                let running = place.applications.component(&facts.component);
                if running.is_none_or(|ta| ta.facts() != facts) {
                    let contents = BTreeMap::from([(facts.component.clone(), content.to_vec())]);
                    self.change.install.push(part.record(contents));
                    self.started.push(place.applications.start(facts.clone(), content)?);
                }
                // Installed again: the one that runs keeps its data.
            }
            Kind::PersonalizationData { of } => {
                let started = self.started.iter().find(|ta| ta.component() == of).cloned();
                let running = || place.applications.component(of);
                let ta = started.or_else(running).ok_or(Stopped::NoApplication)?;
                let receipt = ta.open(content.to_vec())?;
                self.personalized.push(ta);
                let receipt = receipt.sign(place.identity.receipt.as_ref())?;
                self.records.push(report::released(&facts.component, &receipt));
                // The data stays in the memory of the application. The store learns only that
                // the manifest was installed, so that an older one is refused.
                self.change.install.push(part.record(BTreeMap::new()));
            }
            Kind::Package | Kind::Untrusted => {}
        }
        Ok(())
    }
}

/// Ends a manifest: what the processor found, and what followed from it.
pub(super) fn conclude(
    subject: &Subject,
    ending: Ending,
    staging: &Staging,
    place: &mut Place<'_>,
) -> Outcome<'static> {
    let Ending { mut report, failure } = ending;
    let manifest = subject.manifest();
    let mut components = Vec::new();
    let mut installed = false;
    if let Some(failure) = failure {
        warn!(%manifest, %failure, "a manifest failed");
    } else {
        match subject.apply(staging, place) {
            Ok(applied) => {
                info!(%manifest, "a manifest is installed");
                report.records.extend(applied.records);
                components = applied.components;
                installed = true;
            }
            Err(stopped) => {
                let cause = chain(&stopped);
                warn!(%manifest, cause, "a manifest cannot be installed");
                let seen = subject.component();
                let seen = seen.and_then(|seen| staging.read(place.store, seen).ok().flatten());
                let seen = seen.map(|content| Digest::sha256(cose::sha256(&content)));
                report.result = report::failure(seen, &cause);
            }
        }
    }
    Outcome { installed, report: report::sign(&report, place.identity), components }
}
