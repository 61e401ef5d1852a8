//! A Network User's project: what is to be deployed, in one readable file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::{Constraints, Hardware, InstanceType};
use serde::Deserialize;

use crate::{
    package::{NotImaged, Package, image_of},
    pinned::{self, NotPinned},
    rights::{Form, Rights},
};

/// A project file, `tamarack.toml`. Paths are relative to it; unknown members are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The TA's name: its component is `[owner, name]`.
    pub name: String,
    /// The packaging case of the draft, 1 to 5 (section 4).
    pub case: u8,
    /// The instance type.
    pub instance: InstanceType,
    /// Hardware families that will do. Default: any.
    #[serde(default)]
    pub hardware: Vec<Hardware>,
    /// The zone in which it has to run. Default: any.
    #[serde(default)]
    pub zone: Option<String>,
    /// For how many seconds an attestation of the running deployment counts, 60 to 86,400: the
    /// device is asked again before they are over. Default: nobody asks again.
    #[serde(default)]
    pub lease_s: Option<u64>,
    /// What else the place has to be like. Default: nothing.
    #[serde(default)]
    pub place: Constraints,
    /// The Trusted Application.
    pub ta: Ta,
    /// The Untrusted Application. Default: none.
    #[serde(default)]
    pub ua: Option<Ua>,
    /// The Personalization Data. A package that the M/OC owns has none.
    #[serde(default)]
    pub pd: Option<Pd>,
    /// Who owns the packages. Default: the Network User.
    #[serde(default)]
    pub owner: Owner,
    /// Where the project file lies.
    #[serde(skip)]
    directory: PathBuf,
}

/// A Trusted Application: exactly one of `module`, `program`, `image` and `package`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ta {
    /// A WebAssembly component of the world `tamarack:ta/trusted-application`.
    #[serde(default)]
    pub module: Option<PathBuf>,
    /// A static program for the device's architecture.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// An OCI image layout in a tar archive, for `instance = "container"`. Without one, an image
    /// is made of the module or the program.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// A package that another owner signed, with its payload beside it under its digest, as
    /// `tamarack package build` writes them. Only in the cases 3 and 5.
    #[serde(default)]
    pub package: Option<PathBuf>,
    /// The pin of that package: SHA-256 of its manifest, hexadecimal. Without it, another owner's
    /// TA gets no Personalization Data.
    #[serde(default)]
    pub manifest: Option<String>,
    /// The manifest's sequence number; it must grow with each release. Default: 1.
    #[serde(default = "one")]
    pub sequence: u64,
}

/// An Untrusted Application.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ua {
    /// A program for the device's REE, or an OCI image where `[ua.rights]` says so.
    pub program: PathBuf,
    /// Its arguments; `{ta}` stands for the TA's component (`OWNER/NAME`).
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What it may use of the device. Without it, it is a process with the whole network.
    #[serde(default)]
    pub rights: Option<Rights>,
    /// The manifest's sequence number; it must grow with each release. Default: 1.
    #[serde(default = "one")]
    pub sequence: u64,
    /// Where callers find it; goes into the call ticket.
    #[serde(default)]
    pub address: Option<String>,
}

/// Personalization Data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pd {
    /// The data, given to the TA as it is.
    pub file: PathBuf,
    /// Public keys (COSE_Key) of those who may call the TA. Default: nobody.
    #[serde(default)]
    pub callers: Vec<PathBuf>,
    /// The relay of the device's Broker, `HOST:PORT`: the data flows live, past the M/OC, whatever
    /// its size. Default: it travels in a package, through the M/OC.
    #[serde(default)]
    pub relay: Option<String>,
}

