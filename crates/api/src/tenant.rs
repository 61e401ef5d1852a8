//! Tenants, the first start, and blobs.

use serde::{Deserialize, Serialize};

/// What `tamarack-moc init` prints once on standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Initialised {
    /// Bearer token of the operator; kept by nobody but its reader.
    pub bootstrap_token: String,
    /// The TAM's public keys, hex of COSE_Key: ESP256, then Ed25519.
    pub tam_keys: Vec<String>,
    /// The TAM's public key that Agents may encrypt Evidence to, hex of COSE_Key.
    pub tam_encryption_key: String,
    /// The Verifier's public key, hex of COSE_Key.
    pub verifier_key: String,
    /// The public key that signs the log of decisions, hex of COSE_Key.
    pub audit_key: String,
    /// The TAM URI for an Agent's settings; a ticket is appended as one more path segment.
    pub tam_uri: String,
}

/// `POST /v1/tenants` (operator).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostTenant {
    /// A name of 1 to 64 characters out of `a-z 0-9 . _ -`, first a letter or digit.
    pub name: String,
}

/// 201 to [`PostTenant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantAdded {
    /// Identifier of the tenant.
    pub tenant: String,
    /// Bearer token of the tenant's first admin, shown this once.
    pub token: String,
}

/// One element of `GET /v1/tenants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantView {
    /// Identifier.
    pub tenant: String,
    /// Name.
    pub name: String,
    /// Since when, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Deployments that have not ended.
    pub open_deployments: u64,
    /// Bytes of the blobs that it keeps here.
    pub blob_bytes: u64,
}

/// 201 (stored) or 200 (was there) to `PUT /v1/blobs/{sha256}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlobStored {
    /// SHA-256 of the bytes, hex.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
}
