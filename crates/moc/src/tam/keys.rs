//! The TAM's keys on disk: one for each suite, one that Evidence is encrypted to, and the secret
//! of its challenges.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use cose::encrypt::Opener;
use cose::{Agreement as _, Algorithm, Curve, Entropy as _, Key, Signer};
use keys::{AgreementKey, SigningKey, SystemEntropy, file};
use teep::{ChallengeKey, Suite, confidential::Receiver, envelope::Signers};
use zeroize::Zeroizing;

use super::{TamFailed, certificates::Certificates};
use crate::config;

/// A signature key for each suite.
#[derive(Debug)]
pub struct TamKeys {
    esp256: SigningKey,
    ed25519: SigningKey,
    ml_dsa_65: Option<SigningKey>,
    agreement: Arc<AgreementKey>,
    certificates: Certificates,
}

impl TamKeys {
    /// Loads the keys; makes those that are absent.
    pub fn open(dir: &Path, settings: &config::Tam) -> Result<Self, TamFailed> {
        create_dir(dir)?;
        let certificates = Certificates::read(settings)?;
        let load = || file::load_or_create(dir.join("tam-ml-dsa-65.pem"), Algorithm::MlDsa65);
        let keys = Self {
            esp256: file::load_or_create(dir.join("tam-esp256.pem"), Algorithm::Esp256)?,
            ed25519: file::load_or_create(dir.join("tam-ed25519.pem"), Algorithm::Ed25519)?,
            ml_dsa_65: settings.ml_dsa_65.then(load).transpose()?,
            agreement: Arc::new(file::load_or_create_agreement(
                dir.join("tam-ecdh-p256.pem"),
                Curve::P256,
            )?),
            certificates,
        };
        keys.certificates.check(settings, keys.esp256.key(), keys.ed25519.key())?;
        Ok(keys)
    }

    /// Authorities of Agents' certificates.
    pub(super) fn device_roots(&self) -> &[Vec<u8>] {
        &self.certificates.device_roots
    }

    /// The public keys: ESP256, Ed25519, then ML-DSA-65 where it is offered.
    pub fn public(&self) -> Vec<&Key> {
        let mandatory = [self.esp256.key(), self.ed25519.key()].into_iter();
        mandatory.chain(self.ml_dsa_65.as_ref().map(Signer::key)).collect()
    }

    /// The public key that Agents may encrypt Evidence and SUIT reports to.
    pub fn encryption(&self) -> &Key {
        self.agreement.key()
    }

    /// What opens SUIT reports that are encrypted to it.
    pub(super) fn opener(&self) -> Opener<'_> {
        Opener::Agreement(&*self.agreement)
    }

    /// What opens Evidence and the nonces of reports.
    pub(super) fn receiver(&self) -> Receiver {
        Receiver::new(self.agreement.clone())
    }

    /// The suites in the order in which they are offered.
    pub fn suites(&self) -> Vec<Suite> {
        let more = self.ml_dsa_65.as_ref().map(|_| Suite::MlDsa65);
        Suite::MANDATORY.into_iter().chain(more).collect()
    }
}

//= teep 14.23 (M): both suites are supported
impl Signers for TamKeys {
    fn signer(&self, suite: Suite) -> Option<&dyn Signer> {
        match suite {
            Suite::Esp256 => Some(&self.esp256),
            Suite::Ed25519 => Some(&self.ed25519),
            Suite::MlDsa65 => self.ml_dsa_65.as_ref().map(|key| key as &dyn Signer),
        }
    }

    fn x5chain(&self, suite: Suite) -> &[Vec<u8>] {
        self.certificates.chain(suite)
    }
}

/// Loads the secret of the self-describing challenges; makes one when it is absent.
pub(super) fn challenge_key(dir: &Path) -> Result<ChallengeKey, TamFailed> {
    let path = dir.join("challenge.key");
    let mut secret = Zeroizing::new([0; 32]);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            SystemEntropy.fill(&mut *secret);
            file.write_all(&*secret).and_then(|()| file.sync_all()).map_err(failed(&path))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut file = OpenOptions::new().read(true).open(&path).map_err(failed(&path))?;
            file.read_exact(&mut *secret).map_err(failed(&path))?;
        }
        Err(error) => return Err(failed(&path)(error)),
    }
    Ok(ChallengeKey::new(*secret))
}

fn create_dir(dir: &Path) -> Result<(), TamFailed> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> TamFailed {
    let path = path.to_owned();
    move |source| TamFailed::File { path, source }
}
