//! Names of the steps in a deployment, spelt as in the figures of the use-case draft.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One thing that happened in a deployment, told by the party that did it.
///
/// The order that counts is that of the links (`cause`), not of the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Position in the deployment's record, from 1.
    pub seq: u64,
    /// What happened.
    pub event: EventName,
    /// Who says so.
    pub actor: Actor,
    /// When the M/OC recorded it, in milliseconds since 1970.
    pub at_ms: u64,
    /// SHA-256 over the statement of the actor (report, result or receipt), hex.
    pub digest: String,
    /// The digest of the event that had to come before, hex; absent in the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The party on whose word an [`Event`] rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Actor {
    /// The TEEP Agent, by a SUIT report.
    #[serde(rename = "TEEP-Agent")]
    Agent,
    /// The TEEP Broker; nothing in the TEE stands behind it.
    #[serde(rename = "TEEP-Broker")]
    Broker,
    /// The TAM, by its Verifier's appraisal.
    #[serde(rename = "TAM")]
    Tam,
    /// The Trusted Application, by a receipt that its channel's receiver signed.
    #[serde(rename = "TA")]
    TrustedApplication,
    /// The Network User, whose own order it was; its effect is the Broker's word.
    #[serde(rename = "Network-User")]
    NetworkUser,
}

/// Instance type of the use-case draft, section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum InstanceType {
    /// A confidential process.
    Process,
    /// A confidential container.
    Container,
    /// A confidential virtual machine.
    Vm,
}

impl InstanceType {
    /// The spelling of the API and the matrix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Vm => "vm",
        }
    }

    /// The destination as the figures write it.
    pub const fn destination(self) -> &'static str {
        match self {
            Self::Process => "ConfidentialProcess",
            Self::Container => "ConfidentialContainer",
            Self::Vm => "ConfidentialVM",
        }
    }
}

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An arrow of figures 2 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventName {
    /// `att:TEEP-Agent`
    AttestAgent,
    /// `UA->REE`
    UaToRee,
    /// `TA->Confidential…`
    TaTo(InstanceType),
    /// `(TA,PD)->Confidential…`
    TaPdTo(InstanceType),
    /// `(UA,TA,PD)->Confidential…`
    UaTaPdTo(InstanceType),
    /// `PD->TA`
    PdToTa,
    /// `(UA,PD)->TA`
    UaPdToTa,
}

impl EventName {
    /// Every name there is.
    pub const ALL: [Self; 13] = [
        Self::AttestAgent,
        Self::UaToRee,
        Self::TaTo(InstanceType::Process),
        Self::TaTo(InstanceType::Container),
        Self::TaTo(InstanceType::Vm),
        Self::TaPdTo(InstanceType::Process),
        Self::TaPdTo(InstanceType::Container),
        Self::TaPdTo(InstanceType::Vm),
        Self::UaTaPdTo(InstanceType::Process),
        Self::UaTaPdTo(InstanceType::Container),
        Self::UaTaPdTo(InstanceType::Vm),
        Self::PdToTa,
        Self::UaPdToTa,
    ];
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AttestAgent => f.write_str("att:TEEP-Agent"),
            Self::UaToRee => f.write_str("UA->REE"),
            Self::TaTo(to) => write!(f, "TA->{}", to.destination()),
            Self::TaPdTo(to) => write!(f, "(TA,PD)->{}", to.destination()),
            Self::UaTaPdTo(to) => write!(f, "(UA,TA,PD)->{}", to.destination()),
            Self::PdToTa => f.write_str("PD->TA"),
            Self::UaPdToTa => f.write_str("(UA,PD)->TA"),
        }
    }
}

/// The text is not an event of the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEvent(pub String);

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an event of the figures", self.0)
    }
}

impl std::error::Error for UnknownEvent {}

impl FromStr for EventName {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL
            .into_iter()
            .find(|name| name.to_string() == text)
            .ok_or_else(|| UnknownEvent(text.to_owned()))
    }
}

impl Serialize for EventName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for EventName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
        schemars::json_schema!({
            "description": "What happened, spelt as in the figures of the use-case draft.",
            "type": "string",
            "enum": names,
        })
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_in_the_figures() {
        let spelt: Vec<String> = EventName::ALL.iter().map(ToString::to_string).collect();

        assert_eq!(
            spelt,
            [
                "att:TEEP-Agent",
                "UA->REE",
                "TA->ConfidentialProcess",
                "TA->ConfidentialContainer",
                "TA->ConfidentialVM",
                "(TA,PD)->ConfidentialProcess",
                "(TA,PD)->ConfidentialContainer",
                "(TA,PD)->ConfidentialVM",
                "(UA,TA,PD)->ConfidentialProcess",
                "(UA,TA,PD)->ConfidentialContainer",
                "(UA,TA,PD)->ConfidentialVM",
                "PD->TA",
                "(UA,PD)->TA",
            ]
        );
    }

    #[test]
    fn every_name_comes_back_from_its_text() {
        for name in EventName::ALL {
            let text = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<EventName>(&text).unwrap(), name);
        }
        assert_eq!("TA->REE".parse::<EventName>(), Err(UnknownEvent("TA->REE".into())));
    }

    #[test]
    fn an_event_without_cause_leaves_the_member_out() {
        let event = Event {
            seq: 1,
            event: EventName::UaToRee,
            actor: Actor::Broker,
            at_ms: 5,
            digest: "00".into(),
            cause: None,
        };

        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"seq":1,"event":"UA->REE","actor":"TEEP-Broker","at_ms":5,"digest":"00"}"#
        );
    }
}
