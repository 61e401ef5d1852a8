//! Limits that the kernel keeps for all processes of a container together.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::process::lockdown::PROCESSES_MAX;

/// A control group; it goes away when this is dropped.
#[derive(Debug)]
pub(super) struct ControlGroup {
    /// A folder for each hierarchy, and what it limits.
    folders: Vec<(PathBuf, Vec<&'static str>)>,
}

impl ControlGroup {
    /// Makes a group as far as this machine and this user can. What is missing is missing in the
    /// claim.
    pub(super) fn make(name: &str, memory_bytes_max: u64) -> Self {
        let memory = memory_bytes_max.saturating_add(CUSTODIAN_BYTES).to_string();
        let processes = PROCESSES_MAX.to_string();
        let mut group = Self { folders: Vec::new() };
        let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"));
        if controllers.is_ok_and(|all| all.split_whitespace().any(|one| one == "memory")) {
            let ours = Path::new(ROOT).join(OURS);
            let _ = fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory +pids");
            let _ = fs::create_dir(&ours);
            let _ = fs::write(ours.join("cgroup.subtree_control"), "+memory +pids");
            group.add(
                &ours.join(name),
                &[
                    ("memory.max", &memory, Some("cgroup-memory")),
                    ("memory.swap.max", "0", None),
                    ("pids.max", &processes, Some("cgroup-pids")),
                ],
            );
            return group;
        }
        for (hierarchy, limits) in [
            ("memory", [("memory.limit_in_bytes", &memory, Some("cgroup-memory"))]),
            ("pids", [("pids.max", &processes, Some("cgroup-pids"))]),
        ] {
            let ours = Path::new(ROOT).join(hierarchy).join(OURS);
            let limits = limits.map(|(file, value, name)| (file, value.as_str(), name));
            if ours.parent().is_some_and(|parent| parent.join("cgroup.procs").exists()) {
                let _ = fs::create_dir(&ours);
                group.add(&ours.join(name), &limits);
            }
        }
        group
    }

    fn add(&mut self, folder: &Path, limits: &[(&str, &str, Option<&'static str>)]) {
        if fs::create_dir(folder).is_err() {
            return;
        }
        let set = |(file, value, name): &(&str, &str, Option<&'static str>)| {
            fs::write(folder.join(file), value).ok().and(*name)
        };
        let enforced: Vec<&'static str> = limits.iter().filter_map(set).collect();
        self.folders.push((folder.to_path_buf(), enforced));
    }

    /// Puts a process into the group, with all that it will start. What is limited is the result.
    pub(super) fn enter(&self, process: u32) -> Vec<&'static str> {
        let mut enforced = Vec::new();
        for (folder, limits) in &self.folders {
            if fs::write(folder.join("cgroup.procs"), process.to_string()).is_ok() {
                enforced.extend(limits);
            }
        }
        enforced
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for (folder, _) in &self.folders {
            // A group goes when its last process has; they were killed before.
            for _ in 0..GONE_TRIES {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(GONE_WAIT);
                    }
                    Ok(()) | Err(_) => break,
                }
            }
        }
    }
}

/// What the custodian needs beside its application.
const CUSTODIAN_BYTES: u64 = 256 << 20;
const GONE_TRIES: u32 = 500;
const GONE_WAIT: Duration = Duration::from_millis(2);
const OURS: &str = "tamarack";
const ROOT: &str = "/sys/fs/cgroup";
