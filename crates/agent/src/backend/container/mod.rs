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
//!
//! With `container_runtime` in the settings an OCI runtime of the machine makes the container of a
//! native program instead ([`runtime`]); a component is still run by its custodian, which is
//! container enough for it.

mod bundle;
mod control_group;
mod image_store;
mod inside;
pub mod launcher;
mod runtime;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rats::eat::InstanceType;

use super::process::instance::{Claimed, Code, Worker, load};
use super::process::{Form, Limits, ModuleCache};
use super::{Backend, Crash, Failed, Instance, Program};
use crate::attester::RuntimeRegister;
use control_group::ControlGroup;
use image_store::ImageStore;

pub(crate) use image_store::IMAGE_BYTES_MAX;
pub(crate) use inside::prepare;
use runtime::Runtime;
pub use runtime::RuntimeFailed;

/// Starts containers, by a launcher that needs no other program on the machine.
#[derive(Debug)]
pub struct ContainerBackend {
    program: PathBuf,
    limits: Limits,
    images: ImageStore,
    cache: Arc<ModuleCache>,
    next: AtomicU32,
    runtime: Option<Result<Arc<Runtime>, RuntimeFailed>>,
    register: Option<Arc<RuntimeRegister>>,
}

impl ContainerBackend {
    /// Containers whose first process is this program; a running agent names `/proc/self/exe`.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        let program = program.into();
        let (images, cache) = (ImageStore::default(), Arc::default());
        let next = AtomicU32::new(0);
        Self { program, limits, images, cache, next, runtime: None, register: None }
    }

    /// The same, with each image measured into this register before its container starts.
    pub fn with_register(self, register: Arc<RuntimeRegister>) -> Self {
        Self { register: Some(register), ..self }
    }

    /// The same with native programs in containers of this OCI runtime. One that cannot be used
    /// is the answer to every start of such a program; components start all the same.
    pub fn with_runtime(self, program: &Path) -> Self {
        Self { runtime: Some(Runtime::open(program).map(Arc::new)), ..self }
    }

    /// The same with another place for compiled modules than its own memory.
    pub fn with_cache(self, cache: Arc<ModuleCache>) -> Self {
        Self { cache, ..self }
    }

    /// A custodian in a container of our own launcher.
    fn launch(&self, content: &File) -> Result<(Worker, Vec<&'static str>), Crash> {
        let (group, user) = self.next();
        let mut command = Command::new(&self.program);
        let content = content.try_clone().map_err(|_| Crash::NotStarted)?;
        self.limits.arguments(command.arg("ta-container"), Form::Container);
        command.stdout(Stdio::from(OwnedFd::from(content)));
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut worker = Worker::spawn(command, self.limits)?;
        let enforced = group.enter(worker.process_id());
        worker.keep(Box::new(group));
        // It waits for this, so that everything it starts is in its control group.
        worker.stream().write_all(&[launcher::GO]).map_err(|_| Crash::NotStarted)?;
        Ok((worker, enforced))
    }

    /// A custodian beside a container of an OCI runtime.
    fn run(
        &self,
        runtime: &Arc<Runtime>,
        content: &File,
    ) -> Result<(Worker, Vec<&'static str>), Failed> {
        let (group, user) = self.next();
        let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let limits = self.limits.of_program();
        let (contained, socket, enforced) = runtime.start(content, user, limits, group)?;
        let mut command = Command::new(&self.program);
        self.limits.arguments(command.arg("ta-worker"), Form::Started);
        command.stdout(Stdio::from(OwnedFd::from(socket)));
        let mut worker = Worker::spawn(command, self.limits)?;
        worker.keep(Box::new(contained));
        Ok((worker, enforced))
    }

    /// The control group of the next container, and its user where there is a choice: no two
    /// containers have the same, and none is one of the machine's.
    fn next(&self) -> (ControlGroup, Option<u32>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let user = USERS + (std::process::id() % 0x4000) * 0x100 + number % 0x100;
        let user = rustix::process::geteuid().is_root().then_some(user);
        (ControlGroup::make(&name, self.limits.memory_bytes_max), user)
    }
}

impl Backend for ContainerBackend {
    fn start(&self, program: Program<'_>) -> Result<Box<dyn Instance>, Failed> {
        let image = self.images.open(program.module)?;
        if let Some(register) = &self.register {
            register.measure(&program.manifest_digest, &image.id)?;
        }
        let (worker, enforced) = match (&self.runtime, image.component) {
            (Some(Ok(runtime)), None) => self.run(runtime, &image.content)?,
            (Some(Err(failed)), None) => return Err(failed.clone().into()),
            (Some(_) | None, _) => self.launch(&image.content)?,
        };
        let code = image.component.map(|digest| Code { cache: &self.cache, digest, module: &[] });
        let claimed = Claimed {
            kind: InstanceType::Container,
            isolation: enforced.into_iter().map(str::to_owned).collect(),
            submodule: if code.is_some() { self.limits.submodule() } else { "native" },
            image: Some(image.id),
        };
        load(worker, program, code, claimed)
    }
}

/// The first of the users that containers have, far above those of people and services.
const USERS: u32 = 0x6000_0000;
