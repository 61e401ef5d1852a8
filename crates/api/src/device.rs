//! Devices, their appraisal, and waking them.

use serde::{Deserialize, Serialize};

use crate::{Capacity, Hardware, InstanceType, Owner, TcbLevel};

/// `POST /v1/devices` (operator).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostDevice {
    /// A name of 1 to 64 characters out of `a-z 0-9 . _ -`, first a letter or digit.
    pub device: String,
    /// Its hardware family; the enrolment's evidence has to be of this family.
    pub hardware: Hardware,
    /// The instance types that it can start.
    pub instances: Vec<InstanceType>,
    /// Where it stands: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The country whose law it is subject to, of ISO 3166-1 such as `JP`: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// How long the way from the access network to it is, milliseconds: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// The identity of its hardware, hex: what its evidence has to show, such as the chip's of
    /// SEV-SNP, the platform's of SGX and TDX, the instance's of CCA and TrustZone. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
    /// What it has for deployments. Default: nothing is counted.
    #[serde(default, skip_serializing_if = "Capacity::is_none")]
    pub capacity: Capacity,
}

/// 201 to [`PostDevice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceAdded {
    /// The device.
    pub device: String,
    /// Bearer token of its Broker, shown this once.
    pub token: String,
    /// Ticket of the enrolment. The first wake-up carries one as well, so nobody has to hand this
    /// one over.
    pub enrolment_ticket: String,
}

/// 201 to `POST /v1/devices/{device}/enrolments` (operator, no body): the device leaves quarantine
/// when its next appraisal is positive, and its Agent's keys are those of that appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnrolmentOpened {
    /// The device.
    pub device: String,
    /// Ticket of the enrolment. The next wake-up carries one as well.
    pub enrolment_ticket: String,
}

/// Where a device stands with the M/OC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// It has joined and waits for the operator's approval; nothing is placed on it.
    Pending,
    /// Known to the operator, not yet appraised.
    Enrolled,
    /// Its last appraisal was positive.
    Attested,
    /// Its last appraisal was positive; by the operator's order nothing new is placed on it.
    Draining,
    /// Its last appraisal was negative, or it is the operator's order; nothing is placed on it.
    Quarantined,
    /// Ended for good.
    Retired,
}

impl DeviceState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Enrolled,
        Self::Attested,
        Self::Draining,
        Self::Quarantined,
        Self::Retired,
    ];

    /// The spelling of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Enrolled => "enrolled",
            Self::Attested => "attested",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }

    /// Whether its Agent gets Updates.
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Attested | Self::Draining)
    }
}

/// `GET /v1/devices/{id}` (operator), and one element of `GET /v1/devices`.
///
/// What the M/OC does not know is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceView {
    /// The device.
    pub device: String,
    /// Where it stands.
    pub state: DeviceState,
    /// Its hardware family.
    pub hardware: Hardware,
    /// The instance types that it can start.
    pub instances: Vec<InstanceType>,
    /// Where it stands: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The country whose law it is subject to: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// How long the way from the access network to it is, milliseconds: the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// What it has for deployments: the operator's word.
    #[serde(default, skip_serializing_if = "Capacity::is_none")]
    pub capacity: Capacity,
    /// What is left of that.
    #[serde(default, skip_serializing_if = "Capacity::is_none")]
    pub headroom: Capacity,
    /// Deployments that hold a place on it.
    #[serde(default)]
    pub deployments: u64,
    /// The identity that its hardware has to have, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
    /// The identity that its last evidence showed, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_hardware_id: Option<String>,
    /// Why the operator gave the last order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the last evidence rests on an emulator's trust anchor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulated: Option<bool>,
    /// TCB status of the last evidence, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcb_status: Option<String>,
    /// The same on the ladder that requests name, where the vendor or the policy judged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcb_level: Option<TcbLevel>,
    /// When its last appraisal was positive, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_at_ms: Option<u64>,
    /// Thumbprint of the key that signs the Agent's TEEP messages, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_key: Option<String>,
    /// The last verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What the Verifier found, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// Whether the operator's policy accepts the evidence.
    pub accepted: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Every check in the order in which it was made.
    pub checks: Vec<Check>,
}

/// One check of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Its stable name.
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What it saw.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// Who can change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// What that party does next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a [`Check`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As asked.
    Passed,
    /// Allowed, but worth a look.
    Warned,
    /// Not as asked.
    Failed,
    /// Not made, because an earlier check failed or the policy does not ask.
    Skipped,
}

/// 200 to `GET /v1/devices/{id}/wake` (device).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wake {
    /// Appended to the TAM URI of the session's first request, when present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Why.
    pub reason: WakeReason,
    /// The TA that a UA of this deployment is to load: its component identifier, each element in
    /// hexadecimal. The Broker keeps the ticket until that UA asks for the TA (RequestTA, RFC 9397
    /// section 6.2.1), asks in its place when it does not within [`UA_LOADS_WITHIN_MS`], and runs
    /// the session with this ticket. Absent: the Broker starts a session at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Vec<String>>,
    /// The SUIT_Envelope of a UA that its Network User deploys itself (use-case draft section
    /// 4.4, step 3): a blob's SHA-256 in hexadecimal. The Broker places that UA and tells the
    /// outcome ([`PostPlacement`]); neither TAM nor Agent has a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// `POST /v1/devices/{device}/placements` (device): what became of [`Wake::place`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PostPlacement {
    /// The ticket of the wake-up.
    pub ticket: String,
    /// The SUIT_Report of the REE's manifest processor: hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Why the UA is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Why a device is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WakeReason {
    /// First appraisal of the device.
    Enrol,
    /// A package waits.
    Deploy,
    /// A Network User asks for fresh evidence.
    Attest,
    /// A reason that this version does not know; a normal session answers it.
    #[serde(other)]
    Other,
}

/// How long the Broker waits for a UA to ask for its TA before it asks itself, milliseconds.
pub const UA_LOADS_WITHIN_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_a_device_is_absent() {
        let view = DeviceView {
            device: "edge-7".into(),
            state: DeviceState::Enrolled,
            hardware: Hardware::Sgx,
            instances: vec![InstanceType::Process],
            zone: None,
            jurisdiction: None,
            latency_ms: None,
            capacity: Capacity::default(),
            headroom: Capacity::default(),
            deployments: 0,
            hardware_id: None,
            seen_hardware_id: None,
            reason: None,
            emulated: None,
            tcb_status: None,
            tcb_level: None,
            attested_at_ms: None,
            agent_key: None,
            verdict: None,
        };

        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            r#"{"device":"edge-7","state":"enrolled","hardware":"SGX","instances":["process"],"deployments":0}"#
        );
    }

    #[test]
    fn a_newer_reason_to_wake_is_still_a_wake() {
        let wake: Wake = serde_json::from_str(r#"{"reason":"renew"}"#).unwrap();

        assert_eq!(wake, Wake { ticket: None, reason: WakeReason::Other, load: None, place: None });
    }
}
