//! The matrix as a page.

use super::Outcome;

/// One self-contained file.
pub(crate) fn html(outcome: &Outcome) -> String {
    format!("{} of {}", outcome.passed, outcome.flows.len())
}
