//! An OCI bundle (runtime-spec 1.0): the root of an image as files, and its configuration.
//!
//! The configuration asks for what our own launcher makes: every namespace, no capability, a
//! root that cannot be written, the same filter of system calls, the same limits.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use image::Tree;
use serde_json::{Value, json};

use super::image_store::Plan;
use super::inside;
use crate::backend::process::lockdown;

/// Writes the bundle into an empty folder; in it `user` of the machine is the only user.
pub(super) fn write(
    folder: &Path,
    plan: &Plan,
    tree: &Tree,
    user: u32,
    limits: lockdown::Limits,
) -> io::Result<()> {
    let root = folder.join(ROOT);
    fs::create_dir(&root)?;
    inside::write(&root, tree)?;
    for folder in MOUNT_POINTS {
        fs::create_dir(root.join(folder)).or_else(inside::exists)?;
    }
    // Its user may enter, and nobody else of the machine.
    fs::set_permissions(&root, Permissions::from_mode(0o700))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&root, Some(user), Some(user))?;
    }
    fs::write(folder.join("config.json"), config(plan, user, limits).to_string())
}

fn config(plan: &Plan, user: u32, limits: lockdown::Limits) -> Value {
    let mut arguments = plan.arguments.clone();
    if let Some(program) = arguments.first_mut() {
        *program = format!("/{}", program.trim_start_matches('/'));
    }
    let only_user = json!([{ "containerID": 0, "hostID": user, "size": 1 }]);
    let limit = |name: &str, value: u64| json!({ "type": name, "hard": value, "soft": value });
    let mount = |at: &str, kind: &str, options: &[&str]| {
        let source = kind;
        json!({ "destination": at, "type": kind, "source": source, "options": options })
    };
    let none: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": ROOT, "readonly": true },
        "hostname": "ta",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": plan.environment,
            "cwd": format!("/{}", plan.folder.trim_start_matches('/')),
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "permitted": none, "inheritable": none,
                "ambient": none,
            },
            "rlimits": [
                limit("RLIMIT_AS", limits.address_space_bytes_max),
                limit("RLIMIT_CPU", limits.cpu_s_max),
                limit("RLIMIT_CORE", 0),
                limit("RLIMIT_FSIZE", limits.address_space_bytes_max),
                limit("RLIMIT_NOFILE", lockdown::CONTAINED_DESCRIPTORS_MAX),
                limit("RLIMIT_MEMLOCK", 0),
                limit("RLIMIT_MSGQUEUE", 0),
                limit("RLIMIT_NPROC", lockdown::PROCESSES_MAX),
            ],
        },
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "noexec", "ro", "mode=755", "size=64k"]),
            mount("/tmp", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777", "size=16m"]),
        ],
        "linux": {
            "uidMappings": only_user,
            "gidMappings": only_user,
            "namespaces": NAMESPACES.map(|name| json!({ "type": name })),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": lockdown::oci_filter(),
        },
    })
}

/// As the runtime specification spells them.
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"];

/// What of `/proc` tells about the machine.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];

const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "tmp"];

/// What of `/proc` could change the machine.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The root's name in the bundle.
pub(super) const ROOT: &str = "rootfs";

#[cfg(test)]
mod tests {
    use image::{Limits, Node, Recipe};

    use super::*;

    #[test]
    fn a_bundle_has_the_image_as_its_root_and_asks_for_every_fence() {
        let archive = Recipe::of_program(image::architecture(), "ta", b"\x7fELF".to_vec()).unwrap();
        let image = image::open(&archive.build(), image::architecture(), Limits::DEFAULT).unwrap();
        let plan = Plan {
            arguments: image.start.arguments,
            environment: vec!["A=b".to_owned()],
            folder: String::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();

        write(folder.path(), &plan, &image.tree, user, LIMITS).unwrap();

        let program = folder.path().join(ROOT).join("ta");
        assert_eq!(fs::read(&program).unwrap(), b"\x7fELF");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(matches!(image.tree.find("ta"), Some(Node::File { executable: true, .. })));
        let config = fs::read(folder.path().join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["process"]["args"], json!(["/ta"]));
        assert_eq!(config["process"]["env"], json!(["A=b"]));
        assert_eq!(config["process"]["noNewPrivileges"], json!(true));
        assert_eq!(config["process"]["capabilities"]["bounding"], json!([]));
        assert_eq!(config["root"], json!({ "path": "rootfs", "readonly": true }));
        assert_eq!(config["linux"]["uidMappings"][0]["size"], json!(1));
        assert_eq!(config["linux"]["namespaces"].as_array().unwrap().len(), NAMESPACES.len());
    }

    const LIMITS: lockdown::Limits =
        lockdown::Limits { address_space_bytes_max: 1 << 30, cpu_s_max: 60 };
}
