//! What an appraisal means in the words of AR4SI.
//!
//! The vector follows from the checks; it is for those who read results, and decides nothing here.

use serde::ser::{Serialize, Serializer};

use crate::Appraisal;
use crate::check::Reason;

pub use ar4si::{TrustClaim, TrustValue, Vector};

/// The AR4SI trustworthiness vector of an appraisal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustVector(pub Vector);

/// What kind of isolation the hardware gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// One process: its memory and its sealed storage are opaque by the nature of the TEE.
    Process,
    /// A virtual machine: its memory is opaque; what it stores is its own business.
    Machine,
}

/// Writes the claims by name.
impl Serialize for TrustVector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(claim, value)| (claim.name(), value.0)))
    }
}

/// Derives the vector from a finished appraisal.
pub(crate) fn vector(appraisal: &Appraisal, isolation: Isolation) -> TrustVector {
    let mut vector = Vector::default();
    for (_, failure) in appraisal.checks.failures() {
        record_failure(&mut vector, failure.reason);
    }
    if appraisal.authentic {
        record_authentic(&mut vector, appraisal, isolation);
    }
    TrustVector(vector)
}

fn record_failure(vector: &mut Vector, reason: Reason) {
    use TrustClaim as Claim;
    let (claims, value): (&[Claim], TrustValue) = match reason {
        Reason::BadSignature => {
            (&[Claim::InstanceIdentity, Claim::Hardware], TrustValue::CRYPTO_FAILED)
        }
        Reason::UntrustedRoot => {
            (&[Claim::InstanceIdentity, Claim::Hardware], TrustValue::UNRECOGNISED)
        }
        Reason::Malformed | Reason::Unsupported => (&[Claim::Hardware], TrustValue::UNEXPECTED),
        Reason::Expired
        | Reason::NotYetValid
        | Reason::MissingEndorsement
        | Reason::StaleEndorsement => (&[Claim::Hardware], TrustValue::VERIFIER_MALFUNCTION),
        Reason::Revoked => (&[Claim::Hardware], TrustValue::CONTRAINDICATED),
        Reason::TcbNotRecognised => (&[Claim::Hardware], TrustValue::UNRECOGNISED),
        Reason::TcbStatusNotAllowed => (&[], TrustValue::NO_CLAIM),
        Reason::EmulatedNotAllowed => (&[Claim::Hardware], TrustValue::UNRECOGNISED),
        Reason::Debug => {
            (&[Claim::Configuration, Claim::RuntimeOpaque], TrustValue::CONTRAINDICATED)
        }
        Reason::BindingMismatch => (&[Claim::InstanceIdentity], TrustValue::CONTRAINDICATED),
        Reason::MeasurementMismatch => (&[Claim::Executables], TrustValue::UNRECOGNISED_CODE),
        Reason::ConfigurationNotAllowed => (&[Claim::Configuration], TrustValue::WARNED),
    };
    for &claim in claims {
        vector.record(claim, value);
    }
}

fn record_authentic(vector: &mut Vector, appraisal: &Appraisal, isolation: Isolation) {
    let emulated = appraisal.emulated() == Some(true);
    let opaque = if emulated { TrustValue::WARNED } else { TrustValue::AFFIRMED };
    vector.record(TrustClaim::InstanceIdentity, TrustValue::AFFIRMED);
    vector.record(TrustClaim::RuntimeOpaque, opaque);
    if isolation == Isolation::Process {
        vector.record(TrustClaim::StorageOpaque, opaque);
    }
    if emulated {
        vector.record(TrustClaim::Hardware, EMULATED);
    }
    if let Some(tcb) = &appraisal.tcb {
        vector.record(TrustClaim::Hardware, tcb.hardware);
        vector.record(TrustClaim::Configuration, tcb.configuration);
    }
    if appraisal.claims.as_ref().is_some_and(|claims| claims.debug == Some(true)) {
        vector.record(TrustClaim::Configuration, TrustValue::WARNED);
        vector.record(TrustClaim::RuntimeOpaque, TrustValue::CONTRAINDICATED);
    }
    vector.record(
        TrustClaim::Executables,
        match (&appraisal.reference, isolation) {
            (Some(_), Isolation::Process) => TrustValue::AFFIRMED,
            (Some(_), Isolation::Machine) => TrustValue::AFFIRMED_LESS,
            (None, _) => TrustValue::UNRECOGNISED_CODE,
        },
    );
}

/// Own value in the warning tier: a listed emulator, which the policy allows by name.
const EMULATED: TrustValue = TrustValue(-33);

/// Stands in until `rats::ear` is there.
mod ar4si {
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    #[expect(missing_docs, reason = "temporary")]
    pub enum TrustClaim {
        InstanceIdentity,
        Configuration,
        Executables,
        FileSystem,
        Hardware,
        RuntimeOpaque,
        StorageOpaque,
    }
    impl TrustClaim {
        pub fn name(self) -> &'static str {
            match self {
                Self::InstanceIdentity => "instance-identity",
                Self::Configuration => "configuration",
                Self::Executables => "executables",
                Self::FileSystem => "file-system",
                Self::Hardware => "hardware",
                Self::RuntimeOpaque => "runtime-opaque",
                Self::StorageOpaque => "storage-opaque",
            }
        }
    }
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TrustValue(pub i8);
    impl TrustValue {
        pub const NO_CLAIM: Self = Self(0);
        pub const UNEXPECTED: Self = Self(1);
        pub const VERIFIER_MALFUNCTION: Self = Self(-1);
        pub const AFFIRMED: Self = Self(2);
        pub const AFFIRMED_LESS: Self = Self(3);
        pub const WARNED: Self = Self(32);
        pub const UNRECOGNISED_CODE: Self = Self(33);
        pub const CONTRAINDICATED: Self = Self(96);
        pub const UNRECOGNISED: Self = Self(97);
        pub const CRYPTO_FAILED: Self = Self(99);
    }
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Vector(BTreeMap<TrustClaim, TrustValue>);
    impl Vector {
        pub fn record(&mut self, claim: TrustClaim, value: TrustValue) {
            self.0.insert(claim, value);
        }
        pub fn iter(&self) -> impl Iterator<Item = (TrustClaim, TrustValue)> {
            self.0.iter().map(|(a, b)| (*a, *b))
        }
    }
}
