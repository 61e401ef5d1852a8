//! What the tests share.

use std::path::PathBuf;

use cose::{Algorithm, Key};
use keys::SigningKey;
use teep::Suite;
use teep::envelope::{Hint, NoKey, PeerKey, Signers, Standing};

/// The directory of shared test vectors, if it is there.
pub(crate) fn vectors() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/teep");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: ../shared/vectors is absent");
    None
}

/// The bytes of one vector.
pub(crate) fn vector(path: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(vectors()?.join(path)).unwrap())
}

/// A public key of the vectors.
pub(crate) fn vector_key(name: &str) -> Key {
    let path = format!("keys/{name}.public.cosekey.cbor");
    Key::decode(&vector(&path).unwrap()).unwrap()
}

/// Anchors for these keys, found by kid alone.
pub(crate) fn anchors(keys: Vec<Key>) -> impl Fn(&Hint<'_>) -> Result<PeerKey, NoKey> {
    move |hint| {
        let found = keys.iter().find(|key| Some(key.thumbprint()) == hint.thumbprint());
        let key = found.ok_or(NoKey::Unknown)?.clone();
        Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
    }
}

/// Software keys of one party, one for each suite.
pub(crate) struct MessageKeys {
    pub(crate) esp256: SigningKey,
    pub(crate) ed25519: SigningKey,
}

impl MessageKeys {
    pub(crate) fn generate() -> Self {
        Self {
            esp256: SigningKey::generate(Algorithm::Esp256).unwrap(),
            ed25519: SigningKey::generate(Algorithm::Ed25519).unwrap(),
        }
    }

    pub(crate) fn public(&self) -> Vec<Key> {
        use cose::Signer;
        vec![self.esp256.key().clone(), self.ed25519.key().clone()]
    }
}

impl Signers for MessageKeys {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        match suite {
            Suite::Esp256 => Some(&self.esp256),
            Suite::Ed25519 => Some(&self.ed25519),
        }
    }
}
