//! The keeper of one UA's container: unpacks the image, has the OCI runtime of the machine run it,
//! waits for its end, and clears it away.
//!
//! It is a process of its own between Broker and container: what the runtime starts becomes its
//! child, so its end is seen, and when the Broker ends the keeper hears of it and ends the
//! container. What a keeper left behind that was killed is cleared away by the next one of the UA.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use image::{Image, Node, Tree};
use rustix::process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper, waitpid};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    fence,
    launch::{Terms, hear_of, user},
    ua::rights::{Folder, Limits, Network},
};

/// Opens an image of this machine.
pub(crate) fn open(archive: &[u8]) -> Result<Image, image::Refused> {
    image::open(archive, image::architecture(), image::Limits::DEFAULT)
}

/// Runs the container until it ends or this process is told to end; the result is its exit code.
pub(crate) fn keep(
    parent: u32,
    terms: &Terms,
    image: &Path,
    arguments: &[OsString],
) -> io::Result<i32> {
    hear_of(parent, Signal::TERM)?;
    set_child_subreaper(Some(getpid()))?;
    rustix::thread::set_no_new_privs(true)?;
    fence::real(&terms.folders)?;
    fence::ports(&terms.network).map_err(io::Error::other)?;
    let runtime = terms.runtime.clone().ok_or_else(|| io::Error::other("no OCI runtime"))?;
    let program = open(&fs::read(image)?).map_err(io::Error::other)?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let container = Container::make(runtime, terms, image, &program, arguments).await?;
        let ended = container.run().await;
        container.clear().await;
        ended
    })
}

struct Container {
    runtime: PathBuf,
    /// The name in the runtime.
    id: String,
    /// The bundle, and beside it what the runtime notes.
    place: PathBuf,
}

impl Container {
    async fn make(
        runtime: PathBuf,
        terms: &Terms,
        archive: &Path,
        image: &Image,
        arguments: &[OsString],
    ) -> io::Result<Self> {
        let root = rustix::process::geteuid();
        let all = memory().join(format!("tamarack-uas-{}", root.as_raw()));
        own(&all, root.as_raw())?;
        // Two Brokers of a machine may have UAs of the same name.
        let name = fs::canonicalize(archive)?.with_extension("");
        let [a, b, c, d, e, f, ..] = cose::sha256(name.as_os_str().as_encoded_bytes());
        let id = format!("ua-{}", hex::encode([a, b, c, d, e, f]));
        let container = Self { runtime, place: all.join(&id), id };
        // Of a keeper that was killed.
        container.clear().await;
        own(&container.place, root.as_raw())?;
        let user = if root.is_root() { user(archive) } else { root.as_raw() };
        container.write(terms, image, user, arguments)?;
        Ok(container)
    }

    /// Writes the bundle.
    fn write(
        &self,
        terms: &Terms,
        image: &Image,
        user: u32,
        arguments: &[OsString],
    ) -> io::Result<()> {
        let root = self.place.join(ROOT);
        fs::create_dir(&root)?;
        unpack(&root, &image.tree)?;
        for folder in ["dev", "proc", "tmp"] {
            make_folder(&root.join(folder))?;
        }
        for Folder { path, .. } in &terms.folders {
            place_of(&root, path)?;
        }
        fs::set_permissions(&root, Permissions::from_mode(0o755))?;
        let text = |argument: &OsString| argument.to_string_lossy().into_owned();
        let given = arguments.iter().map(text);
        let line = image.start.arguments.iter().cloned().chain(given).collect();
        let config = configuration(terms, image, user, line);
        fs::write(self.place.join("config.json"), config.to_string())
    }

    /// Starts it and waits for its end; it is ended when this process is asked to end.
    async fn run(&self) -> io::Result<i32> {
        let mut terminate = signal(SignalKind::terminate())?;
        let pid_file = self.place.join("pid");
        let mut create = self.command("create");
        create.arg("--bundle").arg(&self.place).arg("--pid-file").arg(&pid_file).arg(&self.id);
        create.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        run(create, "create").await?;
        let process = fs::read_to_string(&pid_file)?.trim().parse().map_err(io::Error::other)?;
        let process = Pid::from_raw(process).ok_or(io::ErrorKind::InvalidData)?;
        // What the runtime leaves behind is this process's child.
        let mut ended = spawn_blocking(move || waitpid(Some(process), WaitOptions::empty()));
        let mut start = self.command("start");
        start.arg(&self.id);
        run(start, "start").await?;

        let status = tokio::select! {
            status = &mut ended => status,
            _ = terminate.recv() => {
                self.signal("TERM").await;
                match timeout(END_WITHIN, &mut ended).await {
                    Ok(status) => status,
                    Err(_) => {
                        self.signal("KILL").await;
                        ended.await
                    }
                }
            }
        };
        let status = status??.map(|(_, status)| status);
        let code = status.and_then(|status| {
            status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
        });
        Ok(code.unwrap_or(1))
    }

