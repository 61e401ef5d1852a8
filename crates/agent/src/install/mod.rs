//! Installs what an Update brings: one manifest after the other, each whole or not at all.
//!
//! A TAM only carries manifests. Who may change a component is proven by the component's own
//! identifier, which begins with the thumbprint of its owner's key; the signature of the TAM
//! means nothing here. Nothing changes before the manifest's last command has succeeded: the
//! content waits in a slot under a key that only the memory holds, then the application is started
//! or the release opened, then one commit makes it so.
//!
//! What has to happen in the REE (fetching, and everything about UAs) is asked of the Broker as
//! actions. Its answers are never believed: content counts by its digest, and what the Broker
//! says about a UA is passed on as the Broker's word.

mod ending;
mod part;
mod reader;
mod ree;
mod report;
mod run;
mod staging;
mod terms;
mod unlink;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::Context as _;
use cose::Thumbprint;
use device::broker::{Action, LIVE_SCHEME};
use rats::eat::InstanceType;
use suit::process::SecondProcessor;
use suit::report::{Conclusion, Reason};
use suit::{Anchors, ComponentId, Context, Device, Digest, Envelope, Limits, Uuid, Verified};
use teep::agent::Outcome;
use tracing::{info, warn};

use crate::exchanges::Exchanges;
use crate::identity::Identity;
use crate::settings::Settings;
use crate::store::{Damaged, Installed, Store};
use crate::ta::Applications;
use part::Part;
use ree::Delegation;
use run::Run;

pub use reader::{Reader, Reporter};
pub use report::{CAUSE, CHECK, RECEIPT, REE_REPORT, RUNS, SAID_BY};
pub use unlink::Unlinking;

/// The manifests of one Update, under way.
#[derive(Debug)]
pub struct Installation {
    /// The nonce of every report.
    nonce: Option<Vec<u8>>,
    reader: Reader,
    /// The envelopes, by their digests.
    about: BTreeSet<[u8; 32]>,
    waiting: VecDeque<Vec<u8>>,
    current: Option<Current>,
    outcomes: Vec<Outcome<'static>>,
}

/// The manifest that waits for the Broker.
#[derive(Debug)]
enum Current {
    /// One for the TEE.
    Run(Box<Run>),
    /// One for the REE.
    Delegation(Box<Delegation>),
}

/// What installing works on.
pub struct Place<'a> {
    /// What is installed.
    pub store: &'a mut Store,
    /// What runs.
    pub applications: &'a Applications,
    /// Whose receipts they are.
    pub identity: &'a Identity,
    /// Who signs reports, and for whom.
    pub reporter: Reporter<'a>,
    /// Which device it is.
    pub settings: &'a Settings,
    /// The TAM that orders it.
    pub tam: Thumbprint,
    /// What is sealed to the agent itself.
    pub(crate) exchanges: &'a mut Exchanges,
    /// Whether a UA loads its TA here, as on SGX (use-case draft section 4.2, step 3).
    pub ua_loads_ta: bool,
    /// Names the next action.
    pub next_action: &'a mut u64,
}

/// What follows.
#[derive(Debug)]
pub enum Step<T> {
    /// The Broker has to do this first.
    Actions(Vec<Action>),
    /// It is over.
    Over(T),
}

/// Why a manifest is refused before any of its commands runs.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The envelope, its signature, its owner or its sequence number.
    #[error("the envelope is refused")]
    Suit(#[from] suit::Error),
    /// The manifest does not say where it is kept.
    #[error("the manifest has no component identifier of its own")]
    NoManifestId,
    /// The manifest is kept under another name than its component's with `.suit`.
    #[error("the manifest is not named after its component")]
    ManifestName,
    /// Not signed by a key, so nobody owns it.
    #[error("the manifest is not signed by a key")]
    NoOwner,
    /// A manifest is about one component beside its dependencies, all of one world.
    #[error("the manifest is not about exactly one component")]
    NotOneComponent,
    /// Evidence names manifests by SHA-256.
    #[error("the manifest is not named by a SHA-256 digest")]
    DigestAlgorithm,
    /// The device has no instances of the type that the class asks for.
    #[error("the package asks for a {asked} instance; this device has {}", list(has))]
    NoInstanceType {
        /// What the manifest's class asks for.
        asked: InstanceType,
        /// What the Agent's settings allow.
        has: Vec<InstanceType>,
    },
    /// The manifest sets classes of different instance types.
    #[error("the manifest sets the classes of more than one instance type")]
    InstanceTypes,
    /// The last part of the component identifier is no name.
    #[error("the component has no usable name")]
    Name,
    /// Of the TAMs of a device each has what it installed to itself.
    #[error("another TAM of this device installed this manifest")]
    OfAnotherTam,
    /// Personalization Data of the Network M/OC (use-case draft section 2.1).
    #[error("a package of the Network M/OC holds no Personalization Data (draft section 2.1)")]
    DataOfTheTam,
}

