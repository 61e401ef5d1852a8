//! SUIT_Report (suit-report): what a processor did and, if it failed, where and why.

use std::fmt;

use crate::cbor::{Kind, Reader, Writer, each_entry, int_key};
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::error::{Error, Malformed};

mod capability;
mod properties;
mod protect;

pub use capability::{Capability, CapableComponent};
pub use properties::Properties;
pub use protect::{
    Opening, Protected, protect, protect_for, protect_mac, unprotect, unprotect_mac, unprotect_with,
};

/// A SUIT_Report.
///
/// ```cddl
/// SUIT_Report = {
///   suit-reference (99)       => [ suit-report-manifest-uri : tstr, SUIT_Digest ],
///   ? suit-report-nonce (2)   => bstr,
///   suit-report-records (3)   => [ * SUIT_Record / system-property-claims ],
///   suit-report-result (4)    => true / { code (5) => int, record (6) => SUIT_Record,
///                                         reason (7) => SUIT_Report_Reasons },
///   ? suit-capability-report (8) => SUIT_Capability_Report
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The manifest that was run.
    pub reference: Reference,
    /// What the receiver of the report gave to prove that it is fresh.
    pub nonce: Option<Vec<u8>>,
    /// What was recorded on the way.
    pub records: Vec<Entry>,
    /// How it ended.
    pub result: Conclusion,
    /// What the processor can do.
    pub capability: Option<Capability>,
}

impl Report {
    //= suit 13.93 (M): Report validates the layout of section 10; digest equals wrapper digest;
    //= uri equals reference-uri. R 4
    /// Decodes a report that is not protected.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut parts = Parts::default();
        each_entry(&mut Reader::open(bytes)?, |key, reader| parts.read(key, reader))?;
        parts.finish()
    }

    /// Encodes the report, deterministically and without protection.
    pub fn encode(&self) -> Vec<u8> {
        let members =
            3 + usize::from(self.nonce.is_some()) + usize::from(self.capability.is_some());
        Writer::collect(|w| {
            w.map(members);
            if let Some(nonce) = &self.nonce {
                w.int(NONCE).bytes(nonce);
            }
            w.int(RECORDS).array(self.records.len());
            self.records.iter().for_each(|entry| entry.write(w));
            w.int(RESULT);
            self.result.write(w);
            if let Some(capability) = &self.capability {
                w.int(CAPABILITY);
                capability.write(w);
            }
            w.int(REFERENCE);
            self.reference.write(w);
        })
    }

    //= suit 13.95 (M): Each of the reasons 1..11 is produced by some test. R 4.2
    /// A report about an envelope that was refused before any command ran.
    ///
    /// `reference` is what the envelope claims to be about: its digest, and the URI if anybody
    /// answered for it.
    pub fn refusal(reference: Reference, nonce: Option<Vec<u8>>, error: &Error) -> Self {
        let (code, record) = (0, Record::default());
        Self {
            reference,
            nonce,
            records: Vec::new(),
            result: Conclusion::Failure { code, record, reason: error.reason() },
            capability: None,
        }
    }

    /// Whether the whole procedure succeeded.
    pub fn succeeded(&self) -> bool {
        match self.result {
            Conclusion::Success => true,
            Conclusion::Failure { .. } => false,
        }
    }
}

/// SUIT_Reference: names a manifest by its reference URI and digest.
///
/// ```cddl
/// SUIT_Reference = [ suit-report-manifest-uri : tstr, suit-report-manifest-digest : SUIT_Digest ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The manifest's reference-uri; empty if it has none.
    pub uri: String,
    /// The digest in the manifest's authentication wrapper.
    pub digest: Digest,
}

