//! Versions (update-management sections 3.1 and 4.4).

use crate::cbor::{Reader, Writer};
use crate::error::Malformed;

/// SUIT_Parameter_Version_Match (update-management section 4.4), wrapped in a byte string.
///
/// ```cddl
/// SUIT_Parameter_Version_Match = [
///   suit-condition-version-comparison-type : 1..5,
///   suit-condition-version-comparison-value : [+ int]
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionMatch {
    /// How the installed version has to compare.
    pub comparison: Comparison,
    /// The version to compare with.
    pub version: Vec<i64>,
}

impl VersionMatch {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.exact_array(2, "a version match")?;
        let comparison = match reader.uint()? {
            1 => Comparison::Greater,
            2 => Comparison::GreaterEqual,
            3 => Comparison::Equal,
            4 => Comparison::LesserEqual,
            5 => Comparison::Lesser,
            _ => return Err(Malformed::Expected("a comparison from 1 to 5")),
        };
        Ok(Self { comparison, version: read_version(reader)? })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.array(2).uint(match self.comparison {
            Comparison::Greater => 1,
            Comparison::GreaterEqual => 2,
            Comparison::Equal => 3,
            Comparison::LesserEqual => 4,
            Comparison::Lesser => 5,
        });
        write_version(w, &self.version);
    }
}

/// Reads a version: the numbers between its points.
pub(crate) fn read_version(reader: &mut Reader<'_>) -> Result<Vec<i64>, Malformed> {
    let length = reader.array()?;
    if !(1..=VERSION_PARTS_MAX).contains(&length) {
        return Err(Malformed::Expected("1 to 16 version parts"));
    }
    (0..length).map(|_| reader.int()).collect()
}

pub(crate) fn write_version(w: &mut Writer, version: &[i64]) {
    w.array(version.len());
    for part in version {
        w.int(*part);
    }
}

/// SUIT_Condition_Version_Comparison_Types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The installed version is later.
    Greater,
    /// The installed version is later or equal.
    GreaterEqual,
    /// The installed version is equal.
    Equal,
    /// The installed version is earlier or equal.
    LesserEqual,
    /// The installed version is earlier.
    Lesser,
}

impl VersionMatch {
    //= suit 13.104 (M): Version compare: prefix rule, pre-release negatives order alpha < beta <
    //= rc < release. U 4.4
    /// Whether an installed version compares as wanted.
    ///
    /// Only as many parts as are wanted are compared; a missing part counts as zero. Negative
    /// parts mark pre-releases, so -3 (alpha) < -2 (beta) < -1 (release candidate) < 0.
    pub fn holds_for(&self, installed: &[i64]) -> bool {
        let part = |at: usize| installed.get(at).copied().unwrap_or_default();
        let parts = self.version.iter().enumerate();
        let order = parts.map(|(at, wanted)| part(at).cmp(wanted)).find(|order| order.is_ne());
        let order = order.unwrap_or(std::cmp::Ordering::Equal);
        match self.comparison {
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
            Comparison::Equal => order.is_eq(),
            Comparison::LesserEqual => order.is_le(),
            Comparison::Lesser => order.is_lt(),
        }
    }
}

const VERSION_PARTS_MAX: u64 = 16;
