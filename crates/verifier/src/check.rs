//! The explanation of an appraisal: a tree of checks, each saying what it expected, what it saw,
//! who says so, and whose it is to put right.
//!
//! A check is written where the rule is applied; nothing here knows any kind of evidence.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::Value;

/// One node of the explanation.
///
/// A node is [`ok`](Self::ok) when its own test holds and all its children are ok.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable dotted name, for machines (`dcap.quote.signature`).
    pub name: &'static str,
    /// Whether this test and all below it hold.
    pub ok: bool,
    /// What would have been accepted.
    pub expected: Option<Value>,
    /// What was there.
    pub seen: Option<Value>,
    /// Who says what is expected.
    pub source: Option<Source>,
    /// Why this very test failed; absent when it holds or only a child failed.
    pub failure: Option<Box<Failure>>,
    /// The tests that this one consists of.
    pub children: Vec<Self>,
}

/// Why a check failed and how it is put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The class of the failure.
    pub reason: Reason,
    /// Whose it is to put right.
    pub owner: Owner,
    /// What they do, as one sentence.
    pub remedy: Cow<'static, str>,
}

/// Who says what a check expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A document or a party with a fixed name.
    Fixed(&'static str),
    /// A named endorsement, reference value or policy.
    Named(Arc<str>),
}

//= EV-COM-3: distinct reasons
/// The classes of failure (EV-COM-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The bytes are not what their format says.
    Malformed,
    /// The bytes are valid, but this Verifier does not appraise such evidence.
    Unsupported,
    /// A signature, MAC or signed digest does not match.
    BadSignature,
    /// The chain ends in a key that is no trust anchor.
    UntrustedRoot,
    /// An endorsement or certificate is past its end.
    Expired,
    /// An endorsement or certificate has not begun.
    NotYetValid,
    /// A certificate is revoked.
    Revoked,
    /// A needed endorsement was not supplied, or is for another platform.
    MissingEndorsement,
    /// The endorsements know no TCB level that fits the platform.
    TcbNotRecognised,
    /// The policy does not allow the TCB's status.
    TcbStatusNotAllowed,
    /// The endorsements are older than the policy asks.
    StaleEndorsement,
    /// The evidence comes from emulated hardware and the policy does not allow that.
    EmulatedNotAllowed,
    /// Debugging is enabled.
    Debug,
    /// The evidence is not bound to the expected challenge and key.
    BindingMismatch,
    /// A measurement equals no reference value.
    MeasurementMismatch,
    /// The policy refuses a configuration of the platform or of the instance.
    ConfigurationNotAllowed,
}

/// Whose it is to put a failure right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Who builds and signs the measured software.
    AgentProvider,
    /// The party that sent the evidence.
    Attester,
    /// Who runs the device: firmware, updates, settings, how instances are started.
    DeviceOperator,
    /// Who made the device and endorses it.
    DeviceVendor,
    /// Who fetches the endorsements for the Verifier.
    EndorsementProvider,
    /// Who writes the appraisal policy, the trust anchors and the reference values.
    PolicyOwner,
}

impl Check {
    /// A check that holds, until something says otherwise.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            ok: true,
            expected: None,
            seen: None,
            source: None,
            failure: None,
            children: Vec::new(),
        }
    }

    /// Says what would be accepted.
    #[must_use]
    pub fn expected(mut self, value: impl Into<Value>) -> Self {
        self.expected = Some(value.into());
        self
    }

    /// Says what is there.
    #[must_use]
    pub fn seen(mut self, value: impl Into<Value>) -> Self {
        self.seen = Some(value.into());
        self
    }

    /// Says who expects it.
    #[must_use]
    pub fn source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Applies the test; `failure` is only called when it does not hold.
    #[must_use]
    pub fn holds(mut self, ok: bool, failure: impl FnOnce() -> Failure) -> Self {
        if !ok {
            self.ok = false;
            self.failure = Some(Box::new(failure()));
        }
        self
    }

    /// Makes this a failed check, to be handed out as an error.
    #[must_use]
    pub(crate) fn refused(self, failure: Failure) -> Box<Self> {
        Box::new(self.holds(false, || failure))
    }

    /// The first failing check in order, children before what follows them.
    #[must_use]
    pub fn first_failure(&self) -> Option<(&Self, &Failure)> {
        if let Some(failure) = &self.failure {
            return Some((self, failure));
        }
        self.children.iter().find_map(Self::first_failure)
    }

    /// Every failing check in order.
    pub fn failures(&self) -> Vec<(&Self, &Failure)> {
        let mut found: Vec<_> = self.failure.iter().map(|failure| (self, &**failure)).collect();
        found.extend(self.children.iter().flat_map(Self::failures));
        found
    }

    /// The check of that name at or below this one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }

    fn write_line(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mark = if self.ok { "ok  " } else { "FAIL" };
        write!(f, "{mark} {:indent$}{}", "", self.name, indent = depth * 2)?;
        match (&self.seen, &self.expected) {
            (Some(seen), Some(expected)) if seen != expected => {
                write!(f, ": {seen}, expected {expected}")?;
            }
            (Some(seen), _) => write!(f, ": {seen}")?,
            (None, Some(expected)) => write!(f, ": expected {expected}")?,
            (None, None) => (),
        }
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        writeln!(f)?;
        if let Some(failure) = &self.failure {
            let indent = depth * 2 + 2;
            writeln!(f, "     {:indent$}{}: {}", "", failure.owner, failure.remedy)?;
        }
        self.children.iter().try_for_each(|child| child.write_line(f, depth + 1))
    }
}

