//! The ways in which a device misbehaves on purpose.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::disk::{self, Access};

//= EV-EMU-3 (M): each negative variant can be asked for by name
/// A fault that every quote of the device then has, so that each refusal can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Misbehaviour {
    /// No fault; also ends an earlier one.
    #[default]
    None,
    /// The program runs in debug mode.
    Debug,
    /// The device's certificate comes from another vendor root.
    ForeignRoot,
    /// The quote is signed by a key that the quoting enclave did not vouch for.
    OtherKey,
    /// The device answers with a quote that it made earlier.
    Replay,
    /// The device's certificate is on the vendor's revocation list.
    Revoked,
    /// The platform's TCB is below the vendor's current level.
    TcbOutOfDate,
    /// The quote covers other user data than the program gave.
    WrongReportData,
    /// Another program than the expected one seems to run.
    WrongMeasurement,
}

impl Misbehaviour {
    /// The name, as it is asked for.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Debug => "debug",
            Self::ForeignRoot => "foreign-root",
            Self::OtherKey => "other-key",
            Self::Replay => "replay",
            Self::Revoked => "revoked",
            Self::TcbOutOfDate => "tcb-out-of-date",
            Self::WrongReportData => "wrong-report-data",
            Self::WrongMeasurement => "wrong-measurement",
        }
    }

    /// Returns how the device in this directory misbehaves: as told, else as it was told last.
    pub fn recall(dir: &Path, told: Option<Self>) -> Result<Self, Error> {
        disk::create_dir(dir, Access::Private)?;
        let path = dir.join("misbehaviour.json");
        let Some(told) = told else {
            return Ok(disk::read_json(&path)?.unwrap_or_default());
        };
        disk::write_json(&path, &told)?;
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_goes_on_to_misbehave_until_it_is_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let recall = |told| Misbehaviour::recall(dir.path(), told).unwrap();

        assert_eq!(recall(None), Misbehaviour::None);
        assert_eq!(recall(Some(Misbehaviour::Debug)), Misbehaviour::Debug);
        assert_eq!(recall(None), Misbehaviour::Debug);
        assert_eq!(recall(Some(Misbehaviour::None)), Misbehaviour::None);
        assert_eq!(recall(None), Misbehaviour::None);
    }
}