impl Refused {
    /// The same in the words of a report.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Suit(error) => error.reason(),
            Self::NoOwner => Reason::Signature,
            Self::DigestAlgorithm => Reason::Algorithm,
            Self::NoInstanceType { .. } | Self::InstanceTypes => Reason::ConditionFailed,
            Self::OfAnotherTam | Self::DataOfTheTam => Reason::ComponentUnauthorised,
            Self::NoManifestId | Self::ManifestName | Self::NotOneComponent | Self::Name => {
                Reason::ComponentUnsupported
            }
        }
    }
}

/// The Broker answered an action that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for this action")]
pub struct NotAsked;

impl Place<'_> {
    /// Refuses to replace what another TAM installed.
    fn permits(&self, manifest: &ComponentId) -> Result<(), Refused> {
        match self.shows(manifest) {
            true => Ok(()),
            false => Err(Refused::OfAnotherTam),
        }
    }

    /// Where the TAM is; none if its key is not known any more.
    fn tam_uri(&self) -> Option<String> {
        self.settings.tam_of(self.tam).map(|tam| tam.uri.clone())
    }

    /// Whether the TAM may know whether this is installed.
    fn shows(&self, manifest: &ComponentId) -> bool {
        shows(self.store, self.settings, manifest, self.tam)
    }
}

impl Installation {
    /// Takes the manifests of an Update, in order.
    pub fn new(manifests: Vec<Cow<'_, [u8]>>, nonce: Option<Vec<u8>>, reader: Reader) -> Self {
        Self {
            nonce,
            reader,
            about: manifests.iter().map(|envelope| cose::sha256(envelope)).collect(),
            waiting: manifests.into_iter().map(Cow::into_owned).collect(),
            current: None,
            outcomes: Vec::new(),
        }
    }

    /// Whether some envelope is in both.
    pub fn shares_with(&self, other: &Self) -> bool {
        !self.about.is_disjoint(&other.about)
    }

