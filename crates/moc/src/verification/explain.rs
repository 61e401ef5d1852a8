//! Checks as the interface shows them.

use api::{Check, Outcome, Owner, Verdict};

use crate::deployment::Failure;

/// The checks of one appraisal, in order.
#[derive(Debug, Default)]
pub(super) struct Checks {
    made: Vec<Check>,
    failure: Option<Failure>,
}

impl Checks {
    /// Makes a check: it asks for `expected` and saw `seen`.
    pub(super) fn make(
        &mut self,
        check: &str,
        holds: bool,
        expected: impl Into<String>,
        seen: impl Into<String>,
        blame: (Owner, &str),
    ) -> bool {
        let (owner, remedy) = blame;
        let failure = Failure {
            check: check.to_owned(),
            expected: expected.into(),
            seen: seen.into(),
            owner,
            remedy: remedy.to_owned(),
        };
        self.made.push(Check {
            check: failure.check.clone(),
            outcome: if holds { Outcome::Passed } else { Outcome::Failed },
            expected: failure.expected.clone(),
            seen: failure.seen.clone(),
            owner: (!holds).then_some(owner),
            remedy: (!holds).then(|| failure.remedy.clone()),
        });
        if !holds {
            self.failure.get_or_insert(failure);
        }
        holds
    }

    /// Takes over the tree of a hardware appraisal, each node behind its parent.
    pub(super) fn take(&mut self, tree: &verifier::Check) {
        let text = |value: &Option<verifier::Value>| {
            value.as_ref().map(ToString::to_string).unwrap_or_default()
        };
        let (expected, seen) = (text(&tree.expected), text(&tree.seen));
        match &tree.failure {
            Some(failure) => {
                let seen = if seen.is_empty() { failure.reason.to_string() } else { seen };
                let blame = (owner(failure.owner), &*failure.remedy);
                self.make(tree.name, false, expected, seen, blame);
            }
            None => self.made.push(Check {
                check: tree.name.to_owned(),
                outcome: if tree.ok { Outcome::Passed } else { Outcome::Failed },
                expected,
                seen,
                owner: None,
                remedy: None,
            }),
        }
        tree.children.iter().for_each(|child| self.take(child));
    }

    /// Whether every check so far holds.
    pub(super) const fn hold(&self) -> bool {
        self.failure.is_none()
    }

    /// The verdict and the first failure.
    pub(super) fn finish(self, now_ms: u64) -> (Verdict, Option<Failure>) {
        let accepted = self.failure.is_none();
        (Verdict { accepted, at_ms: now_ms, checks: self.made }, self.failure)
    }
}

fn owner(owner: verifier::Owner) -> Owner {
    match owner {
        verifier::Owner::AgentProvider => Owner::AgentProvider,
        verifier::Owner::Attester => Owner::Device,
        verifier::Owner::DeviceVendor => Owner::DeviceVendor,
        verifier::Owner::EndorsementProvider => Owner::EndorsementProvider,
        verifier::Owner::DeviceOperator | verifier::Owner::PolicyOwner => Owner::Operator,
    }
}
