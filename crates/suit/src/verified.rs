//! What authentication yields.

use cose::Thumbprint;

use crate::authentication::Signer;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::manifest::Manifest;

/// A manifest that a trust anchor answers for, with the envelope that brought it.
///
/// Only [`Envelope::authenticate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'b> {
    envelope: Envelope<'b>,
    manifest: Manifest<'b>,
    digest: Digest,
    signer: Signer,
    rejected: Vec<(usize, Error)>,
}

impl<'b> Verified<'b> {
    pub(crate) fn new(
        envelope: Envelope<'b>,
        manifest: Manifest<'b>,
        digest: Digest,
        signer: Signer,
        rejected: Vec<(usize, Error)>,
    ) -> Self {
        Self { envelope, manifest, digest, signer, rejected }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest<'b> {
        &self.manifest
    }

    /// The envelope that brought the manifest.
    pub fn envelope(&self) -> &Envelope<'b> {
        &self.envelope
    }

    /// The manifest's digest: its name in reports, dependencies and evidence.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who answers for the manifest.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The thumbprint of the key that signed, if a key did.
    pub fn signer_thumbprint(&self) -> Option<Thumbprint> {
        match self.signer {
            Signer::Key(thumbprint) => Some(thumbprint),
            Signer::Secret(_) => None,
        }
    }

    //= suit 13.6 (M): Several blocks: all over the same digest; one trusted and valid suffices;
    //= invalid trusted-looking extra block is not ignored silently (log). M 8.3
    /// Authentication blocks that did not verify, by their place; worth a warning.
    pub fn rejected_blocks(&self) -> &[(usize, Error)] {
        &self.rejected
    }
}
