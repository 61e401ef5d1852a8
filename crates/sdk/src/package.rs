//! Packages: signed SUIT manifests of what the Network User owns.

use cose::{Signer, Thumbprint, sha256};
use device::broker::LIVE_SCHEME;
use suit::{
    Digest, Uuid,
    build::{
        Built, Compatibility, Delivery, Description, Name, Payload, Pd, Root, Ta, Ua, Unbuildable,
        Uri,
    },
};

use api::InstanceType;
use rats::eat;

use crate::rights::Invocation;

/// The sizes above which a payload is fetched by URI instead of travelling in its envelope, bytes.
pub const INTEGRATED_BYTES_MAX: usize = 16 * 1024;

/// A signed package and the payload that is fetched apart from it.
#[derive(Clone, Debug)]
pub struct Package {
    /// The envelope, its identifiers and its manifest's digest.
    pub built: Built,
    /// What devices fetch by URI; empty when the envelope holds everything.
    pub blobs: Vec<Blob>,
}

/// A payload that is fetched by its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A package cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPackaged {
    /// The manifest cannot be built.
    #[error("the manifest cannot be built")]
    Manifest(#[from] Unbuildable),
    /// An argument list that is not representable.
    #[error("the arguments of the UA do not fit into its manifest")]
    Arguments(#[source] serde_json::Error),
}

/// Makes packages for one instance type, signed by one owner.
pub struct Packager<'a> {
    owner: &'a dyn Signer,
    instance: InstanceType,
    blob_uri: &'a dyn Fn(&str) -> String,
}

impl<'a> Packager<'a> {
    /// A packager; `blob_uri` says where devices find a payload of a given digest.
    #[must_use]
    pub fn new(
        owner: &'a dyn Signer,
        instance: InstanceType,
        blob_uri: &'a dyn Fn(&str) -> String,
    ) -> Self {
        Self { owner, instance, blob_uri }
    }

