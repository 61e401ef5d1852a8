//! Certificates between TAM and Agents: the authorities of Agents' keys, and the chains of the
//! TAM's own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use cose::Key;
use teep::Suite;
use verifier::x509::{Certificate, Malformed, decode_pem};

use crate::config;

/// What the configured files say.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Authorities of the certificates of Agents' keys, DER; without any nobody has to bring one.
    pub device_roots: Vec<Vec<u8>>,
    chains: BTreeMap<Suite, Vec<Vec<u8>>>,
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It does not read.
    #[error("certificates in {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("certificates in {path}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        #[source]
        source: Malformed,
    },
    /// A certificate that is to vouch for others may not.
    #[error("a certificate in {0} is not an authority's")]
    NotAnAuthority(PathBuf),
    /// The chain is about another key than the TAM's.
    #[error("the first certificate in {0} is of another key than the TAM's")]
    AnotherKey(PathBuf),
}

impl Certificates {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn read(settings: &config::Tam) -> Result<Self, Unusable> {
        let device_roots = match &settings.device_roots {
            Some(path) => authorities(path)?,
            None => Vec::new(),
        };
        let own = &settings.certificates;
        let mut chains = BTreeMap::new();
        for (suite, path) in [(Suite::Esp256, &own.esp256), (Suite::Ed25519, &own.ed25519)] {
            if let Some(path) = path {
                chains.insert(suite, read(path)?);
            }
        }
        Ok(Self { device_roots, chains })
    }

    /// The chain of the TAM's key of a suite; none, where it has none.
    pub fn chain(&self, suite: Suite) -> &[Vec<u8>] {
        self.chains.get(&suite).map_or(&[], Vec::as_slice)
    }

    /// Checks that the chains are about these keys, one for each suite.
    ///
    /// # Errors
    /// [`Unusable::AnotherKey`].
    pub fn check(
        &self,
        settings: &config::Tam,
        esp256: &Key,
        ed25519: &Key,
    ) -> Result<(), Unusable> {
        let own = &settings.certificates;
        for (suite, path, key) in
            [(Suite::Esp256, &own.esp256, esp256), (Suite::Ed25519, &own.ed25519, ed25519)]
        {
            let Some(path) = path else { continue };
            let first = self.chain(suite).first();
            let first = first.and_then(|der| Certificate::decode(der).ok());
            let certified = first.and_then(|first| Key::from_spki(first.spki).ok());
            if certified.as_ref() != Some(key) {
                return Err(Unusable::AnotherKey(path.clone()));
            }
        }
        Ok(())
    }
}

fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, Unusable> {
    let roots = read(path)?;
    let is_authority =
        |der: &Vec<u8>| Certificate::decode(der).is_ok_and(|root| root.is_authority());
    match roots.iter().all(is_authority) {
        true => Ok(roots),
        false => Err(Unusable::NotAnAuthority(path.to_owned())),
    }
}

fn read(path: &Path) -> Result<Vec<Vec<u8>>, Unusable> {
    let pem = fs::read(path).map_err(|source| Unusable::File { path: path.to_owned(), source })?;
    let malformed = |source| Unusable::Malformed { path: path.to_owned(), source };
    let chain = decode_pem(&pem).map_err(malformed)?;
    for der in &chain {
        Certificate::decode(der).map_err(malformed)?;
    }
    Ok(chain)
}
