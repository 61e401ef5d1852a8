//! A deployment as a pure state machine: what has happened, whose turn it is, and what may follow.
//!
//! Every case of the use-case draft is a row of [`Step`]s, one per arrow of its figure. The
//! machine walks the row: a step waits for what the Network User has to bring, then it is the
//! device's turn, then the step is recorded with the digest of the actor's own statement. Whatever
//! would break the order of the row ends the deployment.
//!
//! It deliberately knows no time, no messages and no storage.

mod case1;
mod case2;
mod case3;
mod case4;
mod case5;
mod failure;

use std::collections::BTreeSet;

use api::{Actor, EventName, Hardware, InstanceType, Need, PackageName, State};
use serde::{Deserialize, Serialize};

pub use self::failure::Failure;

/// What was asked for: it selects the row of the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Case of the use-case draft, section 4.
    pub case: u8,
    /// What the Trusted Application runs as.
    pub instance: InstanceType,
    /// Where it runs.
    pub hardware: Hardware,
    /// Whether a UA belongs to it.
    pub with_ua: bool,
}

/// One arrow of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub event: EventName,
    /// On whose word it rests.
    pub actor: Actor,
    /// What the Network User brings before it can begin.
    pub needs: Vec<Need>,
    /// What the device does.
    pub task: Task,
}

/// The device's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// An Update with this package.
    Install {
        /// The package.
        package: PackageName,
        /// Whether the UA on the device asks for it (RequestTA), as on SGX.
        loaded_by_ua: bool,
    },
    /// The Broker places the UA that its Network User deploys; neither TAM nor Agent takes part.
    Place,
    /// Fresh evidence for the Network User's nonce.
    Attest,
}

/// The figures hold no such row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSuchRow {
    /// There are five cases.
    #[error("the draft has no case {0}")]
    Case(u8),
    /// The package of this case brings a UA along.
    #[error("case {case} has a UA (figure {figure})")]
    Ua {
        /// What was asked for.
        case: u8,
        /// Where the draft says so.
        figure: u8,
    },
    /// This instance type does not exist on this hardware.
    #[error("{instance} does not exist on {hardware} (figure {figure})")]
    Instance {
        /// What was asked for.
        instance: InstanceType,
        /// Where.
        hardware: Hardware,
        /// Where the draft has no such cell.
        figure: u8,
    },
}

impl Plan {
    /// The row of the figures, in order.
    pub fn steps(&self) -> Result<Vec<Step>, NoSuchRow> {
        let Self { case, instance, hardware, .. } = *self;
        if (1..=5).contains(&case) && !hardware.hosts(instance) {
            return Err(NoSuchRow::Instance { instance, hardware, figure: case + 1 });
        }
        match case {
            case @ (1 | 2 | 5) if !self.with_ua => Err(NoSuchRow::Ua { case, figure: case + 1 }),
            1 => Ok(case1::steps(self)),
            2 => Ok(case2::steps(self)),
            3 => Ok(case3::steps(self)),
            4 => Ok(case4::steps(self)),
            5 => Ok(case5::steps(self)),
            other => Err(NoSuchRow::Case(other)),
        }
    }

    /// Whether the UA, which is there first, loads the TA (section 4.2, step 3).
    fn ua_loads_ta(&self) -> bool {
        self.with_ua && self.hardware == Hardware::Sgx
    }
}

fn attestation() -> Step {
    Step {
        event: EventName::AttestAgent,
        actor: Actor::Tam,
        needs: vec![Need::Nonce],
        task: Task::Attest,
    }
}

/// Cases 2 and 3 end alike.
fn pd_to_ta() -> Step {
    Step {
        event: EventName::PdToTa,
        actor: Actor::TrustedApplication,
        needs: vec![Need::Pd],
        task: Task::Install { package: PackageName::Pd, loaded_by_ua: false },
    }
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    plan: Plan,
    /// What the Network User has brought and no step has consumed.
    brought: BTreeSet<Need>,
    /// Steps of the row that are done.
    done: usize,
    /// Every event, a repeated attestation included.
    recorded: Vec<Recorded>,
    /// Why it ended.
    failure: Option<Failure>,
}

/// An event and the digest of the statement behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The event.
    pub event: EventName,
    /// SHA-256 of the actor's statement, hex.
    pub digest: String,
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The Network User has to bring these.
    User(Vec<Need>),
    /// The device has to do this.
    Device(Task),
    /// Nobody's: every step is done.
    Done,
    /// Nobody's: it failed.
    Failed,
}

/// Why the machine did not take what it was given; it is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotNow {
    /// The row has no place for it.
    #[error("this deployment does not take it")]
    NotInPlan,
    /// An earlier step has to come first.
    #[error("{0} comes first")]
    Before(EventName),
    /// It is there already.
    #[error("it is there already")]
    AlreadyThere,
    /// The deployment has ended.
    #[error("the deployment has ended")]
    Ended,
}

impl Machine {
    /// A deployment of which nothing has happened.
    pub fn new(plan: Plan) -> Result<Self, NoSuchRow> {
        plan.steps()?;
        let recorded = Vec::new();
        Ok(Self { plan, brought: BTreeSet::new(), done: 0, recorded, failure: None })
    }

