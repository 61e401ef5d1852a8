//! One manifest for the TEE, run by the SUIT processor.

use cose::encrypt::Opener;
use device::ComponentId as DeviceId;
use device::broker::{Action, LIVE_SCHEME};
use suit::encryption::Info;
use suit::process::{Context, Ending, Obstacle, Outcome, Processor, Request};
use suit::{ComponentId, DigestAlgorithm, Intake, Measured, Procedure, Section, Verified};

use super::ending::{self, Done, Stopped, Subject};
use super::staging::Staging;
use super::{
    CONTENT_BYTES_MAX, NotAsked, Place, Refused, Step, authenticate, chain, manifest_id, obstacle,
};
use crate::settings::Settings;
use crate::store::{Content, Slot};

/// A manifest that is being run.
#[derive(Debug)]
pub(super) struct Run {
    processor: Processor<'static>,
    subject: Subject,
    staging: Staging,
    done: Done,
    /// Why the package cannot go on to its next UA.
    stopped: Option<Stopped>,
    errand: Option<Errand>,
}

/// What the Broker is doing.
#[derive(Debug)]
enum Errand {
    /// It fetches a content, one range after the other.
    Fetch(Box<Fetch>),
    /// It installs a UA that this manifest depends on.
    Ua { action: u64 },
    /// It is through; this is what the processor is told.
    Through(Outcome),
    /// It installs a UA that came sealed.
    HandOut { action: u64 },
    /// What became of that.
    HandedOut(Result<Vec<u8>, String>),
}

/// A content that streams from the Broker into a slot.
#[derive(Debug)]
struct Fetch {
    /// The range that the Broker was asked for, if it was asked.
    action: Option<u64>,
    uri: String,
    limit: u64,
    component: ComponentId,
    /// The bytes that have come.
    received: u64,
    /// What has come and is not in the slot yet.
    piece: Option<Vec<u8>>,
    slot: Slot,
}

/// What the processor wants, without a borrow of it.
enum Want {
    Answer(Outcome),
    Fetch(Box<Fetch>),
    Ua { envelope: Vec<u8> },
    Over,
}

impl Run {
    pub(super) fn new(
        verified: &Verified<'_>,
        context: Context,
        settings: &Settings,
    ) -> Result<Self, Refused> {
        // First the owner and the sequence number, then the agent's own wishes.
        let mut processor = Processor::new(verified, context)?.into_owned();
        let subject = Subject::new(verified, settings)?;
        processor.run(Procedure::Update).expect("a new processor runs nothing");
        let (staging, done) = (Staging::default(), Done::default());
        Ok(Self { processor, subject, staging, done, stopped: None, errand: None })
    }

