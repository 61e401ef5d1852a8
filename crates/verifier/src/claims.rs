//! The normalised claim set: what every kind of evidence says, in the same words (EV-COM-11).
//!
//! Claims exist only for evidence that was found authentic; what evidence does not say is absent.

use serde::Serialize;

use crate::evidence::Kind;
use crate::value::Octets;

//= EV-COM-11: one normalised claim set; missing claims stay absent
/// What authentic evidence says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The kind of evidence and with it the architecture.
    pub kind: Kind,
    /// The generation of that architecture (`TDX 1.5`, `Genoa`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<&'static str>,
    /// What tells this platform from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Octets>,
    /// What was loaded at launch.
    pub measurements: Vec<Named>,
    /// What was measured since.
    pub registers: Vec<Named>,
    /// Who signed or ordered what was loaded.
    pub signers: Vec<Named>,
    /// The signer's number of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<u64>,
    /// Security version numbers of software.
    pub svns: Vec<(&'static str, u64)>,
    /// Whether the host can debug the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    /// The state in which the device is (Arm).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<u64>,
    /// What the attester bound into the evidence.
    pub user_data: Octets,
}

/// One named octet string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name, as in the kind's document.
    pub name: &'static str,
    /// The value.
    pub value: Octets,
}

impl Claims {
    /// An empty claim set.
    #[must_use]
    pub fn new(kind: Kind, user_data: &[u8]) -> Self {
        Self {
            kind,
            generation: None,
            instance_id: None,
            measurements: Vec::new(),
            registers: Vec::new(),
            signers: Vec::new(),
            product_id: None,
            svns: Vec::new(),
            debug: None,
            lifecycle: None,
            user_data: Octets::new(user_data),
        }
    }
}

impl Named {
    /// Names `value`.
    #[must_use]
    pub fn new(name: &'static str, value: &[u8]) -> Self {
        Self { name, value: Octets::new(value) }
    }
}
