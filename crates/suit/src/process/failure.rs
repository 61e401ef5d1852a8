//! How a procedure ends, and why a command failed.

use std::fmt;

use super::request::Obstacle;
use crate::command::{Condition, Name};
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::error::{Error, Unsupported};
use crate::report::{Reason, Record, Report};
use crate::section::Section;

/// The end of a procedure.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// What to tell the receiver of reports.
    pub report: Report,
    /// What went wrong, with what a person needs to know.
    pub failure: Option<Failure>,
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The command, if one was running.
    pub command: Option<Name>,
    /// The section that was run.
    pub section: Option<Section>,
    /// The component that the command was about.
    pub component: Option<ComponentId>,
    /// What went wrong.
    pub fault: Fault,
    /// Where it went wrong, with the measured values.
    pub record: Record,
}

impl Failure {
    /// The reason that the report gives.
    pub fn reason(&self) -> Reason {
        let condition = |Name(label)| Condition::from_label(label).is_some();
        if let Fault::ParameterUnset(_) = self.fault
            && !self.command.is_some_and(condition)
        {
            // What a directive lacks is no condition that failed.
            return Reason::OperationFailed;
        }
        self.fault.reason()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = self.command {
            write!(f, "{command} ")?;
        }
        if let Some(section) = self.section {
            write!(f, "in {section} ")?;
        }
        if let Some(component) = &self.component {
            write!(f, "on {component} ")?;
        }
        write!(f, "failed: {}", self.fault)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Fault::Refused(error) = &self.fault { Some(error) } else { None }
    }
}

/// What went wrong with a command.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A value is not the expected one.
    #[error("expected {expected}, saw {seen}")]
    Mismatch {
        /// What the manifest asks for.
        expected: Value,
        /// What the device has.
        seen: Value,
    },
    /// The command is suit-condition-abort.
    #[error("the manifest says so")]
    Abort,
    /// Every sequence of a try-each failed.
    #[error("every alternative failed")]
    NoAlternative,
    /// A parameter that the command needs is not set.
    #[error("parameter {0} is not set")]
    ParameterUnset(i64),
    /// An index that the manifest does not have.
    #[error("component index {0} does not exist")]
    Index(u64),
    /// A sequence of a manifest with several components selects none at its start.
    #[error("the sequence does not begin with set-component-index")]
    NoSelection,
    /// The command does not exist here.
    #[error("the command is unknown")]
    Unknown,
    /// soft-failure is set outside try-each and run-sequence.
    #[error("soft-failure is set outside try-each and run-sequence")]
    SoftFailure,
    /// One component is source and target while the order is free.
    #[error("the component is source and target without strict order")]
    Order,
    /// The section was severed and is not there.
    #[error("the section was severed and is not there")]
    Severed,
    /// More commands ran than a run may spend.
    #[error("more commands than a run may spend")]
    Fuel,
    /// The shell could not do it.
    #[error("{0}")]
    Operation(Obstacle),
    /// A URI without a scheme or with one that the device does not fetch from.
    #[error("URI scheme `{0}` is not allowed")]
    Scheme(String),
    /// An integrated payload that the envelope does not have.
    #[error("the envelope has no payload `{0}`")]
    NoPayload(String),
    /// A payload that is larger than the manifest or the device allows.
    #[error("the payload has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// The bytes of the payload.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Another manifest uses the component that would be changed.
    #[error("{0} other manifests use the component")]
    Referenced(usize),
    /// A payload is fetched while a dependency is missing.
    #[error("dependency {0} has to be fetched before any payload")]
    DependencyFirst(u64),
    /// The selected component is not a dependency.
    #[error("the component is not a dependency")]
    NotDependency,
    /// The dependency's integrity was not checked by this manifest.
    #[error("dependency-integrity did not come first")]
    Unchecked,
    /// A manifest was refused: the dependency, as a rule.
    #[error("the manifest is refused")]
    Refused(#[source] Error),
    /// A dependency has itself as a dependency.
    #[error("the dependency depends on itself")]
    Cycle,
    /// Too many manifests, or too deep.
    #[error("too many dependencies")]
    TooManyDependencies,
    /// A dependency has a section that its dependent cannot run.
    #[error("the dependency has section {0} and its dependent has not")]
    SectionMissing(Section),
    /// A dependency's section was not run by its dependent.
    #[error("section {1} of dependency {0} was not run")]
    NotProcessed(u64, Section),
    /// A parameter may not cross into the second processor.
    #[error("parameter {0} may not be given to the second processor")]
    Crossing(i64),
    /// Invocation outside the procedure for it, or without validation before it.
    #[error("nothing was validated before the invocation")]
    Unvalidated,
    /// Encryption without anything that binds the plaintext or the ciphertext.
    #[error("the cipher does not authenticate, and no digest does")]
    Unauthenticated,
    /// No procedure was started.
    #[error("no procedure was started")]
    NotStarted,
    /// Valid, and not done here.
    #[error("{0} is not supported")]
    Unsupported(Unsupported),
}

impl Fault {
    /// The reason that the report gives.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Mismatch { .. } | Self::Abort | Self::NoAlternative | Self::ParameterUnset(_) => {
                Reason::ConditionFailed
            }
            Self::Index(_) => Reason::ComponentUnsupported,
            Self::NoSelection
            | Self::Unknown
            | Self::Order
            | Self::Fuel
            | Self::NotDependency
            | Self::Unchecked
            | Self::Cycle
            | Self::TooManyDependencies
            | Self::SectionMissing(_)
            | Self::NotProcessed(..)
            | Self::DependencyFirst(_)
            | Self::NotStarted
            | Self::Unvalidated => Reason::CommandUnsupported,
            Self::SoftFailure | Self::Scheme(_) | Self::Crossing(_) => Reason::ParameterUnsupported,
            Self::Severed => Reason::SeveringUnsupported,
            Self::Operation(_) | Self::NoPayload(_) | Self::TooLarge { .. } => {
                Reason::OperationFailed
            }
            Self::Referenced(_) => Reason::ComponentUnauthorised,
            Self::Refused(error) => error.reason(),
            Self::Unauthenticated => Reason::Algorithm,
            Self::Unsupported(unsupported) => Error::Unsupported(unsupported.clone()).reason(),
        }
    }
}

/// A value in an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// A digest.
    Digest(Digest),
    /// A number of bytes.
    Size(u64),
    /// A number.
    Number(u64),
    /// Bytes, shown as hexadecimal.
    Bytes(Vec<u8>),
    /// A version.
    Version(Vec<i64>),
    /// A word.
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Size(size) => write!(f, "{size} bytes"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Version(parts) => {
                let parts: Vec<String> = parts.iter().map(i64::to_string).collect();
                f.write_str(&parts.join("."))
            }
            Self::Word(word) => f.write_str(word),
        }
    }
}
