//! Where things lie on the stage.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The programs, as cargo built them.
#[derive(Clone, Debug)]
pub struct Programs {
    directory: PathBuf,
    guests: Option<PathBuf>,
    /// The Trusted Application's component.
    pub ta: PathBuf,
}

impl Programs {
    /// Programs in one directory, and the sample's Trusted Application.
    #[must_use]
    pub fn new(directory: &Path, ta: &Path) -> Self {
        Self { directory: directory.to_path_buf(), guests: None, ta: ta.to_path_buf() }
    }

    /// With images of confidential VMs, one directory for each processor.
    #[must_use]
    pub fn with_guests(self, guests: &Path) -> Self {
        Self { guests: Some(guests.to_path_buf()), ..self }
    }

    /// Where the images of confidential VMs lie.
    #[must_use]
    pub fn guests(&self) -> Option<&Path> {
        self.guests.as_deref()
    }

    /// The image of a guest for this processor, if there is one.
    #[must_use]
    pub fn guest(&self, processor: &str) -> Option<PathBuf> {
        let image = self.guests.as_ref()?.join(processor);
        image.join("image.json").is_file().then_some(image)
    }

    /// A program's path.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    /// Puts the sample's Trusted Application into a project's directory and returns the member of
    /// the project that names it.
    ///
    /// For a guest whose processor is interpreted it is the static program, where that was built: a
    /// component is compiled on the device, which takes an interpreter long.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn place_ta(&self, directory: &Path, processor: Option<&str>) -> Result<&'static str> {
        let program = processor.map(|it| self.path(&format!("route-planner-{it}")));
        let (from, name, member) = match program.filter(|program| program.is_file()) {
            Some(program) => (program, "route-planner", "program = \"route-planner\""),
            None => (self.ta.clone(), "route-planner.wasm", "module = \"route-planner.wasm\""),
        };
        fs::copy(&from, directory.join(name))
            .with_context(|| format!("copying {}", from.display()))?;
        Ok(member)
    }

    /// A command that runs a program.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        Command::new(self.path(program))
    }
}

/// A directory for each party.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// A layout below a directory.
    ///
    /// # Errors
    /// The directory exists and holds something, or cannot be made.
    pub fn below(root: &Path) -> Result<Self> {
        if root.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty; name a new directory", root.display());
        }
        fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("finding {}", root.display()))?;
        Ok(Self { root })
    }

    pub(crate) fn create(&self) -> Result<()> {
        for part in ["logs", "moc", "release", "vendor"] {
            fs::create_dir_all(self.root.join(part))?;
        }
        Ok(())
    }

    /// The emulated hardware vendor.
    #[must_use]
    pub fn vendor(&self) -> PathBuf {
        self.root.join("vendor")
    }

    /// The list of the emulated vendors' anchors.
    #[must_use]
    pub fn anchors(&self) -> PathBuf {
        self.vendor().join("anchors.toml")
    }

    /// The Network M/OC.
    #[must_use]
    pub fn moc(&self) -> PathBuf {
        self.root.join("moc")
    }

    /// Another operator's Network M/OC.
    #[must_use]
    pub fn second_moc(&self) -> PathBuf {
        self.root.join("moc-2")
    }

    /// The release signer's key and reference values.
    #[must_use]
    pub fn release(&self) -> PathBuf {
        self.root.join("release")
    }

    /// A device: its TEE's state and its REE's disk.
    #[must_use]
    pub fn device(&self, name: &str) -> PathBuf {
        self.root.join("devices").join(name)
    }

    /// A Network User.
    #[must_use]
    pub fn user(&self, name: &str) -> PathBuf {
        self.root.join("users").join(name)
    }

    /// Where a program's log goes.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(name).with_extension("log")
    }

    /// What the operator holds, of all devices only this one.
    #[must_use]
    pub fn held_by_operator_of(&self, device: &str) -> Vec<PathBuf> {
        vec![self.moc(), self.root.join("logs"), self.device(device)]
    }

    /// What the operator holds: the M/OC and everything of each device's REE, not the Network
    /// User's home and not the inside of a TEE.
    #[must_use]
    pub fn held_by_operator(&self) -> Vec<PathBuf> {
        let mut held = vec![self.moc(), self.root.join("logs")];
        let devices = fs::read_dir(self.root.join("devices")).into_iter().flatten().flatten();
        held.extend(devices.map(|entry| entry.path()));
        held
    }
}
