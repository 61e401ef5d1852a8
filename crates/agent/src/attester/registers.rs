//! The measurement registers of a TDX guest, RTMR 0 to 3, as Linux 6.16 shows them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Fault, Problem, Unavailable, write_once};

/// A folder with a file for each register.
#[derive(Debug)]
pub(super) struct Registers(PathBuf);

impl Registers {
    pub(super) fn below(root: &Path) -> Self {
        Self(root.join(MEASUREMENTS))
    }

    pub(super) fn extend(&self, index: u64, digest: &[u8]) -> Result<(), Unavailable> {
        let path = self.path(index)?;
        if digest.len() != REGISTER_BYTES {
            return Err(Unavailable::lacks("48 bytes extend a register"));
        }
        write_once(&path, digest).map_err(|error| Fault::os(&path, &error))?;
        Ok(())
    }

    pub(super) fn read(&self, index: u64) -> Result<Vec<u8>, Unavailable> {
        let path = self.path(index)?;
        let value = fs::read(&path).map_err(|error| Fault::os(&path, &error))?;
        if value.len() != REGISTER_BYTES {
            let problem = Problem::Length { expected: REGISTER_BYTES, seen: value.len() };
            return Err(Fault::new(&path, problem).into());
        }
        Ok(value)
    }

    fn path(&self, index: u64) -> Result<PathBuf, Unavailable> {
        if index > 3 {
            return Err(Unavailable::lacks("there are RTMR 0 to 3"));
        }
        Ok(self.0.join(format!("rtmr{index}:sha384")))
    }
}

const MEASUREMENTS: &str = "sys/devices/virtual/misc/tdx_guest/measurements";
const REGISTER_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_extended_and_read_by_number() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(MEASUREMENTS);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rtmr3:sha384"), [1; 48]).unwrap();
        fs::write(folder.join("rtmr2:sha384"), [1; 47]).unwrap();
        let registers = Registers::below(root.path());

        assert_eq!(registers.read(3), Ok(vec![1; 48]));
        assert_eq!(registers.extend(3, &[2; 48]), Ok(()));
        // A file keeps what was written; hardware would hash it into what was there.
        assert_eq!(registers.read(3), Ok(vec![2; 48]));

        let short = Problem::Length { expected: 48, seen: 47 };
        let fault = Fault::new(&folder.join("rtmr2:sha384"), short);
        assert_eq!(registers.read(2), Err(fault.into()));
        let absent = Fault::new(&folder.join("rtmr1:sha384"), Problem::Absent);
        assert_eq!(registers.extend(1, &[2; 48]), Err(absent.into()));
        assert!(registers.extend(3, &[2; 32]).unwrap_err().is_lack());
        assert!(registers.read(4).unwrap_err().is_lack());
    }
}
