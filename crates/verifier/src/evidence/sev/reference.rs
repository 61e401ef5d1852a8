//! Reference values: which guest is meant.

use serde::{Deserialize, Serialize};

use crate::reference::{Comparable, Row};
use crate::value::{Hex, Value};

/// A reference value for a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
    /// SHA-256 of firmware, kernel hashes where used, and the state of each virtual processor
    /// under SEV-ES; see [`launch_digest`](super::launch::launch_digest).
    pub launch_digest: Hex<32>,
}

impl Comparable for Reference {
    type Measured = [u8; 32];

    fn name(&self) -> &str {
        &self.name
    }

    fn compare(&self, measured: &[u8; 32]) -> Vec<Row> {
        vec![Row {
            field: "launch_digest",
            expected: Value::from(self.launch_digest),
            seen: Value::from(measured),
            ok: self.launch_digest.0 == *measured,
        }]
    }
}
