//! Linux' configfs-tsm: one folder of files for SEV-SNP, TDX and CCA guests (Linux 6.7).
//!
//! A report is a folder that the Agent makes below `report/`: 64 bytes go into `inblob`, evidence
//! comes out of `outblob` and certificates out of `auxblob`. `generation` counts the writes, so a
//! reader who sees the number that follows from its own writes knows that nobody else wrote.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use super::{
    Attester, Family, Fault, Problem, Registers, Unavailable, sealing, sev_guest, write_once,
};

/// A report folder of the Agent's own.
#[derive(Debug)]
pub struct Tsm {
    //= EV-IF-2 (M): access to a report's folder is serialised
    folder: Mutex<Folder>,
    family: Family,
    description: Description,
    privilege_level: u8,
    /// Where `/dev/sev-guest` is, which alone gives keys.
    sev_guest: PathBuf,
    registers: Registers,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    provider: String,
    privilege_level: Option<u8>,
}

/// Why one attempt gave no evidence.
enum Attempt {
    /// Somebody else wrote, or the interface was busy: again.
    Again,
    /// It makes no sense to try again.
    Failed(Fault),
}

impl Tsm {
    //= EV-IF-1 (M): the root is configurable
    /// Makes a report folder below `root`, which is `/` but in tests, and takes a first report.
    ///
    /// `privilege_level` is the VMPL that an SEV-SNP guest asks with; without it the lowest that
    /// the kernel allows.
    pub fn open(root: &Path, privilege_level: Option<u8>) -> Result<Self, Fault> {
        let folder = Folder::make(&root.join(REPORTS), privilege_level)?;
        let unknown = || Fault::new(&folder.path, Problem::Provider(folder.provider.clone()));
        let family = Family::of_provider(&folder.provider).ok_or_else(unknown)?;
        let (evidence, _) = folder.evidence(family, &sealing::chance())?;
        let interface = format!("configfs-tsm {}", folder.provider);
        Ok(Self {
            family,
            description: family.describe(&evidence, &interface, sealing::chance()),
            // Keys are derived at the level of the reports.
            privilege_level: folder.privilege_level()?.unwrap_or(0),
            folder: Mutex::new(folder),
            sev_guest: root.join(sev_guest::PATH),
            registers: Registers::below(root),
        })
    }

    fn registers(&self) -> Result<&Registers, Unavailable> {
        match self.family {
            Family::Tdx => Ok(&self.registers),
            Family::Cca | Family::SevSnp | Family::Sgx | Family::TrustZone => {
                Err(Unavailable::lacks("Linux gives this family's registers to nobody"))
            }
        }
    }
}

impl Attester for Tsm {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        // The folder says the same after a panic: its state is the kernel's.
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let (evidence, aux) = folder.evidence(self.family, &report_data)?;
        Ok(Quote { media_type: self.family.media_type().to_owned(), evidence, aux })
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        match self.family {
            Family::SevSnp => sev_guest::sealing_key(&self.sev_guest, self.privilege_level, label),
            Family::Cca | Family::Sgx | Family::Tdx | Family::TrustZone => {
                Err(Unavailable::lacks("this hardware derives no sealing keys"))
            }
        }
    }

    fn extend(&self, index: u64, digest: &[u8]) -> Result<(), Unavailable> {
        self.registers()?.extend(index, digest)
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, Unavailable> {
        self.registers()?.read(index)
    }
}

impl Folder {
    fn make(reports: &Path, privilege_level: Option<u8>) -> Result<Self, Fault> {
        let own = std::process::id();
        for number in 0..FOLDERS_MAX {
            let path = reports.join(format!("tamarack-{own}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let mut folder = Self { path, provider: String::new(), privilege_level };
                    folder.provider = folder.text("provider")?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Fault::os(reports, &error)),
            }
        }
        Err(Fault::new(reports, Problem::Busy(FOLDERS_MAX)))
    }