impl Reference {
    /// Decodes an encoded reference that stands alone.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(&mut Reader::open(bytes)?)
    }

    /// Encodes the reference.
    pub fn encode(&self) -> Vec<u8> {
        Writer::collect(|w| self.write(w))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.exact_array(2, "a SUIT_Reference")?;
        Ok(Self { uri: reader.text()?.to_owned(), digest: Digest::read(reader)? })
    }

    fn write(&self, w: &mut Writer) {
        w.array(2).text(&self.uri);
        self.digest.write(w);
    }
}

/// One thing that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A command that ran.
    Record(Record),
    /// What a component is like.
    Properties(ComponentId, Properties),
}

impl Entry {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.kind()? == Kind::Map {
            let (component, properties) = properties::read_system_properties(reader)?;
            Ok(Self::Properties(component, properties))
        } else {
            Ok(Self::Record(Record::read(reader)?))
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Record(record) => record.write(w),
            Self::Properties(component, properties) => {
                properties::write_system_properties(w, component, properties);
            }
        }
    }
}

/// SUIT_Record: where a command stands and what it measured.
///
/// ```cddl
/// SUIT_Record = [
///   suit-record-manifest-id : [* uint], suit-record-manifest-section : int,
///   suit-record-section-offset : uint, suit-record-component-index : uint,
///   suit-record-properties : { * $$SUIT_Parameters }
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The component indices that lead from the root manifest to this one; the root is empty.
    pub manifest: Vec<u64>,
    /// The manifest key of the section; 3 for the shared sequence.
    pub section: i64,
    /// Bytes from the start of the section's sequence to the label of the command.
    pub offset: u64,
    /// The component that the command was about.
    pub component_index: u64,
    /// What was measured, not what was asked for.
    pub properties: Properties,
}

impl Record {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        reader.exact_array(5, "a SUIT_Record")?;
        let length = reader.array()?;
        Ok(Self {
            manifest: (0..length).map(|_| reader.uint()).collect::<Result<_, _>>()?,
            section: reader.int()?,
            offset: reader.uint()?,
            component_index: reader.uint()?,
            properties: Properties::read(reader)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        w.array(5).array(self.manifest.len());
        for index in &self.manifest {
            w.uint(*index);
        }
        w.int(self.section).uint(self.offset).uint(self.component_index);
        self.properties.write(w);
    }
}

/// suit-report-result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The whole procedure succeeded.
    Success,
    /// A command failed, or the manifest was refused.
    Failure {
        /// A code of the implementation; Tamarack repeats the label of the command.
        code: i64,
        /// Where.
        record: Record,
        /// Why, in the document's words.
        reason: Reason,
    },
}

impl Conclusion {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.kind()? == Kind::Bool {
            if reader.bool()? {
                return Ok(Self::Success);
            }
            return Err(Malformed::Expected("true or a failure").into());
        }
        let (mut code, mut record, mut reason) = (None, None, None);
        each_entry(reader, |key, reader| {
            match key {
                CODE => code = Some(reader.int()?),
                RECORD => record = Some(Record::read(reader)?),
                REASON => reason = Some(Reason::from_code(reader.int()?)?),
                _ => return Err(Malformed::Expected("code, record and reason").into()),
            }
            Ok(())
        })?;
        Ok(Self::Failure {
            code: code.ok_or(Malformed::Absent("result code"))?,
            record: record.ok_or(Malformed::Absent("result record"))?,
            reason: reason.ok_or(Malformed::Absent("result reason"))?,
        })
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Success => {
                w.bool(true);
            }
            Self::Failure { code, record, reason } => {
                w.map(3).int(CODE).int(*code).int(RECORD);
                record.write(w);
                w.int(REASON).int(reason.code());
            }
        }
    }
}

