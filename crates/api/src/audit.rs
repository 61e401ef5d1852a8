//! The log of decisions, as its readers get it. What counts is signed bytes, here in base64
//! (standard alphabet, padded); numbers beside them are for people.

use serde::{Deserialize, Serialize};

/// `GET /v1/audit/checkpoint`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedCheckpoint {
    /// How many entries the log has.
    pub size: u64,
    /// Root of its Merkle tree (RFC 9162), hex.
    pub root: String,
    /// When it was signed, in milliseconds since 1970.
    pub at_ms: u64,
    /// COSE_Sign1 by the audit key, base64.
    pub checkpoint: String,
}

/// `GET /v1/audit/entries?from=&limit=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogPage {
    /// The leaves as they are hashed, base64, in order.
    pub entries: Vec<String>,
    /// Position of the first entry of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An entry with the proof that it is in the log: `GET /v1/audit/entries/{position}`, and one
/// element of `GET /v1/deployments/{id}/proofs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogProof {
    /// Position of the entry, from 0.
    pub position: u64,
    /// The leaf as it is hashed, base64.
    pub entry: String,
    /// COSE Receipt of inclusion by the audit key, base64.
    pub receipt: String,
    /// What the acting party itself stated, to which the entry commits: SUIT report, Attestation
    /// Result or receipt, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// `GET /v1/audit/consistency?from=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogConsistency {
    /// Size of the older log.
    pub older: u64,
    /// Size of the newer one.
    pub newer: u64,
    /// COSE Receipt of consistency by the audit key, base64.
    pub receipt: String,
}

/// What `tamarack audit export` writes and `tamarack audit verify` reads: the whole log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedLog {
    /// COSE_Sign1 by the audit key, base64.
    pub checkpoint: String,
    /// Every leaf as it is hashed, base64, in order.
    pub entries: Vec<String>,
}
