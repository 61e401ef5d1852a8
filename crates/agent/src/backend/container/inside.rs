//! The custodian as the first process of a container: builds the root, enters it, gives up its
//! rights.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use image::{Node, Tree};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::image_store::{COMPONENT, Plan};
use crate::backend::process::lockdown::{Limits, Profile};
use crate::backend::process::native::{Native, Start};
use crate::backend::process::sandbox::Fault;
use crate::backend::process::worker::Prepared;

/// Makes the image on this file the root of the calling process, and starts its program.
pub(crate) fn prepare(image: OwnedFd, limits: Limits) -> Result<(Prepared, Vec<String>), Fault> {
    // With the launcher ends the container, and everything in it.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|_| Fault::NotIsolated)?;
    let (plan, tree) = read(&File::from(image)).map_err(|_| Fault::NotIsolated)?;
    let root = enter(&tree).map_err(|_| Fault::NotIsolated)?;
    give_up_rights().map_err(|_| Fault::NotIsolated)?;
    let mut enforced: Vec<String> = NAMESPACES.map(str::to_owned).to_vec();
    enforced.extend([root.to_owned(), "read-only-root".to_owned(), "no_capabilities".to_owned()]);

    let name = plan.arguments.first().ok_or(Fault::NotExecuted)?;
    if let Some(Node::File { content, .. }) = tree.find(name)
        && content.starts_with(COMPONENT)
    {
        return Ok((Prepared::Component(Some(content.clone())), enforced));
    }
    let start = Start {
        path: Path::new("/").join(name),
        arguments: plan.arguments[1..].to_vec(),
        environment: plan
            .environment
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        folder: Path::new("/").join(&plan.folder),
    };
    let native = Native::start(start, limits, Profile::Contained { network: false })?;
    Ok((Prepared::Native(native), enforced))
}

pub(super) fn read(image: &File) -> io::Result<(Plan, Tree)> {
    let length = usize::try_from(image.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    image.read_exact_at(&mut bytes, 0)?;
    let (length, rest) = bytes.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
    let (plan, tree) = rest.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    let tree = Tree::of_tar(tree, image::Limits::DEFAULT).map_err(io::Error::other)?;
    Ok((serde_json::from_slice(plan)?, tree))
}

/// Builds the root and enters it. Nothing of the machine's files is left but four devices.
fn enter(tree: &Tree) -> io::Result<&'static str> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let size = tree.bytes() + ROOT_BYTES;
    let root = Path::new(PLACE);
    let none = MountFlags::NOSUID | MountFlags::NODEV;
    mount_memory(root, none, &format!("mode=755,size={size}"))?;
    write(root, tree)?;

    for folder in ["dev", "tmp"] {
        fs::create_dir(root.join(folder)).or_else(exists)?;
    }
    mount_memory(&root.join("dev"), none | MountFlags::NOEXEC, "mode=755,size=64k")?;
    for device in ["null", "random", "urandom", "zero"] {
        let (on_machine, here) = (Path::new("/dev").join(device), root.join("dev").join(device));
        File::create(&here)?;
        rustix::mount::mount_bind(&on_machine, &here)?;
    }
    let scratch = format!("mode=1777,size={SCRATCH_BYTES}");
    mount_memory(&root.join("tmp"), none | MountFlags::NOEXEC, &scratch)?;
    for (folder, flags) in [("dev", none | MountFlags::NOEXEC), ("", none)] {
        let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(root.join(folder), flags, "")?;
    }

    rustix::system::sethostname(b"ta")?;
    rustix::process::chdir(root)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::mount::unmount(".", UnmountFlags::DETACH)?;
            rustix::process::chdir("/")?;
            Ok("pivot-root")
        }
        // The first file system of a machine cannot be left in this way; it is covered.
        Err(Errno::INVAL) => {
            rustix::mount::mount_move(".", "/")?;
            rustix::process::chroot(".")?;
            rustix::process::chdir("/")?;
            Ok("chroot")
        }
        Err(error) => Err(error.into()),
    }
}

fn mount_memory(at: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    rustix::mount::mount("tmpfs", at, "tmpfs", flags, Some(options.as_c_str()))?;
    Ok(())
}

/// Writes the tree. Its parents are folders, each made before, so no link is ever followed.
pub(super) fn write(root: &Path, tree: &Tree) -> io::Result<()> {
    for (path, node) in tree.entries() {
        let at: PathBuf = root.join(path);
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

pub(super) fn exists(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Drops every capability, for this process and for whatever it will start.
fn give_up_rights() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        // Those that the kernel does not know cannot be had either.
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}

/// What the launcher gave this process of its own.
const NAMESPACES: [&str; 7] = [
    "cgroup-namespace",
    "ipc-namespace",
    "mount-namespace",
    "network-namespace",
    "pid-namespace",
    "user-namespace",
    "uts-namespace",
];

/// A folder that every machine has, and that nobody here needs any more.
const PLACE: &str = "/proc";

/// For the folders of the image, and those that are added.
const ROOT_BYTES: u64 = 4 << 20;

/// What a container may write, in memory.
const SCRATCH_BYTES: u64 = 16 << 20;
