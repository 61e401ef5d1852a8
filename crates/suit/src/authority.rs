//! Which components a signer may touch.
//!
//! Tamarack's component identifiers certify themselves: the first part (behind `'REE'` outside
//! the TEE) is the thumbprint of the key that signs for them. No table of signers exists that
//! somebody could edit.

use crate::authentication::Signer;
use crate::component::ComponentId;
use crate::error::Untrusted;
use crate::manifest::Manifest;
use crate::verified::Verified;

/// Decides about one component.
pub trait Authority {
    /// Whether the signer may read, change, start and remove the component.
    fn permits(&self, signer: &Signer, component: &ComponentId) -> bool;
}

/// A signer has the components whose identifiers begin with its thumbprint, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerPrefix;

impl Authority for OwnerPrefix {
    fn permits(&self, signer: &Signer, component: &ComponentId) -> bool {
        match signer {
            Signer::Key(thumbprint) => component.owner() == Some(*thumbprint),
            Signer::Secret(_) => false,
        }
    }
}

/// Every trust anchor has every component: for devices with one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyComponent;

impl Authority for AnyComponent {
    fn permits(&self, _: &Signer, _: &ComponentId) -> bool {
        true
    }
}

/// Checks every component that the manifest names against its signer's own prefix.
pub fn owner_prefix(verified: &Verified<'_>) -> Result<(), Untrusted> {
    check(&OwnerPrefix, verified.signer(), verified.manifest())
}

//= suit 13.69 (M): manifest-component-id outside author's ACL refused; ignored inside
//= dependencies. D 5.2.1, 10
/// Checks every component that a manifest names: the list, the dependencies' places and
/// prefixes, and the manifest's own place.
pub fn check(
    authority: &dyn Authority,
    signer: &Signer,
    manifest: &Manifest<'_>,
) -> Result<(), Untrusted> {
    check_common(authority, signer, manifest)?;
    match &manifest.component_id {
        Some(own) if !authority.permits(signer, own) => Err(Untrusted::Component(own.clone())),
        _ => Ok(()),
    }
}

/// The same for a dependency, whose own place is not used.
pub(crate) fn check_common(
    authority: &dyn Authority,
    signer: &Signer,
    manifest: &Manifest<'_>,
) -> Result<(), Untrusted> {
    let prefixes = manifest.common.dependencies.values().filter_map(|each| each.prefix.as_ref());
    let mut named = manifest.common.components.iter().chain(prefixes);
    match named.find(|component| !authority.permits(signer, component)) {
        Some(foreign) => Err(Untrusted::Component(foreign.clone())),
        None => Ok(()),
    }
}
