//! The registry of claim labels, and labels as values.

use std::fmt;

use minicbor::Encoder;
use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::refusal::Malformed;

/// A claim label of a CWT: a number or, for private names, a text.
///
/// ```cddl
/// claim-label = int / text        ; RFC 9711 section 7.2.2, JC<text, int / text>
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A registered (or private, when negative) number.
    Int(i64),
    /// A name.
    Text(String),
}

impl Label {
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.datatype()? {
            Type::String => Ok(Self::Text(d.str()?.to_owned())),
            _ => {
                Ok(Self::Int(d.i64().map_err(|_| Malformed::Expected("an integer or text label"))?))
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        let _ = match self {
            Self::Int(label) => e.i64(*label).map(|_| ()),
            Self::Text(label) => e.str(label).map(|_| ()),
        };
        e.into_writer()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(label) => write!(f, "{label}"),
            Self::Text(label) => f.write_str(label),
        }
    }
}

impl From<i64> for Label {
    fn from(label: i64) -> Self {
        Self::Int(label)
    }
}

impl From<&str> for Label {
    fn from(label: &str) -> Self {
        Self::Text(label.to_owned())
    }
}

/// Claim labels, registered (CWT registry, RFC 9711, EAR) and private ones, in one table.
pub mod claim {
    /// Expiration time (RFC 8392).
    pub const EXP: i64 = 4;
    /// Issued at (RFC 8392).
    pub const IAT: i64 = 6;
    /// Confirmation (RFC 8747).
    pub const CNF: i64 = 8;
    /// Nonce (RFC 9711 section 4.1).
    pub const EAT_NONCE: i64 = 10;
    /// Universal entity identifier (RFC 9711 section 4.2.1).
    pub const UEID: i64 = 256;
    /// Semi-permanent identifiers (RFC 9711 section 4.2.2).
    pub const SUEIDS: i64 = 257;
    /// Hardware maker (RFC 9711 section 4.2.3).
    pub const OEMID: i64 = 258;
    /// Hardware model (RFC 9711 section 4.2.4).
    pub const HWMODEL: i64 = 259;
    /// Hardware version (RFC 9711 section 4.2.5).
    pub const HWVERSION: i64 = 260;
    /// Seconds since boot (RFC 9711 section 4.2.11).
    pub const UPTIME: i64 = 261;
    /// Whether the boot was authorised by the maker (RFC 9711 section 4.2.8).
    pub const OEMBOOT: i64 = 262;
    /// Debug state (RFC 9711 section 4.2.9).
    pub const DBGSTAT: i64 = 263;
    /// Place (RFC 9711 section 4.2.10).
    pub const LOCATION: i64 = 264;
    /// Profile (RFC 9711 section 4.3.2).
    pub const EAT_PROFILE: i64 = 265;
    /// Submodules (RFC 9711 section 4.2.18).
    pub const SUBMODS: i64 = 266;
    /// Number of boots (RFC 9711 section 4.2.12).
    pub const BOOTCOUNT: i64 = 267;
    /// Value that is the same for one boot cycle (RFC 9711 section 4.2.13).
    pub const BOOTSEED: i64 = 268;
    /// Digital letters of approval (RFC 9711 section 4.2.14).
    pub const DLOAS: i64 = 269;
    /// Software name (RFC 9711 section 4.2.6).
    pub const SWNAME: i64 = 270;
    /// Software version (RFC 9711 section 4.2.7).
    pub const SWVERSION: i64 = 271;
    /// Software manifests (RFC 9711 section 4.2.15).
    pub const MANIFESTS: i64 = 272;
    /// Measurements (RFC 9711 section 4.2.16).
    pub const MEASUREMENTS: i64 = 273;
    /// Measurement results (RFC 9711 section 4.2.17).
    pub const MEASRES: i64 = 274;
    /// Intended use (RFC 9711 section 4.3.3).
    pub const INTUSE: i64 = 275;

    /// EAR: status of an appraisal.
    pub const EAR_STATUS: i64 = 1000;
    /// EAR: trustworthiness vector.
    pub const EAR_VECTOR: i64 = 1001;
    /// EAR: raw evidence.
    pub const EAR_RAW_EVIDENCE: i64 = 1002;
    /// EAR: identifiers of the appraisal policies (one policy identifier in the legacy form).
    pub const EAR_POLICY_IDS: i64 = 1003;
    /// EAR: identity of the verifier.
    pub const EAR_VERIFIER_ID: i64 = 1004;
    /// EAR: claims that TEEP wants in a result.
    pub const EAR_TEEP_CLAIMS: i64 = 65000;

    /// Private: keys of the Agent beside its TEEP key, `{ 1: report, 2: receipt }`.
    pub const SESSION_KEYS: i64 = -75801;
    /// Private: HPKE receiver keys of this exchange.
    pub const RECEIVERS: i64 = -75802;
    /// Private: instance type, isolation and submodule of a Trusted Application.
    pub const INSTANCE: i64 = -75803;
    /// Private: manifest of a Trusted Application.
    pub const MANIFEST: i64 = -75804;
    /// Private, of the legacy EAR form: attested key.
    pub const LEGACY_KEY_ATTESTATION: i64 = -70002;
}
