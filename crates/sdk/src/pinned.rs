//! A Trusted Application that somebody else owns: the Network M/OC or a third party.
//!
//! Whoever signed it could have signed anything. It gets a Network User's data only when the user
//! pinned its manifest, whose digest Evidence has to name.

use cose::Accept;
use suit::{Anchors, Envelope, Parameter, Verified, build::Built, command::Command};

use crate::{
    package::{Blob, Package, manifest_digest},
    project::Unusable,
};

/// Another owner's TA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPinned {
    /// The pin is missing.
    #[error(
        "the TA is another owner's, {owner}: to give it your data, pin what it is with \
         `manifest = \"{manifest}\"` in [ta]"
    )]
    Missing {
        /// Who signed the TA.
        owner: String,
        /// SHA-256 of its manifest, hexadecimal.
        manifest: String,
    },
    /// The pin is of something else.
    #[error(
        "`manifest` in [ta] pins {pinned}, and the package holds {manifest}: get the package that \
         you pinned, or look at this one and pin it"
    )]
    Other {
        /// What was pinned.
        pinned: String,
        /// SHA-256 of the package's manifest, hexadecimal.
        manifest: String,
    },
    /// The case has no place for it.
    #[error(
        "case {0} bundles the TA, so the package's owner owns it (draft section 4.{0}): another \
         owner's TA goes with the cases 3 and 5"
    )]
    Bundled(u8),
    /// Not a package of a TA, or not signed by whom its component names.
    #[error("the package of the TA is refused: {0}")]
    Refused(String),
}

/// Opens the package, and refuses one that is not what the Network User pinned.
pub(crate) fn open(
    envelope: Vec<u8>,
    pin: Option<&str>,
    payload: &dyn Fn(&str) -> Result<Vec<u8>, Unusable>,
) -> Result<Package, Unusable> {
    let (built, fetched) = read(envelope).map_err(NotPinned::Refused)?;
    let manifest = hex::encode(manifest_digest(&built.digest));
    match pin {
        None => {
            let owner = built.owner.to_string();
            return Err(NotPinned::Missing { owner, manifest }.into());
        }
        Some(pinned) if !pinned.eq_ignore_ascii_case(&manifest) => {
            return Err(NotPinned::Other { pinned: pinned.to_owned(), manifest }.into());
        }
        Some(_) => {}
    }
    let blobs = fetched.map(|sha256| {
        let bytes = payload(&sha256)?;
        if hex::encode(cose::sha256(&bytes)) != sha256 {
            let other = format!("its payload {sha256} has another digest");
            return Err(Unusable::from(NotPinned::Refused(other)));
        }
        Ok(Blob { sha256, bytes })
    });
    Ok(Package { built, blobs: blobs.transpose()?.into_iter().collect() })
}

/// What the package is, and the digest of the payload that is not in it.
fn read(envelope: Vec<u8>) -> Result<(Built, Option<String>), String> {
    let anchors = Anchors::none().with_self_certified();
    let verified = Envelope::decode(&envelope)
        .and_then(|envelope| envelope.authenticate(&anchors, &Accept::CURRENT))
        .and_then(|verified| {
            suit::authority::owner_prefix(&verified)?;
            Ok(verified)
        })
        .map_err(|error| error.to_string())?;
    let manifest = verified.manifest();
    let not_a_ta = || "it is not about one Trusted Application".to_owned();
    let ([component], true) =
        (&manifest.common.components[..], manifest.common.dependencies.is_empty())
    else {
        return Err(not_a_ta());
    };
    if component.is_in_ree() || component.parts().len() != 2 {
        return Err(not_a_ta());
    }
    let place = manifest.component_id.clone().ok_or_else(not_a_ta)?;
    let owner = verified.signer_thumbprint().ok_or_else(not_a_ta)?;
    let integrated = !verified.envelope().payloads().is_empty();
    let fetched =
        if integrated { None } else { Some(image_digest(&verified).ok_or_else(not_a_ta)?) };
    let (digest, component) = (verified.digest(), Some(component.clone()));
    drop(verified);
    let built = Built { envelope, digest, owner, manifest_component: place, component };
    Ok((built, fetched))
}

/// The digest that the manifest states for its component.
fn image_digest(verified: &Verified<'_>) -> Option<String> {
    let shared = verified.manifest().common.shared.as_ref()?;
    let stated = shared.commands().find_map(|(_, command)| {
        let Command::OverrideParameters(parameters) = command else { return None };
        parameters.iter().find_map(|parameter| match parameter {
            Parameter::ImageDigest(digest) => Some(digest),
            _ => None,
        })
    });
    stated.map(|digest| hex::encode(digest.bytes()))
}