    /// Who is to read the reports.
    pub const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Goes on until the Broker has to do something, or everything is over.
    pub fn advance(&mut self, place: &mut Place<'_>) -> Step<Vec<Outcome<'static>>> {
        loop {
            let step = match self.current.take() {
                Some(current) => self.resume(current, place),
                None => match self.waiting.pop_front() {
                    Some(envelope) => self.begin(&envelope, place),
                    None => return Step::Over(std::mem::take(&mut self.outcomes)),
                },
            };
            match step {
                Step::Actions(actions) => return Step::Actions(actions),
                Step::Over(outcome) => self.outcomes.push(outcome),
            }
        }
    }

    /// Takes the Broker's answer to an action.
    pub fn done(&mut self, action: u64, outcome: Result<Vec<u8>, String>) -> Result<(), NotAsked> {
        match &mut self.current {
            Some(Current::Run(run)) => run.done(action, outcome),
            Some(Current::Delegation(delegation)) => delegation.done(action, outcome),
            None => Err(NotAsked),
        }
    }

    fn begin(&mut self, envelope: &[u8], place: &mut Place<'_>) -> Step<Outcome<'static>> {
        let begun =
            authenticate(envelope).and_then(|verified| self.begin_verified(&verified, place));
        match begun {
            Ok(current) => self.resume(current, place),
            Err(error) => {
                warn!(error = %chain(&error), "a manifest is refused");
                Step::Over(report::refused(envelope, &error, self.nonce(), place.reporter))
            }
        }
    }

    fn begin_verified(
        &self,
        verified: &Verified<'_>,
        place: &mut Place<'_>,
    ) -> Result<Current, Refused> {
        let manifest = manifest_id(verified)?;
        info!(%manifest, number = verified.manifest().sequence_number, "a manifest is authentic");
        if manifest.is_in_ree() {
            Ok(Current::Delegation(Box::new(Delegation::new(verified, place)?)))
        } else {
            place.permits(&manifest)?;
            let context = self.context(place);
            let run = Run::new(verified, context, place.settings)?;
            Ok(Current::Run(Box::new(run)))
        }
    }

    fn resume(&mut self, current: Current, place: &mut Place<'_>) -> Step<Outcome<'static>> {
        match current {
            Current::Run(mut run) => match run.advance(place) {
                Step::Over(outcome) => Step::Over(outcome),
                Step::Actions(actions) => {
                    self.current = Some(Current::Run(run));
                    Step::Actions(actions)
                }
            },
            Current::Delegation(mut delegation) => match delegation.advance(self.nonce(), place) {
                Step::Over(outcome) => Step::Over(outcome),
                Step::Actions(actions) => {
                    self.current = Some(Current::Delegation(delegation));
                    Step::Actions(actions)
                }
            },
        }
    }

    fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    fn context(&self, place: &Place<'_>) -> Context {
        let mut context = Context::new(device(place.settings));
        context.limits = Limits { payload_bytes: CONTENT_BYTES_MAX, ..Limits::DEFAULT };
        //= teep 14.67 (M): an older sequence number is refused even in a validly signed Update
        context.installed.sequence_numbers = place.store.sequence_numbers().clone();
        for installed in place.store.installed() {
            // An envelope is nobody's content: the package that brought it may bring another.
            let contents = installed.contents.keys().filter(|content| !is_envelope(content));
            for component in contents {
                context.installed.references.link(component, &installed.manifest);
            }
        }
        context.anchors = Arc::new(Anchors::none().with_self_certified());
        context.nonce.clone_from(&self.nonce);
        context
    }
}

//= teep 14.66 (M): the manifest's signer is checked independently of the TAM's signature
/// Checks the signature, by a key that travels with it and that owns only its own components.
fn authenticate(envelope: &[u8]) -> Result<Verified<'_>, Refused> {
    let anchors = Anchors::none().with_self_certified();
    Ok(Envelope::decode(envelope)?.authenticate(&anchors, &suit::SIGNATURES)?)
}

/// The identifier under which the manifest is kept; the agent keeps no manifest without one.
fn manifest_id(verified: &Verified<'_>) -> Result<ComponentId, Refused> {
    verified.manifest().component_id.clone().ok_or(Refused::NoManifestId)
}

/// Whether a component holds an envelope, by its name.
pub(crate) fn is_envelope(component: &ComponentId) -> bool {
    component.name().is_some_and(|name| name.ends_with(".suit"))
}

fn device(settings: &Settings) -> Device {
    let mut device = Device::new(settings.vendor_id, settings.class_id);
    let classes = settings.instances.iter().filter_map(|i| Uuid::new(i.class_id()).ok());
    device.classes.extend(classes);
    // The Broker fetches, over whatever it can; the digest decides.
    device.schemes.extend(["http", LIVE_SCHEME].map(str::to_owned));
    device.second = Some(SecondProcessor {
        prefix: ComponentId::new([b"REE"]).expect("one short part is an identifier"),
        parameters: BTreeSet::new(),
    });
    device
}

/// Starts an application that was installed before the agent was started.
pub fn restore(
    installed: &Installed,
    store: &Store,
    applications: &Applications,
    instances: &[InstanceType],
) -> anyhow::Result<()> {
    let own =
        |component: &&ComponentId| component.manifest().ok() == Some(installed.manifest.clone());
    let Some(component) = installed.contents.keys().find(own) else {
        // Personalization Data and UAs leave nothing in the TEE that could be started.
        return Ok(());
    };
    let envelope = store.read(&installed.manifest)?.context("a component without a manifest")?;
    let part = Part::new(&authenticate(&envelope)?, component, instances)?;
    anyhow::ensure!(part.facts.manifest_digest == installed.digest, "a manifest of another digest");
    let module = store.read(component)?.context("a component without content")?;
    applications.restore(part.facts, module)?;
    Ok(())
}

/// Whether a TAM may know whether a manifest is installed.
//= teep 15.118: a TAM neither sees nor removes nor replaces what another TAM installed
pub(crate) fn shows(
    store: &Store,
    settings: &Settings,
    manifest: &ComponentId,
    tam: Thumbprint,
) -> bool {
    let installed = store.manifest(manifest);
    installed.is_none_or(|installed| settings.shows(installed.tam.as_deref(), tam))
}

/// Reports about what is installed, as of now.
pub fn inventory<'a>(
    installed: impl Iterator<Item = &'a Installed>,
    nonce: Option<&[u8]>,
    reporter: Reporter<'_>,
) -> Vec<Cow<'static, [u8]>> {
    installed
        .filter_map(|installed| {
            let records = installed
                .contents
                .iter()
                .map(|(component, content)| {
                    report::measured(component, Digest::sha256(content.digest), content.length)
                })
                .collect();
            let digest = Digest::sha256(installed.digest);
            let report = report::new(digest, nonce, records, Conclusion::Success);
            reporter.sign(&report)
        })
        .collect()
}

/// An error with everything below it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn list(instances: &[InstanceType]) -> String {
    let names: Vec<&str> = instances.iter().map(|instance| instance.name()).collect();
    names.join(", ")
}

/// What stands in the way of a commit, in the words of a report.
fn obstacle(damaged: &Damaged) -> suit::process::Obstacle {
    warn!(error = %chain(damaged), "the store cannot be used");
    suit::process::Obstacle::Storage
}

/// The longest content of a component. It flows through a slot in little memory, whatever its
/// length; what is read into memory as a whole is bounded where that happens.
const CONTENT_BYTES_MAX: u64 = 1 << 40;
