//! Dependencies (trust-domains sections 5 and 6).

use super::failure::{Fault, Value};
use super::frame::{Frame, Role, Running, Scene};
use super::machine::Stop;
use super::operation::{Asked, Purpose, compare_image};
use super::program::Program;
use super::{Processor, check_authority, check_setup};
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::error::{Error, Untrusted};
use crate::parameter::{Parameter, key};
use crate::report::Properties;
use crate::section::Section;

impl<'b> Processor<'b> {
    //= suit 13.59 (M): dependency-integrity: three steps, each failure aborts, each tested
    //= alone. D 5.6.4
    //= suit 13.61 (M): Cached result from another manifest not used. D 5.6.4
    pub(super) fn dependency_integrity(&mut self, scene: Scene) -> Result<(), Stop> {
        self.must_be_dependency(scene)?;
        let expected = self.digest(scene.slot).ok_or(Fault::ParameterUnset(key::IMAGE_DIGEST))?;
        let cached = self.run.integrity.get(&(scene.program, scene.index));
        if cached.is_some_and(|at| self.programs[*at].digest == expected) {
            return self.hold(scene);
        }
        self.ask(scene, Asked::Load(Purpose::Integrity(expected)));
        Ok(())
    }

    //= suit 13.57 (M): process-dependency without prior dependency-integrity aborts. D 5.6.2
    //= suit 13.58 (M): process-dependency on a non-dependency aborts; in common aborts. D 5.6.2
    //= suit 13.63 (M): Lockstep order recorded and equal to the expected trace for depth 2. D 5.3
    pub(super) fn process_dependency(&mut self, scene: Scene) -> Result<(), Stop> {
        self.must_be_dependency(scene)?;
        let admitted = self.run.integrity.get(&(scene.program, scene.index)).copied();
        let at = admitted.ok_or(Fault::Unchecked)?;
        let program = &self.programs[at];
        //= suit 13.64 (M): Missing section in dependency: success; missing section in dependent
        //= although dependency has it: abort before running. D 5.1
        if !program.sections.contains_key(&scene.section) {
            return self.hold(scene);
        }
        if self.is_delegated(program) {
            self.check_crossing(at)?;
            self.ask(scene, Asked::Delegate { program: at, section: scene.section, remove: false });
            return Ok(());
        }
        let role = Role::Dependency { scene, remove: false };
        self.start_section(at, scene.section, role).map(drop)
    }

    //= suit 13.76 (M): unneeded-manifest-list of an unknown id: Error (P 7.2.2); of a still
    //= referenced manifest: count lowered only.
    pub(super) fn unlink(&mut self, scene: Scene) -> Result<(), Stop> {
        let program = &self.programs[scene.program];
        let (component, identity) = (self.component(&scene).clone(), program.identity.clone());
        let dependency = program.dependencies.contains_key(&scene.index);
        let references = &mut self.context.installed.references;
        if references.unlink(&component, &identity) > 0 {
            return self.hold(scene);
        }
        //= suit 13.73 (M): Uninstall order: dependent's uninstall first, then dependency. D 6
        let uninstalled = (scene.program, scene.index, Section::Uninstall);
        if dependency && !self.run.processed.contains(&uninstalled) {
            self.ask(scene, Asked::Load(Purpose::Unlink));
        } else {
            self.ask(scene, Asked::Remove);
        }
        Ok(())
    }

    /// The envelope of a dependency has been read.
    pub(super) fn loaded(
        &mut self,
        scene: Scene,
        purpose: Purpose,
        bytes: Vec<u8>,
    ) -> Result<(), Stop> {
        match purpose {
            Purpose::Integrity(expected) => {
                let at = self.admit(scene, bytes, Some(expected))?;
                self.check_sections(scene, at)?;
                self.run.integrity.insert((scene.program, scene.index), at);
                let measured = Properties::new().with(&Parameter::ImageDigest(expected));
                self.held(&scene, measured);
                Ok(())
            }
            Purpose::ImageMatch(expected) => {
                let digest = manifest_digest(expected, &bytes)?;
                let wanted = (expected, self.size(scene.slot));
                let measured = compare_image(wanted, true, digest, bytes.len() as u64)?;
                self.held(&scene, measured);
                Ok(())
            }
            Purpose::Unlink => {
                let at = self.admit(scene, bytes, self.digest(scene.slot))?;
                let section = Section::Uninstall;
                let program = &self.programs[at];
                if program.sections.contains_key(&section) && self.is_delegated(program) {
                    self.check_crossing(at)?;
                    self.ask(scene, Asked::Delegate { program: at, section, remove: true });
                    return Ok(());
                }
                let role = Role::Dependency { scene, remove: true };
                if !self.start_section(at, section, role)? {
                    self.ask(scene, Asked::Remove);
                }
                Ok(())
            }
        }
    }

    /// Checks an envelope as strictly as the root manifest's and takes it in.
    fn admit(
        &mut self,
        scene: Scene,
        bytes: Vec<u8>,
        expected: Option<Digest>,
    ) -> Result<usize, Stop> {
        let scope = self.programs[scene.program].dependencies.get(&scene.index).cloned().flatten();
        let mut program = self.authenticate_dependency(&bytes, scope.as_ref(), expected)?;
        check_authority(&program, &self.context)?;
        self.restrict_identity(&mut program);
        check_setup(&program, &self.context)?;
        self.check_chain(&program)?;
        let known = self.programs.iter().position(|each| {
            each.envelope() == program.envelope() && each.components == program.components
        });
        if let Some(at) = known {
            return Ok(at);
        }
        if self.programs.len() >= self.context.limits.manifests {
            return Err(Fault::TooManyDependencies.into());
        }
        Ok(self.add(program))
    }

