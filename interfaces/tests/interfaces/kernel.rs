//! configfs-tsm as `drivers/virt/coco` of Linux does it.
//!
//! A write to a report counts up its `generation`, whoever wrote. Evidence is made when it is read
//! and kept until the next write. What `inblob` refuses is lost without a word, because configfs
//! hands binary attributes over when the file is closed.

use std::collections::{BTreeMap, VecDeque};

use fuser::FileType;

use crate::fuse::Machine;

/// Makes evidence over 64 bytes, with certificates beside it.
pub(crate) type Device = Box<dyn FnMut(&[u8; 64]) -> (Vec<u8>, Option<Vec<u8>>) + Send>;

/// A kernel with a TEE below it.
pub(crate) struct Kernel {
    /// What `provider` says; without one no report can be made.
    pub(crate) provider: Option<&'static str>,
    /// What the next steps do wrong, in this order.
    pub(crate) faults: VecDeque<Fault>,
    /// The most bytes that one read gives.
    pub(crate) read_bytes_max: usize,
    /// `privlevel_floor`, where the provider has levels.
    pub(crate) floor: u8,
    /// How many bytes the evidence is too short.
    pub(crate) missing_bytes: usize,
    /// Whether the evidence covers other data.
    pub(crate) other_data: bool,
    /// The digest of settings that the machine was started with.
    pub(crate) settings: Vec<u8>,
    /// A device that makes evidence of its own instead, with certificates beside it.
    pub(crate) device: Option<Device>,
    /// How often the hardware made evidence.
    pub(crate) made: u32,
    pub(crate) reports: BTreeMap<String, Report>,
}

/// A thing that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `outblob` fails with this error.
    Outblob(i32),
    /// `mkdir` fails with this error.
    Mkdir(i32),
    /// `privlevel` fails with this error.
    Level(i32),
    /// `inblob` drops what is written.
    Dropped,
    /// Somebody writes other data after the Agent did.
    RacedWrite,
    /// Somebody writes other data after `outblob` was read.
    RacedRead,
}

#[derive(Default)]
pub(crate) struct Report {
    data: Vec<u8>,
    level: u8,
    generation: u64,
    /// The generation for which evidence was made, and the evidence.
    evidence: Option<(u64, Vec<u8>)>,
    /// What was made beside it.
    aux: Vec<u8>,
}

impl Kernel {
    pub(crate) fn new(provider: &'static str) -> Self {
        Self {
            provider: Some(provider),
            faults: VecDeque::new(),
            read_bytes_max: usize::MAX,
            floor: 0,
            missing_bytes: 0,
            other_data: false,
            settings: Vec::new(),
            device: None,
            made: 0,
            reports: BTreeMap::new(),
        }
    }

    fn has_levels(&self) -> bool {
        self.provider == Some("sev_guest")
    }

    /// Takes the next fault if it is this one.
    fn fails(&mut self, is: impl Fn(&Fault) -> bool) -> Option<Fault> {
        if self.faults.front().is_some_and(is) { self.faults.pop_front() } else { None }
    }

    fn outblob(&mut self, name: &str) -> Result<Vec<u8>, i32> {
        if let Some(Fault::Outblob(error)) = self.fails(|f| matches!(f, Fault::Outblob(_))) {
            return Err(error);
        }
        let provider = self.provider.ok_or(libc::ENOTTY)?;
        let (missing, other_data) = (self.missing_bytes, self.other_data);
        let report = self.reports.get_mut(name).ok_or(libc::ENOENT)?;
        if report.data.is_empty() {
            return Err(libc::EINVAL);
        }
        let made = match &report.evidence {
            Some((generation, evidence)) if *generation == report.generation => evidence.clone(),
            _ => {
                self.made += 1;
                let mut data = report.data.clone();
                data.resize(64, 0);
                data[0] ^= u8::from(other_data);
                let (mut made, aux) = match &mut self.device {
                    Some(device) => device(data.as_slice().try_into().unwrap()),
                    None => {
                        let made = evidence(provider, report.level, &data, &self.settings);
                        (made, Some(CERTIFICATES.to_vec()))
                    }
                };
                made.truncate(made.len() - missing);
                report.aux = aux.unwrap_or_default();
                report.evidence = Some((report.generation, made.clone()));
                made
            }
        };
        if self.fails(|fault| *fault == Fault::RacedRead).is_some() {
            self.meddle(name);
        }
        Ok(made)
    }