/// Why a project cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A file does not read.
    #[error("{what} `{path}` does not read")]
    File {
        /// Which file of the project.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the machine said.
        #[source]
        source: std::io::Error,
    },
    /// The project file does not parse.
    #[error("the project file `{path}` is not what it should be")]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The draft has no such case.
    #[error("case {0} is not one of the draft's cases 1 to 5 (section 4)")]
    Case(u8),
    /// The TA is not said, or said twice.
    #[error("`[ta]` must name exactly one of `module`, `program`, `image` and `package`")]
    Content,
    /// Another owner's TA cannot be used.
    #[error(transparent)]
    Pinned(#[from] NotPinned),
    /// An image for an instance that is no container.
    #[error("`[ta] image` needs `instance = \"container\"`")]
    ImageInstance,
    /// No image can be made of the TA.
    #[error("no image can be made of the TA")]
    Image(#[from] NotImaged),
    /// A part that the case has is not in the project.
    #[error("case {case} is {packages} (draft section 4.{case}): the project has no [{part}]")]
    Missing {
        /// The case.
        case: u8,
        /// Its packages.
        packages: &'static str,
        /// The table that is missing.
        part: &'static str,
    },
    /// The project has no such package.
    #[error("the project has no package {0}")]
    NotInCase(&'static str),
    /// The hardware cannot host the instance type.
    #[error(
        "{instance} does not exist on {hardware}: figure {figure} of the draft has no such cell"
    )]
    NoCell {
        /// What was asked for.
        instance: InstanceType,
        /// Where.
        hardware: Hardware,
        /// The figure of the case.
        figure: u8,
    },
    /// A package of the Network M/OC with Personalization Data.
    #[error(
        "the Network M/OC owns this package, so it must hold no Personalization Data (draft \
         section 2.1): remove [pd], or sign with a key of the Network User"
    )]
    DataOfTheMoc,
    /// The name cannot be a component name.
    #[error("`name = {0:?}` must be 1 to 48 characters of a-z, 0-9 and `-`")]
    Name(String),
}

