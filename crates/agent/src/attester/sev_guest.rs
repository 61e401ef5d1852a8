//! SEV-SNP through the ioctls of `/dev/sev-guest`: the way of kernels before 6.7, and the only one
//! to keys.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use zeroize::Zeroizing;

use super::{Attester, Family, Fault, Problem, Unavailable, sealing};
use crate::sys::sev::{Device, Failed, Firmware};

/// The secure processor's guest interface.
pub struct SevGuest {
    firmware: Mutex<Box<dyn Firmware>>,
    path: PathBuf,
    privilege_level: u8,
    description: Description,
}

impl SevGuest {
    /// Opens the device below `root` and takes a first report at a privilege level (VMPL).
    pub fn open(root: &Path, privilege_level: Option<u8>) -> Result<Self, Fault> {
        let path = root.join(PATH);
        let device = Device::open(&path).map_err(|error| Fault::os(&path, &error))?;
        Self::over(Box::new(device), path, privilege_level.unwrap_or(0))
    }

    fn over(
        firmware: Box<dyn Firmware>,
        path: PathBuf,
        privilege_level: u8,
    ) -> Result<Self, Fault> {
        let (report, _) = report(&*firmware, &path, privilege_level, &sealing::chance())?;
        let description = FAMILY.describe(&report, "sev-guest", sealing::chance());
        Ok(Self { firmware: Mutex::new(firmware), path, privilege_level, description })
    }
}

impl Attester for SevGuest {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let firmware = self.firmware.lock().unwrap_or_else(PoisonError::into_inner);
        let (evidence, aux) = report(&**firmware, &self.path, self.privilege_level, &report_data)?;
        Ok(Quote { media_type: FAMILY.media_type().to_owned(), evidence, aux })
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        let firmware = self.firmware.lock().unwrap_or_else(PoisonError::into_inner);
        derived_key(&**firmware, &self.path, self.privilege_level, label)
    }
}

/// The sealing key of a guest that gets its evidence another way.
pub(super) fn sealing_key(
    path: &Path,
    privilege_level: u8,
    label: &str,
) -> Result<SealingKey, Unavailable> {
    let device = Device::open(path).map_err(|error| Fault::os(path, &error))?;
    derived_key(&device, path, privilege_level, label)
}

/// A report, and the certificates that the host gave.
fn report(
    firmware: &dyn Firmware,
    path: &Path,
    privilege_level: u8,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
    let problem = |problem| Fault::new(path, problem);
    let mut certificates = vec![0; CERTIFICATE_BYTES_MAX];
    let level = privilege_level.into();
    let response =
        retried(path, || firmware.extended_report(report_data, level, &mut certificates))?;
    let word = |at: usize| {
        let word = response.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map_or(0, u32::from_le_bytes)
    };
    if word(0) != 0 {
        return Err(problem(Problem::Firmware(word(0).into())));
    }
    let length = word(4) as usize;
    let report = response.get(REPORT_AT..).and_then(|rest| rest.get(..length));
    let report =
        report.ok_or_else(|| problem(Problem::Malformed("report of the length it says")))?;
    FAMILY.check(report, report_data).map_err(problem)?;
    let table = table(&certificates).map(<[u8]>::to_vec);
    Ok((report.to_vec(), table))
}

/// What is used of a certificate table: up to the end of the certificate that ends last.
fn table(bytes: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    for entry in bytes.chunks_exact(TABLE_ENTRY_BYTES) {
        let (_guid, place) = entry.split_at(16);
        if entry.iter().all(|octet| *octet == 0) {
            return bytes.get(..end).filter(|table| !table.is_empty());
        }
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes) as usize;
        end = end.max(word(&place[..4]).saturating_add(word(&place[4..])));
    }
    None
}

fn derived_key(
    firmware: &dyn Firmware,
    path: &Path,
    privilege_level: u8,
    label: &str,
) -> Result<SealingKey, Unavailable> {
    let mut request = [0; 32];
    request[8..16].copy_from_slice(&KEY_FIELDS.to_le_bytes());
    request[16..20].copy_from_slice(&u32::from(privilege_level).to_le_bytes());
    let response = Zeroizing::new(retried(path, || firmware.derived_key(&request))?);
    let (status, rest) = response.split_at(4);
    if status != [0; 4] {
        let status = status.try_into().map_or(0, u32::from_le_bytes);
        return Err(Fault::new(path, Problem::Firmware(status.into())).into());
    }
    Ok(sealing::derive(&rest[28..], label))
}

/// Asks again while the host says that the firmware is busy.
fn retried<T>(path: &Path, mut ask: impl FnMut() -> Result<T, Failed>) -> Result<T, Fault> {
    for attempt in 0..ATTEMPTS_MAX {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(Failed { firmware, .. }) if firmware >> 32 == VMM_BUSY => {
                std::thread::sleep(PAUSE * attempt);
            }
            Err(Failed { firmware: 0, error }) => {
                return Err(Fault::os(path, &std::io::Error::from_raw_os_error(error)));
            }
            Err(Failed { firmware, .. }) => {
                return Err(Fault::new(path, Problem::Firmware(firmware)));
            }
        }
    }
    Err(Fault::new(path, Problem::Busy(ATTEMPTS_MAX)))
}

impl std::fmt::Debug for SevGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SevGuest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The device, below the root.
pub(super) const PATH: &str = "dev/sev-guest";
const FAMILY: Family = Family::SevSnp;
/// Where the report begins in the firmware's response.
const REPORT_AT: usize = 32;
/// The most that the kernel takes.
const CERTIFICATE_BYTES_MAX: usize = 0x4000;
/// GUID, offset, length.
const TABLE_ENTRY_BYTES: usize = 24;
/// What the derived key depends on beside the chip: the guest's policy and its measurement.
const KEY_FIELDS: u64 = 1 << 0 | 1 << 3;
/// The hypervisor's word that the guest asks too often.
const VMM_BUSY: u64 = 2;
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
