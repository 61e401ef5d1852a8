//! Manifests for Tamarack's packages, as types that cannot express an invalid one.
//!
//! Each builder says what is installed; components, sections, digests and order follow from it.
//! Equal input gives equal bytes, as far as the signature algorithm is deterministic. The
//! owner's public key travels in the signature's header `kccs`, so that a device needs no table
//! of owners: the component identifiers begin with the key's thumbprint.
//!
//! ```text
//! Ta::new(name, 1, compatibility, Payload::integrated(&wasm)).invocable(None).sign(&owner)
//! Root::new(name, 1, compatibility).with(&ta, Delivery::Integrated).sign(&owner)
//! ```

use std::fmt;

use cose::{KeyUnusable, Signer, Thumbprint};

use crate::component::ComponentId;
use crate::digest::{Digest, DigestAlgorithm};
use crate::encryption::Sealed;
use crate::parameter::{Parameter, Uuid, VendorId};

mod draft;
mod root;
mod single;
mod writer;

#[cfg(test)]
pub(crate) use draft::{Draft, sign_digest};
#[cfg(test)]
pub(crate) use writer::SequenceWriter;

pub use root::{Delivery, Root};
pub use single::{Pd, Ta, Ua};

/// A signed envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The envelope's bytes.
    pub envelope: Vec<u8>,
    /// The digest of the manifest: its name in evidence, reports and dependents.
    pub digest: Digest,
    /// The owner: who signed.
    pub owner: Thumbprint,
    /// Where the manifest is stored.
    pub manifest_component: ComponentId,
    /// The component that the manifest installs, unless it only has dependencies.
    pub component: Option<ComponentId>,
}

/// The vendor and class that a device has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// The vendor identifier.
    pub vendor: Uuid,
    /// The class identifier.
    pub class: Uuid,
}

impl Compatibility {
    fn parameters(&self) -> [Parameter<'static>; 2] {
        [Parameter::VendorId(VendorId::Uuid(self.vendor)), Parameter::ClassId(self.class)]
    }
}

/// The name of a component: 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with `.`
/// and not ending with `.suit`, which is how manifests are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Takes a name that fits.
    pub fn new(name: &str) -> Result<Self, Unbuildable> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.chars().all(allowed)
            && !name.starts_with('.')
            && !name.ends_with(".suit");
        if fits { Ok(Self(name.to_owned())) } else { Err(Unbuildable::Name(name.to_owned())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute URI: a scheme, a colon and something behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    /// Takes an absolute URI.
    pub fn new(uri: &str) -> Result<Self, Unbuildable> {
        let scheme_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let fits = uri.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(scheme_character)
                && !rest.is_empty()
        }) && uri.chars().all(|c| c.is_ascii_graphic());
        if fits { Ok(Self(uri.to_owned())) } else { Err(Unbuildable::Uri(uri.to_owned())) }
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a component consists of, and how it comes to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    digest: Digest,
    size: u64,
    source: Source<'a>,
    encryption: Option<&'a [u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source<'a> {
    Integrated(&'a [u8]),
    At(Uri),
}

impl<'a> Payload<'a> {
    /// A payload that travels in the envelope.
    pub fn integrated(content: &'a [u8]) -> Self {
        Self { source: Source::Integrated(content), ..Self::at(placeholder(), content) }
    }

    /// A payload that is fetched.
    pub fn at(uri: Uri, content: &[u8]) -> Self {
        Self::measured(uri, cose::sha256(content), content.len() as u64)
    }

    /// A payload that is fetched and was measured elsewhere.
    pub fn measured(uri: Uri, sha256: [u8; 32], size: u64) -> Self {
        let digest = Digest::sha256(sha256);
        Self { digest, size, source: Source::At(uri), encryption: None }
    }

    //= suit 13.87 (M): Plaintext digest and size in validate/install matched after decryption. E
    //= 7.1
    /// The same payload, delivered as the ciphertext that it was sealed to: digest and size are
    /// those of the plaintext.
    pub fn encrypted(mut self, sealed: &'a Sealed) -> Self {
        self.encryption = Some(&sealed.info);
        if let Source::Integrated(content) = &mut self.source {
            *content = &sealed.ciphertext;
        }
        self
    }

    /// The digest of the payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Words for people, in one language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Description<'a> {
    /// The language tag; `en` if empty.
    pub language: &'a str,
    /// What the manifest does.
    pub manifest: Option<&'a str>,
    /// What the component is.
    pub component: Option<&'a str>,
    /// The name of the vendor.
    pub vendor_name: Option<&'a str>,
    /// The domain of the vendor.
    pub vendor_domain: Option<&'a str>,
    /// The name of the model.
    pub model_name: Option<&'a str>,
    /// The version, for people: no device decides by it.
    pub version: Option<&'a str>,
}

/// A value that no manifest may hold.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbuildable {
    /// Not a name of a component.
    #[error("`{0}` is not 1 to 64 letters, digits, `-`, `_` and `.`, or ends with `.suit`")]
    Name(String),
    /// Not an absolute URI.
    #[error("`{0}` is not an absolute URI")]
    Uri(String),
    /// A root manifest without dependencies.
    #[error("a root manifest needs a dependency")]
    NoDependency,
    /// The same dependency twice.
    #[error("{0} is a dependency twice")]
    DependencyTwice(ComponentId),
    /// More dependencies than a device takes.
    #[error("more than {DEPENDENCIES_MAX} dependencies")]
    TooManyDependencies,
    /// The owner's key refused.
    #[error("the owner's key cannot sign")]
    Key(#[from] KeyUnusable),
}

fn placeholder() -> Uri {
    Uri(String::new())
}

fn owner_of(signer: &dyn Signer) -> Thumbprint {
    signer.key().thumbprint()
}

fn manifest_digest(manifest: &[u8]) -> Digest {
    Digest::of_member(DigestAlgorithm::Sha256, manifest).expect("SHA-256 is computed here")
}

const NAME_BYTES_MAX: usize = 64;
const DEPENDENCIES_MAX: usize = 15;

#[cfg(test)]
mod tests;
