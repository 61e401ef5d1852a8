//! What Linux programs expect of the machine they run on.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context as _;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{chroot, sync};

/// Inserts the drivers, moves into a root file system that can be left again, and mounts.
pub(super) fn set_up() -> anyhow::Result<()> {
    for name in drivers()? {
        insert(&Path::new(DRIVERS).join(&name))
            .with_context(|| format!("inserting the driver {name}"))?;
    }
    leave_initial_root().context("leaving the initial root file system")?;
    for (source, target, flags, data) in MOUNTS {
        fs::create_dir_all(target)?;
        mount(Some(*source), *target, Some(*source), *flags, *data)
            .with_context(|| format!("mounting {target}"))?;
    }
    // Where the kernel has it, the hardware of a confidential machine is reached by way of it.
    if Path::new(CONFIGFS).exists()
        && let Err(error) = mount(NAME, CONFIGFS, NAME, PRIVATE, None::<&str>)
    {
        eprintln!("{CONFIGFS} is not mounted: {error}");
    }
    Ok(())
}

/// Whether the kernel was told to start nothing, which measures what a boot takes.
pub(super) fn is_bare() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split(' ').any(|word| word == BARE))
}

/// Ends the machine.
pub(super) fn power_off() -> ! {
    sync();
    let refused = reboot(RebootMode::RB_POWER_OFF);
    eprintln!("error: the machine does not power off: {refused:?}");
    std::process::abort()
}

/// The initial root file system cannot be pivoted away from, as a container's launch does. This
/// program stays there, out of everybody's sight, and is started again by way of `/proc`.
fn leave_initial_root() -> anyhow::Result<()> {
    fs::create_dir(ROOT)?;
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))?;
    std::env::set_current_dir(ROOT)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// The drivers of the image, whose names begin with their place in the order.
fn drivers() -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(DRIVERS).context("listing the drivers")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn insert(driver: &Path) -> anyhow::Result<()> {
    Ok(finit_module(&File::open(driver)?, c"", ModuleInitFlags::empty())?)
}

type Mount = (&'static str, &'static str, MsFlags, Option<&'static str>);

const PRIVATE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const MOUNTS: &[Mount] = &[
    ("devtmpfs", "/dev", MsFlags::MS_NOSUID, None),
    ("proc", "/proc", PRIVATE, None),
    ("sysfs", "/sys", PRIVATE, None),
    ("cgroup2", "/sys/fs/cgroup", PRIVATE, None),
    ("tmpfs", "/run", PRIVATE, Some("mode=755")),
    ("tmpfs", "/tmp", MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV), Some("mode=1777")),
];

const NAME: Option<&str> = Some("configfs");
const CONFIGFS: &str = "/sys/kernel/config";
const BARE: &str = "tamarack.bare";
const DRIVERS: &str = "/drivers";
const ROOT: &str = "/guest";