    /// Another process writes.
    fn meddle(&mut self, name: &str) {
        if let Some(report) = self.reports.get_mut(name) {
            report.data = vec![0xee; 64];
            report.generation += 1;
        }
    }
}

impl Machine for Kernel {
    fn kind(&self, path: &str) -> Option<FileType> {
        let Some(below) = path.strip_prefix(REPORTS) else {
            return REPORTS.starts_with(path).then_some(FileType::Directory);
        };
        let mut names = below.split('/').skip(1);
        let Some(report) = names.next() else { return Some(FileType::Directory) };
        self.reports.get(report)?;
        let Some(file) = names.next() else { return Some(FileType::Directory) };
        let levels = ["privlevel", "privlevel_floor"];
        let there = ["inblob", "outblob", "provider", "generation"].contains(&file)
            || (file == "auxblob" || levels.contains(&file)) && self.has_levels();
        there.then_some(FileType::RegularFile)
    }

    fn mkdir(&mut self, path: &str) -> Result<(), i32> {
        if let Some(Fault::Mkdir(error)) = self.fails(|f| matches!(f, Fault::Mkdir(_))) {
            return Err(error);
        }
        self.provider.ok_or(libc::ENXIO)?;
        let name = path.rsplit('/').next().unwrap();
        self.reports.insert(name.to_owned(), Report::default());
        Ok(())
    }

    fn rmdir(&mut self, path: &str) -> Result<(), i32> {
        let name = path.rsplit('/').next().unwrap();
        self.reports.remove(name).map(drop).ok_or(libc::ENOENT)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, i32> {
        let mut names = path.rsplit('/');
        let (file, name) = (names.next().unwrap(), names.next().unwrap().to_owned());
        match file {
            "outblob" => self.outblob(&name),
            "auxblob" => self.outblob(&name).map(|_| self.reports[&name].aux.clone()),
            "provider" => Ok(format!("{}\n", self.provider.ok_or(libc::ENXIO)?).into_bytes()),
            "generation" => Ok(format!("{}\n", self.reports[&name].generation).into_bytes()),
            "privlevel_floor" => Ok(format!("{}\n", self.floor).into_bytes()),
            _ => Err(libc::EACCES),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), i32> {
        let mut names = path.rsplit('/');
        let (file, name) = (names.next().unwrap(), names.next().unwrap().to_owned());
        let level = self.fails(|fault| matches!(fault, Fault::Level(_)));
        let report = self.reports.get_mut(&name).ok_or(libc::ENOENT)?;
        match file {
            "privlevel" => {
                if let Some(Fault::Level(error)) = level {
                    return Err(error);
                }
                let text = std::str::from_utf8(bytes).map_err(|_| libc::EINVAL)?;
                report.level = text.parse().map_err(|_| libc::EINVAL)?;
                report.generation += 1;
            }
            "inblob" => {
                if self.fails(|fault| *fault == Fault::Dropped).is_some() || bytes.len() > 64 {
                    return Ok(());
                }
                let report = self.reports.get_mut(&name).ok_or(libc::ENOENT)?;
                report.data = bytes.to_vec();
                report.generation += 1;
                if self.fails(|fault| *fault == Fault::RacedWrite).is_some() {
                    self.meddle(&name);
                }
            }
            _ => return Err(libc::EACCES),
        }
        Ok(())
    }

    fn read_bytes_max(&self) -> usize {
        self.read_bytes_max
    }
}

/// Evidence of the provider's length, with the data in its place and a name of the platform.
fn evidence(provider: &str, level: u8, data: &[u8], settings: &[u8]) -> Vec<u8> {
    let (length, at, platform) = match provider {
        "sev_guest" => (1184, 0x50, 0x1a0..0x1e0),
        "tdx_guest" => (5000, 48 + 520, 28..44),
        _ => (1500, 700, 0..0),
    };
    let mut evidence = vec![0; length];
    evidence[platform].fill(0x77);
    evidence[at..at + 64].copy_from_slice(data);
    let at = match provider {
        "sev_guest" => {
            evidence[0x30] = level;
            0xc0
        }
        "tdx_guest" => {
            evidence[0] = 4;
            48 + 184
        }
        _ => {
            evidence[1000..1005].copy_from_slice(&[0x19, 0xac, 0xcb, 0x58, 0x40]);
            1005
        }
    };
    evidence[at..at + settings.len()].copy_from_slice(settings);
    evidence
}

pub(crate) const REPORTS: &str = "sys/kernel/config/tsm/report";
pub(crate) const CERTIFICATES: &[u8] = b"the host's certificates";
