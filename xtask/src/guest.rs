//! Images of confidential VMs: kernel, initial RAM disk with the Agent as its first program,
//! command line, and firmware, one directory for each processor.
//!
//! An image depends on nothing but the tree, the compiler and the kernel's package, so whoever
//! builds it again can compare.

mod cpio;
mod kernel;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::{build, run};
use cpio::Cpio;
pub(crate) use kernel::is_root;

/// The processors of guests.
pub(crate) const PROCESSORS: [Processor; 2] = [
    Processor {
        name: "x86_64",
        debian: "amd64",
        target: "x86_64-unknown-linux-gnu",
        compiler: "x86_64-linux-gnu-gcc",
        random_instruction: true,
        console: "ttyS0",
        firmware: Some("/usr/share/seabios/bios-256k.bin"),
    },
    Processor {
        name: "aarch64",
        debian: "arm64",
        target: "aarch64-unknown-linux-gnu",
        compiler: "aarch64-linux-gnu-gcc",
        random_instruction: false,
        console: "ttyAMA0",
        firmware: None,
    },
];

/// What differs between guests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processor {
    /// As the compiler calls it.
    pub(crate) name: &'static str,
    /// As Debian calls it.
    pub(crate) debian: &'static str,
    /// The compiler's target.
    pub(crate) target: &'static str,
    /// The C compiler and linker for it.
    pub(crate) compiler: &'static str,
    /// Whether every one of them has an instruction for random numbers, which the host cannot
    /// influence: it seeds the guest's kernel and, beside that, the Agent's generator. Without
    /// one the generator measures the jitter of the processor, under an interpreted one for some
    /// hundreds of milliseconds in each process.
    random_instruction: bool,
    console: &'static str,
    firmware: Option<&'static str>,
}

/// Builds the images that can be built here; says of the others why not.
pub(crate) fn all(show: build::Show) -> Result<PathBuf> {
    only(show, None)
}

/// The same for one processor alone, if one is named.
pub(crate) fn only(show: build::Show, name: Option<&str>) -> Result<PathBuf> {
    let images = build::target_directory()?.join("images");
    let mut ready = Vec::new();
    for processor in PROCESSORS.into_iter().filter(|it| name.is_none_or(|name| name == it.name)) {
        match processor.lacks(&images) {
            None => ready.push(processor),
            Some(reason) => {
                // An image of an earlier day must not stand in for what cannot be built.
                let _absent = fs::remove_dir_all(images.join(processor.name));
                anstream::eprintln!("no image of an {} guest: {reason}", processor.name);
            }
        }
    }
    if ready.is_empty() {
        return Ok(images);
    }
    let agents = agents(&ready, show).context("building the Agent for guests")?;
    for (processor, agent) in ready.iter().zip(agents) {
        processor
            .image(&images, &agent)
            .with_context(|| format!("making the image of an {} guest", processor.name))?;
    }
    Ok(images)
}

/// Builds the Agent, static, for each processor.
fn agents(processors: &[Processor], show: build::Show) -> Result<Vec<PathBuf>> {
    let mut cargo = build::cargo_build(show);
    cargo.args(["--profile", "guest", "--package", "tamarack-agent", "--bin", "tamarack-agent"]);
    // Flags for all targets would win over those for one.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    for processor in processors {
        let target = processor.target;
        cargo.args(["--target", target]);
        let variable = target.to_uppercase().replace('-', "_");
        let flags = format!(
            "-C target-feature=+crt-static --remap-path-prefix={}=.",
            run::root().display()
        );
        cargo.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), flags);
        if processor.random_instruction {
            let jitter = format!("AWS_LC_SYS_NO_JITTER_ENTROPY_{}", target.replace('-', "_"));
            cargo.env(jitter, "1");
        }
        if processor.name != std::env::consts::ARCH {
            cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), processor.compiler);
            cargo.env(format!("CC_{}", target.replace('-', "_")), processor.compiler);
        }
    }
    run::must(&mut cargo)?;
    let directory = build::target_directory()?;
    let agent =
        |processor: &Processor| directory.join(processor.target).join("guest/tamarack-agent");
    Ok(processors.iter().map(agent).collect())
}

