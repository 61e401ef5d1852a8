//! The manifest processor (suit-manifest section 6, trust-domains sections 5 and 6).
//!
//! A [`Processor`] is a value: it runs the commands of one verified manifest and of its
//! dependencies, and whenever the world is needed it stops with a [`Request`]. The shell does
//! what is asked, streams payloads between network and store without showing them to the
//! processor, and goes on with [`Processor::resume`]. Nothing here recurses over input, and a
//! run is bounded by [`Limits`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::authority;
use crate::cbor::Reader;
use crate::command::{Condition, Directive};
use crate::component::ComponentId;
use crate::error::{Error, Unsupported, Untrusted};
use crate::parameter::Parameter;
use crate::report::{Conclusion, Entry, Properties, Reason, Record, Reference, Report};
use crate::rollback;
use crate::section::{Procedure, Section};
use crate::verified::Verified;

mod condition;
mod dependency;
mod device;
mod directive;
mod failure;
mod frame;
mod machine;
mod operation;
mod parameters;
mod program;
mod references;
mod request;
mod watch;

pub use device::{Context, Device, Installed, Limits, SecondProcessor, every_command};
pub use failure::{Ending, Failure, Fault, Value};
pub use references::References;
pub use request::{Obstacle, Outcome, Request};
pub use watch::Begun;

use frame::{Frame, Scene};
use operation::Waiting;
use program::Program;

//= suit 13.54 (M): Two runs of the same manifest on equal devices give equal state. M 6.3
/// Runs one verified manifest.
///
/// A run depends on the envelope, the [`Context`] and the answers, and on nothing else.
#[derive(Clone, Debug)]
pub struct Processor<'b> {
    context: Context,
    /// The root manifest first, then dependencies as they are admitted.
    programs: Vec<Program<'b>>,
    /// For each program, its component indices.
    bindings: Vec<BTreeMap<u64, usize>>,
    slots: Vec<Slot>,
    run: Run,
    state: State,
}

/// A component with its parameters.
#[derive(Clone, Debug)]
struct Slot {
    component: ComponentId,
    parameters: BTreeMap<i64, Located>,
}

/// Where the encoded value of a parameter is.
#[derive(Clone, Debug)]
enum Located {
    /// In the bytes of a program.
    In { program: usize, range: Range<usize> },
    /// A first processor gave it.
    Given(Arc<[u8]>),
}

#[derive(Clone, Debug)]
enum State {
    /// No procedure was started.
    Idle,
    /// Commands can run.
    Running,
    /// The shell was asked for something.
    Waiting(Waiting),
    /// The procedure is over.
    Ended(Box<Ending>),
}

/// What one procedure remembers.
#[derive(Clone, Debug)]
struct Run {
    procedure: Procedure,
    /// Sections of the root manifest that are still to come.
    sections: VecDeque<Section>,
    frames: Vec<Frame>,
    fuel: u32,
    /// The command that was begun last, until somebody saw it.
    begun: Option<Scene>,
    records: Vec<Entry>,
    /// Sources and targets since strict-order was set to false.
    free_order: Option<FreeOrder>,
    /// Whether the root manifest's validate section has succeeded.
    validated: bool,
    /// Admitted dependencies by dependent and index.
    integrity: BTreeMap<(usize, u64), usize>,
    /// Dependencies that were fetched, written or copied, by dependent and index.
    stored: BTreeSet<(usize, u64)>,
    /// Sections of dependencies that were run, by dependent and index.
    processed: BTreeSet<(usize, u64, Section)>,
}

#[derive(Clone, Debug, Default)]
struct FreeOrder {
    sources: BTreeSet<usize>,
    targets: BTreeSet<usize>,
}

/// The caller asked for something that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// A procedure is under way.
    #[error("a procedure is under way")]
    Running,
    /// A parameter for an unknown component, or too late.
    #[error("a parameter for an unknown component, or too late")]
    CannotGive,
    /// Nothing was asked for.
    #[error("nothing was asked for")]
    NothingAsked,
    /// The answer does not fit the request.
    #[error("the answer does not fit the request")]
    WrongAnswer,
}

impl<'b> Processor<'b> {
    //= suit 13.21 (M): More components than supported refused. M 6.2
    //= suit 13.22 (M): Unknown component id: reason 6; not allowed to signer: reason 7. R 4.2
    //= suit 13.27 (M): Dependencies declared while unsupported: abort. D 5.1
    //= suit 13.102 (M): Unimplemented U commands refuse the whole manifest. U 5
    /// Takes a manifest if the device can run it, its signer may, and it is not older than the
    /// installed one.
    pub fn new(verified: &Verified<'b>, context: Context) -> Result<Self, Error> {
        let program = Program::new(verified, None)?;
        authority::check(&*context.authority, verified.signer(), verified.manifest())?;
        check_setup(&program, &context)?;
        let run = Run::new(Procedure::Update, &context.limits);
        let mut processor = Self {
            context,
            // Most manifests have no dependency, and programs and slots are large.
            programs: Vec::with_capacity(1),
            bindings: Vec::with_capacity(1),
            slots: Vec::with_capacity(program.components.len()),
            run,
            state: State::Idle,
        };
        processor.add(program);
        Ok(processor)
    }