/// The tree as indented text, one check a line, the remedy below each that failed.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_line(f, 0)
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Check", 9)?;
        object.serialize_field("check", self.name)?;
        object.serialize_field("ok", &self.ok)?;
        if let Some(expected) = &self.expected {
            object.serialize_field("expected", expected)?;
        }
        if let Some(seen) = &self.seen {
            object.serialize_field("seen", seen)?;
        }
        if let Some(source) = &self.source {
            object.serialize_field("source", source.as_str())?;
        }
        if let Some(failure) = &self.failure {
            object.serialize_field("reason", &failure.reason)?;
            object.serialize_field("owner", &failure.owner)?;
            object.serialize_field("remedy", &failure.remedy)?;
        }
        if !self.children.is_empty() {
            object.serialize_field("children", &self.children)?;
        }
        object.end()
    }
}

impl Failure {
    /// Says why, whose it is, and what they do about it.
    pub fn new(reason: Reason, owner: Owner, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, owner, remedy: remedy.into() }
    }
}

impl Source {
    /// The name of the source.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fixed(name) => name,
            Self::Named(name) => name,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&'static str> for Source {
    fn from(name: &'static str) -> Self {
        Self::Fixed(name)
    }
}

impl From<Arc<str>> for Source {
    fn from(name: Arc<str>) -> Self {
        Self::Named(name)
    }
}

impl From<String> for Source {
    fn from(name: String) -> Self {
        Self::Named(name.into())
    }
}

impl Reason {
    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::BadSignature => "bad-signature",
            Self::UntrustedRoot => "untrusted-root",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::MissingEndorsement => "missing-endorsement",
            Self::TcbNotRecognised => "tcb-not-recognised",
            Self::TcbStatusNotAllowed => "tcb-status-not-allowed",
            Self::StaleEndorsement => "stale-endorsement",
            Self::EmulatedNotAllowed => "emulated-not-allowed",
            Self::Debug => "debug",
            Self::BindingMismatch => "binding-mismatch",
            Self::MeasurementMismatch => "measurement-mismatch",
            Self::ConfigurationNotAllowed => "configuration-not-allowed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AgentProvider => "provider of the Agent",
            Self::Attester => "attester",
            Self::DeviceOperator => "device operator",
            Self::DeviceVendor => "device vendor",
            Self::EndorsementProvider => "endorsement provider",
            Self::PolicyOwner => "policy owner",
        })
    }
}

/// Collects the checks of one group in order.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

/// A check failed without which the next ones mean nothing; it is already in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop;

impl Checks {
    /// Adds a check and goes on, whatever it says.
    pub(crate) fn note(&mut self, check: Check) {
        self.0.push(check);
    }

    /// Adds a check and stops the group when it fails.
    pub(crate) fn need(&mut self, check: Check) -> Result<(), Stop> {
        let ok = check.ok;
        self.0.push(check);
        if ok { Ok(()) } else { Err(Stop) }
    }

    /// Adds a failing check and stops the group.
    pub(crate) fn fail<T>(&mut self, check: Check) -> Result<T, Stop> {
        self.0.push(check);
        Err(Stop)
    }

    /// Runs `body` as a group of its own below `name`.
    pub(crate) fn group<T>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> T) -> T {
        let mut inner = Self::default();
        let value = body(&mut inner);
        self.0.push(inner.into_check(name));
        value
    }

    /// Makes the node of which the collected checks are the children.
    pub(crate) fn into_check(self, name: &'static str) -> Check {
        let ok = self.0.iter().all(|check| check.ok);
        Check { ok, children: self.0, ..Check::new(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Check {
        let mut checks = Checks::default();
        checks.note(Check::new("a").seen(1_u64).expected(1_u64));
        checks.group("b", |checks| {
            let failed = Check::new("b.c").seen(11_u64).expected(13_u64).source("TCB info");
            checks.note(failed.holds(false, || {
                Failure::new(Reason::TcbStatusNotAllowed, Owner::DeviceOperator, "update BIOS")
            }));
            checks.note(Check::new("b.d").holds(false, || {
                Failure::new(Reason::Debug, Owner::AgentProvider, "build without debug")
            }));
        });
        checks.into_check("root")
    }

    #[test]
    fn the_first_failing_check_in_order_is_the_reason() {
        let tree = tree();

        assert!(!tree.ok);
        let (check, failure) = tree.first_failure().expect("something failed");
        assert_eq!((check.name, failure.reason), ("b.c", Reason::TcbStatusNotAllowed));
        assert_eq!(tree.failures().len(), 2);
    }

    #[test]
    fn the_text_shows_values_sources_and_remedies() {
        let text = tree().to_string();

        assert_eq!(
            text,
            "FAIL root\n\
             ok     a: 1\n\
             FAIL   b\n\
             FAIL     b.c: 11, expected 13 (TCB info)\n           device operator: update BIOS\n\
             FAIL     b.d\n           provider of the Agent: build without debug\n"
        );
    }

    #[test]
    fn the_json_is_flat_and_omits_what_is_absent() {
        let json = serde_json::to_value(tree()).expect("serialisable");

        assert_eq!(json["children"][1]["children"][0]["reason"], "tcb-status-not-allowed");
        assert_eq!(json["children"][1]["children"][0]["owner"], "device-operator");
        assert!(json["children"][0].get("remedy").is_none());
    }

    #[test]
    fn a_needed_check_stops_its_group() {
        let mut checks = Checks::default();

        let failed = Check::new("x").holds(false, || {
            Failure::new(Reason::Malformed, Owner::Attester, "send evidence again")
        });

        assert_eq!(checks.need(failed), Err(Stop));
        assert_eq!(checks.need(Check::new("y")), Ok(()));
    }
}
