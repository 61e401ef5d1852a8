//! Trusted Applications as containers: an OCI image, in namespaces of its own.
//!
//! ```text
//! agent ── launcher (new namespaces) ── custodian, first process inside ── application
//! ```
//!
//! The image is checked and taken apart by the agent, and travels to the custodian as a sealed
//! file without a name. The custodian puts it into a file system in memory that only this
//! container sees, makes that the root, and takes the rights away with which it did so. Nothing
//! is ever written to a disk of the REE, and nothing is left when the first process ends: mounts,
//! processes and memory go with the namespaces.

mod control_group;
mod image_store;
mod inside;
pub mod launcher;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rats::eat::InstanceType;

use super::process::instance::{Claimed, Code, Worker, load};
use super::process::{Form, Limits, ModuleCache};
use super::{Backend, Crash, Failed, Instance, Program};
use control_group::ControlGroup;
use image_store::ImageStore;

pub(crate) use image_store::IMAGE_BYTES_MAX;
pub(crate) use inside::prepare;

/// Starts containers, by a launcher that needs no other program on the machine.
#[derive(Debug)]
pub struct ContainerBackend {
    program: PathBuf,
    limits: Limits,
    images: ImageStore,
    cache: Arc<ModuleCache>,
    next: AtomicU32,
}

impl ContainerBackend {
    /// Containers whose first process is this program; a running agent names `/proc/self/exe`.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        let program = program.into();
        let (images, cache) = (ImageStore::default(), Arc::default());
        Self { program, limits, images, cache, next: AtomicU32::new(0) }
    }

    /// The same with another place for compiled modules than its own memory.
    pub fn with_cache(self, cache: Arc<ModuleCache>) -> Self {
        Self { cache, ..self }
    }

    fn spawn(&self, content: &File) -> Result<(Worker, Vec<String>), Crash> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let group = ControlGroup::make(&name, self.limits.memory_bytes_max);
        let mut command = Command::new(&self.program);
        let content = content.try_clone().map_err(|_| Crash::NotStarted)?;
        self.limits.arguments(command.arg("ta-container"), Form::Container);
        command.stdout(Stdio::from(OwnedFd::from(content)));
        if rustix::process::geteuid().is_root() {
            // No two containers have the same user, and none is one of the machine's.
            let user = USERS + (std::process::id() % 0x4000) * 0x100 + number % 0x100;
            command.uid(user).gid(user);
        }
        let mut worker = Worker::spawn(command, self.limits)?;
        let enforced = group.enter(worker.process_id());
        worker.keep(Box::new(group));
        // It waits for this, so that everything it starts is in its control group.
        worker.stream().write_all(&[launcher::GO]).map_err(|_| Crash::NotStarted)?;
        Ok((worker, enforced.into_iter().map(str::to_owned).collect()))
    }
}

impl Backend for ContainerBackend {
    fn start(&self, program: Program<'_>) -> Result<Box<dyn Instance>, Failed> {
        let image = self.images.open(program.module)?;
        let (worker, enforced) = self.spawn(&image.content)?;
        let code = image.component.map(|digest| Code { cache: &self.cache, digest, module: &[] });
        let claimed = Claimed {
            kind: InstanceType::Container,
            isolation: enforced,
            submodule: if code.is_some() { self.limits.submodule() } else { "native" },
            image: Some(image.id),
        };
        load(worker, program, code, claimed)
    }
}

/// The first of the users that containers have, far above those of people and services.
const USERS: u32 = 0x6000_0000;
