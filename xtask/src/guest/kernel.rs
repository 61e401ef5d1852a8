//! Kernels of guests: Debian's, for either processor, fetched and unpacked without root and
//! without a change to the machine's own packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Processor, quietly};
use crate::run;

/// The drivers of the serial port, in the order in which they go in.
pub(super) const DRIVERS: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
];

/// Where the kernel of a guest lies.
pub(super) fn directory(images: &Path, processor: &Processor) -> PathBuf {
    images.join("kernels").join(processor.name)
}

/// Gets the kernel, if it is not there yet; tells whether it had to.
pub(super) fn get(images: &Path, processor: &Processor) -> Result<bool> {
    let kernel = directory(images, processor);
    if kernel.join("vmlinuz").is_file() {
        return Ok(false);
    }
    let work = images.join(format!("kernels/{}.work", processor.name));
    let _left_over = fs::remove_dir_all(&work);
    fs::create_dir_all(work.join("lists/partial"))?;
    fs::create_dir_all(work.join("cache/archives/partial"))?;
    // The machine's own sources and keys, but another processor and folders of our own.
    let configuration = work.join("apt.conf");
    let shown = work.display();
    let processor_name = processor.debian;
    let sandbox = if is_root() { "APT::Sandbox::User \"root\";\n" } else { "" };
    fs::write(
        &configuration,
        format!(
            "APT::Architecture \"{processor_name}\";\n\
             APT::Architectures {{ \"{processor_name}\"; }};\n\
             Acquire::Languages \"none\";\n\
             Dir::State::lists \"{shown}/lists\";\n\
             Dir::State::status \"/dev/null\";\n\
             Dir::Cache \"{shown}/cache\";\n\
             {sandbox}"
        ),
    )?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &configuration).current_dir(&work);
        command
    };
    quietly(apt("apt-get").args(["--quiet=2", "update"])).context("reading the package lists")?;
    let meta = format!("linux-image-cloud-{processor_name}");
    let depends = run::output(apt("apt-cache").args(["depends", &meta]))?;
    let package = depends.split_whitespace().find(|word| word.starts_with("linux-image-"));
    let package = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .or(package)
        .with_context(|| format!("the package {meta} is not offered here"))?;
    quietly(apt("apt-get").args(["--quiet=2", "download", package]))
        .with_context(|| format!("downloading {package}"))?;
    unpack(&work, &kernel).with_context(|| format!("unpacking {package}"))?;
    fs::remove_dir_all(&work)?;
    Ok(true)
}

/// Takes the kernel and the drivers out of the one package in the folder.
fn unpack(work: &Path, kernel: &Path) -> Result<()> {
    let tree = work.join("tree");
    let package = files(work).into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
    let package = package.context("no package came")?;
    quietly(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&tree))?;
    fs::create_dir_all(kernel)?;
    let found = |folder: &Path, accept: &dyn Fn(&str) -> bool| {
        let name = |path: &PathBuf| path.file_name().is_some_and(|n| accept(&n.to_string_lossy()));
        files(folder).into_iter().find(name)
    };
    for driver in DRIVERS {
        let name = format!("{driver}.ko");
        let path = found(&tree.join("lib/modules"), &|it| it == name);
        let path = path.with_context(|| format!("the package has no driver {driver}"))?;
        fs::copy(path, kernel.join(name))?;
    }
    let image = found(&tree.join("boot"), &|it| it.starts_with("vmlinuz"));
    // The kernel comes last: where it is, everything is.
    fs::copy(image.context("the package has no kernel")?, kernel.join("vmlinuz.new"))?;
    Ok(fs::rename(kernel.join("vmlinuz.new"), kernel.join("vmlinuz"))?)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
