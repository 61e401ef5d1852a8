//! A refusal that explains itself.

use api::{Candidate, Problem};
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
        // A refused placement says for each device what excluded it.
        let excluded = |what: fn(&Candidate) -> &str| {
            let each = problem.candidates.iter().map(|candidate| {
                format!("{} of {}: {}", candidate.constraint, candidate.device, what(candidate))
            });
            let all: Vec<String> = each.collect();
            (!all.is_empty()).then(|| all.join("; "))
        };
        let words = || problem.detail.clone().unwrap_or_else(|| problem.title.clone());
        let unknown = || UNKNOWN.to_owned();
        let expected = problem.expected.clone().or_else(|| excluded(|c| &c.expected));
        let seen = problem.seen.clone().or_else(|| excluded(|c| &c.seen));
        Self {
            check: problem.check.clone().unwrap_or_else(|| problem.name().to_owned()),
            expected: expected.unwrap_or_else(unknown),
            seen: seen.unwrap_or_else(words),
            owner: problem.owner.map_or_else(unknown, |owner| owner.to_string()),
            remedy: problem.remedy.clone().unwrap_or_else(unknown),
        }
    }
}

const UNKNOWN: &str = "unknown";
