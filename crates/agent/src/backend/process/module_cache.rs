//! Machine code of modules, made on this device and kept for the next start.
//!
//! A device runs code that it compiled itself, from a module whose digest its owner signed, and no
//! other: what is on the disk of the REE counts only when it opens under a key of this TEE. A
//! worker hands its code over before the first instruction of the module runs, so a module can at
//! most spoil the code that is kept under its own digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::seal::Sealer;
use crate::store::Disk;

/// Compiled modules by the SHA-256 digest of the module.
#[derive(Default)]
pub struct ModuleCache {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    memory: BTreeMap<[u8; 32], Arc<Vec<u8>>>,
    disk: Option<(Box<dyn Disk>, Sealer)>,
}

impl ModuleCache {
    /// A cache that outlives the agent, on this disk and sealed.
    pub fn on(disk: Box<dyn Disk>, sealer: Sealer) -> Self {
        Self { inner: Mutex::new(Inner { memory: BTreeMap::new(), disk: Some((disk, sealer)) }) }
    }

    /// The code of a module, if this device made it before.
    pub(in crate::backend) fn get(&self, module: [u8; 32]) -> Option<Arc<Vec<u8>>> {
        let mut inner = self.lock();
        if let Some(code) = inner.memory.get(&module) {
            return Some(Arc::clone(code));
        }
        let (disk, sealer) = inner.disk.as_ref()?;
        let name = name(module);
        let sealed = disk.read(&name).ok().flatten()?;
        let Ok(code) = sealer.open(&name, &sealed) else {
            warn!(name, "compiled code that this device did not make is passed over");
            return None;
        };
        let code = Arc::new(code.to_vec());
        inner.remember(module, Arc::clone(&code));
        Some(code)
    }

    /// Keeps the code of a module.
    pub(in crate::backend) fn put(&self, module: [u8; 32], code: Vec<u8>) {
        let mut inner = self.lock();
        let name = name(module);
        if let Some((disk, sealer)) = &mut inner.disk {
            let kept = disk.put(&name, &sealer.seal(&name, &code)).and_then(|()| {
                // The disk may be that of the store, which has files of its own.
                let other = |n: &String| *n != name && n.ends_with(CODE);
                let old: Vec<String> = disk.names()?.into_iter().filter(other).collect();
                let many = (old.len() + 1).saturating_sub(MODULES_MAX);
                old.iter().take(many).try_for_each(|name| disk.remove(name))
            });
            if let Err(error) = kept {
                warn!(%error, "compiled code is not kept");
            }
        }
        inner.remember(module, Arc::new(code));
    }

    /// Forgets code that the engine does not take, as after its update.
    pub(in crate::backend) fn forget(&self, module: [u8; 32]) {
        let mut inner = self.lock();
        inner.memory.remove(&module);
        if let Some((disk, _)) = &mut inner.disk {
            let _ = disk.remove(&name(module));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked with the lock held left a cache that lacks something at worst.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, module: [u8; 32], code: Arc<Vec<u8>>) {
        if self.memory.len() >= MODULES_MAX {
            self.memory.pop_first();
        }
        self.memory.insert(module, code);
    }
}

impl std::fmt::Debug for ModuleCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleCache").field("modules", &self.lock().memory.len()).finish()
    }
}

fn name(module: [u8; 32]) -> String {
    format!("{}{CODE}", hex::encode(module))
}

/// How the names of compiled modules end.
const CODE: &str = ".code";

/// Modules whose code is kept; the code of others is made again.
const MODULES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use device::tee::SealingKey;

    use super::*;
    use crate::store::Folder;

    #[test]
    fn code_of_this_device_survives_its_agent_and_any_other_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path(), 1).put([7; 32], b"code".to_vec());

        assert_eq!(cache(folder.path(), 1).get([7; 32]).unwrap().as_slice(), b"code");
        assert!(cache(folder.path(), 2).get([7; 32]).is_none(), "of another device");
        let file = folder.path().join(name([7; 32]));
        std::fs::copy(&file, folder.path().join(name([8; 32]))).unwrap();
        assert!(cache(folder.path(), 1).get([8; 32]).is_none(), "of another module");
        let mut sealed = std::fs::read(&file).unwrap();
        sealed[20] ^= 1;
        std::fs::write(&file, sealed).unwrap();
        assert!(cache(folder.path(), 1).get([7; 32]).is_none(), "changed on the disk");
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_number_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let modules = cache(folder.path(), 1);
        for number in 0..20 {
            modules.put([number; 32], vec![number]);
        }
        modules.forget([19; 32]);

        assert!(modules.get([19; 32]).is_none());
        assert!(modules.get([18; 32]).is_some());
        assert!(std::fs::read_dir(folder.path()).unwrap().count() <= MODULES_MAX);
    }

    #[test]
    fn files_that_are_no_code_are_let_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("content-0");
        std::fs::write(&store, b"of the store").unwrap();
        let modules = cache(folder.path(), 1);

        for number in 0..20 {
            modules.put([number; 32], vec![number]);
        }

        assert_eq!(std::fs::read(&store).unwrap(), b"of the store");
    }

    fn cache(path: &std::path::Path, device: u8) -> ModuleCache {
        let sealer = Sealer::new(&SealingKey::new([device; 32]));
        ModuleCache::on(Box::new(Folder::open(path).unwrap()), sealer)
    }
}
