//! Sealing Personalization Data to an attested key, and checking the receipt.

use std::io::{self, Read, Write};

use channel::{
    Refused,
    receipt::Receipt,
    release::{Binding, Digests, Role, Sealing},
};
use cose::{Entropy, Key, Sha256, Signer};

use crate::{
    appraisal::Accepted,
    live::{self, NotSent},
    package::{NotPackaged, Package, Packager, manifest_digest},
};

/// To whom, and for what, Personalization Data is released.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    /// The deployment.
    pub deployment: &'a str,
    /// The package of the TA that gets the data.
    pub ta: &'a Package,
    /// The proof of the Network User's own appraisal.
    pub accepted: &'a Accepted,
    /// Those who may call the Trusted Application.
    pub callers: &'a [Key],
    /// The sequence number of the package; it must grow with each release.
    pub sequence: u64,
}

/// A sealed release on its way in a package.
#[derive(Clone, Debug)]
pub struct Release {
    /// The package that carries it; its payload is ciphertext.
    pub package: Package,
    /// What its receipt has to confirm.
    pub sealed: Sealed,
}

/// What was sealed: a receipt that fits confirms it, whichever way it went.
#[derive(Clone, Debug)]
pub struct Sealed {
    deployment: String,
    digests: Digests,
}

/// A receipt that fits a release.
#[derive(Clone, Debug)]
pub struct Received {
    /// The COSE_Sign1.
    pub receipt: Vec<u8>,
    /// The key to which callers seal their requests.
    pub service_key: Key,
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
    /// The file that it is given from cannot be written.
    #[error("the sealed data cannot be kept beside the project")]
    Spool(#[source] io::Error),
    /// It did not flow to its end.
    #[error("the data was not sent")]
    Live(#[from] NotSent),
    /// The package of the TA is not about one.
    #[error("the package of the TA names no component")]
    Application,
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
    let binding = binding(owner, to);
    let receiver = &to.accepted.receiver;
    let deployment = to.deployment;
    let (sealed, digests) =
        channel::release::seal(owner, receiver, &binding, deployment, to.callers, pd, entropy)?;
    let package = packager.pd(name, to.ta.built.owner, to.sequence, sealed)?;
    Ok(Release { package, sealed: Sealed { deployment: deployment.to_owned(), digests } })
}

/// Seals Personalization Data as it is read into a file, from which it is given live at a relay;
/// the package names it by its digest. The file holds ciphertext alone.
///
/// # Errors
/// See [`NotReleased`].
pub fn spool(
    owner: &dyn Signer,
    packager: &Packager<'_>,
    name: &str,
    to: &To<'_>,
    data: &mut dyn Read,
    file: &mut dyn Write,
    entropy: &mut dyn Entropy,
) -> Result<(Release, [u8; 32]), NotReleased> {
    let receiver = &to.accepted.receiver;
    let (head, sealing) =
        Sealing::begin(owner, receiver, &binding(owner, to), to.deployment, to.callers, entropy)?;
    let (mut sha256, mut length) = (Sha256::new(), 0);
    let mut write = |bytes: &[u8]| {
        sha256.update(bytes);
        length += bytes.len() as u64;
        file.write_all(bytes).map_err(NotReleased::Spool)
    };
    write(&head)?;
    let digests = live::sealed(sealing, data, &mut |frame| write(&frame))?;
    let sha256 = sha256.finish();
    let package = packager.live_pd(name, to.ta.built.owner, to.sequence, sha256, length)?;
    let sealed = Sealed { deployment: to.deployment.to_owned(), digests };
    Ok((Release { package, sealed }, sha256))
}

/// Seals Personalization Data as it is read, and sends it live through a relay; gives what was
/// sealed and the receipt. Blocks its thread.
///
/// # Errors
/// See [`NotReleased`].
pub fn send(
    owner: &dyn Signer,
    relay: &str,
    to: &To<'_>,
    data: &mut dyn Read,
    entropy: &mut dyn Entropy,
    progress: &mut dyn FnMut(u64),
) -> Result<(Sealed, Vec<u8>), NotReleased> {
    let component = to.ta.built.component.as_ref().ok_or(NotReleased::Application)?;
    let live = live::To {
        relay,
        component,
        receiver: &to.accepted.receiver,
        binding: binding(owner, to),
        deployment: to.deployment,
        callers: to.callers,
    };
    let live::Sent { receipt, digests } = live::send(owner, &live, data, entropy, progress)?;
    Ok((Sealed { deployment: to.deployment.to_owned(), digests }, receipt))
}

fn binding(owner: &dyn Signer, to: &To<'_>) -> Binding {
    Binding {
        owner: owner.key().thumbprint(),
        manifest_digest: manifest_digest(&to.ta.built.digest),
        eat_digest: to.accepted.eat_digest,
        // Only evidence that names the TA makes the channel end there.
        role: match &to.accepted.ta {
            Some(_) => Role::Ta,
            None => Role::Agent,
        },
    }
}

/// Finds the receipt of this release: signed by the attested receipt key, over what was sealed.
///
/// # Errors
/// [`NotReleased::Receipt`].
pub fn receipt(
    delivered: &[Vec<u8>],
    sealed: &Sealed,
    accepted: &Accepted,
) -> Result<Received, NotReleased> {
    let fits = |bytes: &Vec<u8>| {
        let receipt = Receipt::verify(bytes, accepted.receipt_key()).ok()?;
        let same = receipt.deployment == sealed.deployment
            && receipt.eat_digest == accepted.eat_digest
            && receipt.digests == sealed.digests;
        // The evidence's own word comes first; the Agent names the key that it could not attest
        // to before, as the attested holder of the receipt key.
        let service_key = accepted.service_key().cloned().or(receipt.service_key);
        let service_key = service_key.filter(|_| same)?;
        Some(Received { receipt: bytes.clone(), service_key })
    };
    delivered.iter().find_map(fits).ok_or(NotReleased::Receipt(delivered.len()))
}
