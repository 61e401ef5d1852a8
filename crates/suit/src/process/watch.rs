//! Shows a run to people, command by command.

use super::failure::Fault;
use super::frame::Scene;
use super::machine::Stop;
use super::request::Request;
use super::{Processor, State};
use crate::cbor::Reader;
use crate::command::Command;
use crate::component::ComponentId;
use crate::section::Section;

/// A command that was begun on one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun<'a> {
    /// The manifest that it belongs to: the root manifest or a dependency.
    pub manifest: &'a ComponentId,
    /// The section that is being run.
    pub section: Section,
    /// Whether the command is one of the shared sequence, which runs before the section.
    pub shared: bool,
    /// The component that the command is about.
    pub component: &'a ComponentId,
    /// The command.
    pub command: Command<'a>,
    /// Why it failed, if it did so at once. A request, if it makes one, comes afterwards.
    pub fault: Option<&'a Fault>,
}

impl Processor<'_> {
    /// Does what [`Processor::step`] does, and shows each command to `watch`.
    pub fn step_watched(&mut self, watch: &mut dyn FnMut(&Begun<'_>)) -> Request<'_> {
        self.run_until_asked(Some(watch));
        self.request()
    }

    /// Runs commands until the shell is needed; only for who watches they are read once more.
    pub(super) fn run_until_asked(&mut self, mut watch: Option<&mut dyn FnMut(&Begun<'_>)>) {
        if matches!(self.state, State::Idle) {
            self.stop(Stop::hard(Fault::NotStarted));
        }
        while matches!(self.state, State::Running) {
            self.run.begun = None;
            let stopped = self.advance().err();
            if let Some(watch) = &mut watch
                && let Some(scene) = self.run.begun
            {
                let fault = stopped.as_ref().map(Stop::fault);
                if let Some(begun) = self.begun(&scene, fault) {
                    watch(&begun);
                }
            }
            if let Some(stop) = stopped {
                self.stop(stop);
            }
        }
    }

    fn begun<'p>(&'p self, scene: &Scene, fault: Option<&'p Fault>) -> Option<Begun<'p>> {
        let program = self.programs.get(scene.program)?;
        let sequence = if scene.shared {
            program.shared.clone()
        } else {
            program.sections.get(&scene.section).cloned().flatten()
        }?;
        let rest = sequence.start + scene.offset..sequence.end;
        Some(Begun {
            manifest: &program.identity,
            section: scene.section,
            shared: scene.shared,
            component: self.component(scene),
            command: Command::read(&mut Reader::trusted(program.slice(&rest))).ok()?,
            fault,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Procedure;
    use crate::build::{Compatibility, Name, Payload, Ta};
    use crate::testing::{Shell, authentic, new_key, owner_context, teep_class, teep_vendor};

    #[test]
    fn who_watches_sees_every_command_with_its_section_and_its_fault() {
        let owner = new_key();
        for (class, last, failed) in [
            (teep_class(), "condition-image-match", 0),
            (teep_vendor(), "condition-class-identifier", 1),
        ] {
            let compatibility = Compatibility { vendor: teep_vendor(), class };
            let ta = Ta::new(Name::new("ta").unwrap(), 1, compatibility, Payload::integrated(b"x"));
            let built = ta.sign(&owner).unwrap();
            let verified = authentic(&built.envelope);
            let mut processor = Processor::new(&verified, owner_context()).unwrap();
            processor.run(Procedure::Update).unwrap();
            let (mut seen, mut faults) = (Vec::new(), 0);
            let mut shell = Shell::new();

            loop {
                let request = processor.step_watched(&mut |begun| {
                    seen.push((begun.section, begun.shared, begun.command.label()));
                    faults += usize::from(begun.fault.is_some());
                    assert_eq!(Some(begun.component), built.component.as_ref());
                });
                if matches!(request, Request::Done(_)) {
                    break;
                }
                let outcome = shell.serve(&request);
                processor.resume(outcome).unwrap();
            }

            assert_eq!(seen[..2], [(Section::Install, true, 20), (Section::Install, true, 1)]);
            let label = seen.last().unwrap().2;
            assert_eq!(crate::command::Name(label).to_string(), last);
            assert_eq!(faults, failed);
        }
    }
}
