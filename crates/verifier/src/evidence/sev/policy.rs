//! What the policy's owner may say about SEV and SEV-ES.

use serde::{Deserialize, Serialize};

use crate::value::Hex;

/// Rules for SEV and SEV-ES guests.
///
/// ```toml
/// [sev]
/// firmware_min = [1, 55, 21]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The lowest version of the SEV firmware: API major, API minor, build. Default: `[0, 0, 0]`.
    pub firmware_min: [u8; 3],
    /// The lowest API that the guest's own policy must demand: major, minor. Default: `[0, 0]`.
    pub api_min: [u8; 2],
    /// Refuse a guest whose registers the host can read. Default: `true`.
    pub es_required: bool,
    /// Accept a guest whose memory key the host may share with other guests. Default: `false`.
    pub key_sharing_allowed: bool,
    /// Accept a guest that the host may send to another platform. Default: `false`.
    pub sending_allowed: bool,
    /// Accept platforms of these owners only: SHA-256 of the uncompressed point in `oca.cert`.
    /// Default: none, which accepts every owner; most platforms own themselves.
    pub owners: Vec<Hex<32>>,
    /// Accept guests that these Network Users launched, by their own statement: thumbprints of
    /// their keys. Default: none; then whoever opened a session appraises its launch.
    pub launched_by: Vec<Hex<32>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            firmware_min: [0; 3],
            api_min: [0; 2],
            es_required: true,
            key_sharing_allowed: false,
            sending_allowed: false,
            owners: Vec::new(),
            launched_by: Vec::new(),
        }
    }
}
