//! What the shell is asked for, and what its answers mean.

use std::ops::Range;

use super::failure::{Fault, Value};
use super::frame::Scene;
use super::machine::Stop;
use super::request::{Obstacle, Outcome, Request};
use super::{Misuse, Processor, State};
use crate::cbor::Reader;
use crate::command::CustomArgument;
use crate::digest::{Digest, DigestAlgorithm};
use crate::parameter::{Comparison, Parameter, VersionMatch, key};
use crate::report::Properties;
use crate::section::Section;

/// A command that waits for the shell.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) scene: Scene,
    pub(super) asked: Asked,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Whether the component has the content already that is to be fetched.
    Present(Digest),
    Fetch,
    /// Stores the parameter content, or an integrated payload.
    Write(Option<Range<usize>>),
    Copy(usize),
    /// Whether the source of an encrypted copy is what it should be.
    Ciphertext {
        source: usize,
        expected: Digest,
    },
    Swap(usize),
    Digest {
        expected: Digest,
        equal: bool,
    },
    CheckContent,
    Load(Purpose),
    /// Has the second processor run a section of a program, after which it may be removed.
    Delegate {
        program: usize,
        section: Section,
        remove: bool,
    },
    Invoke,
    Remove,
    Authorize(i64),
    Version(VersionMatch),
    Wait,
    Custom(Range<usize>),
}

/// Why a dependency's envelope is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For dependency-integrity, with the digest that it has to have.
    Integrity(Digest),
    /// For image-match on a dependency, whose digest is that of its manifest.
    ImageMatch(Digest),
    /// For unlink, to run its uninstall section.
    Unlink,
}

