//! Containers by an OCI runtime of the machine: runc, crun, youki, or what else speaks the same
//! command line (`create`, `start`, `delete`).
//!
//! ```text
//! agent ── custodian, a process of its own ── socket ── application, in the runtime's container
//! ```
//!
//! The runtime is told what to enforce and is not believed: before the application gets its first
//! question, the kernel is asked what separates the process, and the claim is made of its answer.
//! An image's files lie in memory, below a folder that the agent holds a lock on; what an agent
//! left behind that was killed is cleared away by the next one.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, StatVfsMountFlags};

use super::control_group::ControlGroup;
use super::{bundle, inside};
use crate::backend::process::lockdown;

/// An OCI runtime that did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the OCI runtime `{program}` failed at {step}: {said}; \
         whoever operates the device mends it, or leaves `container_runtime` out"
)]
pub struct RuntimeFailed {
    /// The runtime, as in the settings.
    pub program: String,
    /// What it should have done.
    pub step: &'static str,
    /// What it said, or what was seen instead.
    pub said: String,
}

/// A runtime, and the place for its containers.
#[derive(Debug)]
pub(super) struct Runtime {
    program: PathBuf,
    place: PathBuf,
    next: AtomicU32,
    /// Held for as long as the folder is in use.
    _lock: File,
}

impl Runtime {
    /// Takes this program, and clears away what agents left behind that are gone.
    pub(super) fn open(program: &Path) -> Result<Self, RuntimeFailed> {
        let failed = |step| {
            move |error: io::Error| RuntimeFailed {
                program: program.display().to_string(),
                step,
                said: error.to_string(),
            }
        };
        let memory = memory().ok_or_else(|| {
            failed("holding images")(io::Error::other(
                "no file system in memory where programs may run; mount a tmpfs on /dev/shm",
            ))
        })?;
        let user = rustix::process::geteuid().as_raw();
        let all = memory.join(format!("tamarack-containers-{user}"));
        fs::create_dir(&all).or_else(inside::exists).map_err(failed("making its folder"))?;
        own(&all, user).map_err(failed("making its folder"))?;
        let version = ["--version".as_ref()];
        run(program, &all.join(STATE), None, &version, Stdio::null())
            .map_err(failed("starting"))?;
        clear(program, &all);

        let (place, lock) = make(&all, user).map_err(failed("making its folder"))?;
        Ok(Self { program: program.to_owned(), place, next: AtomicU32::new(0), _lock: lock })
    }

    /// Starts the program of an image, and gives what it is asked over.
    pub(super) fn start(
        self: &Arc<Self>,
        image: &File,
        user: u32,
        limits: lockdown::Limits,
        group: ControlGroup,
    ) -> Result<(Contained, UnixStream, Vec<&'static str>), RuntimeFailed> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.place.join(number.to_string());
        let mut contained = Contained {
            runtime: Arc::clone(self),
            id: format!("{}-{number}", self.name()),
            folder,
            group: Some(group),
        };
        let (ours, theirs) = UnixStream::pair().map_err(self.failed("making its socket"))?;
        let written = || {
            let (plan, tree) = inside::read(image)?;
            fs::create_dir(&contained.folder)?;
            own(&contained.folder, rustix::process::geteuid().as_raw())?;
            bundle::write(&contained.folder, &plan, &tree, user, limits)
        };
        written().map_err(self.failed("writing its bundle"))?;

        let pid_file = contained.folder.join("pid");
        let create = [
            "create".as_ref(),
            "--bundle".as_ref(),
            contained.folder.as_os_str(),
            "--pid-file".as_ref(),
            pid_file.as_os_str(),
            contained.id.as_ref(),
        ];
        self.run("create", &create, Stdio::from(OwnedFd::from(theirs)), &contained.folder)?;
        let process = fs::read_to_string(&pid_file)
            .and_then(|text| text.trim().parse::<u32>().map_err(io::Error::other))
            .map_err(self.failed("create"))?;
        let mut enforced = match &mut contained.group {
            Some(group) => group.enter(process),
            None => Vec::new(),
        };
        let before = program_of(process);
        let start = ["start".as_ref(), contained.id.as_ref()];
        self.run("start", &start, Stdio::null(), &contained.folder)?;
        wait_until(|| program_of(process) != before)
            .then_some(())
            .ok_or_else(|| self.failed("start")(io::Error::other("the program does not begin")))?;
        let seen = Seen::of(process).map_err(self.failed("isolation"))?;
        enforced.extend(seen.fences().map_err(|said| self.failed("isolation")(said))?);
        Ok((contained, ours, enforced))
    }

    /// Runs the runtime to its end. What it says is in its log, not in what a container writes.
    fn run(
        &self,
        step: &'static str,
        arguments: &[&std::ffi::OsStr],
        stdin: Stdio,
        folder: &Path,
    ) -> Result<(), RuntimeFailed> {
        let log = folder.join("log");
        let ended = run(&self.program, &self.place.join(STATE), Some(&log), arguments, stdin);
        match ended {
            Ok(()) => Ok(()),
            Err(error) => {
                let said = last_words(&log).unwrap_or_else(|| error.to_string());
                Err(self.failed(step)(io::Error::other(said)))
            }
        }
    }

