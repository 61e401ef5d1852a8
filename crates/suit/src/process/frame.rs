//! Sequences that are under way.

use std::ops::Range;
use std::sync::Arc;

use crate::cbor::Reader;
use crate::command::{Command, Condition, Directive, ReportingPolicy, Selection};
use crate::error::Error;
use crate::parameter::Parameters;
use crate::section::Section;

use super::program::Program;

/// One level of what is being run.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// A sequence.
    Sequence(Running),
    /// A try-each, which starts sequences until one succeeds for each component.
    TryEach(Trying),
    /// A run-sequence, which starts its sequence for each component.
    RunSequence(Repeating),
}

/// A sequence that is being run.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) program: usize,
    pub(super) section: Section,
    pub(super) shared: bool,
    /// Where the section begins, from where offsets are counted.
    pub(super) base: usize,
    /// The encoded sequence.
    range: Range<usize>,
    /// Bytes of the sequence that have been read.
    position: usize,
    /// Commands that have not been read.
    remaining: u64,
    /// The selected component indices.
    pub(super) selection: Indices,
    /// Whether the selection is `true`.
    pub(super) all: bool,
    /// soft-failure, where it may be set.
    pub(super) soft: Option<bool>,
    pub(super) role: Role,
    /// The command that is being run for one component after the other.
    pub(super) active: Option<Active>,
}

/// Why a sequence runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// A section of the root manifest.
    Root,
    /// A section of a dependency, on behalf of a command.
    Dependency {
        /// The command.
        scene: Scene,
        /// Whether the dependency is removed after it: unlink.
        remove: bool,
    },
    /// The shared sequence before a section.
    Shared,
    /// One of several that are tried.
    Alternative,
    /// The one of a run-sequence.
    Repeated,
}

#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) instruction: Instruction,
    pub(super) offset: usize,
    pub(super) remaining: Indices,
}

#[derive(Clone, Debug)]
pub(super) struct Trying {
    pub(super) scene: Scene,
    pub(super) base: usize,
    pub(super) alternatives: Vec<Range<usize>>,
    pub(super) or_succeed: bool,
    pub(super) next: usize,
    pub(super) remaining: Indices,
}

#[derive(Clone, Debug)]
pub(super) struct Repeating {
    pub(super) scene: Scene,
    pub(super) base: usize,
    pub(super) sequence: Range<usize>,
    pub(super) remaining: Indices,
}

/// Where and about what a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) program: usize,
    pub(super) section: Section,
    pub(super) shared: bool,
    pub(super) offset: usize,
    pub(super) label: i64,
    pub(super) index: u64,
    pub(super) slot: usize,
    pub(super) policy: ReportingPolicy,
}

/// A command whose arguments are places in the bytes of its program.
#[derive(Clone, Debug)]
pub(super) enum Instruction {
    Condition(Condition, ReportingPolicy),
    Directive(Directive, ReportingPolicy),
    Select(Selection),
    TryEach(Vec<Range<usize>>, bool),
    RunSequence(Range<usize>),
    Set(Entries),
    Override(Entries),
    OverrideMultiple(Vec<(u64, Entries)>),
    CopyParameters(Vec<(u64, Vec<i64>)>),
    Custom(i64, Range<usize>),
    Unknown(i64),
}

/// Component indices, of which the first ones may be done already.
#[derive(Clone, Debug)]
pub(super) enum Indices {
    /// One at most, as in most manifests.
    One(Option<u64>),
    /// Several.
    Several { list: Arc<[u64]>, next: usize },
}

impl Indices {
    /// The first index.
    pub(super) fn front(&self) -> Option<u64> {
        match self {
            Self::One(index) => *index,
            Self::Several { list, next } => list.get(*next).copied(),
        }
    }

    /// Takes the first index away.
    pub(super) fn pop_front(&mut self) -> Option<u64> {
        let first = self.front();
        match self {
            Self::One(index) => *index = None,
            Self::Several { next, .. } => *next += usize::from(first.is_some()),
        }
        first
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let (one, several) = match self {
            Self::One(index) => (*index, &[][..]),
            Self::Several { list, next } => (None, list.get(*next..).unwrap_or_default()),
        };
        one.into_iter().chain(several.iter().copied())
    }
}

impl FromIterator<u64> for Indices {
    fn from_iter<I: IntoIterator<Item = u64>>(indices: I) -> Self {
        let mut indices = indices.into_iter();
        let first = indices.next();
        match (first, indices.next()) {
            (Some(first), Some(second)) => {
                let list = [first, second].into_iter().chain(indices).collect();
                Self::Several { list, next: 0 }
            }
            (first, _) => Self::One(first),
        }
    }
}

/// Parameter keys with the places of their values.
pub(super) type Entries = Vec<(i64, Range<usize>)>;

