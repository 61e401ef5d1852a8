//! The register into which the Agent measures what it starts, with the log that replays to it.
//!
//! TDX and CCA have registers for what runs after the launch (RTMR, REM); the last of the four is
//! the Agent's. What has been measured stays in it until the machine starts again, so the same
//! content is measured once however often it starts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rats::eat::ImageId;
use rats::runtime::{Event, Full, RuntimeLog};
use tracing::{info, warn};

use super::{Attester, Problem, Unavailable};

/// A runtime register and its log.
pub struct RuntimeRegister {
    attester: Arc<dyn Attester>,
    log: Mutex<RuntimeLog>,
}

/// Why something was not measured; it must not start then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMeasured {
    /// The log is at its end.
    #[error(
        "no more is measured into register {REGISTER}: whoever operates the device starts it again"
    )]
    Full(#[from] Full),
    /// The register did not take it.
    #[error("register {REGISTER} of the TEE was not extended")]
    Register(#[from] Unavailable),
}

impl RuntimeRegister {
    /// The register behind this interface.
    pub fn new(attester: Arc<dyn Attester>) -> Self {
        Self { attester, log: Mutex::default() }
    }

    /// Measures a container that is going to start. Where the hardware has no register, or the
    /// system no access to it, the image stays a claim of the Agent.
    pub fn measure(&self, manifest: &[u8; 32], image: &ImageId) -> Result<(), NotMeasured> {
        let event = Event::container(manifest, image);
        let mut log = self.log();
        if log.events().any(|measured| measured == event) {
            return Ok(());
        }
        let register = match self.attester.read(REGISTER) {
            Ok(register) => register,
            Err(none) if none.is_lack() => return Ok(()),
            Err(Unavailable::Interface(fault)) if fault.problem == Problem::Absent => {
                warn!(%fault, "the image is claimed and not measured");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if log.is_full() {
            return Err(Full.into());
        }
        let digest = match register.len() {
            32 => cose::sha256(&event).to_vec(),
            48 => cose::sha384(&event).to_vec(),
            _ => cose::sha512(&event).to_vec(),
        };
        self.attester.extend(REGISTER, &digest)?;
        info!(register = REGISTER, image = %cose::Thumbprint(image.manifest), "measured");
        Ok(log.push(event)?)
    }

    /// Does something while nothing is measured, and gives the log of that time.
    pub(super) fn during<T>(&self, act: impl FnOnce() -> T) -> (T, Option<Vec<u8>>) {
        let log = self.log();
        (act(), log.encode())
    }

    /// A thread that panicked with the lock held has not pushed; the log then lacks what the
    /// register may have, and no evidence is believed until the machine starts again.
    fn log(&self) -> MutexGuard<'_, RuntimeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RuntimeRegister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeRegister").field("log", &self.log).finish_non_exhaustive()
    }
}

/// RTMR3, which is for applications, and REM3.
const REGISTER: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tee::SoftwareTee;

    const IMAGE: ImageId = ImageId { manifest: [2; 32], config: [3; 32] };

    #[test]
    fn a_container_is_measured_once_and_the_log_replays_to_the_register() {
        let tee = Arc::new(SoftwareTee::with_register());
        let register = RuntimeRegister::new(tee.clone());

        for manifest in [[1; 32], [1; 32], [4; 32]] {
            register.measure(&manifest, &IMAGE).unwrap();
        }

        let ((), log) = register.during(|| ());
        let log = RuntimeLog::decode(&log.unwrap()).unwrap();
        let events: Vec<_> = log.events().collect();
        assert_eq!(
            events,
            [Event::container(&[1; 32], &IMAGE), Event::container(&[4; 32], &IMAGE)]
        );
        let replayed = events.iter().fold(vec![0; 48], |register, event| {
            cose::sha384(&[register, cose::sha384(event).to_vec()].concat()).to_vec()
        });
        assert_eq!(tee.read(REGISTER), Ok(replayed));
    }

    #[test]
    fn without_a_register_nothing_is_measured_and_there_is_no_log() {
        let register = RuntimeRegister::new(Arc::new(SoftwareTee::new()));

        assert_eq!(register.measure(&[1; 32], &IMAGE), Ok(()));

        assert_eq!(register.during(|| ()).1, None);
    }

    #[test]
    fn what_the_register_does_not_take_is_refused_and_not_logged() {
        let tee = Arc::new(SoftwareTee::with_register());
        let register = RuntimeRegister::new(tee.clone());
        tee.fail(true);

        let refused = register.measure(&[1; 32], &IMAGE).unwrap_err();

        assert!(matches!(refused, NotMeasured::Register(Unavailable::Broken(_))), "{refused:?}");
        assert_eq!(register.during(|| ()).1, None);
    }

    #[test]
    fn more_than_a_log_holds_is_refused() {
        let tee = Arc::new(SoftwareTee::with_register());
        let register = RuntimeRegister::new(tee);
        let mut manifest = [0; 32];
        let mut measured = Ok(());
        for number in 0..=256_u16 {
            manifest[..2].copy_from_slice(&number.to_be_bytes());
            measured = register.measure(&manifest, &IMAGE);
            assert_eq!(measured.is_ok(), number < 256, "{number}");
        }

        assert_eq!(measured, Err(NotMeasured::Full(Full)));
    }
}