impl<'b> Processor<'b> {
    /// What is asked for.
    pub(super) fn request(&self) -> Request<'_> {
        match &self.state {
            State::Waiting(waiting) => self.waiting_request(waiting),
            State::Ended(ending) => Request::Done(ending),
            State::Idle | State::Running => unreachable!("step runs until something is asked for"),
        }
    }

    fn waiting_request(&self, Waiting { scene, asked }: &Waiting) -> Request<'_> {
        let component = self.component(scene);
        let slot = scene.slot;
        match asked {
            Asked::Present(digest) | Asked::Digest { expected: digest, .. } => {
                Request::Digest { component, algorithm: digest.algorithm() }
            }
            Asked::Ciphertext { source, expected } => Request::Digest {
                component: &self.slots[*source].component,
                algorithm: expected.algorithm(),
            },
            Asked::Fetch => Request::Fetch {
                component,
                uri: self.uri(slot).unwrap_or_default(),
                limit: self.size_limit(slot),
                arguments: self.byte_parameter(slot, key::FETCH_ARGUMENTS),
                expected: self.digest(slot),
                encryption: self.byte_parameter(slot, key::ENCRYPTION_INFO),
            },
            Asked::Write(payload) => Request::Write {
                component,
                content: match payload {
                    Some(range) => self.programs[scene.program].slice(range),
                    None => self.byte_parameter(slot, key::CONTENT).unwrap_or_default(),
                },
                encryption: self.byte_parameter(slot, key::ENCRYPTION_INFO),
            },
            Asked::Copy(source) => Request::Copy {
                component,
                source: &self.slots[*source].component,
                encryption: self.byte_parameter(slot, key::ENCRYPTION_INFO),
            },
            Asked::Swap(source) => {
                Request::Swap { component, source: &self.slots[*source].component }
            }
            Asked::CheckContent => Request::CheckContent {
                component,
                content: self.byte_parameter(slot, key::CONTENT).unwrap_or_default(),
            },
            Asked::Load(_) => Request::Load { component },
            Asked::Delegate { program, section, .. } => Request::Delegate {
                component,
                envelope: self.programs[*program].envelope(),
                section: *section,
                parameters: self.crossing(*program),
            },
            Asked::Invoke => Request::Invoke {
                component,
                arguments: self.byte_parameter(slot, key::INVOKE_ARGS),
            },
            Asked::Remove => Request::Remove { component },
            Asked::Authorize(priority) => Request::Authorize { component, priority: *priority },
            Asked::Version(_) => Request::Version { component },
            Asked::Wait => Request::Wait {
                events: self.byte_parameter(slot, key::WAIT_INFO).unwrap_or_default(),
            },
            Asked::Custom(argument) => {
                let bytes = self.programs[scene.program].slice(argument);
                let argument = CustomArgument::read(&mut Reader::trusted(bytes));
                let argument = argument.unwrap_or(CustomArgument::Nil);
                Request::Custom { component, label: scene.label, argument }
            }
        }
    }

    /// Takes the answer to the last request.
    pub fn resume(&mut self, outcome: Outcome) -> Result<(), Misuse> {
        let State::Waiting(Waiting { scene, asked }) = &self.state else {
            return Err(Misuse::NothingAsked);
        };
        if !asked.takes(&outcome) {
            return Err(Misuse::WrongAnswer);
        }
        let (scene, asked) = (*scene, asked.clone());
        self.state = State::Running;
        if let Err(stop) = self.answered(scene, asked, outcome) {
            self.stop(stop.at(scene));
        }
        Ok(())
    }

    fn answered(&mut self, scene: Scene, asked: Asked, outcome: Outcome) -> Result<(), Stop> {
        let condition = asked.is_condition();
        match outcome {
            Outcome::Failed(obstacle) if condition => {
                Err(Stop::soft(Fault::Operation(obstacle), Properties::new()))
            }
            Outcome::Failed(obstacle) => Err(Fault::Operation(obstacle).into()),
            Outcome::Done => {
                self.done(&scene, &asked);
                Ok(())
            }
            Outcome::Measured { digest, size } => self.measured(scene, &asked, digest, size),
            Outcome::Absent => self.absent(scene, &asked),
            Outcome::Holds(true) => {
                self.held(&scene, Properties::new());
                Ok(())
            }
            Outcome::Holds(false) => {
                let fault =
                    Fault::Mismatch { expected: Value::Word("a yes"), seen: Value::Word("a no") };
                Err(Stop::soft(fault, Properties::new()))
            }
            Outcome::Envelope(bytes) => {
                let Asked::Load(purpose) = asked else { return Ok(()) };
                self.loaded(scene, purpose, bytes)
            }
            Outcome::Version(installed) => {
                let Asked::Version(wanted) = asked else { return Ok(()) };
                self.version_told(scene, &wanted, installed)
            }
        }
    }

    /// The effects of an operation that the shell has done.
    fn done(&mut self, scene: &Scene, asked: &Asked) {
        match asked {
            Asked::Fetch | Asked::Write(_) | Asked::Copy(_) => self.changed(scene, scene.slot),
            Asked::Swap(source) => {
                self.changed(scene, scene.slot);
                self.changed(scene, *source);
            }
            Asked::Remove => self.drop_integrity(scene.slot),
            Asked::Delegate { section, remove, .. } => {
                self.run.processed.insert((scene.program, scene.index, *section));
                if *remove {
                    self.ask(*scene, Asked::Remove);
                    return;
                }
            }
            Asked::Present(_)
            | Asked::Ciphertext { .. }
            | Asked::Digest { .. }
            | Asked::CheckContent
            | Asked::Load(_)
            | Asked::Invoke
            | Asked::Authorize(_)
            | Asked::Version(_)
            | Asked::Wait
            | Asked::Custom(_) => {}
        }
        self.held(scene, Properties::new());
    }

    fn measured(
        &mut self,
        scene: Scene,
        asked: &Asked,
        digest: Digest,
        size: u64,
    ) -> Result<(), Stop> {
        match asked {
            //= suit 13.53 (M): Interrupted update can be re-applied with the same end state (kill
            //= at every step). M 6.3.1
            Asked::Present(expected) => {
                if digest == *expected && self.size(scene.slot).is_none_or(|wanted| wanted == size)
                {
                    self.done(&scene, &Asked::Fetch);
                } else {
                    self.ask(scene, Asked::Fetch);
                }
                Ok(())
            }
            Asked::Ciphertext { source, expected } => {
                compare_image((*expected, self.size(*source)), true, digest, size)
                    .map_err(Stop::into_hard)?;
                self.ask(scene, Asked::Copy(*source));
                Ok(())
            }
            Asked::Digest { expected, equal } => {
                let wanted = (*expected, self.size(scene.slot));
                let measured = compare_image(wanted, *equal, digest, size)?;
                self.held(&scene, measured);
                Ok(())
            }
            Asked::Fetch
            | Asked::Write(_)
            | Asked::Copy(_)
            | Asked::Swap(_)
            | Asked::CheckContent
            | Asked::Load(_)
            | Asked::Delegate { .. }
            | Asked::Invoke
            | Asked::Remove
            | Asked::Authorize(_)
            | Asked::Version(_)
            | Asked::Wait
            | Asked::Custom(_) => Ok(()),
        }
    }

    fn absent(&mut self, scene: Scene, asked: &Asked) -> Result<(), Stop> {
        match asked {
            Asked::Present(_) => {
                self.ask(scene, Asked::Fetch);
                Ok(())
            }
            Asked::Load(Purpose::Unlink) => {
                self.held(&scene, Properties::new());
                Ok(())
            }
            Asked::Digest { equal: false, .. } => {
                self.held(&scene, Properties::new());
                Ok(())
            }
            Asked::Digest { expected, .. }
            | Asked::Load(Purpose::Integrity(expected) | Purpose::ImageMatch(expected)) => {
                let fault =
                    Fault::Mismatch { expected: Value::Digest(*expected), seen: Value::Nothing };
                let soft = !matches!(asked, Asked::Load(Purpose::Integrity(_)));
                Err(if soft { Stop::soft(fault, Properties::new()) } else { Stop::hard(fault) })
            }
            Asked::Ciphertext { .. } => Err(Fault::Operation(Obstacle::Absent).into()),
            Asked::Version(wanted) => {
                let expected = Value::Version(wanted.version.clone());
                let fault = Fault::Mismatch { expected, seen: Value::Nothing };
                Err(Stop::soft(fault, Properties::new()))
            }
            Asked::Fetch
            | Asked::Write(_)
            | Asked::Copy(_)
            | Asked::Swap(_)
            | Asked::CheckContent
            | Asked::Delegate { .. }
            | Asked::Invoke
            | Asked::Remove
            | Asked::Authorize(_)
            | Asked::Wait
            | Asked::Custom(_) => Ok(()),
        }
    }

    fn version_told(
        &mut self,
        scene: Scene,
        wanted: &VersionMatch,
        installed: Vec<i64>,
    ) -> Result<(), Stop> {
        let measured = Properties::new().with(&Parameter::Version(VersionMatch {
            comparison: Comparison::Equal,
            version: installed.clone(),
        }));
        if wanted.holds_for(&installed) {
            self.held(&scene, measured);
            return Ok(());
        }
        let expected = Value::Version(wanted.version.clone());
        let fault = Fault::Mismatch { expected, seen: Value::Version(installed) };
        Err(Stop::soft(fault, measured))
    }
}

