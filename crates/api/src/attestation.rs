//! Attestation on behalf of a Network User.
//!
//! `GET /v1/deployments/{id}/attestations/{attestation}` answers 200 with the signed CMW
//! (`application/cmw+cbor`), 202 with [`AttestationPending`], or a [`Problem`](crate::Problem).

use serde::{Deserialize, Serialize};

/// `POST /v1/deployments/{id}/attestations` (tenant).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostAttestation {
    /// The Network User's nonce: base64url without padding of 32 bytes.
    pub nonce: String,
}

/// 202 to [`PostAttestation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttestationAccepted {
    /// Identifier of the attestation.
    pub attestation: String,
}

/// 202 while the device has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttestationPending {
    /// Identifier of the attestation.
    pub attestation: String,
    /// Where it stands, in words.
    pub progress: String,
}