    /// A Trusted Application.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn ta(&self, name: &str, sequence: u64, module: Vec<u8>) -> Result<Package, NotPackaged> {
        self.place(module, |payload| {
            let ta = Ta::new(Name::new(name)?, sequence, self.compatibility(), payload);
            Ok(ta.invocable(None).described(words("Trusted Application")).sign(self.owner)?)
        })
    }

    /// An Untrusted Application with its arguments and rights.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn ua(
        &self,
        name: &str,
        sequence: u64,
        program: Vec<u8>,
        invocation: &Invocation,
    ) -> Result<Package, NotPackaged> {
        let arguments = invocation.encode().map_err(NotPackaged::Arguments)?;
        self.place(program, |payload| self.signed_ua(name, sequence, payload, &arguments))
    }

    /// Sealed Personalization Data for an application of this owner: ciphertext to everybody but
    /// its receiver.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn pd(
        &self,
        name: &str,
        of: Thumbprint,
        sequence: u64,
        sealed: Vec<u8>,
    ) -> Result<Package, NotPackaged> {
        self.place(sealed, |payload| self.signed_pd(name, of, sequence, payload))
    }

    /// The same of data that its owner gives live at the relay of the device's Broker: the package
    /// holds no ciphertext, only its digest.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn live_pd(
        &self,
        name: &str,
        of: Thumbprint,
        sequence: u64,
        sha256: [u8; 32],
        length: u64,
    ) -> Result<Package, NotPackaged> {
        let uri = Uri::new(&format!("{LIVE_SCHEME}:{}", hex::encode(sha256)))?;
        let payload = Payload::measured(uri, sha256, length);
        Ok(Package { built: self.signed_pd(name, of, sequence, payload)?, blobs: Vec::new() })
    }

    fn signed_pd(
        &self,
        name: &str,
        of: Thumbprint,
        sequence: u64,
        payload: Payload<'_>,
    ) -> Result<Built, NotPackaged> {
        let pd = Pd::new(Name::new(name)?, sequence, self.compatibility(), payload);
        let own = of == self.owner.key().thumbprint();
        let pd = if own { pd } else { pd.for_application_of(of) };
        Ok(pd.sign(self.owner)?)
    }

    /// A package of several manifests, which are processed in this order: a root manifest with
    /// the others as dependencies.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn bundle(
        &self,
        name: &str,
        sequence: u64,
        parts: &[&Package],
    ) -> Result<Package, NotPackaged> {
        let mut root = Root::new(Name::new(name)?, sequence, self.compatibility());
        for part in parts {
            root = root.with(&part.built, Delivery::Integrated);
        }
        let blobs = parts.iter().flat_map(|part| part.blobs.clone()).collect();
        Ok(Package { built: root.sign(self.owner)?, blobs })
    }

    /// An Untrusted Application whose program travels in its envelope, to be sealed as a whole.
    ///
    /// # Errors
    /// See [`NotPackaged`].
    pub fn whole_ua(
        &self,
        name: &str,
        sequence: u64,
        program: &[u8],
        invocation: &Invocation,
    ) -> Result<Package, NotPackaged> {
        let arguments = invocation.encode().map_err(NotPackaged::Arguments)?;
        let built = self.signed_ua(name, sequence, Payload::integrated(program), &arguments)?;
        Ok(Package { built, blobs: Vec::new() })
    }

    fn signed_ua(
        &self,
        name: &str,
        sequence: u64,
        payload: Payload<'_>,
        arguments: &[u8],
    ) -> Result<Built, NotPackaged> {
        let ua = Ua::new(Name::new(name)?, sequence, self.compatibility(), payload);
        let ua = ua.invocable(Some(arguments)).described(words("Untrusted Application"));
        Ok(ua.sign(self.owner)?)
    }

    fn place(
        &self,
        bytes: Vec<u8>,
        build: impl FnOnce(Payload<'_>) -> Result<Built, NotPackaged>,
    ) -> Result<Package, NotPackaged> {
        if bytes.len() <= INTEGRATED_BYTES_MAX {
            return Ok(Package { built: build(Payload::integrated(&bytes))?, blobs: Vec::new() });
        }
        let sha256 = hex::encode(sha256(&bytes));
        let uri = Uri::new(&(self.blob_uri)(&sha256))?;
        let built = build(Payload::at(uri, &bytes))?;
        Ok(Package { built, blobs: vec![Blob { sha256, bytes }] })
    }

    /// Vendor and class that fit every device of the instance type, whatever its hardware.
    fn compatibility(&self) -> Compatibility {
        let class = match self.instance {
            InstanceType::Process => eat::InstanceType::Process,
            InstanceType::Container => eat::InstanceType::Container,
            InstanceType::Vm => eat::InstanceType::Vm,
        };
        let uuid = |bytes| Uuid::new(bytes).expect("the constants are UUIDs of version 5");
        Compatibility { vendor: uuid(eat::VENDOR_ID), class: uuid(class.class_id()) }
    }
}

/// An OCI image of one file: a WebAssembly component, or a static program for the machine that its
/// header names. The same file gives the same image, byte for byte.
///
/// # Errors
/// See [`NotImaged`].
pub fn image_of(file: Vec<u8>) -> Result<Vec<u8>, NotImaged> {
    let (architecture, name) = match file.as_slice() {
        [b'\0', b'a', b's', b'm', ..] => (image::ANY_MACHINE, "ta.wasm"),
        elf if elf.starts_with(b"\x7fELF") => match elf.get(18..20) {
            Some([62, 0]) => ("amd64", "ta"),
            Some([183, 0]) => ("arm64", "ta"),
            _ => return Err(NotImaged::Machine),
        },
        _ => return Err(NotImaged::Unknown),
    };
    Ok(image::Recipe::of_program(architecture, name, file)?.build())
}

/// Why no image can be made of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotImaged {
    /// Neither a component nor a program.
    #[error("the file is neither a WebAssembly component nor an ELF program")]
    Unknown,
    /// A program for a machine that no device has.
    #[error("the program is for neither x86_64 nor aarch64")]
    Machine,
    /// The image would be refused.
    #[error(transparent)]
    Refused(#[from] image::Refused),
}

/// The SHA-256 digest of a package's manifest, as Evidence names it.
///
/// # Panics
/// Never: the builder digests with SHA-256.
#[must_use]
pub fn manifest_digest(digest: &Digest) -> [u8; 32] {
    digest.bytes().try_into().expect("the builder digests manifests with SHA-256")
}

fn words(what: &'static str) -> Description<'static> {
    Description { language: "en", component: Some(what), ..Description::default() }
}