    /// What was asked for.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every event so far.
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// Why it ended, when it failed.
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether it has failed: it holds nothing on its device any more.
    pub const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether anything may still happen by itself: it has neither failed nor is every step done.
    pub fn is_open(&self) -> bool {
        matches!(self.turn(), Turn::User(_) | Turn::Device(_))
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Turn {
        if self.failure.is_some() {
            return Turn::Failed;
        }
        let Some(step) = self.next_step() else { return Turn::Done };
        let missing: Vec<Need> =
            step.needs.iter().copied().filter(|need| !self.brought.contains(need)).collect();
        match missing.is_empty() {
            true => Turn::Device(step.task),
            false => Turn::User(missing),
        }
    }

    /// The event that is next in the row.
    pub fn next_event(&self) -> Option<EventName> {
        self.next_step().map(|step| step.event)
    }

    /// The state that the Network User sees.
    pub fn state(&self) -> State {
        match self.turn() {
            Turn::User(_) => State::Waiting,
            Turn::Device(Task::Install { .. } | Task::Place) => State::Deploying,
            Turn::Device(Task::Attest) => State::Attesting,
            Turn::Done => State::Running,
            Turn::Failed => State::Failed,
        }
    }

    /// What the Network User has to bring.
    pub fn needs(&self) -> Vec<Need> {
        match self.turn() {
            Turn::User(needs) => needs,
            Turn::Device(_) | Turn::Done | Turn::Failed => Vec::new(),
        }
    }

    /// The Network User brings something.
    ///
    /// PD is taken only when every step before its own is done, a nonce only when its step is
    /// next, or once more while its step was the last one: a result grows old.
    pub fn bring(&mut self, need: Need) -> Result<(), NotNow> {
        if !self.is_open() {
            return Err(NotNow::Ended);
        }
        let steps = self.steps();
        let at = self.place_of(need, &steps).ok_or(NotNow::NotInPlan)?;
        if self.brought.contains(&need) {
            return Err(NotNow::AlreadyThere);
        }
        if at > self.done && !may_come_early(need, &steps[self.done..at]) {
            return Err(NotNow::Before(steps[self.done].event));
        }
        if at < self.done {
            self.repeat(need, at, &steps)?;
        }
        self.brought.insert(need);
        Ok(())
    }

    /// The step that asks for it: the next one, else the last one, else a later one.
    fn place_of(&self, need: Need, steps: &[Step]) -> Option<usize> {
        let asks = |at: &usize| steps[*at].needs.contains(&need);
        let near = [Some(self.done), self.done.checked_sub(1)];
        let near = near.into_iter().flatten().find(asks);
        let later = || (self.done..steps.len()).find(asks);
        near.or_else(later).or_else(|| (0..self.done).find(asks))
    }

    /// Goes back to an attestation that was the last step, for a newer nonce.
    fn repeat(&mut self, need: Need, at: usize, steps: &[Step]) -> Result<(), NotNow> {
        let next_has_begun = steps[self.done].needs.iter().any(|need| self.brought.contains(need));
        if need != Need::Nonce || at + 1 != self.done || next_has_begun {
            return Err(NotNow::AlreadyThere);
        }
        self.done = at;
        Ok(())
    }

    /// Records a step. One that is not next ends the deployment.
    ///
    /// Returns the digest of the event before, to which this one links.
    pub fn record(&mut self, event: EventName, digest: String) -> Result<Option<String>, NotNow> {
        if self.failure.is_some() {
            return Err(NotNow::Ended);
        }
        let expected = match (self.turn(), self.next_step()) {
            (Turn::Device(_), Some(step)) if step.event == event => {
                self.brought.remove(&Need::Nonce);
                self.done += 1;
                let cause = self.recorded.last().map(|last| last.digest.clone());
                self.recorded.push(Recorded { event, digest });
                return Ok(cause);
            }
            (_, Some(step)) => step.event.to_string(),
            (_, None) => "nothing".to_owned(),
        };
        self.failure = Some(Failure::order(expected, event));
        Err(NotNow::Ended)
    }

    /// Ends the deployment; the first failure stays.
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    fn steps(&self) -> Vec<Step> {
        self.plan.steps().unwrap_or_default()
    }

    /// The step that is next in the row.
    pub fn next_step(&self) -> Option<Step> {
        self.steps().into_iter().nth(self.done)
    }
}

/// Packages without secrets may be there before their turn, unless an attestation comes first: in
/// case 5 the TA is deployed after the Network User's positive result, not before.
fn may_come_early(need: Need, before: &[Step]) -> bool {
    matches!(need, Need::Ua | Need::Ta | Need::UaTa)
        && before.iter().all(|step| step.task != Task::Attest)
}

/// What a package is called among the needs.
pub const fn need(package: PackageName) -> Need {
    match package {
        PackageName::Ua => Need::Ua,
        PackageName::Ta => Need::Ta,
        PackageName::Pd => Need::Pd,
        PackageName::UaTa => Need::UaTa,
        PackageName::UaTaPd => Need::UaTaPd,
        PackageName::TaPd => Need::TaPd,
        PackageName::UaPd => Need::UaPd,
    }
}

#[cfg(test)]
mod tests;
