//! SUIT_Condition and SUIT_Directive (suit-manifest sections 8.4.9 and 8.4.10, and the drafts
//! that extend them).

use std::collections::BTreeMap;
use std::fmt;

use crate::cbor::{Kind, Reader, Writer, int_key};
use crate::error::{Error, Malformed};
use crate::parameter::{CUSTOM_BELOW, Parameters};
use crate::sequence::Sequence;

mod condition;
mod directive;

pub use condition::Condition;
pub use directive::Directive;

/// One command of a sequence with its typed argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'b> {
    /// A condition: it holds or it fails.
    Condition(Condition, ReportingPolicy),
    /// A directive whose argument is a reporting policy.
    Directive(Directive, ReportingPolicy),
    /// suit-directive-set-component-index.
    SetComponentIndex(Selection),
    /// suit-directive-try-each.
    TryEach(TryEach<'b>),
    /// suit-directive-set-parameters (trust-domains).
    SetParameters(Parameters<'b>),
    /// suit-directive-override-parameters.
    OverrideParameters(Parameters<'b>),
    /// suit-directive-run-sequence.
    RunSequence(Sequence<'b>),
    /// suit-directive-override-multiple (update-management).
    OverrideMultiple(BTreeMap<u64, Parameters<'b>>),
    /// suit-directive-copy-params: parameter keys by source component (update-management).
    CopyParameters(BTreeMap<u64, Vec<i64>>),
    /// A command of the application, with a label below -256.
    Custom(i64, CustomArgument<'b>),
    /// A label that no document defines.
    Unknown(i64),
}

impl<'b> Command<'b> {
    /// The label of the command in the registry.
    pub const fn label(&self) -> i64 {
        match self {
            Self::Condition(condition, _) => condition.label(),
            Self::Directive(directive, _) => directive.label(),
            Self::SetComponentIndex(_) => label::SET_COMPONENT_INDEX,
            Self::TryEach(_) => label::TRY_EACH,
            Self::SetParameters(_) => label::SET_PARAMETERS,
            Self::OverrideParameters(_) => label::OVERRIDE_PARAMETERS,
            Self::RunSequence(_) => label::RUN_SEQUENCE,
            Self::OverrideMultiple(_) => label::OVERRIDE_MULTIPLE,
            Self::CopyParameters(_) => label::COPY_PARAMS,
            Self::Custom(label, _) | Self::Unknown(label) => *label,
        }
    }

    /// Reads a label and its argument out of a checked sequence.
    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, Error> {
        let label = reader.int()?;
        Self::read_argument(label, reader)
            .map_err(|error| error.unless_expected(Malformed::Argument(label)))
    }

    fn read_argument(label: i64, reader: &mut Reader<'b>) -> Result<Self, Error> {
        if let Some(condition) = Condition::from_label(label) {
            return Ok(Self::Condition(condition, ReportingPolicy::read(reader)?));
        }
        if let Some(directive) = Directive::from_label(label) {
            return Ok(Self::Directive(directive, ReportingPolicy::read(reader)?));
        }
        let command = match label {
            label::SET_COMPONENT_INDEX => Self::SetComponentIndex(Selection::read(reader)?),
            label::TRY_EACH => Self::TryEach(TryEach::read(reader)?),
            label::SET_PARAMETERS => Self::SetParameters(Parameters::read(reader)?),
            label::OVERRIDE_PARAMETERS => Self::OverrideParameters(Parameters::read(reader)?),
            label::RUN_SEQUENCE => Self::RunSequence(Sequence::wrapped(reader)?),
            label::OVERRIDE_MULTIPLE => {
                let mut entries = BTreeMap::new();
                for _ in 0..reader.map()? {
                    entries.insert(reader.uint()?, Parameters::read(reader)?);
                }
                Self::OverrideMultiple(entries)
            }
            label::COPY_PARAMS => {
                let mut entries = BTreeMap::new();
                for _ in 0..reader.map()? {
                    let source = reader.uint()?;
                    let keys = (0..reader.array()?).map(|_| reader.int());
                    entries.insert(source, keys.collect::<Result<_, _>>()?);
                }
                Self::CopyParameters(entries)
            }
            label if label < CUSTOM_BELOW => Self::Custom(label, CustomArgument::read(reader)?),
            label => {
                reader.raw()?;
                Self::Unknown(label)
            }
        };
        Ok(command)
    }

    /// Writes label and argument; an unknown command has no argument to write and gets nil.
    pub(crate) fn write(&self, w: &mut Writer) {
        w.int(self.label());
        match self {
            Self::Condition(_, policy) | Self::Directive(_, policy) => {
                w.uint(u64::from(policy.bits()));
            }
            Self::SetComponentIndex(selection) => selection.write(w),
            Self::TryEach(try_each) => try_each.write(w),
            Self::SetParameters(parameters) | Self::OverrideParameters(parameters) => {
                parameters.write(w);
            }
            Self::RunSequence(sequence) => {
                w.bytes(sequence.bytes());
            }
            Self::OverrideMultiple(entries) => {
                w.map(entries.len());
                for (index, parameters) in entries {
                    w.uint(*index);
                    parameters.write(w);
                }
            }
            Self::CopyParameters(entries) => {
                w.map(entries.len());
                for (index, keys) in entries {
                    w.uint(*index).array(keys.len());
                    keys.iter().for_each(|key| {
                        w.raw(&int_key(*key));
                    });
                }
            }
            Self::Custom(_, argument) => argument.write(w),
            Self::Unknown(_) => {
                w.null();
            }
        }
    }
}

/// SUIT_Rep_Policy: when a command makes a record for the report.
///
/// ```cddl
/// SUIT_Rep_Policy = uint .bits suit-reporting-bits
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportingPolicy(u8);

impl ReportingPolicy {
    /// Makes no record, as far as the command decides.
    pub const NEVER: Self = Self(0);
    /// Makes a record when the command fails.
    pub const ON_FAILURE: Self = Self(2);
    /// Makes a record with system properties, whatever happens.
    pub const ALWAYS: Self = Self(15);

    //= suit 13.52 (M): Reporting policy bits above 3 or of wrong type: malformed.
    /// Takes the bits of a policy.
    pub fn new(bits: u64) -> Result<Self, Malformed> {
        match u8::try_from(bits) {
            Ok(bits) if bits < 16 => Ok(Self(bits)),
            _ => Err(Malformed::ReportingPolicy(bits)),
        }
    }

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether success makes a record.
    pub const fn on_success(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether failure makes a record.
    pub const fn on_failure(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether success reports the measured properties.
    pub const fn properties_on_success(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether failure reports the measured properties.
    pub const fn properties_on_failure(self) -> bool {
        self.0 & 8 != 0
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::new(reader.uint()?)
    }
}

/// The argument of set-component-index.
///
/// ```cddl
/// IndexArg = uint / true / [+ uint]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One component.
    One(u64),
    /// Every component, in order.
    All,
    /// These components, in this order.
    Several(Vec<u64>),
}

impl Selection {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.kind()? {
            Kind::Uint => Ok(Self::One(reader.uint()?)),
            Kind::Bool if reader.bool()? => Ok(Self::All),
            Kind::Array => {
                let length = reader.array()?;
                if length == 0 {
                    return Err(Malformed::Expected("at least one index"));
                }
                Ok(Self::Several((0..length).map(|_| reader.uint()).collect::<Result<_, _>>()?))
            }
            Kind::Bool
            | Kind::Negative
            | Kind::Bytes
            | Kind::Text
            | Kind::Map
            | Kind::Tag
            | Kind::Null
            | Kind::Other => Err(Malformed::Expected("an index, true or a list of indices")),
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::One(index) => {
                w.uint(*index);
            }
            Self::All => {
                w.bool(true);
            }
            Self::Several(indices) => {
                w.array(indices.len());
                for index in indices {
                    w.uint(*index);
                }
            }
        }
    }
}

/// SUIT_Directive_Try_Each_Argument.
///
/// ```cddl
/// [ 2* bstr .cbor SUIT_Command_Sequence, ?nil ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TryEach<'b> {
    /// The sequences in the order in which they are tried.
    pub sequences: Vec<Sequence<'b>>,
    /// Whether it is a success when each of them fails: the final nil.
    pub or_succeed: bool,
}

impl<'b> TryEach<'b> {
    //= suit 13.38 (M): try-each: first success ends; all fail: error; final nil: success; fewer
    //= than two sequences malformed. M 8.4.10.2
    fn read(reader: &mut Reader<'b>) -> Result<Self, Error> {
        let length = reader.array()?;
        let mut sequences = Vec::new();
        let mut or_succeed = false;
        for position in 1..=length {
            if position == length && reader.kind()? == Kind::Null {
                reader.null()?;
                or_succeed = true;
            } else {
                sequences.push(Sequence::wrapped(reader)?);
            }
        }
        if sequences.len() < 2 {
            return Err(Malformed::Expected("two sequences to try").into());
        }
        Ok(Self { sequences, or_succeed })
    }

    fn write(&self, w: &mut Writer) {
        w.array(self.sequences.len() + usize::from(self.or_succeed));
        for sequence in &self.sequences {
            w.bytes(sequence.bytes());
        }
        if self.or_succeed {
            w.null();
        }
    }
}

/// The argument of a custom command.
///
/// ```cddl
/// bstr / tstr / int / nil
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomArgument<'b> {
    /// Bytes.
    Bytes(&'b [u8]),
    /// Text.
    Text(&'b str),
    /// An integer.
    Int(i64),
    /// Nothing.
    Nil,
}

impl<'b> CustomArgument<'b> {
    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, Malformed> {
        match reader.kind()? {
            Kind::Bytes => Ok(Self::Bytes(reader.bytes()?)),
            Kind::Text => Ok(Self::Text(reader.text()?)),
            Kind::Uint | Kind::Negative => Ok(Self::Int(reader.int()?)),
            Kind::Null => {
                reader.null()?;
                Ok(Self::Nil)
            }
            Kind::Array | Kind::Map | Kind::Tag | Kind::Bool | Kind::Other => {
                Err(Malformed::Expected("a byte string, text, an integer or nil"))
            }
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Bytes(value) => w.bytes(value),
            Self::Text(value) => w.text(value),
            Self::Int(value) => w.int(*value),
            Self::Nil => w.null(),
        };
    }
}

/// Shows a command label as the documents name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub i64);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "condition-vendor-identifier",
            2 => "condition-class-identifier",
            3 => "condition-image-match",
            4 => "condition-use-before",
            5 => "condition-component-slot",
            6 => "condition-check-content",
            7 => "condition-dependency-integrity",
            8 => "condition-is-dependency",
            11 => "directive-process-dependency",
            label::SET_COMPONENT_INDEX => "directive-set-component-index",
            14 => "condition-abort",
            label::TRY_EACH => "directive-try-each",
            18 => "directive-write",
            label::SET_PARAMETERS => "directive-set-parameters",
            label::OVERRIDE_PARAMETERS => "directive-override-parameters",
            21 => "directive-fetch",
            22 => "directive-copy",
            23 => "directive-invoke",
            24 => "condition-device-identifier",
            25 => "condition-image-not-match",
            26 => "condition-minimum-battery",
            27 => "condition-update-authorized",
            28 => "condition-version",
            29 => "directive-wait",
            31 => "directive-swap",
            label::RUN_SEQUENCE => "directive-run-sequence",
            33 => "directive-unlink",
            label::OVERRIDE_MULTIPLE => "directive-override-multiple",
            label::COPY_PARAMS => "directive-copy-params",
            label => return write!(f, "command {label}"),
        };
        f.write_str(name)
    }
}

/// The labels whose argument is not a reporting policy.
pub mod label {
    /// suit-directive-set-component-index
    pub const SET_COMPONENT_INDEX: i64 = 12;
    /// suit-directive-try-each
    pub const TRY_EACH: i64 = 15;
    /// suit-directive-set-parameters
    pub const SET_PARAMETERS: i64 = 19;
    /// suit-directive-override-parameters
    pub const OVERRIDE_PARAMETERS: i64 = 20;
    /// suit-directive-run-sequence
    pub const RUN_SEQUENCE: i64 = 32;
    /// suit-directive-override-multiple
    pub const OVERRIDE_MULTIPLE: i64 = 34;
    /// suit-directive-copy-params
    pub const COPY_PARAMS: i64 = 35;
}

impl<'b> Command<'b> {
    //= suit 13.24 (M): Custom command or custom parameter in the shared sequence refused. M 6.2,
    //= 8.4.8
    //= suit 13.25 (M): Only allowed commands in shared: conditions, 12, 15, 20, 32 (M App. A),
    //= plus 19 because the dependency template of D 8.1 puts set-parameters there although no
    //= CDDL allows it.
    /// Whether the command may stand in the shared sequence.
    pub(crate) fn check_shared(&self) -> Result<(), Malformed> {
        match self {
            Self::Condition(..)
            | Self::SetComponentIndex(_)
            | Self::TryEach(_)
            | Self::RunSequence(_) => Ok(()),
            Self::SetParameters(parameters) | Self::OverrideParameters(parameters) => {
                match parameters.raw().iter().find(|(key, _)| *key < CUSTOM_BELOW) {
                    Some((key, _)) => Err(Malformed::SharedParameter(*key)),
                    None => Ok(()),
                }
            }
            Self::Directive(..)
            | Self::OverrideMultiple(_)
            | Self::CopyParameters(_)
            | Self::Custom(..)
            | Self::Unknown(_) => Err(Malformed::SharedCommand(self.label())),
        }
    }

    /// The sequences inside the argument.
    pub(crate) fn inner(&self) -> &[Sequence<'b>] {
        match self {
            Self::TryEach(try_each) => &try_each.sequences,
            Self::RunSequence(sequence) => std::slice::from_ref(sequence),
            Self::Condition(..)
            | Self::Directive(..)
            | Self::SetComponentIndex(_)
            | Self::SetParameters(_)
            | Self::OverrideParameters(_)
            | Self::OverrideMultiple(_)
            | Self::CopyParameters(_)
            | Self::Custom(..)
            | Self::Unknown(_) => &[],
        }
    }
}