impl Running {
    /// Starts a sequence.
    pub(super) fn new(
        program: &Program<'_>,
        at: Place,
        range: Range<usize>,
        selection: Indices,
        role: Role,
    ) -> Result<Self, Error> {
        let mut reader = Reader::trusted(program.slice(&range));
        let remaining = reader.array()? / 2;
        let soft = match role {
            Role::Root | Role::Dependency { .. } | Role::Shared => None,
            Role::Alternative => Some(true),
            Role::Repeated => Some(false),
        };
        Ok(Self {
            program: at.program,
            section: at.section,
            shared: at.shared,
            base: at.base,
            range,
            position: reader.position(),
            remaining,
            selection,
            all: false,
            soft,
            role,
            active: None,
        })
    }

    /// Whether every command has been read.
    pub(super) fn is_finished(&self) -> bool {
        self.remaining == 0 && self.active.is_none()
    }

    /// Reads the next command and tells its offset in the section.
    pub(super) fn next(&mut self, program: &Program<'_>) -> Result<(usize, Instruction), Error> {
        let start = self.range.start + self.position;
        let rest = start..self.range.end;
        let mut reader = Reader::trusted(program.slice(&rest));
        let instruction = Instruction::new(program, &rest, &mut reader)?;
        self.position += reader.position();
        self.remaining = self.remaining.saturating_sub(1);
        Ok((start.saturating_sub(self.base), instruction))
    }
}

/// The manifest and section that a sequence belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) program: usize,
    pub(super) section: Section,
    pub(super) shared: bool,
    pub(super) base: usize,
}

impl Instruction {
    fn new<'p>(
        program: &'p Program<'_>,
        rest: &Range<usize>,
        reader: &mut Reader<'p>,
    ) -> Result<Self, Error> {
        let entries = |parameters: &Parameters<'_>| -> Result<Entries, Error> {
            let places = parameters.raw().iter();
            places.map(|(key, value)| Ok((*key, program.locate(value)?))).collect()
        };
        Ok(match Command::read(reader)? {
            Command::Condition(condition, policy) => Self::Condition(condition, policy),
            Command::Directive(directive, policy) => Self::Directive(directive, policy),
            Command::SetComponentIndex(selection) => Self::Select(selection),
            Command::TryEach(try_each) => {
                let sequences = try_each.sequences.iter();
                let places = sequences.map(|sequence| program.locate(sequence.bytes()));
                Self::TryEach(places.collect::<Result<_, _>>()?, try_each.or_succeed)
            }
            Command::RunSequence(sequence) => Self::RunSequence(program.locate(sequence.bytes())?),
            Command::SetParameters(parameters) => Self::Set(entries(&parameters)?),
            Command::OverrideParameters(parameters) => Self::Override(entries(&parameters)?),
            Command::OverrideMultiple(several) => {
                let several = several.iter().map(|(index, each)| Ok((*index, entries(each)?)));
                Self::OverrideMultiple(several.collect::<Result<_, Error>>()?)
            }
            Command::CopyParameters(sources) => Self::CopyParameters(sources.into_iter().collect()),
            Command::Custom(label, _) => {
                // The argument is read again when it is needed; its place follows the label.
                let mut again = Reader::trusted(program.slice(rest));
                again.int()?;
                let from = rest.start + again.position();
                Self::Custom(label, from..rest.start + reader.position())
            }
            Command::Unknown(label) => Self::Unknown(label),
        })
    }

    pub(super) fn label(&self) -> i64 {
        use crate::command::label;
        match self {
            Self::Condition(condition, _) => condition.label(),
            Self::Directive(directive, _) => directive.label(),
            Self::Select(_) => label::SET_COMPONENT_INDEX,
            Self::TryEach(..) => label::TRY_EACH,
            Self::RunSequence(_) => label::RUN_SEQUENCE,
            Self::Set(_) => label::SET_PARAMETERS,
            Self::Override(_) => label::OVERRIDE_PARAMETERS,
            Self::OverrideMultiple(_) => label::OVERRIDE_MULTIPLE,
            Self::CopyParameters(_) => label::COPY_PARAMS,
            Self::Custom(label, _) | Self::Unknown(label) => *label,
        }
    }

    pub(super) fn policy(&self) -> ReportingPolicy {
        match self {
            Self::Condition(_, policy) | Self::Directive(_, policy) => *policy,
            Self::Select(_)
            | Self::TryEach(..)
            | Self::RunSequence(_)
            | Self::Set(_)
            | Self::Override(_)
            | Self::OverrideMultiple(_)
            | Self::CopyParameters(_)
            | Self::Custom(..)
            | Self::Unknown(_) => ReportingPolicy::NEVER,
        }
    }
}