impl Project {
    /// Reads a project file.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        let text = fs::read_to_string(path).map_err(|source| Unusable::File {
            what: "the project file",
            path: path.to_path_buf(),
            source,
        })?;
        let mut project: Self = toml::from_str(&text).map_err(|source| Unusable::Parse {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        project.directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        project.check_case()?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=48).contains(&project.name.len()) || !project.name.chars().all(plain) {
            return Err(Unusable::Name(project.name));
        }
        Ok(project)
    }

    /// Compares the project with the figure of its case.
    fn check_case(&self) -> Result<(), Unusable> {
        let case = self.case;
        let packages = packages(case).ok_or(Unusable::Case(case))?;
        if self.ua.is_none() && matches!(case, 1 | 2 | 5) {
            return Err(Unusable::Missing { case, packages, part: "ua" });
        }
        match (self.owner, &self.pd) {
            (Owner::Moc, Some(_)) => return Err(Unusable::DataOfTheMoc),
            (Owner::NetworkUser, None) => {
                return Err(Unusable::Missing { case, packages, part: "pd" });
            }
            (Owner::Moc, None) | (Owner::NetworkUser, Some(_)) => {}
        }
        let instance = self.instance;
        for hardware in &self.hardware {
            if !hardware.hosts(instance) {
                let (hardware, figure) = (*hardware, case + 1);
                return Err(Unusable::NoCell { instance, hardware, figure });
            }
        }
        Ok(())
    }

    /// What the TA's component holds: a module, a program, or for a container an image.
    ///
    /// # Errors
    /// [`Unusable::File`], [`Unusable::Image`].
    pub fn ta_content(&self) -> Result<Vec<u8>, Unusable> {
        let container = self.instance == InstanceType::Container;
        let Ta { module, program, image, package: None, .. } = &self.ta else {
            return Err(Unusable::Content);
        };
        match (module, program, image) {
            (Some(module), None, None) => {
                let module = self.file("the TA's module", module)?;
                if container { Ok(image_of(module)?) } else { Ok(module) }
            }
            (None, Some(program), None) => {
                let program = self.file("the TA's program", program)?;
                if container { Ok(image_of(program)?) } else { Ok(program) }
            }
            (None, None, Some(image)) if container => self.file("the TA's image", image),
            (None, None, Some(_)) => Err(Unusable::ImageInstance),
            _ => Err(Unusable::Content),
        }
    }

    /// The TA as its own owner signed it, when that is not the Network User.
    ///
    /// # Errors
    /// [`Unusable::File`], [`Unusable::Pinned`].
    pub fn pinned_ta(&self) -> Result<Option<Package>, Unusable> {
        let Ta { module, program, image, package, manifest, .. } = &self.ta;
        let Some(package) = package else { return Ok(None) };
        if module.is_some() || program.is_some() || image.is_some() {
            return Err(Unusable::Content);
        }
        if !matches!(self.case, 3 | 5) {
            return Err(NotPinned::Bundled(self.case).into());
        }
        let envelope = self.file("the TA's package", package)?;
        let payload = |sha256: &str| self.file("the TA's payload", &package.with_file_name(sha256));
        pinned::open(envelope, manifest.as_deref(), &payload).map(Some)
    }

    /// The UA's program.
    ///
    /// # Errors
    /// [`Unusable::File`].
    pub fn ua_program(&self, ua: &Ua) -> Result<Vec<u8>, Unusable> {
        let program = self.file("the UA's program", &ua.program)?;
        let container = ua.rights.as_ref().is_some_and(|it| it.instance == Some(Form::Container));
        // Anything else than a program is an image already; the device judges it.
        if container && program.starts_with(b"\x7fELF") {
            return Ok(image_of(program)?);
        }
        Ok(program)
    }

    /// The Personalization Data.
    ///
    /// # Errors
    /// [`Unusable::File`].
    pub fn pd(&self) -> Result<Vec<u8>, Unusable> {
        let pd = self.data()?;
        self.file("the Personalization Data", &pd.file)
    }

    /// The Personalization Data, to be read as it flows, and the relay that it flows through.
    ///
    /// # Errors
    /// [`Unusable::File`].
    pub fn live(&self) -> Result<Option<(fs::File, &str)>, Unusable> {
        let Some(pd) = &self.pd else { return Ok(None) };
        let Some(relay) = &pd.relay else { return Ok(None) };
        let path = self.directory.join(&pd.file);
        let what = "the Personalization Data";
        let file = fs::File::open(&path);
        let file = file.map_err(|source| Unusable::File { what, path, source })?;
        Ok(Some((file, relay)))
    }

    /// Whether live data needs no manifest beside it: it is alone in its package (cases 2 and 3),
    /// and the owner of the TA is its own.
    #[must_use]
    pub fn pushes(&self) -> bool {
        matches!(self.case, 2 | 3) && self.ta.package.is_none()
    }

    /// The callers' public keys, as COSE_Key bytes.
    ///
    /// # Errors
    /// [`Unusable::File`].
    pub fn callers(&self) -> Result<Vec<Vec<u8>>, Unusable> {
        let pd = self.data()?;
        pd.callers.iter().map(|path| self.file("a caller's key", path)).collect()
    }

    /// The description of the Personalization Data.
    fn data(&self) -> Result<&Pd, Unusable> {
        let case = self.case;
        let packages = packages(case).ok_or(Unusable::Case(case))?;
        self.pd.as_ref().ok_or(Unusable::Missing { case, packages, part: "pd" })
    }

    /// Where the project file lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, what: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
        let path = self.directory.join(path);
        fs::read(&path).map_err(|source| Unusable::File { what, path, source })
    }
}

/// Who owns a package (draft section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The Network User.
    #[default]
    NetworkUser,
    /// The TAM, that is the Network M/OC; there is no Personalization Data in it.
    Moc,
}

/// The packages of a case, as its figure writes them.
const fn packages(case: u8) -> Option<&'static str> {
    Some(match case {
        1 => "(UA,TA,PD)",
        2 => "(UA,TA) (PD)",
        3 => "(TA) (PD), with or without (UA)",
        4 => "(TA,PD), with or without (UA)",
        5 => "(UA,PD) (TA)",
        _ => return None,
    })
}

const fn one() -> u64 {
    1
}