impl Processor {
    /// Whether this is a processor of this machine, too.
    pub(crate) fn is_native(&self) -> bool {
        self.name == std::env::consts::ARCH
    }

    /// The program that runs guests.
    pub(crate) fn qemu(&self) -> String {
        format!("qemu-system-{}", self.name)
    }

    /// What this machine lacks to build and run guests, if it lacks something.
    pub(crate) fn lacks(&self, images: &Path) -> Option<String> {
        let setup = "`cargo xtask setup` gets it";
        if !is_program(&self.qemu()) {
            return Some(format!("there is no {}; {setup}", self.qemu()));
        }
        if !self.is_native() && !is_program(self.compiler) {
            return Some(format!("there is no {}; {setup}", self.compiler));
        }
        if !build::has_target(self.target).unwrap_or(false) {
            return Some(format!("the compiler lacks the target {}; {setup}", self.target));
        }
        if let Some(firmware) = self.firmware.filter(|path| !Path::new(path).is_file()) {
            return Some(format!("there is no {firmware}; {setup}"));
        }
        let kernel = kernel::directory(images, self);
        (!kernel.join("vmlinuz").is_file()).then(|| format!("there is no kernel; {setup}"))
    }

    /// Gets the kernel, if it is not there yet.
    pub(crate) fn get_kernel(&self, images: &Path) -> Result<bool> {
        kernel::get(images, self)
    }

    fn image(&self, images: &Path, agent: &Path) -> Result<()> {
        let image = images.join(self.name);
        fs::create_dir_all(&image)?;
        let kernel = kernel::directory(images, self);
        put(&image.join("kernel"), &fs::read(kernel.join("vmlinuz"))?)?;
        put(&image.join("initrd"), &initrd(&kernel, agent)?)?;
        if let Some(firmware) = self.firmware {
            put(&image.join("firmware"), &fs::read(firmware)?)?;
        }
        let line = format!("console={} {COMMAND_LINE}", self.console);
        let manifest = json!({ "architecture": self.name, "command_line": line });
        put(&image.join("image.json"), format!("{manifest:#}\n").as_bytes())
    }
}

/// The Agent as `/init`, and the drivers of its serial port in the order in which they go in.
fn initrd(kernel: &Path, agent: &Path) -> Result<Vec<u8>> {
    let mut cpio = Cpio::new();
    cpio.directory("dev");
    cpio.character_device("dev/console", 5, 1);
    cpio.directory("drivers");
    for (place, driver) in kernel::DRIVERS.iter().enumerate() {
        let bytes = fs::read(kernel.join(format!("{driver}.ko")))?;
        cpio.file(&format!("drivers/{place:02}-{driver}.ko"), 0o644, &bytes);
    }
    let bytes = fs::read(agent).with_context(|| format!("reading {}", agent.display()))?;
    cpio.file("init", 0o755, &bytes);
    let digest = run::output(Command::new("sha256sum").arg(agent))?;
    let digest = digest.split_whitespace().next().context("sha256sum printed nothing")?;
    cpio.file("init.sha256", 0o644, digest.as_bytes());
    Ok(cpio.finish())
}

/// Writes a file that others may be reading.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, bytes)?;
    fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

/// Whether a program is on this machine.
pub(crate) fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Runs a program of the system quietly, and shows what it said when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    if !output.status.success() {
        bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// What makes a boot under an emulated processor short. Everything here is measured. The first
/// line is for every guest; the second is for guests whose host is emulated anyway, and leaves out
/// protections (`mitigations`, `kaslr`) that a profile for real hardware keeps; the list leaves out
/// what the kernel would set up and nobody uses.
const COMMAND_LINE: &str = "quiet panic=-1 8250.nr_uarts=1 ipv6.disable=1 random.trust_cpu=on \
    mitigations=off nokaslr audit=0 apparmor=0 selinux=0 cryptomgr.notests nowatchdog \
    rcupdate.rcu_expedited=1 \
    initcall_blacklist=bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,bpf_sockmap_iter_init,\
    jent_mod_init,load_system_certificate_list,init_ima,init_encrypted,sed_opal_init,\
    trace_eval_init,slab_sysfs_init,crypto_kdf108_init,inet6_init";
