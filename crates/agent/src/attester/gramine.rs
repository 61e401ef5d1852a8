//! SGX below the library OS Gramine: the pseudo-files of `/dev/attestation`.
//!
//! 64 bytes go into `user_report_data`, a DCAP quote comes out of `quote`. Gramine measures the
//! program and every file that its manifest names, so the Agent's settings belong there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use zeroize::Zeroizing;

use super::{Attester, Family, Fault, Problem, Unavailable, sealing};

/// An enclave of Gramine's.
#[derive(Debug)]
pub struct Gramine {
    /// The quote belongs to the data that was written last.
    folder: Mutex<PathBuf>,
    description: Description,
}

impl Gramine {
    /// Takes a first quote of the enclave whose pseudo-files are below `root`.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        let folder = root.join(ATTESTATION);
        let path = folder.join("attestation_type");
        let kind = fs::read_to_string(&path).map_err(|error| Fault::os(&path, &error))?;
        // Else the manifest asks for no attestation, or for one that Intel has ended.
        if kind.trim_end() != "dcap" {
            return Err(Fault::new(&path, Problem::Provider(kind.trim_end().to_owned())));
        }
        let evidence = quote(&folder, &sealing::chance())?;
        let description = FAMILY.describe(&evidence, "gramine", sealing::chance());
        Ok(Self { folder: Mutex::new(folder), description })
    }
}

impl Attester for Gramine {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let evidence = quote(&folder, &report_data)?;
        Ok(Quote { media_type: FAMILY.media_type().to_owned(), evidence, aux: None })
    }

    /// From the key that SGX derives for this enclave (MRENCLAVE) on this processor.
    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let path = folder.join("keys/_sgx_mrenclave");
        let key = fs::read(&path).map_err(|error| Fault::os(&path, &error))?;
        let key = Zeroizing::new(key);
        if key.len() != SGX_KEY_BYTES {
            let problem = Problem::Length { expected: SGX_KEY_BYTES, seen: key.len() };
            return Err(Fault::new(&path, problem).into());
        }
        Ok(sealing::derive(&key, label))
    }
}

fn quote(folder: &Path, report_data: &[u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Fault> {
    let path = folder.join("user_report_data");
    let written = super::write_once(&path, report_data);
    written.map_err(|error| Fault::os(&path, &error))?;
    let path = folder.join("quote");
    let evidence = fs::read(&path).map_err(|error| Fault::os(&path, &error))?;
    FAMILY.check(&evidence, report_data).map_err(|problem| Fault::new(&path, problem))?;
    Ok(evidence)
}

/// Where Gramine has its pseudo-files.
pub(super) const ATTESTATION: &str = "dev/attestation";
const FAMILY: Family = Family::Sgx;
const SGX_KEY_BYTES: usize = 16;