    pub(super) fn advance(&mut self, place: &mut Place<'_>) -> Step<teep::agent::Outcome<'static>> {
        loop {
            let answer = match self.errand.take() {
                Some(Errand::Through(outcome)) => outcome,
                Some(Errand::HandedOut(answer)) => {
                    let handed_out = self.done.handed_out(answer);
                    return Step::Over(self.conclude(handed_out, place));
                }
                Some(Errand::Fetch(mut fetch)) => match fetch.piece.take() {
                    None => {
                        let action = fetch.ask(place);
                        self.errand = Some(Errand::Fetch(fetch));
                        return Step::Actions(action.into_iter().collect());
                    }
                    Some(piece) => match self.stream(fetch, &piece, place) {
                        Some(outcome) => outcome,
                        None => continue,
                    },
                },
                Some(errand @ (Errand::Ua { .. } | Errand::HandOut { .. })) => {
                    self.errand = Some(errand);
                    return Step::Actions(Vec::new());
                }
                None => match self.want(place) {
                    Want::Answer(outcome) => outcome,
                    Want::Fetch(fetch) => {
                        self.errand = Some(Errand::Fetch(fetch));
                        continue;
                    }
                    Want::Ua { envelope } => match self.before(&envelope, place) {
                        Ok(loads) => {
                            let id = next(place);
                            self.errand = Some(Errand::Ua { action: id });
                            return Step::Actions(vec![Action::InstallUa { id, envelope, loads }]);
                        }
                        Err(stopped) => {
                            let cause = chain(&stopped);
                            self.stopped = Some(stopped);
                            Outcome::Failed(Obstacle::Other(cause))
                        }
                    },
                    Want::Over => return self.end(place),
                },
            };
            self.processor.resume(answer).expect("each request has the answers that are given");
        }
    }

    /// Takes the Broker's answer.
    pub(super) fn done(
        &mut self,
        action: u64,
        outcome: Result<Vec<u8>, String>,
    ) -> Result<(), NotAsked> {
        let waits = self.errand.as_ref().and_then(Errand::waits_for);
        if waits != Some(action) {
            return Err(NotAsked);
        }
        self.errand = match (self.errand.take(), outcome) {
            (Some(Errand::HandOut { .. }), outcome) => Some(Errand::HandedOut(outcome)),
            (Some(Errand::Ua { .. }), Ok(ree_report)) => {
                self.done.said(ree_report);
                Some(Errand::Through(Outcome::Done))
            }
            (Some(Errand::Fetch(mut fetch)), Ok(piece)) => {
                (fetch.action, fetch.piece) = (None, Some(piece));
                Some(Errand::Fetch(fetch))
            }
            (Some(_), Err(text)) => Some(Errand::Through(Outcome::Failed(Obstacle::Other(text)))),
            (errand, Ok(_)) | (errand @ None, Err(_)) => errand,
        };
        Ok(())
    }

    /// Puts a range into the slot. One that is shorter than asked for is the last one.
    fn stream(
        &mut self,
        mut fetch: Box<Fetch>,
        piece: &[u8],
        place: &mut Place<'_>,
    ) -> Option<Outcome> {
        let asked = fetch.length();
        let came = piece.len() as u64;
        if came > asked {
            return Some(Outcome::Failed(Obstacle::TooLarge));
        }
        if let Err(obstacle) = place.store.extend(&mut fetch.slot, piece) {
            return Some(Outcome::Failed(obstacle));
        }
        fetch.received += came;
        if came == asked && fetch.received < fetch.limit {
            self.errand = Some(Errand::Fetch(fetch));
            return None;
        }
        let Fetch { component, slot, .. } = *fetch;
        Some(self.staging.put(&component, place.store.finish(slot)))
    }

    /// Does what the processor asks for, as far as that needs no Broker.
    fn want(&mut self, place: &mut Place<'_>) -> Want {
        let staging = &mut self.staging;
        let answer = match self.processor.step() {
            Request::Done(_) => return Want::Over,
            Request::Fetch { component, uri, limit, encryption, .. } => {
                match Fetch::new(component, uri, limit, encryption, place) {
                    Ok(fetch) => return Want::Fetch(Box::new(fetch)),
                    Err(obstacle) => Outcome::Failed(obstacle),
                }
            }
            Request::Write { component, content, encryption } => {
                staging.put(component, write(content, encryption, place))
            }
            Request::Copy { component, source, encryption } => {
                let content = staging.content(place.store, source).cloned();
                let copied = content.ok_or(Obstacle::Absent);
                let copied = copied.and_then(|content| copy(content, encryption, place));
                staging.put(component, copied)
            }
            Request::Swap { component, source } => staging.swap(place.store, component, source),
            //= teep 14.69 (M): what is there already is installed after its digest matched
            Request::Digest { component, algorithm } => {
                match staging.measure(place.store, component, algorithm) {
                    Ok(Some(Measured { digest, size })) => Outcome::Measured { digest, size },
                    Ok(None) => Outcome::Absent,
                    Err(obstacle) => Outcome::Failed(obstacle),
                }
            }
            Request::CheckContent { component, content } => {
                match staging.holds(place.store, component, content) {
                    Ok(holds) => Outcome::Holds(holds),
                    Err(damaged) => Outcome::Failed(obstacle(&damaged)),
                }
            }
            Request::Load { component } => match staging.read(place.store, component) {
                Ok(Some(envelope)) => Outcome::Envelope(envelope.to_vec()),
                Ok(None) => Outcome::Absent,
                Err(damaged) => Outcome::Failed(obstacle(&damaged)),
            },
            Request::Delegate { envelope, section: Section::Install, parameters, .. }
                if parameters.is_empty() =>
            {
                return Want::Ua { envelope: envelope.to_vec() };
            }
            // The Broker runs every section of a UA's manifest when it installs the UA.
            Request::Delegate { parameters, .. } if parameters.is_empty() => Outcome::Done,
            Request::Remove { component } => {
                staging.remove(component);
                Outcome::Done
            }
            Request::Authorize { .. } => Outcome::Holds(true),
            Request::Version { .. } => Outcome::Absent,
            // Starting things (the agent starts an application when it is installed), waiting and
            // custom commands.
            Request::Delegate { .. }
            | Request::Invoke { .. }
            | Request::Wait { .. }
            | Request::Custom { .. } => Outcome::Failed(Obstacle::Unsupported),
        };
        Want::Answer(answer)
    }

    /// What has to run before this UA goes to the REE; gives the application that it loads.
    fn before(&mut self, ua: &[u8], place: &mut Place<'_>) -> Result<Option<DeviceId>, Stopped> {
        place.permits(&manifest_id(&authenticate(ua)?)?)?;
        let loads = self.subject.prepare_before(ua, &mut self.done, &self.staging, place)?;
        Ok(loads.and_then(|component| DeviceId::new(component.parts().to_vec()).ok()))
    }

    fn end(&mut self, place: &mut Place<'_>) -> Step<teep::agent::Outcome<'static>> {
        if self.ending().failure.is_some() {
            let stopped = self.stopped.take().map_or(Ok(()), Err);
            return Step::Over(self.conclude(stopped, place));
        }
        let prepared = self.subject.prepare(&mut self.done, &self.staging, place);
        match prepared.and_then(|()| self.done.hand_out(place)) {
            Ok(Some(envelope)) => {
                let id = next(place);
                self.errand = Some(Errand::HandOut { action: id });
                Step::Actions(vec![Action::InstallUa { id, envelope, loads: None }])
            }
            Ok(None) => Step::Over(self.conclude(Ok(()), place)),
            Err(stopped) => Step::Over(self.conclude(Err(stopped), place)),
        }
    }

    fn conclude(
        &mut self,
        prepared: Result<(), Stopped>,
        place: &mut Place<'_>,
    ) -> teep::agent::Outcome<'static> {
        let (ending, done) = (self.ending(), std::mem::take(&mut self.done));
        ending::conclude(&self.subject, ending, done, prepared, &self.staging, place)
    }

    fn ending(&mut self) -> Ending {
        let Request::Done(ending) = self.processor.step() else {
            unreachable!("called after the processor was done");
        };
        ending.clone()
    }
}

impl Errand {
    fn waits_for(&self) -> Option<u64> {
        match self {
            Self::Fetch(fetch) => fetch.action,
            Self::Ua { action } | Self::HandOut { action } => Some(*action),
            Self::Through(_) | Self::HandedOut(_) => None,
        }
    }
}

impl Fetch {
    fn new(
        component: &ComponentId,
        uri: &str,
        limit: u64,
        encryption: Option<&[u8]>,
        place: &mut Place<'_>,
    ) -> Result<Self, Obstacle> {
        let limit = limit.min(CONTENT_BYTES_MAX);
        let intake = intake(encryption, limit, place)?;
        Ok(Self {
            action: None,
            uri: uri.to_owned(),
            limit,
            component: component.clone(),
            received: 0,
            piece: None,
            slot: place.store.slot(intake),
        })
    }

