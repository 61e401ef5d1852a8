//! Realm extensible measurements, and the event logs that replay to them.
//!
//! Guests keep a TCG crypto-agile log in the CCEL ACPI table, as trust domains do; measurement
//! register 0 stands for the RIM there, 1 to 4 for REM0 to REM3.

use super::HashAlgorithm;
use super::realm::{REGISTERS, RealmClaims};
use crate::check::{Check, Failure, Owner, Reason};
use crate::evidence::tdx::event_log::{NotTheLog, read_ccel};
use crate::evidence::{EventLog, MAX_EVENT_LOG, Request};
use crate::value::Octets;
use crate::x509::Malformed;

/// What a register holds after a value of up to 64 octets was extended into it.
//= EV-CCA-7: REM ← H(REM ‖ value)
#[must_use]
pub fn extend(algorithm: HashAlgorithm, register: &Octets, value: &[u8]) -> Octets {
    algorithm.digest(&[register.as_slice(), value])
}

/// What the registers hold after a log of digests, from zero.
//= EV-CCA-7: the initial value is zero
pub fn replay(algorithm: HashAlgorithm, bytes: &[u8]) -> Result<[Octets; 4], Malformed> {
    let (id, length) = match algorithm {
        HashAlgorithm::Sha256 => (0x000b, 32),
        HashAlgorithm::Sha384 => (0x000c, 48),
        HashAlgorithm::Sha512 => (0x000d, 64),
    };
    let mut registers: [Octets; 4] = std::array::from_fn(|_| Octets::new(&[0; 64][..length]));
    for event in read_ccel(bytes, id, length).map_err(format_of)? {
        let register = event.register.and_then(|index| registers.get_mut(index));
        if let (Some(register), true) = (register, event.is_measured()) {
            *register = extend(algorithm, register, event.digest);
        }
    }
    Ok(registers)
}

/// The check of an appraisal: no log is well unless the policy asks for one.
pub(crate) fn check(realm: &RealmClaims, required: bool, request: &Request<'_>) -> Check {
    let check = Check::new("realm.event-log").source("realm token");
    let bytes = match request.event_log {
        None => {
            return check.seen("none supplied").holds(!required, || {
                let remedy = "send the event log beside the token";
                Failure::new(Reason::MissingEndorsement, Owner::Attester, remedy)
            });
        }
        Some(EventLog::Ccel(bytes)) if bytes.len() <= MAX_EVENT_LOG => bytes,
        Some(EventLog::Ccel(_) | EventLog::Dstack(_)) => {
            return check.seen("another log").holds(false, malformed);
        }
    };
    let algorithm = HashAlgorithm::from_name(&realm.hash_algorithm);
    let replayed = algorithm.map(|algorithm| replay(algorithm, bytes));
    let Some(Ok(replayed)) = replayed else {
        return check.seen("a log that cannot be read").holds(false, malformed);
    };
    let wrong = REGISTERS.into_iter().zip(replayed.iter().zip(&realm.rems));
    let wrong = wrong.into_iter().find(|(_, (replayed, quoted))| replayed != quoted);
    let Some((name, (replayed, quoted))) = wrong else {
        return check.seen("replays to REM0 to REM3");
    };
    let check = check.seen(replayed.clone()).expected(quoted.clone());
    check.holds(false, || {
        let remedy = format!("send the log of this boot, whole and unchanged: {name} differs");
        Failure::new(Reason::MeasurementMismatch, Owner::Attester, remedy)
    })
}

fn malformed() -> Failure {
    let remedy = "send a TCG crypto-agile log of at most 1 MiB with digests of the realm's \
                  algorithm";
    Failure::new(Reason::Malformed, Owner::Attester, remedy)
}

fn format_of(error: NotTheLog) -> Malformed {
    match error {
        NotTheLog::Malformed(expected) => Malformed(expected),
        NotTheLog::Digest(_) | NotTheLog::Register(_) => Malformed("a log"),
    }
}
