//! What a vendor says about the trusted computing base of a platform, in the vendor's words.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::Timestamp;
use crate::time::Rfc3339;
use crate::trust::TrustValue;

/// The status of a platform's trusted computing base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tcb {
    /// The vendor's status string after merging the parts.
    pub status: &'static str,
    /// The date of the TCB level that fits.
    #[serde(serialize_with = "optional_time")]
    pub date: Option<Timestamp>,
    /// Advisories that apply, each once.
    #[serde(rename = "advisory_ids", serialize_with = "texts")]
    pub advisories: Vec<Arc<str>>,
    /// How recent the endorsements' evaluation is, when the vendor numbers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<u32>,
    /// The status of each part before merging.
    pub parts: Vec<(&'static str, &'static str)>,
    /// What the status says of the hardware, as AR4SI value.
    #[serde(skip)]
    pub hardware: TrustValue,
    /// What the status says of the configuration, as AR4SI value.
    #[serde(skip)]
    pub configuration: TrustValue,
}

fn optional_time<S: Serializer>(time: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => s.collect_str(&Rfc3339(*time)),
        None => s.serialize_none(),
    }
}

fn texts<S: Serializer>(list: &[Arc<str>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|text| &**text))
}
