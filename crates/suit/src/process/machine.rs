//! The loop: which command is next, and what follows from its end.

use std::ops::Range;

use super::failure::{Ending, Failure, Fault};
use super::frame::{
    Active, Frame, Indices, Instruction, Place, Repeating, Role, Running, Scene, Trying,
};
use super::operation::{Asked, Waiting};
use super::{Processor, State};
use crate::command::{Directive, Name, ReportingPolicy, Selection, label};
use crate::error::Error;
use crate::report::{Conclusion, Entry, Properties, Record};
use crate::rollback;
use crate::section::{Procedure, Section};

/// Why a sequence cannot go on.
#[derive(Debug)]
pub(super) struct Stop(Box<Cause>);

#[derive(Debug)]
struct Cause {
    scene: Option<Scene>,
    fault: Fault,
    /// What was measured.
    measured: Properties,
    /// Whether soft-failure applies: the failure is that of a condition.
    condition: bool,
}

impl Stop {
    /// A failure that ends the procedure.
    pub(super) fn hard(fault: Fault) -> Self {
        let measured = Properties::new();
        Self(Box::new(Cause { scene: None, fault, measured, condition: false }))
    }

    /// A condition that does not hold.
    pub(super) fn soft(fault: Fault, measured: Properties) -> Self {
        Self(Box::new(Cause { scene: None, fault, measured, condition: true }))
    }

    /// The same as the failure of a directive.
    pub(super) fn into_hard(mut self) -> Self {
        self.0.condition = false;
        self
    }

    /// What went wrong.
    pub(super) fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// The same with the place where it happened.
    pub(super) fn at(mut self, scene: Scene) -> Self {
        self.0.scene.get_or_insert(scene);
        self
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::hard(fault)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::hard(Fault::Refused(error))
    }
}

