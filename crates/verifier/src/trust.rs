//! What an appraisal means in the words of AR4SI.
//!
//! The vector follows from the checks; it is for those who read results, and decides nothing here.

use serde::ser::{Serialize, Serializer};

use crate::Appraisal;
use crate::check::{Check, Reason};

pub(crate) use rats::ear::{TrustClaim, TrustValue, Vector};

/// What kind of isolation the hardware gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// One process: its memory and its sealed storage are opaque by the nature of the TEE.
    Process,
    /// A virtual machine: its memory is opaque; what it stores is its own business.
    Machine,
}

/// A vector that is written with the names of its claims.
pub(crate) struct ByName<'a>(pub(crate) &'a Vector);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(claim, value)| (claim.name(), value.0)))
    }
}

/// Derives the vector from a finished appraisal.
pub(crate) fn vector(appraisal: &Appraisal, isolation: Isolation) -> Vector {
    let mut vector = Vector::default();
    record_failures(&mut vector, &appraisal.checks);
    if appraisal.authentic {
        record_authentic(&mut vector, appraisal, isolation);
    }
    vector
}

/// Records what the failures below a check mean.
pub(crate) fn record_failures(vector: &mut Vector, check: &Check) {
    for (_, failure) in check.failures() {
        record_failure(vector, failure.reason);
    }
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
        // Without leave of the policy the failed check has recorded worse; with it the result
        // still warns, since the host can read what runs inside.
        //= rats 11.17 (M): a debug bit never yields affirming
        vector.record(TrustClaim::Configuration, TrustValue::WARNED);
        vector.record(TrustClaim::RuntimeOpaque, TrustValue::WARNED);
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
