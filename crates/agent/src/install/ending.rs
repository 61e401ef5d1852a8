//! What follows the last command of a manifest: applications start, releases open, and one
//! commit makes everything durable.

use suit::process::{Ending, Obstacle};
use suit::report::Entry;
use suit::{ComponentId, Digest, Verified};
use teep::agent::Outcome;
use tracing::{info, warn};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use channel::receipt::Receipt;
use cose::{Entropy as _, Secret, Thumbprint};
use device::broker::Piece;
use keys::SystemEntropy;
use zeroize::Zeroizing;

use super::part::{Kind, Part};
use super::ree::Delegation;
use super::staging::Staging;
use super::{Place, Refused, authenticate, chain, report};
use crate::backend::{Failed, Holds, Progress, Refusal};
use crate::exchanges::{Reached, Taken};
use crate::settings::Settings;
use crate::store::{Change, Content, Damaged, Store};
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
pub(super) enum Stopped {
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
    /// A slot could not be written.
    #[error("the store cannot be written")]
    Slot(#[from] Obstacle),
    /// The release is not one that the agent opens.
    #[error("the release to the TEEP Agent is refused")]
    Release(#[source] Refusal),
    /// The Broker did not install a UA that came sealed.
    #[error("the REE did not take the UA: {0}")]
    Ree(String),
    /// The receipt could not be signed.
    #[error("the receipt cannot be signed")]
    Receipt(#[from] cose::KeyUnusable),
}

impl Stopped {
    /// The check of a release that said no.
    fn check(&self) -> Option<&'static str> {
        match self {
            Self::Release(refusal) | Self::Instance(Failed::Refused(refusal)) => refusal.check(),
            Self::NoContent(_)
            | Self::Part(_)
            | Self::NoApplication
            | Self::Instance(_)
            | Self::Store(_)
            | Self::Slot(_)
            | Self::Ree(_)
            | Self::Receipt(_) => None,
        }
    }
}

/// What was done so far, and can still be undone.
#[derive(Debug, Default)]
pub(super) struct Done {
    change: Change,
    /// Applications that run and that nobody knows of yet.
    started: Vec<Arc<Ta>>,
    /// Applications that took Personalization Data of which the device does not know yet.
    personalized: Vec<Arc<Ta>>,
    records: Vec<Entry>,
    components: Vec<ComponentId>,
    /// How many parts of a package are prepared.
    prepared: usize,
    /// What the REE reported about the UAs of the package, in their order.
    said: VecDeque<Vec<u8>>,
    /// A UA that came sealed, for the REE.
    handed_out: Option<Vec<u8>>,
}

impl Subject {
    /// Looks at what the manifest is about, and refuses what the agent has no place for.
    pub(super) fn new(verified: &Verified<'_>, settings: &Settings) -> Result<Self, Refused> {
        let instances = &settings.instances;
        let common = &verified.manifest().common;
        if common.components.iter().any(ComponentId::is_in_ree) {
            return Err(Refused::NotOneComponent);
        }
        let (places, own): (Vec<_>, Vec<_>) = (0..)
            .zip(&common.components)
            .partition(|(index, _)| common.dependencies.contains_key(index));
        match own.as_slice() {
            [(_, component)] => {
                let part = Part::new(verified, component, instances)?;
                part.permitted(settings)?;
                Ok(Self::One(part))
            }
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

    /// Starts and opens whatever comes before this UA in the package; tells which Trusted
    /// Application the UA loads.
    ///
    /// A UA goes to the REE when the sequence has come to it, not before.
    pub(super) fn prepare_before(
        &self,
        ua: &[u8],
        done: &mut Done,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<Option<ComponentId>, Stopped> {
        let Self::Package { places, .. } = self else { return Ok(None) };
        while done.prepared < places.len() {
            let at = &places[done.prepared];
            if envelope(at, staging, place)?.as_slice() == ua {
                break;
            }
            done.prepare_at(at, staging, place)?;
        }
        if place.ua_loads_ta {
            for at in places.iter().skip(done.prepared) {
                let envelope = envelope(at, staging, place)?;
                let part =
                    Part::of_package(&authenticate(&envelope)?, at, &place.settings.instances)?;
                if part.kind == Kind::Application {
                    return Ok(Some(part.facts.component));
                }
            }
        }
        Ok(None)
    }

    /// Starts and opens everything that is left.
    pub(super) fn prepare(
        &self,
        done: &mut Done,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<(), Stopped> {
        match self {
            Self::One(part) => done.prepare(part, staging, place),
            Self::Package { root, places } => {
                while let Some(at) = places.get(done.prepared) {
                    done.prepare_at(at, staging, place)?;
                }
                done.change.install.push(root.record(place.store, BTreeMap::new())?);
                Ok(())
            }
        }
    }
}

/// The envelope of a part of a package.
fn envelope(
    at: &ComponentId,
    staging: &Staging,
    place: &Place<'_>,
) -> Result<Zeroizing<Vec<u8>>, Stopped> {
    staging.read(place.store, at)?.ok_or_else(|| Stopped::NoContent(at.clone()))
}

/// Hands a release on in pieces, from its slot, as a live one comes.
fn pieces(
    store: &Store,
    content: &Content,
    take: &mut dyn FnMut(Piece) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    // Each has a name of its own: what an earlier one left is not gone on with.
    let mut stream = [0; 32];
    SystemEntropy.fill(&mut stream);
    let mut offset = 0;
    store.pieces(content, &mut |bytes| {
        let piece = Piece { stream, offset, bytes };
        offset += piece.bytes.len() as u64;
        take(piece)
    })
}

/// Hands a release to its application, still sealed.
fn hand_over(
    owner: Thumbprint,
    ta: &Ta,
    content: &Content,
    holds: Holds,
    place: &Place<'_>,
) -> Result<(Receipt, Option<Vec<u8>>), Stopped> {
    let mut opened = None;
    pieces(place.store, content, &mut |piece| {
        match ta.take(owner, piece, holds)? {
            Progress::Until(_) => {}
            Progress::Opened(receipt) => opened = Some((receipt, None)),
            Progress::OpenedBundle(receipt, ua) => opened = Some((receipt, Some(ua))),
        }
        Ok(())
    })?;
    opened.ok_or(Stopped::Release(Refusal::Malformed))
}

/// Opens data that is sealed to the agent, and hands it to its application as it opens.
fn open(
    owner: Thumbprint,
    ta: &Ta,
    content: &Content,
    place: &mut Place<'_>,
) -> Result<Receipt, Stopped> {
    let manifest_digest = ta.facts().manifest_digest;
    let limit = usize::try_from(place.settings.limits.memory_bytes_max).unwrap_or(usize::MAX);
    let Place { store, exchanges, .. } = place;
    let mut opened = None;
    let given = pieces(store, content, &mut |piece| {
        let taken = exchanges.take(&piece, owner, manifest_digest, limit);
        let Taken { chunks, reached } = taken.map_err(Stopped::Release)?;
        for chunk in chunks {
            ta.gather(owner, piece.stream, chunk)?;
        }
        if let Reached::End(ended) = reached {
            let service_key = ta.personalize(owner, piece.stream, ended.callers)?;
            opened = Some(Receipt { service_key: Some(service_key), ..ended.receipt });
        }
        Ok(())
    });
    if given.is_err() {
        // Another name, so nothing of what was gathered waits on.
        let _gone = ta.gather(owner, [0; 32], Secret::new(Vec::new()));
    }
    given?;
    opened.ok_or(Stopped::Release(Refusal::Malformed))
}

impl Done {
    /// The Broker installed the UA whose turn it was.
    pub(super) fn said(&mut self, ree_report: Vec<u8>) {
        self.said.push_back(ree_report);
    }

    /// The UA that a Trusted Application handed out, checked as any other.
    pub(super) fn hand_out(&mut self, place: &mut Place<'_>) -> Result<Option<Vec<u8>>, Stopped> {
        let Some(envelope) = self.handed_out.take() else { return Ok(None) };
        let verified = authenticate(&envelope)?;
        Delegation::new(&verified, place)?;
        let part = Part::untrusted(&verified)?;
        self.change.install.push(part.record(place.store, BTreeMap::new())?);
        self.components.push(part.facts.component);
        Ok(Some(envelope))
    }

    /// What became of it in the REE.
    pub(super) fn handed_out(&mut self, answer: Result<Vec<u8>, String>) -> Result<(), Stopped> {
        let ree_report = answer.map_err(Stopped::Ree)?;
        if let Some(component) = self.components.last() {
            self.records.push(report::said_by_broker(component, &ree_report));
        }
        Ok(())
    }

    fn prepare_at(
        &mut self,
        at: &ComponentId,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<(), Stopped> {
        let envelope = envelope(at, staging, place)?;
        let part = Part::of_package(&authenticate(&envelope)?, at, &place.settings.instances)?;
        part.permitted(place.settings)?;
        self.prepare(&part, staging, place)?;
        self.prepared += 1;
        Ok(())
    }

    fn prepare(
        &mut self,
        part: &Part,
        staging: &Staging,
        place: &mut Place<'_>,
    ) -> Result<(), Stopped> {
        let facts = &part.facts;
        place.permits(&facts.manifest)?;
        self.components.push(facts.component.clone());
        if part.kind == Kind::Untrusted {
            self.change.install.push(part.record(place.store, BTreeMap::new())?);
            let said = self.said.pop_front().unwrap_or_default();
            self.records.push(report::said_by_broker(&facts.component, &said));
            return Ok(());
        }
        let none = || Stopped::NoContent(facts.component.clone());
        let content = staging.content(place.store, &facts.component).cloned().ok_or_else(none)?;
        let digest = Digest::sha256(content.digest);
        self.records.push(report::measured(&facts.component, digest, content.length));
        match &part.kind {
            Kind::Application => {
                let running = place.applications.component(&facts.component);
                if running.is_none_or(|ta| ta.facts() != facts) {
                    let module = place.store.load(&content)?;
                    let contents = BTreeMap::from([(facts.component.clone(), content)]);
                    self.change.install.push(part.record(place.store, contents)?);
                    self.started.push(place.applications.start(facts.clone(), module)?);
                }
                // Installed again: the one that runs keeps its data.
                self.records.push(report::runs(&facts.component));
            }
            Kind::PersonalizationData { of } => {
                let ta = self.application(of, place)?;
                // In one package with its application, data is sealed to the agent: when the
                // owner attested, the application did not run yet.
                let receipt = match self.prepared_here(of) {
                    true => open(facts.owner, &ta, &content, place)?,
                    false => hand_over(facts.owner, &ta, &content, Holds::Data, place)?.0,
                };
                self.opened(part, ta, &receipt, place)?;
            }
            Kind::Bundle { of } => {
                let ta = self.application(of, place)?;
                let (receipt, ua) = hand_over(facts.owner, &ta, &content, Holds::Bundle, place)?;
                self.opened(part, ta, &receipt, place)?;
                self.handed_out = ua;
            }
            Kind::Package | Kind::Untrusted => {}
        }
        Ok(())
    }

    /// The application that data is for: one of this package, or one that runs.
    fn application(&self, of: &ComponentId, place: &Place<'_>) -> Result<Arc<Ta>, Stopped> {
        let started = self.started.iter().find(|ta| ta.component() == of).cloned();
        let running = || place.applications.component(of);
        let running = || running().filter(|ta| place.shows(&ta.facts().manifest));
        started.or_else(running).ok_or(Stopped::NoApplication)
    }

    fn prepared_here(&self, of: &ComponentId) -> bool {
        self.components.contains(of)
    }

    fn opened(
        &mut self,
        part: &Part,
        ta: Arc<Ta>,
        receipt: &Receipt,
        place: &mut Place<'_>,
    ) -> Result<(), Stopped> {
        self.personalized.push(ta);
        let receipt = receipt.sign(place.identity.receipt.as_ref())?;
        self.records.push(report::released(&part.facts.component, &receipt));
        // The data stays in the memory of the application. The store learns only that the
        // manifest was installed, so that an older one is refused.
        self.change.install.push(part.record(place.store, BTreeMap::new())?);
        Ok(())
    }

    /// Makes the new state the state of the device.
    fn commit(&mut self, place: &mut Place<'_>) -> Result<(), Stopped> {
        let mut change = std::mem::take(&mut self.change);
        change.tam = place.tam_uri();
        place.store.commit(change)?;
        for ta in self.started.drain(..) {
            place.applications.admit(ta);
        }
        Ok(())
    }
}

impl Drop for Done {
    /// Data must not stay where the device does not know of it, also when nobody ends the manifest:
    /// the Broker may leave it in the middle.
    fn drop(&mut self) {
        self.personalized.iter().for_each(|ta| ta.restart());
    }
}

/// Ends a manifest: what the processor found, and what followed from it.
pub(super) fn conclude(
    subject: &Subject,
    ending: Ending,
    mut done: Done,
    prepared: Result<(), Stopped>,
    staging: &Staging,
    place: &mut Place<'_>,
) -> Outcome<'static> {
    let Ending { mut report, failure } = ending;
    let manifest = subject.manifest();
    let mut installed = false;
    if let Some(failure) = failure {
        warn!(%manifest, %failure, "a manifest failed");
        if let Err(stopped) = prepared {
            report.result = report::failure(None, stopped.check(), &chain(&stopped));
        }
    } else {
        match prepared.and_then(|()| done.commit(place)) {
            Ok(()) => {
                info!(%manifest, "a manifest is installed");
                report.records.append(&mut done.records);
                installed = true;
            }
            Err(stopped) => {
                let (cause, check) = (chain(&stopped), stopped.check());
                warn!(%manifest, cause, "a manifest cannot be installed");
                let seen = subject.component();
                let seen = seen.and_then(|seen| staging.content(place.store, seen));
                let seen = seen.map(|content| Digest::sha256(content.digest));
                report.result = report::failure(seen, check, &cause);
            }
        }
    }
    if installed {
        done.personalized.clear();
    }
    let components = if installed { std::mem::take(&mut done.components) } else { Vec::new() };
    Outcome { installed, report: place.reporter.sign(&report), components }
}