    /// Names of containers are those of the machine, so they tell whose they are.
    fn name(&self) -> String {
        let place = self.place.file_name().unwrap_or_default();
        format!("tamarack-{}", place.display())
    }

    fn failed(&self, step: &'static str) -> impl Fn(io::Error) -> RuntimeFailed {
        let program = self.program.display().to_string();
        move |error| RuntimeFailed { program: program.clone(), step, said: error.to_string() }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// A container; it goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Contained {
    runtime: Arc<Runtime>,
    id: String,
    folder: PathBuf,
    group: Option<ControlGroup>,
}

impl Drop for Contained {
    fn drop(&mut self) {
        let delete = ["delete".as_ref(), "--force".as_ref(), self.id.as_ref()];
        let _ = self.runtime.run("delete", &delete, Stdio::null(), &self.folder);
        drop(self.group.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the kernel tells about a process from outside.
struct Seen {
    /// Names of namespaces that it shares with this process.
    shared: Vec<&'static str>,
    own: Vec<&'static str>,
    status: String,
    mounts: String,
}

impl Seen {
    fn of(process: u32) -> io::Result<Self> {
        let proc = PathBuf::from(format!("/proc/{process}"));
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for (kind, name) in NAMESPACES {
            let here = fs::read_link(Path::new("/proc/self/ns").join(kind))?;
            let there = fs::read_link(proc.join("ns").join(kind))?;
            if here == there { shared.push(name) } else { own.push(name) }
        }
        let status = fs::read_to_string(proc.join("status"))?;
        let mounts = fs::read_to_string(proc.join("mountinfo"))?;
        Ok(Self { shared, own, status, mounts })
    }

    fn value(&self, name: &str) -> Option<&str> {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    }

    /// The fences in the words of the claim; without one of them the container does not run.
    fn fences(&self) -> io::Result<Vec<&'static str>> {
        if let Some(name) = self.shared.first() {
            return Err(io::Error::other(format!("the container has no {name} of its own")));
        }
        let missing = |fence| Err(io::Error::other(format!("the container has no {fence}")));
        let mut fences = self.own.clone();
        let none =
            |set| self.value(set).and_then(|text| u64::from_str_radix(text, 16).ok()) == Some(0);
        if !["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].into_iter().all(none) {
            return missing("empty set of capabilities");
        }
        if self.value("NoNewPrivs") != Some("1") {
            return missing("no_new_privs");
        }
        if self.value("Seccomp") != Some("2") {
            return missing("filter of system calls");
        }
        // mountinfo: number, parent, device, root, mount point, options, ...
        let mut root = self.mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = root.rfind(|fields| fields.get(4) == Some(&"/"));
        let read_only = root
            .and_then(|fields| fields.get(5).copied())
            .is_some_and(|options| options.split(',').any(|option| option == "ro"));
        if !read_only {
            return missing("read-only root");
        }
        fences.extend(["oci-runtime", "read-only-root", "no_capabilities", "rlimits", "seccomp"]);
        Ok(fences)
    }
}

/// A file system in memory where programs may run.
fn memory() -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let own = PathBuf::from(format!("/run/user/{user}"));
    [PathBuf::from("/dev/shm"), own, PathBuf::from("/run"), PathBuf::from("/tmp")].into_iter().find(
        |folder| {
            let in_memory =
                rustix::fs::statfs(folder.as_path()).is_ok_and(|fs| fs.f_type == TMPFS_MAGIC);
            let runs = rustix::fs::statvfs(folder.as_path())
                .is_ok_and(|fs| !fs.f_flag.contains(StatVfsMountFlags::NOEXEC));
            in_memory && runs && rustix::fs::access(folder.as_path(), WRITE).is_ok()
        },
    )
}

/// Makes a folder of this process in `all`, and its lock; without one, nobody clears it away.
fn make(all: &Path, user: u32) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    let place = loop {
        let place = all.join(format!("{}-{number}", std::process::id()));
        match fs::create_dir(&place) {
            Ok(()) => break place,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    own(&place, user)?;
    let unlocked = place.join("unlocked");
    let lock = File::create(&unlocked)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(unlocked, place.join(LOCK))?;
    Ok((place, lock))
}

/// Others may pass through, not look; a folder that somebody else made beforehand is refused.
fn own(folder: &Path, user: u32) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != user {
        let text = format!("`{}` belongs to somebody else", folder.display());
        return Err(io::Error::other(text));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
}

/// Ends the containers of agents that hold no lock any more.
fn clear(program: &Path, all: &Path) {
    for place in fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(place.join(LOCK)) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let state = place.join(STATE);
        for id in fs::read_dir(&state).into_iter().flatten().flatten() {
            let id = id.file_name();
            let delete = ["delete".as_ref(), "--force".as_ref(), id.as_os_str()];
            let _ = run(program, &state, None, &delete, Stdio::null());
        }
        let _ = fs::remove_dir_all(&place);
    }
}

fn run(
    program: &Path,
    state: &Path,
    log: Option<&Path>,
    arguments: &[&std::ffi::OsStr],
    stdin: Stdio,
) -> io::Result<()> {
    let mut command = Command::new(program);
    command.arg("--root").arg(state);
    if let Some(log) = log {
        command.arg("--log").arg(log).args(["--log-format", "json"]);
    }
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut status = None;
    let ended = wait_until(|| {
        status = child.try_wait().transpose();
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    match status {
        None => Err(io::Error::other(format!("no end within {} s", WAIT.as_secs()))),
        Some(Err(error)) => Err(error),
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(io::Error::other(status.to_string())),
    }
}

/// The last message of a runtime's log, not longer than a line.
fn last_words(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let line: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
    let said = line.get("msg")?.as_str()?;
    Some(said.chars().filter(|one| !one.is_control()).take(SAID_MAX).collect())
}

/// The program that a process runs, as far as the kernel tells.
fn program_of(process: u32) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;

    let program = fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((program.dev(), program.ino()))
}

fn wait_until(mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + WAIT;
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    true
}

const LOCK: &str = "lock";

/// Each namespace as the kernel names its file, and as the claim names it.
const NAMESPACES: [(&str, &str); 7] = [
    ("cgroup", "cgroup-namespace"),
    ("ipc", "ipc-namespace"),
    ("mnt", "mount-namespace"),
    ("net", "network-namespace"),
    ("pid", "pid-namespace"),
    ("user", "user-namespace"),
    ("uts", "uts-namespace"),
];

/// Where a runtime finds helpers of its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SAID_MAX: usize = 300;

/// The folder in which the runtime notes its containers.
const STATE: &str = "state";

/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// The time for one command of a runtime.
const WAIT: Duration = Duration::from_secs(20);
const WRITE: rustix::fs::Access = rustix::fs::Access::WRITE_OK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_every_fence_is_no_container() {
        let seen = |shared: &[&'static str], status: &str, mounts: &str| Seen {
            shared: shared.to_vec(),
            own: Vec::new(),
            status: status.to_owned(),
            mounts: mounts.to_owned(),
        };
        let said = |seen: Seen| seen.fences().unwrap_err().to_string();

        assert!(seen(&[], STATUS, MOUNTS).fences().unwrap().contains(&"read-only-root"));
        assert_eq!(
            said(seen(&["network-namespace"], STATUS, MOUNTS)),
            "the container has no network-namespace of its own"
        );
        for (line, without, expected) in [
            ("CapBnd:\t0", "CapBnd:\t1", "empty set of capabilities"),
            ("CapBnd:\t0", "", "empty set of capabilities"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "no_new_privs"),
            ("Seccomp:\t2", "Seccomp:\t0", "filter of system calls"),
        ] {
            let status = STATUS.replace(line, without);
            assert_eq!(
                said(seen(&[], &status, MOUNTS)),
                format!("the container has no {expected}")
            );
        }
        for mounts in ["", &MOUNTS.replace("ro,relatime", "rw,relatime")] {
            assert_eq!(said(seen(&[], STATUS, mounts)), "the container has no read-only root");
        }
        // A later mount on the same place covers the first.
        let covered = format!("{MOUNTS}120 109 0:9 / / rw - tmpfs tmpfs rw\n");
        assert_eq!(said(seen(&[], STATUS, &covered)), "the container has no read-only root");
    }

    #[test]
    fn this_process_is_no_container() {
        let seen = Seen::of(std::process::id()).unwrap();

        assert_eq!(seen.shared.len(), NAMESPACES.len());
    }

    #[test]
    fn the_last_message_of_a_log_is_what_a_runtime_said() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "{\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"no\\u0007 room\"}\n")
            .unwrap();

        assert_eq!(last_words(&log).as_deref(), Some("no room"));
        assert_eq!(last_words(&folder.path().join("none")), None);
    }

    #[test]
    fn a_runtime_that_is_missing_or_does_not_work_says_so() {
        for (program, said) in [
            ("/bin/false", "exit status: 1"),
            ("/no/runc", "No such file or directory (os error 2)"),
        ] {
            let failed = Runtime::open(Path::new(program)).unwrap_err();

            assert_eq!((failed.program.as_str(), failed.step), (program, "starting"));
            assert_eq!(failed.said, said);
        }
    }

    const MOUNTS: &str = "109 65 254:0 /rootfs / ro,relatime - ext4 /dev/vda rw\n\
        110 109 0:41 / /proc rw,nosuid - proc proc rw\n";
    const STATUS: &str = "Name:\tapp\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\n\
        CapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
}