    async fn signal(&self, name: &str) {
        let mut kill = self.command("kill");
        kill.args([&self.id, name]);
        // An error says that it has ended.
        let _ended = run(kill, "kill").await;
    }

    /// Ends what is left of it, and removes its files.
    async fn clear(&self) {
        if !self.place.exists() {
            return;
        }
        let mut delete = self.command("delete");
        delete.args(["--force", &self.id]).stderr(Stdio::null());
        let _none = run(delete, "delete").await;
        if let Err(error) = fs::remove_dir_all(&self.place) {
            tracing::warn!(place = %self.place.display(), %error, "not removed");
        }
    }

    fn command(&self, step: &str) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.place.join("state")).arg(step);
        command.env_clear().env("PATH", PATH).stdin(Stdio::null());
        // A rootless runtime keeps notes there.
        command.env("XDG_RUNTIME_DIR", &self.place);
        command
    }
}

async fn run(mut command: Command, step: &'static str) -> io::Result<()> {
    let status = timeout(RUNTIME_WITHIN, command.kill_on_drop(true).status()).await??;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("`{step}` of the OCI runtime failed: {status}")))
}

fn configuration(terms: &Terms, image: &Image, user: u32, mut line: Vec<String>) -> Value {
    if let Some(program) = line.first_mut() {
        *program = format!("/{}", program.trim_start_matches('/'));
    }
    let Limits { memory_mib, processes, descriptors, file_mib } = terms.limits;
    let only_user = json!([{ "containerID": 0, "hostID": user, "size": 1 }]);
    let limit = |name: &str, value: u64| json!({ "type": name, "hard": value, "soft": value });
    let mount = |at: &str, kind: &str, options: &[&str]| {
        let source = kind;
        json!({ "destination": at, "type": kind, "source": source, "options": options })
    };
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "noexec", "mode=755", "size=64k"]),
        mount("/tmp", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777", "size=16m"]),
    ];
    mounts.extend(terms.folders.iter().map(|Folder { path, write }| {
        let access = if *write { "rw" } else { "ro" };
        let options = ["bind", access, "nosuid", "nodev", "noexec"];
        json!({ "destination": path, "type": "bind", "source": path, "options": options })
    }));
    let mut namespaces = vec!["cgroup", "ipc", "mount", "pid", "user", "uts"];
    if terms.network == Network::None {
        namespaces.push("network");
    }
    let named = |name: &&str| json!({ "type": name });
    let none: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": ROOT, "readonly": true },
        "hostname": "ua",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": line,
            "env": image.start.environment,
            "cwd": format!("/{}", image.start.folder.trim_start_matches('/')),
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "permitted": none, "inheritable": none,
                "ambient": none,
            },
            "rlimits": [
                limit("RLIMIT_CORE", 0),
                limit("RLIMIT_DATA", memory_mib << 20),
                limit("RLIMIT_FSIZE", file_mib << 20),
                limit("RLIMIT_NOFILE", descriptors),
                limit("RLIMIT_NPROC", processes),
            ],
        },
        "mounts": mounts,
        "linux": {
            "uidMappings": only_user,
            "gidMappings": only_user,
            "namespaces": namespaces.iter().map(named).collect::<Vec<_>>(),
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            "seccomp": filter(&terms.network),
        },
    })
}

/// What [`fence::sockets`] refuses, and what changes the machine.
fn filter(network: &Network) -> Value {
    let refuse = |names: &[&str], arguments: Value| {
        let (action, error) = ("SCMP_ACT_ERRNO", 1);
        json!({ "names": names, "action": action, "errnoRet": error, "args": arguments })
    };
    // The kernel looks at the lower half of these arguments, so the filter does.
    let is = |index: u32, mask: u32, value: u32| {
        let op = "SCMP_CMP_MASKED_EQ";
        json!([{ "index": index, "value": mask, "valueTwo": value, "op": op }])
    };
    let beyond =
        |index: u32, last: u32| json!([{ "index": index, "value": last, "op": "SCMP_CMP_GT" }]);
    let socket = |arguments: Value| refuse(&["socket"], arguments);
    let mut calls = vec![refuse(&DENIED, json!([]))];
    match network {
        Network::None => calls.push(socket(json!([]))),
        Network::All => calls.extend([UNIX, VSOCK].map(|one| socket(is(0, u32::MAX, one)))),
        Network::Tcp { .. } => {
            let families = (0..INET6).filter(|one| *one != INET);
            calls.extend(families.map(|one| socket(is(0, u32::MAX, one))));
            calls.push(socket(beyond(0, INET6)));
            let kinds = (0..=KIND_BITS).filter(|kind| *kind != STREAM);
            calls.extend(kinds.map(|kind| socket(is(1, KIND_BITS, kind))));
            calls.push(socket(beyond(2, TCP)));
        }
    }
    let architecture = format!("SCMP_ARCH_{}", std::env::consts::ARCH.to_uppercase());
    json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture], "syscalls": calls,
    })
}