impl Processor<'_> {
    /// Does one thing: starts, continues or ends a section, a sequence or a command.
    pub(super) fn advance(&mut self) -> Result<(), Stop> {
        match self.run.frames.last_mut() {
            None => self.next_section(),
            Some(Frame::Sequence(running)) if running.is_finished() => self.finish_sequence(),
            Some(Frame::Sequence(running)) => match &mut running.active {
                Some(active) => match active.remaining.pop_front() {
                    Some(index) => self.execute_active(index),
                    None => {
                        running.active = None;
                        Ok(())
                    }
                },
                None => self.next_command(),
            },
            Some(Frame::TryEach(_)) => self.try_next(),
            Some(Frame::RunSequence(_)) => self.repeat_next(),
        }
    }

    fn next_section(&mut self) -> Result<(), Stop> {
        match self.run.sections.pop_front() {
            Some(section) => self.start_section(0, section, Role::Root).map(drop),
            None => {
                self.succeed();
                Ok(())
            }
        }
    }

    /// Puts the shared sequence and then the section on the stack; false if there is none.
    pub(super) fn start_section(
        &mut self,
        at: usize,
        section: Section,
        role: Role,
    ) -> Result<bool, Stop> {
        let program = &self.programs[at];
        let content = match program.sections.get(&section) {
            None => return Ok(false),
            //= suit 13.12 (M): Severed member absent: section cannot run and says so; present:
            //= digest checked first. M 8.4.12
            Some(None) => return Err(self.section_stop(at, section, Fault::Severed)),
            Some(Some(content)) => content.clone(),
        };
        let selection = match program.components.len() {
            1 => program.components.keys().copied().collect(),
            _ => Indices::One(None),
        };
        let place = Place { program: at, section, shared: false, base: content.start };
        let main = Running::new(program, place, content, selection.clone(), role)?;
        let shared = match program.shared.clone() {
            None => None,
            Some(range) => {
                let place = Place { program: at, section, shared: true, base: range.start };
                Some(Running::new(program, place, range, selection, Role::Shared)?)
            }
        };
        self.run.frames.push(Frame::Sequence(main));
        self.run.frames.extend(shared.map(Frame::Sequence));
        Ok(true)
    }

    fn finish_sequence(&mut self) -> Result<(), Stop> {
        let Some(Frame::Sequence(ended)) = self.run.frames.pop() else { return Ok(()) };
        match ended.role {
            Role::Shared => Ok(()),
            Role::Root => {
                self.check_processed(ended.program, ended.section)?;
                self.run.validated |= ended.section == Section::Validate;
                Ok(())
            }
            Role::Dependency { scene, remove } => {
                self.check_processed(ended.program, ended.section)?;
                self.run.processed.insert((scene.program, scene.index, ended.section));
                if remove {
                    self.ask(scene, Asked::Remove);
                } else {
                    self.held(&scene, Properties::new());
                }
                Ok(())
            }
            Role::Alternative | Role::Repeated => {
                self.next_component();
                Ok(())
            }
        }
    }

    /// A try-each or run-sequence is through with one component.
    fn next_component(&mut self) {
        match self.run.frames.last_mut() {
            Some(Frame::TryEach(trying)) => {
                trying.remaining.pop_front();
                trying.next = 0;
            }
            Some(Frame::RunSequence(repeating)) => {
                repeating.remaining.pop_front();
            }
            Some(Frame::Sequence(_)) | None => {}
        }
    }

    /// Pays for a command, or for a command on one component.
    fn burn(&mut self, scene: Scene) -> Result<(), Stop> {
        let left = self.run.fuel.checked_sub(1);
        self.run.fuel = left.ok_or_else(|| Stop::hard(Fault::Fuel).at(scene))?;
        self.run.begun = Some(scene);
        Ok(())
    }

    fn next_command(&mut self) -> Result<(), Stop> {
        let Some(Frame::Sequence(running)) = self.run.frames.last_mut() else { return Ok(()) };
        let at = running.program;
        let program = &self.programs[at];
        let (offset, instruction) = running.next(program)?;
        let first = running.selection.front();
        let scene = Scene {
            program: at,
            section: running.section,
            shared: running.shared,
            offset,
            label: instruction.label(),
            index: first.unwrap_or_default(),
            slot: self.bindings[at].values().next().copied().unwrap_or_default(),
            policy: instruction.policy(),
        };
        if let Instruction::Select(selection) = &instruction {
            self.burn(scene)?;
            return self.select(selection, scene);
        }
        //= suit 13.26 (M): Several components and a sequence not starting with 12: abort. M 6.2
        if running.selection.is_empty() {
            return Err(Stop::hard(Fault::NoSelection).at(scene));
        }
        let (mut remaining, base) = (running.selection.clone(), running.base);
        // Trust-domains 5.6.2: with the index true, this directive is for every dependency.
        if running.all && scene.label == Directive::ProcessDependency.label() {
            let is_dependency = |index: &u64| program.dependencies.contains_key(index);
            remaining = remaining.iter().filter(is_dependency).collect();
        }
        if let Instruction::TryEach(alternatives, or_succeed) = instruction {
            let trying = Trying { scene, base, alternatives, or_succeed, next: 0, remaining };
            self.run.frames.push(Frame::TryEach(trying));
        } else if let Instruction::RunSequence(sequence) = instruction {
            let repeating = Repeating { scene, base, sequence, remaining };
            self.run.frames.push(Frame::RunSequence(repeating));
        } else {
            running.active = Some(Active { instruction, offset, remaining });
        }
        Ok(())
    }

    //= suit 13.36 (M): Index out of range: abort. M 6.4
    //= suit 13.37 (M): Index true runs for every component in order; array runs listed ones. M 6.5
    fn select(&mut self, selection: &Selection, scene: Scene) -> Result<(), Stop> {
        let known = &self.programs[scene.program].components;
        let selected: Indices = match selection {
            Selection::One(index) => Indices::One(Some(*index)),
            Selection::All => known.keys().copied().collect(),
            Selection::Several(indices) => indices.iter().copied().collect(),
        };
        if let Some(index) = selected.iter().find(|index| !known.contains_key(index)) {
            return Err(Stop::hard(Fault::Index(index)).at(Scene { index, ..scene }));
        }
        if let Some(Frame::Sequence(running)) = self.run.frames.last_mut() {
            running.selection = selected;
            running.all = *selection == Selection::All;
        }
        Ok(())
    }

    fn execute_active(&mut self, index: u64) -> Result<(), Stop> {
        let Some(Frame::Sequence(running)) = self.run.frames.last_mut() else { return Ok(()) };
        let last = running.active.as_ref().is_some_and(|active| active.remaining.is_empty());
        let active = if last { running.active.take() } else { running.active.clone() };
        let Some(Active { instruction, offset, .. }) = active else { return Ok(()) };
        let running = &*running;
        let program = running.program;
        let Some(slot) = self.bindings[program].get(&index).copied() else {
            return Err(Fault::Index(index).into());
        };
        let scene = Scene {
            program,
            section: running.section,
            shared: running.shared,
            offset,
            label: instruction.label(),
            index,
            slot,
            policy: instruction.policy(),
        };
        self.burn(scene)?;
        self.execute(scene, &instruction).map_err(|stop| stop.at(scene))
    }

    //= suit 13.29 (M): Unknown condition: failure; unknown directive: abort, reason 5. M 8.4.9,
    //= 8.4.10
    fn execute(&mut self, scene: Scene, instruction: &Instruction) -> Result<(), Stop> {
        if !self.context.device.commands.contains(&scene.label) {
            return Err(Fault::Unknown.into());
        }
        match instruction {
            Instruction::Condition(condition, _) => self.condition(scene, *condition),
            Instruction::Directive(directive, _) => self.directive(scene, *directive),
            Instruction::Set(entries) => self.set_parameters(scene, entries, false),
            Instruction::Override(entries) => self.set_parameters(scene, entries, true),
            Instruction::OverrideMultiple(several) => self.override_multiple(scene, several),
            Instruction::CopyParameters(sources) => self.copy_parameters(scene, sources),
            Instruction::Custom(_, argument) => {
                self.ask(scene, Asked::Custom(argument.clone()));
                Ok(())
            }
            Instruction::Select(_)
            | Instruction::TryEach(..)
            | Instruction::RunSequence(_)
            | Instruction::Unknown(_) => Err(Fault::Unknown.into()),
        }
    }

    //= suit 13.38 (M): try-each: first success ends; all fail: error; final nil: success; fewer
    //= than two sequences malformed. M 8.4.10.2
    fn try_next(&mut self) -> Result<(), Stop> {
        let Some(Frame::TryEach(trying)) = self.run.frames.last_mut() else { return Ok(()) };
        let Some(index) = trying.remaining.front() else {
            self.run.frames.pop();
            return Ok(());
        };
        let next = trying.alternatives.get(trying.next).cloned();
        trying.next += 1;
        let (scene, base) = (trying.scene, trying.base);
        match next {
            Some(sequence) => self.start_inner(scene, base, sequence, index, Role::Alternative),
            None if trying.or_succeed => {
                self.next_component();
                Ok(())
            }
            None => Err(self.inner_stop(scene, index, Fault::NoAlternative)),
        }
    }

    fn repeat_next(&mut self) -> Result<(), Stop> {
        let Some(Frame::RunSequence(repeating)) = self.run.frames.last() else { return Ok(()) };
        let Some(index) = repeating.remaining.front() else {
            self.run.frames.pop();
            return Ok(());
        };
        let sequence = repeating.sequence.clone();
        self.start_inner(repeating.scene, repeating.base, sequence, index, Role::Repeated)
    }

    fn start_inner(
        &mut self,
        scene: Scene,
        base: usize,
        sequence: Range<usize>,
        index: u64,
        role: Role,
    ) -> Result<(), Stop> {
        self.burn(scene)?;
        let Scene { program, section, shared, .. } = scene;
        let place = Place { program, section, shared, base };
        let selection = Indices::One(Some(index));
        let running = Running::new(&self.programs[program], place, sequence, selection, role)?;
        self.run.frames.push(Frame::Sequence(running));
        Ok(())
    }

    /// A command succeeded for one component.
    pub(super) fn held(&mut self, scene: &Scene, measured: Properties) {
        let (record, properties) =
            (scene.policy.on_success(), scene.policy.properties_on_success());
        self.note(scene, measured, record, properties);
    }

    //= suit 13.35 (M): abort fails; inside try-each goes to the next sequence. M 8.4.9.5
    //= suit 13.41 (M): Directive failure aborts even with soft-failure. M 6.4
    //= suit 13.42 (M): run-sequence stops at a failed condition; default soft-failure false. M
    //= 8.4.10.8
    pub(super) fn stop(&mut self, Stop(stop): Stop) {
        if let Some(scene) = &stop.scene {
            let (record, properties) =
                (scene.policy.on_failure(), scene.policy.properties_on_failure());
            self.note(scene, stop.measured.clone(), record, properties);
        }
        let soft = match self.run.frames.last() {
            Some(Frame::Sequence(running)) => running.soft == Some(true),
            Some(Frame::TryEach(_) | Frame::RunSequence(_)) | None => false,
        };
        if !(soft && stop.condition) {
            self.fail(*stop);
            return;
        }
        let ended = self.run.frames.pop();
        if let Some(Frame::Sequence(running)) = ended
            && matches!(running.role, Role::Repeated)
        {
            self.next_component();
        }
        self.state = State::Running;
    }

    fn note(&mut self, scene: &Scene, measured: Properties, record: bool, properties: bool) {
        if properties && !measured.is_empty() {
            self.push(Entry::Properties(self.component(scene).clone(), measured.clone()));
        }
        if record {
            self.push(Entry::Record(self.record(scene, measured)));
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.run.records.len() < self.context.limits.records {
            self.run.records.push(entry);
        }
    }

    //= suit 13.94 (M): Failure record names section, offset and index of the failing command
    //= (compare for each negative manifest). R 3
    pub(super) fn record(&self, scene: &Scene, properties: Properties) -> Record {
        let manifest = self.run.frames.iter().filter_map(|frame| match frame {
            Frame::Sequence(Running { role: Role::Dependency { scene, .. }, .. }) => {
                Some(scene.index)
            }
            Frame::Sequence(_) | Frame::TryEach(_) | Frame::RunSequence(_) => None,
        });
        Record {
            manifest: manifest.collect(),
            section: if scene.shared { SHARED } else { scene.section.key() },
            offset: scene.offset as u64,
            component_index: scene.index,
            properties,
        }
    }

    fn fail(&mut self, stop: Cause) {
        let record = match &stop.scene {
            Some(scene) => self.record(scene, stop.measured.clone()),
            None => Record::default(),
        };
        let failure = Failure {
            command: stop.scene.map(|scene| Name(scene.label)),
            section: stop.scene.map(|scene| scene.section),
            component: stop.scene.map(|scene| self.component(&scene).clone()),
            fault: stop.fault,
            record: record.clone(),
        };
        let code = failure.command.map_or(0, |Name(label)| label);
        let reason = failure.reason();
        self.run.frames.clear();
        //= suit 13.60 (M): Cache dropped after fetch/copy to the dependency, abort, end. D 5.6.4
        self.run.integrity.clear();
        let records = std::mem::take(&mut self.run.records);
        let report = self.report(records, Conclusion::Failure { code, record, reason });
        self.state = State::Ended(Box::new(Ending { report, failure: Some(failure) }));
    }

    fn succeed(&mut self) {
        if self.run.procedure == Procedure::Update {
            self.keep();
        }
        self.run.integrity.clear();
        let records = std::mem::take(&mut self.run.records);
        let report = self.report(records, Conclusion::Success);
        self.state = State::Ended(Box::new(Ending { report, failure: None }));
    }

    /// Notes what an update has installed: numbers and references.
    fn keep(&mut self) {
        let processed = self.run.processed.iter();
        let mut ran: Vec<usize> = processed
            .filter_map(|(program, index, _)| self.run.integrity.get(&(*program, *index)).copied())
            .collect();
        ran.push(0);
        let installed = &mut self.context.installed;
        for program in ran.into_iter().map(|at| &self.programs[at]) {
            let stored = installed.sequence_numbers.get(&program.identity).copied();
            let next = rollback::next(program.sequence_number, stored);
            installed.sequence_numbers.insert(program.identity.clone(), next);
            for component in program.components.values() {
                installed.references.link(component, &program.identity);
            }
        }
    }

    /// Stops to ask the shell.
    pub(super) fn ask(&mut self, scene: Scene, asked: Asked) {
        self.state = State::Waiting(Waiting { scene, asked });
    }

    fn inner_stop(&self, scene: Scene, index: u64, fault: Fault) -> Stop {
        let slot = self.bindings[scene.program].get(&index).copied().unwrap_or(scene.slot);
        Stop::hard(fault).at(Scene { index, slot, ..scene })
    }

    pub(super) fn section_stop(&self, program: usize, section: Section, fault: Fault) -> Stop {
        Stop::hard(fault).at(Scene {
            program,
            section,
            shared: false,
            offset: 0,
            label: label::RUN_SEQUENCE,
            index: 0,
            slot: self.bindings[program].values().next().copied().unwrap_or_default(),
            policy: ReportingPolicy::NEVER,
        })
    }
}

/// The manifest key of common: where records of the shared sequence say they are from.
const SHARED: i64 = 3;
