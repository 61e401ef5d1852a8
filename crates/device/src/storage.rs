//! TEEP Agent in a confidential VM to the REE's disk: a folder of files, over one channel.
//!
//! The disk belongs to somebody else. The side that answers treats each request as hostile, since a
//! guest may be anything; the Agent treats each reply as hostile, and seals what it stores. A file
//! that is longer than a frame is written and read in parts.

use crate::codec;
use crate::{Failure, Malformed, Message};

/// What the Agent asks of the disk.
///
/// ```cddl
/// request = [0]                                            ; the names of all files
///         / [1, name, offset: uint]                        ; read a part
///         / [2, name, offset: uint, part: bstr]            ; write a part of a new file
///         / [3, name, length: uint]                        ; put the new file in place
///         / [4, name]                                      ; remove
/// name = tstr .size (1..128)    ; letters, digits, `-`, `_`, `.`, and no `.` at the beginning
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// List the files.
    Names,
    /// Read from here on, as much as fits.
    Read {
        /// The file.
        name: Name,
        /// Where to begin.
        offset: u64,
    },
    /// Write a part of a file that is not in place yet.
    Write {
        /// The file.
        name: Name,
        /// Where the part begins; zero makes the file anew.
        offset: u64,
        /// The bytes.
        part: Vec<u8>,
    },
    /// Put what was written in place, durably, if it has this length.
    Finish {
        /// The file.
        name: Name,
        /// Its length.
        length: u64,
    },
    /// Remove a file; it is no error that there is none.
    Remove {
        /// The file.
        name: Name,
    },
}

impl Message for Request {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| {
            match self {
                Self::Names => w.array(1).uint(0),
                Self::Read { name, offset } => w.array(3).uint(1).text(&name.0).uint(*offset),
                Self::Write { name, offset, part } => {
                    w.array(4).uint(2).text(&name.0).uint(*offset).bytes(part)
                }
                Self::Finish { name, length } => w.array(3).uint(3).text(&name.0).uint(*length),
                Self::Remove { name } => w.array(2).uint(4).text(&name.0),
            };
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("request to the disk")?;
            let arity = match kind.kind {
                0 => 0,
                1 | 3 => 2,
                2 => 3,
                4 => 1,
                _ => return Err(kind.unknown()),
            };
            kind.fields(arity)?;
            if kind.kind == 0 {
                return Ok(Self::Names);
            }
            let name = Name::new(r.text("name of a file", NAME_BYTES_MAX)?)?;
            Ok(match kind.kind {
                1 => Self::Read { name, offset: r.uint()? },
                2 => Self::Write { name, offset: r.uint()?, part: r.bytes()?.to_vec() },
                3 => Self::Finish { name, length: r.uint()? },
                _ => Self::Remove { name },
            })
        })
    }
}

/// What the disk answers.
///
/// ```cddl
/// reply = [0]                                              ; done
///       / [1, [* name]]
///       / [2, part: bstr, length: uint]                    ; of the whole file
///       / [3]                                              ; there is no such file
///       / [4, failure]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// The names of all files.
    Names(Vec<Name>),
    /// A part of a file.
    Part {
        /// The bytes; none at the end of the file.
        part: Vec<u8>,
        /// The length of the whole file.
        length: u64,
    },
    /// There is no such file.
    Absent,
    /// It was not done.
    Failed(Failure),
}

impl Message for Reply {
    fn encode(&self) -> Vec<u8> {
        codec::encode(|w| {
            match self {
                Self::Done => w.array(1).uint(0),
                Self::Names(names) => {
                    w.array(2).uint(1).array(names.len());
                    for name in names {
                        w.text(&name.0);
                    }
                    w
                }
                Self::Part { part, length } => w.array(3).uint(2).bytes(part).uint(*length),
                Self::Absent => w.array(1).uint(3),
                Self::Failed(failure) => {
                    failure.write(w.array(3).uint(4));
                    w
                }
            };
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        codec::message(bytes, |r| {
            let kind = r.kind("reply of the disk")?;
            match kind.kind {
                0 => kind.fields(0).map(|()| Self::Done),
                1 => {
                    kind.fields(1)?;
                    let count = r.array("names of files", NAMES_MAX)?;
                    let name = |_| Name::new(r.text("name of a file", NAME_BYTES_MAX)?);
                    (0..count).map(name).collect::<Result<_, _>>().map(Self::Names)
                }
                2 => {
                    kind.fields(2)?;
                    Ok(Self::Part { part: r.bytes()?.to_vec(), length: r.uint()? })
                }
                3 => kind.fields(0).map(|()| Self::Absent),
                4 => {
                    kind.fields(2)?;
                    Failure::read(r).map(Self::Failed)
                }
                _ => Err(kind.unknown()),
            }
        })
    }
}

/// The name of a file, which cannot lead out of its folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, Malformed> {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
        if !fits || name.starts_with('.') || !name.bytes().all(letters) {
            return Err(Malformed::Length { what: "name of a file", got: name.len() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// How much one request or reply carries at most.
pub const PART_BYTES_MAX: usize = 1024 * 1024;

/// How many files a folder has at most.
pub const NAMES_MAX: u64 = 65_536;

const NAME_BYTES_MAX: usize = 128;