impl Asked {
    /// Whether the answer is one that the request documents.
    fn takes(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Failed(_) => true,
            Outcome::Done => match self {
                Self::Fetch
                | Self::Write(_)
                | Self::Copy(_)
                | Self::Swap(_)
                | Self::Delegate { .. }
                | Self::Invoke
                | Self::Remove
                | Self::Wait
                | Self::Custom(_) => true,
                Self::Present(_)
                | Self::Ciphertext { .. }
                | Self::Digest { .. }
                | Self::CheckContent
                | Self::Load(_)
                | Self::Authorize(_)
                | Self::Version(_) => false,
            },
            Outcome::Measured { digest, .. } => self.algorithm() == Some(digest.algorithm()),
            Outcome::Absent => {
                self.algorithm().is_some() || matches!(self, Self::Load(_) | Self::Version(_))
            }
            Outcome::Holds(_) => matches!(self, Self::CheckContent | Self::Authorize(_)),
            Outcome::Envelope(_) => matches!(self, Self::Load(_)),
            Outcome::Version(_) => matches!(self, Self::Version(_)),
        }
    }

    /// The hash that is asked for.
    fn algorithm(&self) -> Option<DigestAlgorithm> {
        if let Self::Present(digest)
        | Self::Ciphertext { expected: digest, .. }
        | Self::Digest { expected: digest, .. } = self
        {
            return Some(digest.algorithm());
        }
        None
    }

    fn is_condition(&self) -> bool {
        matches!(
            self,
            Self::Digest { .. }
                | Self::CheckContent
                | Self::Load(Purpose::ImageMatch(_))
                | Self::Authorize(_)
                | Self::Version(_)
        )
    }
}

//= suit 13.32 (M): image-match compares digest and fails without parameter 3. M 8.4.9.2
//= suit 13.87 (M): Plaintext digest and size in validate/install matched after decryption. E 7.1
//= suit 13.33 (R): image-match also compares image-size when set.
/// Compares what was measured with what is wanted, and gives it back as properties.
pub(super) fn compare_image(
    (wanted, wanted_size): (Digest, Option<u64>),
    equal: bool,
    digest: Digest,
    size: u64,
) -> Result<Properties, Stop> {
    let measured =
        Properties::new().with(&Parameter::ImageDigest(digest)).with(&Parameter::ImageSize(size));
    if (digest == wanted) != equal {
        let fault =
            Fault::Mismatch { expected: Value::Digest(wanted), seen: Value::Digest(digest) };
        return Err(Stop::soft(fault, measured));
    }
    match wanted_size {
        Some(wanted) if equal && wanted != size => {
            let fault = Fault::Mismatch { expected: Value::Size(wanted), seen: Value::Size(size) };
            Err(Stop::soft(fault, measured))
        }
        _ => Ok(measured),
    }
}
