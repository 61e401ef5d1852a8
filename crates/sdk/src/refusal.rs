//! A refusal that explains itself.

use api::Problem;
use serde::{Deserialize, Serialize};

/// What was checked, expected and seen, whose it is to fix, and how.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The check's stable name.
    pub check: String,
    /// What it expected.
    pub expected: String,
    /// What it saw.
    pub seen: String,
    /// Whose it is to fix.
    pub owner: String,
    /// How, in a sentence.
    pub remedy: String,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let mut remedy = problem.remedy.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        for candidate in &problem.candidates {
            remedy += &format!(
                "; {}: {} expected {}, seen {}",
                candidate.device, candidate.constraint, candidate.expected, candidate.seen
            );
        }
        let detail = || problem.detail.clone().unwrap_or_else(|| problem.title.clone());
        Self {
            check: problem.check.clone().unwrap_or_else(|| problem.name().to_owned()),
            expected: problem.expected.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            seen: problem.seen.clone().unwrap_or_else(detail),
            owner: problem.owner.map_or_else(|| UNKNOWN.to_owned(), |owner| owner.to_string()),
            remedy,
        }
    }
}

const UNKNOWN: &str = "unknown";