    /// The same processor with an envelope of its own.
    pub fn into_owned(self) -> Processor<'static> {
        Processor {
            context: self.context,
            programs: self.programs.into_iter().map(Program::into_owned).collect(),
            bindings: self.bindings,
            slots: self.slots,
            run: self.run,
            state: self.state,
        }
    }

    //= suit 13.20 (M): Parameters cleared between manifests and between procedures. M 6.1
    /// Starts a procedure.
    pub fn run(&mut self, procedure: Procedure) -> Result<(), Misuse> {
        match self.state {
            State::Idle | State::Ended(_) => {}
            State::Running | State::Waiting(_) => return Err(Misuse::Running),
        }
        self.slots.iter_mut().for_each(|slot| slot.parameters.clear());
        self.run = Run::new(procedure, &self.context.limits);
        self.state = State::Running;
        Ok(())
    }

    /// Takes a parameter over from a first processor, after [`Processor::run`] and before the
    /// first step (trust-domains section 5.4.1).
    pub fn give(
        &mut self,
        component: &ComponentId,
        parameter: &Parameter<'_>,
    ) -> Result<(), Misuse> {
        let slot = self.slots.iter_mut().find(|slot| slot.component == *component);
        match (&self.state, slot) {
            (State::Running, Some(slot)) if self.run.frames.is_empty() => {
                let value = Located::Given(parameter.encode().into());
                slot.parameters.insert(parameter.key(), value);
                Ok(())
            }
            _ => Err(Misuse::CannotGive),
        }
    }

    /// Runs commands until the shell is needed, and tells for what. Asked again without an
    /// answer, it tells the same.
    pub fn step(&mut self) -> Request<'_> {
        self.run_until_asked(None);
        self.request()
    }

    /// What the device has to keep after a procedure: sequence numbers, which only a success
    /// changes, and references.
    pub fn installed(&self) -> &Installed {
        &self.context.installed
    }

    /// The component under which state of the root manifest is kept.
    pub fn identity(&self) -> &ComponentId {
        &self.programs[0].identity
    }

    //= suit 13.100 (S): invoke-pending used when reporting before an invoke that does not
    //= return. R 4.2
    /// The report to send before a request that does not return.
    pub fn invoke_pending(&self) -> Report {
        let record = match &self.state {
            State::Waiting(waiting) => self.record(&waiting.scene, Properties::new()),
            State::Idle | State::Running | State::Ended(_) => Record::default(),
        };
        let code = Directive::Invoke.label();
        let result = Conclusion::Failure { code, record, reason: Reason::InvokePending };
        self.report(self.run.records.clone(), result)
    }

    //= suit 13.96 (M): Nonce copied. R 4, P 4.4
    fn report(&self, records: Vec<Entry>, result: Conclusion) -> Report {
        let root = &self.programs[0];
        Report {
            reference: Reference { uri: root.reference_uri.clone(), digest: root.digest },
            nonce: self.context.nonce.clone(),
            records,
            result,
            capability: None,
        }
    }

    /// Adds a program and gives its components slots.
    fn add(&mut self, program: Program<'b>) -> usize {
        let mut binding = BTreeMap::new();
        for (index, component) in &program.components {
            let known = self.slots.iter().position(|slot| slot.component == *component);
            let slot = known.unwrap_or_else(|| {
                let parameters = BTreeMap::new();
                self.slots.push(Slot { component: component.clone(), parameters });
                self.slots.len() - 1
            });
            binding.insert(*index, slot);
        }
        self.bindings.push(binding);
        self.programs.push(program);
        self.programs.len() - 1
    }

    /// The value of a parameter of a component.
    fn parameter(&self, slot: usize, key: i64) -> Option<Parameter<'_>> {
        let at = self.slots.get(slot)?.parameters.get(&key)?;
        Parameter::read(key, &mut Reader::trusted(self.bytes(at))).ok()
    }

    fn bytes<'p>(&'p self, at: &'p Located) -> &'p [u8] {
        match at {
            Located::In { program, range } => {
                self.programs.get(*program).map(|program| program.slice(range)).unwrap_or_default()
            }
            Located::Given(value) => value,
        }
    }

    fn component(&self, scene: &Scene) -> &ComponentId {
        &self.slots[scene.slot].component
    }
}

impl Run {
    fn new(procedure: Procedure, limits: &Limits) -> Self {
        Self {
            procedure,
            sections: procedure.sections().iter().copied().collect(),
            // A section and the shared sequence before it.
            frames: Vec::with_capacity(2),
            fuel: limits.commands,
            begun: None,
            records: Vec::new(),
            free_order: None,
            validated: false,
            integrity: BTreeMap::new(),
            stored: BTreeSet::new(),
            processed: BTreeSet::new(),
        }
    }
}

/// What is checked before any command of a manifest, root or dependency, runs.
fn check_setup(program: &Program<'_>, context: &Context) -> Result<(), Error> {
    let found = program.components.len();
    if found > context.limits.components {
        return Err(Unsupported::Components { found, most: context.limits.components }.into());
    }
    let absent = program.components.values().find(|each| !context.device.has_component(each));
    if let Some(absent) = absent {
        return Err(Unsupported::Component(absent.clone()).into());
    }
    let missing =
        |label: &i64| !context.device.commands.contains(label) && every_command().contains(label);
    if let Some(label) = program.labels.iter().find(missing) {
        return Err(Unsupported::Command(label).into());
    }
    let integrity = Condition::DependencyIntegrity.label();
    if !program.dependencies.is_empty() && !context.device.commands.contains(&integrity) {
        return Err(Unsupported::Dependencies.into());
    }
    let stored = context.installed.sequence_numbers.get(&program.identity);
    rollback::check_number(program.sequence_number, stored.copied())?;
    Ok(())
}

/// Whether the signer of a dependency may touch each of its components.
fn check_authority(program: &Program<'_>, context: &Context) -> Result<(), Error> {
    let permits = |each: &&ComponentId| !context.authority.permits(&program.signer, each);
    match program.components.values().find(permits) {
        Some(foreign) => Err(Untrusted::Component(foreign.clone()).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
