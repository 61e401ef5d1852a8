//! What Arm CCA platforms and PSA devices share: keys that are enrolled one by one instead of a
//! vendor's root, tokens in COSE, measured firmware, and a life cycle.

pub mod enrolment;
pub(super) mod token;

use cose::cbor::MapWriter;
use serde::Serialize;

use crate::key::sha256;
use crate::misbehaviour::Misbehaviour;

/// One measured piece of software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// SHA-256 of what was loaded.
    #[serde(serialize_with = "hex::serialize")]
    pub measurement: [u8; 32],
    /// SHA-256 of the key that signed it.
    #[serde(serialize_with = "hex::serialize")]
    pub signer_id: [u8; 32],
    /// The version that its maker gave it.
    pub version: &'static str,
}

impl Component {
    /// Firmware of the emulated platform, as it is now or as it was.
    pub(super) fn firmware(kind: &'static str, version: &'static str) -> Self {
        let measurement = sha256(format!("tamarack emulated {kind} {version}").as_bytes());
        Self { kind, measurement, signer_id: signer("firmware"), version }
    }

    /// What the emulated owner put on the platform.
    pub(super) fn owned(kind: &'static str, measurement: [u8; 32]) -> Self {
        Self { kind, measurement, signer_id: signer("owner"), version: "1" }
    }

    /// ```cddl
    /// software-component = { 1 => tstr, 2 => bstr, 4 => tstr, 5 => bstr, 6 => tstr }
    /// ```
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut members = MapWriter::new();
        members.put(1, |e| e.str(self.kind)?.ok());
        members.put(2, |e| e.bytes(&self.measurement)?.ok());
        members.put(4, |e| e.str(self.version)?.ok());
        members.put(5, |e| e.bytes(&self.signer_id)?.ok());
        members.put(6, |e| e.str("sha-256")?.ok());
        members.finish()
    }
}

/// The security life cycle: in use, or open to debuggers of what is not the root of trust.
pub(super) const fn lifecycle(misbehaviour: Misbehaviour) -> u64 {
    match misbehaviour {
        Misbehaviour::Debug => 0x4000,
        _ => 0x3000,
    }
}

/// The version of firmware that a vendor has replaced when the device is out of date.
pub(super) const fn version(misbehaviour: Misbehaviour) -> &'static str {
    match misbehaviour {
        Misbehaviour::TcbOutOfDate => "1.0.0",
        _ => CURRENT,
    }
}

/// The version of all emulated firmware that is up to date.
pub(super) const CURRENT: &str = "2.0.0";

fn signer(name: &str) -> [u8; 32] {
    sha256(format!("tamarack emulated {name} signer").as_bytes())
}
