//! What follows the last command of a manifest: the application starts, or the release opens,
//! and one commit makes everything durable.

use std::collections::BTreeMap;

use cose::{Header, Payload, Thumbprint};
use suit::process::Ending;
use suit::report::Entry;
use suit::{ComponentId, Digest, DigestAlgorithm, Verified};
use teep::agent::Outcome;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::staging::Staging;
use super::{Place, Refused, chain, manifest_id, report};
use crate::backend::Failed;
use crate::identity::Identity;
use crate::store::{Change, Damaged, New};
use crate::ta::{DATA_SUFFIX, Facts};

/// What a manifest is about.
#[derive(Debug)]
pub(super) struct Subject {
    facts: Facts,
    kind: Kind,
    digest: Digest,
    nonce: Option<Vec<u8>>,
    /// The envelope without its payloads, to be kept as the content of the manifest.
    envelope: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A Trusted Application.
    Application,
    /// Personalization Data for the application with this identifier.
    PersonalizationData { of: ComponentId },
}

/// Why the device stays as it was although every command succeeded.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// The commands left no content.
    #[error("the manifest leaves its component without content")]
    NoContent,
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

impl Subject {
    /// Looks at what the manifest is about, and refuses what the agent has no place for.
    pub(super) fn new(
        verified: &Verified<'_>,
        nonce: Option<Vec<u8>>,
    ) -> Result<Self, Refused> {
        let manifest = verified.manifest();
        let id = manifest_id(verified)?;
        let owner = verified.signer_thumbprint().ok_or(Refused::NoOwner)?;
        let digest = verified.digest();
        if digest.algorithm() != DigestAlgorithm::Sha256 {
            return Err(Refused::DigestAlgorithm);
        }
        let manifest_digest =
            digest.bytes().try_into().map_err(|_| Refused::DigestAlgorithm)?;
        let own = (0..).zip(&manifest.common.components);
        let mut own = own.filter(|(index, _)| !manifest.common.dependencies.contains_key(index));
        let (Some((_, component)), None) = (own.next(), own.next()) else {
            return Err(Refused::NotOneComponent);
        };
        if component.manifest().ok().as_ref() != Some(&id) {
            return Err(Refused::ManifestName);
        }
        let facts = Facts {
            component: component.clone(),
            manifest: id,
            owner,
            manifest_digest,
            sequence_number: manifest.sequence_number,
        };
        let kind = Kind::of(component, owner)?;
        let names: Vec<&str> = verified.envelope().payloads().keys().copied().collect();
        let bare = names.into_iter().fold(verified.envelope().clone(), |envelope, name| {
            envelope.without_payload(name)
        });
        Ok(Self { facts, kind, digest, nonce, envelope: bare.encode() })
    }

    /// Makes the new state the state of the device.
    fn apply(&self, staging: &Staging, place: &mut Place<'_>) -> Result<Vec<Entry>, Stopped> {
        let component = &self.facts.component;
        let content =
            staging.read(place.store, component)?.ok_or(Stopped::NoContent)?;
        match &self.kind {
            Kind::Application => self.install(content, place),
            Kind::PersonalizationData { of } => self.release(of, &content, place),
        }
    }

    /// Starts the application, and only then puts it in the place of an older one.
    fn install(
        &self,
        content: Zeroizing<Vec<u8>>,
        place: &mut Place<'_>,
    ) -> Result<Vec<Entry>, Stopped> {
        let facts = &self.facts;
        let digest = Digest::sha256(cose::sha256(&content));
        let entry = report::measured(&facts.component, digest, content.len() as u64);
        let running = place.applications.component(&facts.component);
        if running.is_some_and(|ta| ta.facts() == facts) {
            // Installed again: the running one keeps its data.
            return Ok(vec![entry]);
        }
        let contents = BTreeMap::from([
            (facts.component.clone(), content.to_vec()),
            (facts.manifest.clone(), self.envelope.clone()),
        ]);
        let ta = place.applications.start(facts.clone(), content)?;
        place.store.commit(self.change(contents))?;
        place.applications.admit(ta);
        Ok(vec![entry])
    }

    /// Opens the release. The data itself stays in the memory of the application; the store
    /// learns only that the manifest was installed, so that an older one is refused.
    fn release(
        &self,
        of: &ComponentId,
        content: &[u8],
        place: &mut Place<'_>,
    ) -> Result<Vec<Entry>, Stopped> {
        let ta = place.applications.component(of).ok_or(Stopped::NoApplication)?;
        let confirmation = ta.open(content.to_vec())?;
        let sealed = receipt(&confirmation, place.identity);
        let contents = BTreeMap::from([(self.facts.manifest.clone(), self.envelope.clone())]);
        let kept = sealed.map_err(Stopped::from).and_then(|receipt| {
            place.store.commit(self.change(contents))?;
            Ok(receipt)
        });
        if kept.is_err() {
            // The data must not stay where the device does not know of it.
            ta.restart();
        }
        let digest = Digest::sha256(cose::sha256(content));
        Ok(vec![
            report::measured(&self.facts.component, digest, content.len() as u64),
            report::released(&self.facts.component, &kept?),
        ])
    }

    fn change(&self, contents: BTreeMap<ComponentId, Vec<u8>>) -> Change {
        let new = New {
            manifest: self.facts.manifest.clone(),
            sequence_number: self.facts.sequence_number,
            digest: self.facts.manifest_digest,
            contents,
        };
        Change { install: vec![new], ..Change::default() }
    }
}

impl Kind {
    /// The name says it: `planner.pd` is the data of `planner`.
    fn of(component: &ComponentId, owner: Thumbprint) -> Result<Self, Refused> {
        let name = component.name().ok_or(Refused::Name)?;
        match name.strip_suffix(DATA_SUFFIX) {
            None => Ok(Self::Application),
            Some("") => Err(Refused::Name),
            Some(of) => {
                let of = ComponentId::in_tee(owner, of).map_err(|_| Refused::Name)?;
                Ok(Self::PersonalizationData { of })
            }
        }
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
    let component = &subject.facts.component;
    let mut installed = false;
    if let Some(failure) = failure {
        warn!(%component, %failure, "a manifest failed");
    } else {
        match subject.apply(staging, place) {
            Ok(entries) => {
                info!(%component, "a manifest is installed");
                report.records.extend(entries);
                installed = true;
            }
            Err(stopped) => {
                let cause = chain(&stopped);
                warn!(%component, cause, "a manifest cannot be installed");
                let seen = staging.read(place.store, component).ok().flatten();
                let seen = seen.map(|content| Digest::sha256(cose::sha256(&content)));
                report.result = report::failure(seen, &cause);
            }
        }
    }
    debug_assert_eq!(report.reference.digest, subject.digest);
    debug_assert_eq!(report.nonce, subject.nonce);
    let components = installed.then(|| component.clone()).into_iter().collect();
    Outcome { installed, report: report::sign(&report, place.identity), components }
}

/// Signs what a receiver confirmed, with the key that evidence names for it.
fn receipt(confirmation: &[u8], identity: &Identity) -> Result<Vec<u8>, cose::KeyUnusable> {
    let header = Header::default;
    cose::sign1(identity.receipt.as_ref(), header(), header(), &[], Payload::Attached(confirmation))
}