    /// What the Broker is asked for next; nothing when it was asked before.
    fn ask(&mut self, place: &mut Place<'_>) -> Option<Action> {
        if self.action.is_some() {
            return None;
        }
        let id = next(place);
        self.action = Some(id);
        let (offset, length) = (self.received, self.length());
        Some(Action::Fetch { id, uri: self.uri.clone(), offset, length })
    }

    /// How much is asked for: one byte beyond the limit is never taken, and one range fits a frame.
    fn length(&self) -> u64 {
        let most = if self.uri.starts_with(LIVE_SCHEME) { LIVE_RANGE_BYTES } else { RANGE_BYTES };
        self.limit.saturating_sub(self.received).min(most)
    }
}

/// How a content comes into its slot: as it is, or opened by the agent's key.
fn intake(encryption: Option<&[u8]>, limit: u64, place: &Place<'_>) -> Result<Intake, Obstacle> {
    let Some(info) = encryption else {
        return Intake::plain(DigestAlgorithm::Sha256, limit);
    };
    let info = Info::decode(info).map_err(|_| Obstacle::Decryption)?;
    let opener = Opener::Agreement(place.identity.payload.as_ref());
    Intake::encrypted(&info, &opener, DigestAlgorithm::Sha256, limit)
}

/// Puts a content that the manifest brings into a slot.
fn write(
    content: &[u8],
    encryption: Option<&[u8]>,
    place: &mut Place<'_>,
) -> Result<Content, Obstacle> {
    let intake = intake(encryption, content.len() as u64, place)?;
    let mut slot = place.store.slot(intake);
    place.store.extend(&mut slot, content)?;
    place.store.finish(slot)
}

/// A content for another component: the same, or what it decrypts to.
fn copy(
    content: Content,
    encryption: Option<&[u8]>,
    place: &mut Place<'_>,
) -> Result<Content, Obstacle> {
    if encryption.is_none() {
        return Ok(content);
    }
    let intake = intake(encryption, content.length, place)?;
    place.store.pass(&content, intake)
}

pub(super) fn next(place: &mut Place<'_>) -> u64 {
    *place.next_action += 1;
    *place.next_action
}

/// What is fetched at a time.
const RANGE_BYTES: u64 = 4 * 1024 * 1024;

/// The same from who gives it live, through a Broker that holds no more than this.
const LIVE_RANGE_BYTES: u64 = 1024 * 1024;