    /// Evidence over these bytes, and the certificates beside it.
    fn evidence(
        &self,
        family: Family,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
        for attempt in 0..ATTEMPTS_MAX {
            match self.attempt(family, report_data) {
                Ok(given) => return Ok(given),
                Err(Attempt::Failed(fault)) => return Err(fault),
                Err(Attempt::Again) => std::thread::sleep(PAUSE * attempt),
            }
        }
        Err(Fault::new(&self.path, Problem::Busy(ATTEMPTS_MAX)))
    }

    fn attempt(
        &self,
        family: Family,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), Attempt> {
        //= EV-IF-2 (M): the provider is verified before the format is trusted
        let provider = self.text("provider")?;
        if provider != self.provider {
            return Err(self.fault(Problem::Provider(provider)).into());
        }
        let before = self.generation()?;
        let mut writes = 0;
        if let Some(level) = self.privilege_level()? {
            self.write("privlevel", level.to_string().as_bytes())?;
            writes += 1;
        }
        self.write("inblob", report_data)?;
        writes += 1;
        // What the kernel does not take it drops without a word, and so it would give evidence
        // over what was written before.
        let mine = before.wrapping_add(writes);
        if self.generation()? != mine {
            return Err(Attempt::Again);
        }
        let evidence = self.read("outblob")?;
        let aux = match self.read("auxblob") {
            Ok(aux) => Some(aux).filter(|aux| !aux.is_empty()),
            // A provider without certificates has no such file.
            Err(Attempt::Failed(Fault { problem: Problem::Absent, .. })) => None,
            Err(failed) => return Err(failed),
        };
        if self.generation()? != mine {
            return Err(Attempt::Again);
        }
        family.check(&evidence, report_data).map_err(|problem| self.fault(problem))?;
        Ok((evidence, aux))
    }

    /// The level to ask with: the one that was set, or the floor where that is not zero.
    fn privilege_level(&self) -> Result<Option<u8>, Fault> {
        let floor = match self.text("privlevel_floor") {
            Ok(floor) => floor.parse().map_err(|_| self.fault(Problem::Malformed("floor")))?,
            Err(Fault { problem: Problem::Absent, .. }) => 0,
            Err(fault) => return Err(fault),
        };
        match self.privilege_level {
            Some(asked) if asked < floor => {
                Err(self.fault(Problem::PrivilegeLevel { asked, floor }))
            }
            Some(asked) => Ok(Some(asked)),
            None => Ok(Some(floor).filter(|floor| *floor > 0)),
        }
    }

    fn generation(&self) -> Result<u64, Attempt> {
        let text = self.text("generation")?;
        Ok(text.parse().map_err(|_| self.fault(Problem::Malformed("generation")))?)
    }

    fn text(&self, file: &str) -> Result<String, Fault> {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).map_err(|error| Fault::os(&path, &error))?;
        Ok(text.trim_end().to_owned())
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, Attempt> {
        let path = self.path.join(file);
        fs::read(&path).map_err(|error| Attempt::of(&path, &error))
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Attempt> {
        let path = self.path.join(file);
        write_once(&path, bytes).map_err(|error| Attempt::of(&path, &error))
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault::new(&self.path, problem)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is an empty report; the kernel drops it with the guest.
        let _ = fs::remove_dir(&self.path);
    }
}

impl Attempt {
    fn of(path: &Path, error: &io::Error) -> Self {
        let again = [libc::EBUSY, libc::EAGAIN, libc::EINTR];
        match error.raw_os_error() {
            Some(code) if again.contains(&code) => Self::Again,
            _ => Self::Failed(Fault::os(path, error)),
        }
    }
}

impl From<Fault> for Attempt {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Where reports are made.
pub(super) const REPORTS: &str = "sys/kernel/config/tsm/report";
/// How many folders a process tries to make before it takes the interface for occupied.
const FOLDERS_MAX: u32 = 16;
/// How often evidence is tried.
const ATTEMPTS_MAX: u32 = 6;
/// How much longer each attempt waits than the one before.
const PAUSE: Duration = Duration::from_millis(20);
