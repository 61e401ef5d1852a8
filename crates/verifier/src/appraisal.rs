//! The result of an appraisal, always explained; and the proof that it accepted.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::anchor::Anchor;
use crate::check::{Check, Failure, Reason};
use crate::claims::Claims;
use crate::evidence::Kind;
use crate::trust::{self, ByName, Vector};
use crate::value::Value;
use crate::{Tcb, Timestamp};

/// What the appraisal of one piece of evidence found.
#[derive(Clone, Debug)]
pub struct Appraisal {
    pub(crate) kind: Kind,
    pub(crate) at: Timestamp,
    pub(crate) policy: String,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) authentic: bool,
    pub(crate) bound: bool,
    pub(crate) reference: Option<String>,
    pub(crate) tcb: Option<Tcb>,
    pub(crate) claims: Option<Claims>,
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) trust: Vector,
    pub(crate) checks: Check,
}

/// An [`Appraisal`] that accepted; only [`Appraisal::accept`] makes one.
#[derive(Clone, Debug)]
pub struct Appraised(Appraisal);

impl Appraisal {
    /// An appraisal of which nothing is known but the checks.
    pub(crate) fn new(kind: Kind, at: Timestamp, policy: &str) -> Self {
        Self {
            kind,
            at,
            policy: policy.to_owned(),
            anchor: None,
            authentic: false,
            bound: false,
            reference: None,
            tcb: None,
            claims: None,
            fields: Vec::new(),
            trust: Vector::default(),
            checks: Check::new("evidence"),
        }
    }

    /// Adds a group of checks of another layer.
    pub(crate) fn add(&mut self, group: Check) {
        trust::record_failures(&mut self.trust, &group);
        self.checks.ok &= group.ok;
        self.checks.children.push(group);
    }

    /// Turns the appraisal into its proof, or gives it back when it refused.
    pub fn accept(self) -> Result<Appraised, Box<Self>> {
        if self.accepted() { Ok(Appraised(self)) } else { Err(Box::new(self)) }
    }

    /// Whether every check holds.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.authentic && self.checks.ok
    }

    /// The first failing check in order and why it failed.
    #[must_use]
    pub fn refusal(&self) -> Option<(&Check, &Failure)> {
        self.checks.first_failure()
    }

    /// The class of the first failure.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.refusal().map(|(_, failure)| failure.reason)
    }

    /// The kind of evidence.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// For which point in time the appraisal holds.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether every signature holds up to a pinned anchor, nothing is revoked, and every
    /// certificate and endorsement is valid at [`at`](Self::at).
    #[must_use]
    pub const fn authentic(&self) -> bool {
        self.authentic
    }

    /// Whether the evidence was compared with, and carries, the expected user data.
    #[must_use]
    pub const fn bound(&self) -> bool {
        self.bound
    }

    /// Whether the evidence could not be judged for want of endorsements: nothing that was found
    /// contradicts it, but what it takes to believe it was not supplied. It is refused all the
    /// same.
    #[must_use]
    pub fn undecided(&self) -> bool {
        let reasons = || self.checks.failures().into_iter().map(|(_, failure)| failure.reason);
        let missing = |reason| reason == Reason::MissingEndorsement;
        !self.authentic
            && reasons().any(missing)
            && reasons().all(|reason| missing(reason) || reason == Reason::UntrustedRoot)
    }

    /// The anchor in which the evidence's chain ends.
    #[must_use]
    pub const fn anchor(&self) -> Option<&Anchor> {
        self.anchor.as_ref()
    }

    /// Whether the hardware is emulated; unknown when no anchor was found.
    #[must_use]
    pub fn emulated(&self) -> Option<bool> {
        self.anchor.as_ref().map(Anchor::is_emulated)
    }

    /// The name of the reference value that fits.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// What the vendor says about the platform's trusted computing base.
    #[must_use]
    pub const fn tcb(&self) -> Option<&Tcb> {
        self.tcb.as_ref()
    }

    /// The normalised claims; absent unless the evidence is authentic.
    #[must_use]
    pub const fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    /// Every field of the evidence as decoded, authentic or not: for showing, not for deciding.
    #[must_use]
    pub fn fields(&self) -> &[(&'static str, Value)] {
        &self.fields
    }

    /// The AR4SI trustworthiness vector.
    #[must_use]
    pub const fn trust(&self) -> &Vector {
        &self.trust
    }

    /// The explanation.
    #[must_use]
    pub const fn checks(&self) -> &Check {
        &self.checks
    }

    /// The name of the policy that was applied.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }
}

impl Appraised {
    /// What the authentic evidence says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        self.0.claims.as_ref().expect("an accepted appraisal is authentic and has claims")
    }

    /// The appraisal.
    #[must_use]
    pub const fn appraisal(&self) -> &Appraisal {
        &self.0
    }

    /// The appraisal, without the proof.
    #[must_use]
    pub fn into_appraisal(self) -> Appraisal {
        self.0
    }
}

/// One line with the outcome, then the tree of checks.
impl fmt::Display for Appraisal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refusal() {
            None => write!(f, "accepted: {}", self.kind.title())?,
            Some((check, failure)) => {
                write!(f, "refused: {} ({}, {})", self.kind.title(), failure.reason, check.name)?;
            }
        }
        if let Some(anchor) = &self.anchor {
            let hardware = if anchor.is_emulated() { "EMULATED" } else { "real hardware" };
            write!(f, ", {hardware} under `{}`", anchor.name)?;
        }
        if let Some(tcb) = &self.tcb {
            write!(f, ", TCB {}", tcb.status)?;
        }
        writeln!(f)?;
        write!(f, "{}", self.checks)
    }
}

impl Serialize for Appraisal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Appraisal", 17)?;
        object.serialize_field("kind", &self.kind)?;
        object.serialize_field("at", &Value::Time(self.at))?;
        object.serialize_field("policy", &self.policy)?;
        object.serialize_field("accepted", &self.accepted())?;
        object.serialize_field("reason", &self.reason())?;
        object.serialize_field("authentic", &self.authentic)?;
        object.serialize_field("emulated", &self.emulated())?;
        object.serialize_field("anchor", &self.anchor)?;
        object.serialize_field("bound", &self.bound)?;
        object.serialize_field("reference", &self.reference)?;
        object.serialize_field("tcb_status", &self.tcb.as_ref().map(|tcb| &tcb.status))?;
        object.serialize_field("tcb", &self.tcb)?;
        object.serialize_field("trust", &ByName(&self.trust))?;
        object.serialize_field("claims", &self.claims)?;
        object.serialize_field("fields", &Fields(&self.fields))?;
        object.serialize_field("checks", &self.checks)?;
        object.end()
    }
}

struct Fields<'a>(&'a [(&'static str, Value)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