    fn authenticate_dependency(
        &self,
        bytes: &[u8],
        scope: Option<&ComponentId>,
        expected: Option<Digest>,
    ) -> Result<Program<'static>, Error> {
        let envelope = Envelope::decode(bytes)?;
        let verified = envelope.authenticate(&*self.context.anchors, &self.context.accept)?;
        if expected.is_some_and(|expected| expected != verified.digest()) {
            return Err(Untrusted::DependencyDigest.into());
        }
        Ok(Program::new(&verified, scope)?.into_owned())
    }

    //= suit 13.69 (M): manifest-component-id outside author's ACL refused; ignored inside
    //= dependencies. D 5.2.1, 10
    /// Keeps state about a dependency under a component of its own signer: a dependency could
    /// else name the place of a stranger's manifest, and raise the stranger's sequence number.
    fn restrict_identity(&self, program: &mut Program<'_>) {
        if !self.context.authority.permits(&program.signer, &program.identity) {
            let first = program.components.values().next().cloned();
            program.identity = first.unwrap_or_else(|| program.identity.clone());
        }
    }

    //= suit 13.66 (M): Cyclic dependencies and depth over limit refused (R: 4).
    fn check_chain(&self, program: &Program<'_>) -> Result<(), Stop> {
        let running = self.run.frames.iter().filter_map(|frame| match frame {
            Frame::Sequence(Running {
                role: Role::Root | Role::Dependency { .. },
                program,
                ..
            }) => Some(&self.programs[*program]),
            Frame::Sequence(_) | Frame::TryEach(_) | Frame::RunSequence(_) => None,
        });
        let chain: Vec<&Program<'_>> = running.collect();
        if chain.iter().any(|ancestor| ancestor.digest == program.digest) {
            return Err(Fault::Cycle.into());
        }
        if chain.len() > self.context.limits.dependency_depth {
            return Err(Fault::TooManyDependencies.into());
        }
        Ok(())
    }

    //= suit 13.64 (M): Missing section in dependency: success; missing section in dependent
    //= although dependency has it: abort before running. D 5.1
    fn check_sections(&self, scene: Scene, at: usize) -> Result<(), Stop> {
        let (dependent, dependency) = (&self.programs[scene.program], &self.programs[at]);
        let mut over = true;
        for section in self.run.procedure.sections() {
            over &= *section != scene.section;
            let ran = (scene.program, scene.index, *section);
            let missed = over && !self.run.processed.contains(&ran);
            let has = dependency.sections.contains_key(section);
            if has && (missed || !dependent.sections.contains_key(section)) {
                return Err(Fault::SectionMissing(*section).into());
            }
        }
        Ok(())
    }

    /// Whether every admitted dependency of a manifest has run the section that has ended.
    pub(super) fn check_processed(&self, program: usize, section: Section) -> Result<(), Stop> {
        let own = self.run.integrity.range((program, 0)..=(program, u64::MAX));
        for ((_, index), at) in own {
            let ran = self.run.processed.contains(&(program, *index, section));
            if self.programs[*at].sections.contains_key(&section) && !ran {
                let fault = Fault::NotProcessed(*index, section);
                return Err(self.section_stop(program, section, fault));
            }
        }
        Ok(())
    }

    fn must_be_dependency(&self, scene: Scene) -> Result<(), Stop> {
        if self.programs[scene.program].dependencies.contains_key(&scene.index) {
            Ok(())
        } else {
            Err(Fault::NotDependency.into())
        }
    }

    /// Whether the second processor has every component of the dependency.
    fn is_delegated(&self, program: &Program<'_>) -> bool {
        self.context.device.second.as_ref().is_some_and(|second| {
            program.components.values().all(|each| each.starts_with(&second.prefix))
        })
    }

    //= suit 13.75 (M): Second processor: parameter outside its allow list refused. D 5.4.1
    fn check_crossing(&self, program: usize) -> Result<(), Stop> {
        let Some(second) = &self.context.device.second else { return Ok(()) };
        let mut keys =
            self.bindings[program].values().flat_map(|slot| self.slots[*slot].parameters.keys());
        match keys.find(|key| !second.parameters.contains(*key)) {
            Some(key) => Err(Fault::Crossing(*key).into()),
            None => Ok(()),
        }
    }

    /// The parameters that a dependent has set on components of the second processor.
    pub(super) fn crossing(&self, program: usize) -> Vec<(&ComponentId, Parameter<'_>)> {
        let slots = self.bindings[program].values();
        let each = slots.flat_map(|slot| {
            let keys = self.slots[*slot].parameters.keys();
            keys.filter_map(|key| {
                Some((&self.slots[*slot].component, self.parameter(*slot, *key)?))
            })
        });
        each.collect()
    }

    //= suit 13.60 (M): Cache dropped after fetch/copy to the dependency, abort, end. D 5.6.4
    pub(super) fn drop_integrity(&mut self, slot: usize) {
        let bindings = &self.bindings;
        self.run
            .integrity
            .retain(|(program, index), _| bindings[*program].get(index).copied() != Some(slot));
    }
}

/// The digest of the manifest in an envelope, measured, not claimed.
fn manifest_digest(expected: Digest, bytes: &[u8]) -> Result<Digest, Stop> {
    let measured = Envelope::decode(bytes).and_then(|envelope| {
        Ok(Digest::of_member(expected.algorithm(), envelope.manifest_bytes())?)
    });
    measured.map_err(|_| {
        let fault = Fault::Mismatch {
            expected: Value::Digest(expected),
            seen: Value::Word("no SUIT envelope"),
        };
        Stop::soft(fault, Properties::new())
    })
}