/// SUIT_Report_Reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No failure.
    Ok,
    /// The CBOR could not be read.
    CborParse,
    /// A COSE structure or header is not supported.
    CosePart,
    /// An algorithm is not supported.
    Algorithm,
    /// A signature or MAC is wrong, or of nobody.
    Signature,
    /// A command is not supported.
    CommandUnsupported,
    /// A component is not supported.
    ComponentUnsupported,
    /// The signer may not touch a component.
    ComponentUnauthorised,
    /// A parameter is not supported.
    ParameterUnsupported,
    /// A severed member cannot be had.
    SeveringUnsupported,
    /// A condition failed.
    ConditionFailed,
    /// An operation failed.
    OperationFailed,
    /// The report is made before an invocation that does not return.
    InvokePending,
}

impl Reason {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::CborParse,
        Self::CosePart,
        Self::Algorithm,
        Self::Signature,
        Self::CommandUnsupported,
        Self::ComponentUnsupported,
        Self::ComponentUnauthorised,
        Self::ParameterUnsupported,
        Self::SeveringUnsupported,
        Self::ConditionFailed,
        Self::OperationFailed,
        Self::InvokePending,
    ];

    /// The code in the report.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The reason with this code.
    pub fn from_code(code: i64) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|reason| reason.code() == code);
        found.ok_or(Malformed::Reason(code))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::CborParse => "cbor-parse",
            Self::CosePart => "cose-unsupported",
            Self::Algorithm => "alg-unsupported",
            Self::Signature => "unauthorised",
            Self::CommandUnsupported => "command-unsupported",
            Self::ComponentUnsupported => "component-unsupported",
            Self::ComponentUnauthorised => "component-unauthorised",
            Self::ParameterUnsupported => "parameter-unsupported",
            Self::SeveringUnsupported => "severing-unsupported",
            Self::ConditionFailed => "condition-failed",
            Self::OperationFailed => "operation-failed",
            Self::InvokePending => "invoke-pending",
        })
    }
}

#[derive(Default)]
struct Parts {
    reference: Option<Reference>,
    nonce: Option<Vec<u8>>,
    records: Option<Vec<Entry>>,
    result: Option<Conclusion>,
    capability: Option<Capability>,
}

impl Parts {
    fn read(&mut self, key: i64, reader: &mut Reader<'_>) -> Result<(), Error> {
        match key {
            NONCE => self.nonce = Some(reader.bytes()?.to_vec()),
            RECORDS if reader.kind()? == Kind::Array => {
                let length = reader.array()?;
                let entries = (0..length).map(|_| Entry::read(reader));
                self.records = Some(entries.collect::<Result<_, _>>()?);
            }
            RESULT => self.result = Some(Conclusion::read(reader)?),
            CAPABILITY => self.capability = Some(Capability::read(reader)?),
            REFERENCE => self.reference = Some(Reference::read(reader)?),
            _ => return Err(Malformed::LegacyReport.into()),
        }
        Ok(())
    }

    //= suit 13.101 (M): Reader refuses reports of the old numbering (keys 1, 2, 4 without 99) or
    //= flags them legacy.
    fn finish(self) -> Result<Report, Error> {
        Ok(Report {
            reference: self.reference.ok_or(Malformed::LegacyReport)?,
            nonce: self.nonce,
            records: self.records.ok_or(Malformed::Absent("report records"))?,
            result: self.result.ok_or(Malformed::Absent("report result"))?,
            capability: self.capability,
        })
    }
}

/// A list of integers.
fn read_ints(reader: &mut Reader<'_>) -> Result<Vec<i64>, Malformed> {
    (0..reader.array()?).map(|_| reader.int()).collect()
}

fn encoded_ints(values: &[i64]) -> Vec<u8> {
    Writer::collect(|w| {
        w.array(values.len());
        values.iter().for_each(|value| {
            w.raw(&int_key(*value));
        });
    })
}

const NONCE: i64 = 2;
const RECORDS: i64 = 3;
const RESULT: i64 = 4;
const CODE: i64 = 5;
const RECORD: i64 = 6;
const REASON: i64 = 7;
const CAPABILITY: i64 = 8;
const REFERENCE: i64 = 99;

#[cfg(test)]
mod tests;
