//! Whether KVM is to be used: a boot decides, not the presence of `/dev/kvm`.
//!
//! There are hosts where the device opens, a machine can be made, and no guest ever comes up. So
//! the first boot with KVM gets a few seconds to its greeting; the verdict is remembered for as
//! long as the host and its QEMU stay the same.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::image::Architecture;
use super::qemu::Accelerator;
use crate::disk::{self, Access};

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wish {
    /// KVM if a guest comes up with it, else TCG.
    #[default]
    Auto,
    /// KVM, whatever was found out before.
    Kvm,
    /// QEMU's own interpreter.
    Tcg,
}

/// How a machine is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// With this.
    Known(Accelerator),
    /// With KVM for [`TRIAL`]; what happens is to be told to [`Verdict::remember`].
    Trial,
}

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// For which host and QEMU it was found.
    pub of: String,
    /// Whether a guest came up.
    pub kvm: bool,
}

/// How long a guest may take to greet in a trial of KVM.
pub const TRIAL: Duration = Duration::from_secs(3);

/// Chooses for guests of this processor.
pub fn choose(wish: Wish, guest: Architecture, qemu: &Path, cache: &Path) -> Choice {
    match wish {
        Wish::Kvm => return Choice::Known(Accelerator::Kvm),
        Wish::Tcg => return Choice::Known(Accelerator::Tcg),
        Wish::Auto => {}
    }
    let opens = || OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    if Architecture::of_host() != Some(guest) || !opens() {
        return Choice::Known(Accelerator::Tcg);
    }
    match Verdict::recall(qemu, cache) {
        Some(Verdict { kvm: true, .. }) => Choice::Known(Accelerator::Kvm),
        Some(Verdict { kvm: false, .. }) => Choice::Known(Accelerator::Tcg),
        None => Choice::Trial,
    }
}

impl Verdict {
    /// What was found out for this QEMU on this host since it was started.
    pub fn recall(qemu: &Path, cache: &Path) -> Option<Self> {
        let verdict: Option<Self> = disk::read_json(&cache.join(FILE)).ok()?;
        verdict.filter(|verdict| Some(&verdict.of) == host(qemu).as_ref())
    }

    /// Keeps what a trial showed; a cache that cannot be written costs the next start a trial.
    pub fn remember(kvm: bool, qemu: &Path, cache: &Path) {
        let Some(of) = host(qemu) else { return };
        let kept = disk::create_dir(cache, Access::Private)
            .and_then(|()| disk::write_json(&cache.join(FILE), &Self { of, kvm }));
        if let Err(error) = kept {
            tracing::warn!(%error, "the trial of KVM is forgotten");
        }
    }
}

/// Where verdicts are kept unless something else is said.
pub fn default_cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("tamarack")
}

/// This start of this host, with this QEMU.
fn host(qemu: &Path) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let file = fs::metadata(qemu).ok()?;
    Some(format!("{} {} {}", boot.trim(), file.len(), file.mtime()))
}

const FILE: &str = "kvm.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_for_the_qemu_it_was_found_with() {
        let cache = tempfile::tempdir().unwrap();
        let qemu = cache.path().join("qemu");
        fs::write(&qemu, "one").unwrap();
        assert_eq!(Verdict::recall(&qemu, cache.path()), None);

        Verdict::remember(false, &qemu, cache.path());
        assert!(Verdict::recall(&qemu, cache.path()).is_some_and(|verdict| !verdict.kvm));

        fs::write(&qemu, "another").unwrap();
        assert_eq!(Verdict::recall(&qemu, cache.path()), None);
    }

    #[test]
    fn a_guest_for_another_processor_is_never_tried_with_kvm() {
        let cache = tempfile::tempdir().unwrap();
        let other = match Architecture::of_host() {
            Some(Architecture::X8664) => Architecture::Aarch64,
            _ => Architecture::X8664,
        };

        let choice = choose(Wish::Auto, other, Path::new("/dev/null"), cache.path());

        assert_eq!(choice, Choice::Known(Accelerator::Tcg));
    }

    #[test]
    fn what_the_user_asks_for_is_not_second_guessed() {
        let (qemu, cache) = (Path::new("/dev/null"), Path::new("/nonexistent"));
        for architecture in [Architecture::Aarch64, Architecture::X8664] {
            let choice = |wish| choose(wish, architecture, qemu, cache);
            assert_eq!(choice(Wish::Kvm), Choice::Known(Accelerator::Kvm));
            assert_eq!(choice(Wish::Tcg), Choice::Known(Accelerator::Tcg));
        }
    }
}
