//! Sealing Personalization Data to an attested key, and checking the receipt.

use channel::{
    Refused,
    receipt::Receipt,
    release::{Binding, Digests, Role},
};
use cose::{Entropy, Key, Signer};

use crate::{
    appraisal::Accepted,
    package::{NotPackaged, Package, Packager},
};

/// To whom, and for what, Personalization Data is released.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    /// The deployment.
    pub deployment: &'a str,
    /// The proof of the Network User's own appraisal.
    pub accepted: &'a Accepted,
    /// Those who may call the Trusted Application.
    pub callers: &'a [Key],
    /// The sequence number of the package; it must grow with each release.
    pub sequence: u64,
}

/// A sealed release on its way.
#[derive(Clone, Debug)]
pub struct Release {
    /// The package that carries it; its payload is ciphertext.
    pub package: Package,
    deployment: String,
    digests: Digests,
}

/// Personalization Data was not released, or its receipt does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReleased {
    /// A caller's key does not read.
    #[error("a caller's key is not a COSE_Key")]
    Caller(#[source] cose::Malformed),
    /// It was not sealed.
    #[error("the data was not sealed")]
    Seal(#[from] Refused),
    /// It was not packaged.
    #[error("the sealed data was not packaged")]
    Package(#[from] NotPackaged),
    /// No receipt fits what was sealed.
    #[error("no receipt of the {0} delivered ones is signed by the attested key over this release")]
    Receipt(usize),
}

/// Reads the callers' public keys (COSE_Key).
///
/// # Errors
/// [`NotReleased::Caller`].
pub fn callers(keys: &[Vec<u8>]) -> Result<Vec<Key>, NotReleased> {
    keys.iter().map(|key| Key::decode(key)).collect::<Result<_, _>>().map_err(NotReleased::Caller)
}

/// Seals Personalization Data to the receiver key that the user's own appraisal accepted.
///
/// # Errors
/// See [`NotReleased`].
pub fn seal(
    owner: &dyn Signer,
    packager: &Packager<'_>,
    name: &str,
    to: &To<'_>,
    pd: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Release, NotReleased> {
    let binding = Binding {
        owner: owner.key().thumbprint(),
        manifest_digest: to.accepted.manifest_digest,
        eat_digest: to.accepted.eat_digest,
        role: Role::Ta,
    };
    let receiver = &to.accepted.receiver;
    let deployment = to.deployment;
    let (sealed, digests) =
        channel::release::seal(owner, receiver, &binding, deployment, to.callers, pd, entropy)?;
    let package = packager.pd(name, to.sequence, sealed)?;
    Ok(Release { package, deployment: deployment.to_owned(), digests })
}

/// Finds the receipt of this release: signed by the attested receipt key, over what was sealed.
///
/// # Errors
/// [`NotReleased::Receipt`].
pub fn receipt(
    delivered: &[Vec<u8>],
    release: &Release,
    accepted: &Accepted,
) -> Result<Vec<u8>, NotReleased> {
    let expected = Receipt {
        deployment: release.deployment.clone(),
        eat_digest: accepted.eat_digest,
        digests: release.digests.clone(),
    };
    let fits = |bytes: &&Vec<u8>| {
        Receipt::verify(bytes, accepted.receipt_key()).is_ok_and(|receipt| receipt == expected)
    };
    delivered.iter().find(fits).cloned().ok_or(NotReleased::Receipt(delivered.len()))
}