/// Writes the files of an image. Its parents are folders, each made before.
fn unpack(root: &Path, tree: &Tree) -> io::Result<()> {
    for (path, node) in tree.entries() {
        let at = root.join(path);
        match node {
            Node::Folder => fs::create_dir(&at)?,
            Node::File { executable, content } => {
                fs::write(&at, content)?;
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&at, Permissions::from_mode(mode))?;
            }
            Node::Link { target } => std::os::unix::fs::symlink(target, &at)?,
        }
    }
    Ok(())
}

/// Makes the place for a folder of the machine; the image has no link on the way there.
fn place_of(root: &Path, folder: &Path) -> io::Result<()> {
    let mut at = root.to_path_buf();
    for part in folder.components().skip(1) {
        at.push(part);
        make_folder(&at)?;
    }
    Ok(())
}

/// A folder, not a link to one.
fn make_folder(at: &Path) -> io::Result<()> {
    match fs::create_dir(at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(at)?.is_dir() { Ok(()) } else { Err(error) }
        }
        made => made,
    }
}

/// A folder of this process's user, through which others may pass; one that somebody else made
/// beforehand is refused.
fn own(folder: &Path, user: u32) -> io::Result<()> {
    make_folder(folder)?;
    if fs::symlink_metadata(folder)?.uid() != user {
        let text = format!("`{}` belongs to somebody else", folder.display());
        return Err(io::Error::other(text));
    }
    fs::set_permissions(folder, Permissions::from_mode(0o711))
}

/// Where images are unpacked: in memory if there is such a place.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// System calls that no UA needs, and that have opened machines before.
const DENIED: [&str; 22] = [
    "add_key",
    "bpf",
    "fsmount",
    "fsopen",
    "init_module",
    "io_uring_setup",
    "kexec_load",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "process_vm_writev",
    "ptrace",
    "request_key",
    "setns",
    "umount2",
    "unshare",
    "userfaultfd",
];

/// How long a container has to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Where a runtime finds helpers of its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The root's name in the bundle.
const ROOT: &str = "rootfs";

/// The time for one command of a runtime.
const RUNTIME_WITHIN: Duration = Duration::from_secs(20);

// Of `bits/socket.h` and `netinet/in.h`, the same on every machine that Linux runs on here.
const INET: u32 = 2;
const INET6: u32 = 10;
const KIND_BITS: u32 = 0xf;
const STREAM: u32 = 1;
const TCP: u32 = 6;
const UNIX: u32 = 1;
const VSOCK: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::rights::Form;

    #[test]
    fn a_container_has_what_its_manifest_names_and_nothing_else() {
        let archive = image::Recipe::of_program(image::architecture(), "ua", b"\x7fELF".to_vec());
        let image = open(&archive.unwrap().build()).unwrap();
        let terms = |network| Terms {
            instance: Form::Container,
            network,
            folders: vec![Folder { path: "/srv/maps".into(), write: false }],
            limits: Limits { memory_mib: 3, ..Limits::default() },
            runtime: None,
        };
        let of = |network| configuration(&terms(network), &image, 7, vec!["ua".to_owned()]);
        let has_own_network = |config: &Value| {
            let namespaces = config["linux"]["namespaces"].as_array().unwrap();
            namespaces.iter().any(|one| one["type"] == "network")
        };

        let closed = of(Network::None);
        assert!(has_own_network(&closed));
        assert!(!has_own_network(&of(Network::All)));
        assert!(!has_own_network(&of(Network::Tcp { listen: vec![1], connect: vec![] })));
        assert_eq!(closed["process"]["args"], json!(["/ua"]));
        assert_eq!(closed["root"]["readonly"], json!(true));
        assert_eq!(closed["linux"]["uidMappings"][0]["hostID"], json!(7));
        let mounts = closed["mounts"].as_array().unwrap();
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[3]["options"], json!(["bind", "ro", "nosuid", "nodev", "noexec"]));
        let limits = closed["process"]["rlimits"].as_array().unwrap();
        assert!(
            limits.contains(&json!({ "type": "RLIMIT_DATA", "hard": 3 << 20, "soft": 3 << 20 }))
        );
    }

    #[test]
    fn a_link_of_an_image_does_not_lead_a_mount_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("srv")).unwrap();

        let refused = place_of(root.path(), Path::new("/srv/maps")).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        place_of(root.path(), Path::new("/data/maps")).unwrap();
        assert!(root.path().join("data/maps").is_dir());
    }
}
