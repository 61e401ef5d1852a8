//! The negative answer that all interfaces share.

use crate::Malformed;
use crate::codec::{Reader, Writer};

/// Why a request was not done.
///
/// ```cddl
/// failure = ( code : uint, text : tstr .size (0..4096) )
/// ```
///
/// The code is for programs; the text is for the log of the side that asked, and never carries
/// what that side may not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Failure {
    /// The class of the failure.
    pub code: FailureCode,
    /// One clause for a log.
    pub text: String,
}

impl Failure {
    /// Makes a failure; a text that is too long is cut.
    pub fn new(code: FailureCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Self { code, text }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let code = FailureCode::from_id(reader.uint()?)?;
        let text = reader.text("failure text", TEXT_BYTES_MAX)?.to_owned();
        Ok(Self { code, text })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.uint(self.code.id()).text(&self.text);
    }
}

/// The class of a [`Failure`], sorted by whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureCode {
    /// The request is not what this interface defines.
    Malformed,
    /// The request is understood but not offered here.
    Unsupported,
    /// A signature, anchor or policy says no.
    Untrusted,
    /// The request is not allowed in this state.
    Misbehaved,
    /// What the request names does not exist.
    Absent,
    /// Try again later.
    Busy,
    /// The answering side failed.
    Broken,
}

impl FailureCode {
    /// The code point on the wire.
    pub const fn id(self) -> u64 {
        match self {
            Self::Malformed => 1,
            Self::Unsupported => 2,
            Self::Untrusted => 3,
            Self::Misbehaved => 4,
            Self::Absent => 5,
            Self::Busy => 6,
            Self::Broken => 7,
        }
    }

    fn from_id(value: u64) -> Result<Self, Malformed> {
        Ok(match value {
            1 => Self::Malformed,
            2 => Self::Unsupported,
            3 => Self::Untrusted,
            4 => Self::Misbehaved,
            5 => Self::Absent,
            6 => Self::Busy,
            7 => Self::Broken,
            _ => return Err(Malformed::Unknown { what: "failure code", value }),
        })
    }
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Untrusted => "untrusted",
            Self::Misbehaved => "misbehaved",
            Self::Absent => "absent",
            Self::Busy => "busy",
            Self::Broken => "broken",
        })
    }
}

const TEXT_BYTES_MAX: usize = 4096;
