//! What the tests of all families share.

use std::fs;
use std::path::Path;

use emulator::Misbehaviour;
use emulator::family::{FamilyName, Software, Start};
use jiff::Timestamp;
use verifier::{Appraisal, Collateral, Policy, Reason};

pub(crate) const CHALLENGE: [u8; 64] = [7; 64];
pub(crate) const PROGRAM: &[u8] = b"program";
pub(crate) const SETTINGS: &[u8] = b"settings";

pub(crate) fn now() -> Timestamp {
    "2026-07-01T12:00:00Z".parse().unwrap()
}

/// Evidence of a device that misbehaves like this.
pub(crate) fn evidence(
    family: FamilyName,
    vendor_dir: &Path,
    state_dir: &Path,
    misbehaviour: Misbehaviour,
) -> Vec<u8> {
    let start = Start {
        vendor_dir,
        state_dir,
        software: Software::Program(PROGRAM),
        settings: SETTINGS,
        misbehaviour,
        now: now(),
    };
    family.start(start).unwrap().quote(now(), &CHALLENGE).unwrap().evidence
}

/// The files of a directory, as a Verifier is given them.
pub(crate) fn collateral(dir: &Path) -> Collateral {
    let files = fs::read_dir(dir).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    });
    Collateral::from_files(files)
}

pub(crate) fn emulation_allowed() -> Policy {
    Policy { emulated_allowed: true, ..Policy::default() }
}

/// Refused by this check alone.
pub(crate) fn refused_by(appraisal: &Appraisal, reason: Reason, check: &str) {
    let (refused_by, failure) = appraisal.refusal().unwrap();
    assert_eq!((failure.reason, refused_by.name), (reason, check), "{appraisal}");
    assert_eq!(appraisal.checks().failures().len(), 1, "{appraisal}");
}
