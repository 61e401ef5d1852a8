//! Who the agent is: keys with one use each, made here, and kept sealed across restarts.
//!
//! Nobody outside ever sees a private key. Another program, or the same one with another
//! measurement, cannot unseal them and becomes another agent.

use std::sync::Arc;

use cose::{Algorithm, Curve, KeyUnusable, Signer as _};
use keys::{AgreementKey, SigningKey};
use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use crate::seal::Sealer;
use crate::settings::Suite;
use crate::store::{Damaged, Disk};

/// The keys of one agent.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Names the store that belongs to this identity.
    pub store: [u8; 16],
    /// Signs TEEP messages.
    pub teep: Arc<SigningKey>,
    /// Signs evidence, and nothing else.
    pub evidence: Arc<SigningKey>,
    /// Signs SUIT reports.
    pub report: Arc<SigningKey>,
    /// Signs receipts of Personalization Data.
    pub receipt: Arc<SigningKey>,
    /// Opens encrypted payloads of manifests.
    pub payload: Arc<AgreementKey>,
}

impl Identity {
    /// Makes new keys for the agent of this store.
    pub fn generate(store: [u8; 16], suite: Suite) -> Result<Self, Damaged> {
        Ok(Self {
            store,
            teep: make(algorithm(suite))?,
            evidence: make(Algorithm::Esp256)?,
            report: make(Algorithm::Esp256)?,
            receipt: make(Algorithm::Esp256)?,
            payload: AgreementKey::generate(Curve::P256).map(Arc::new).map_err(|_| Damaged::Key)?,
        })
    }

    /// Reads the identity that was saved; `None` when there is none.
    ///
    /// With another suite in the settings, the key for TEEP messages is a new one.
    pub fn load(
        disk: &mut dyn Disk,
        sealer: &Sealer,
        suite: Suite,
    ) -> Result<Option<Self>, Damaged> {
        let Some(sealed) = disk.read(NAME)? else {
            return Ok(None);
        };
        let foreign = || Damaged::Foreign { name: NAME.to_owned() };
        let plain = sealer.open(NAME, &sealed).map_err(|_| foreign())?;
        let mut identity = Self::decode(&plain).ok_or_else(foreign)?;
        if identity.teep.algorithm() != algorithm(suite) {
            identity.teep = make(algorithm(suite))?;
            identity.save(disk, sealer)?;
        }
        Ok(Some(identity))
    }

    /// Saves the identity.
    pub fn save(&self, disk: &mut dyn Disk, sealer: &Sealer) -> Result<(), Damaged> {
        let sealed = sealer.seal(NAME, &self.encode()?);
        disk.put(NAME, &sealed)?;
        Ok(())
    }

    /// ```cddl
    /// identity = [2, store: bstr .size 16, teep, evidence, report, receipt, payload]
    /// teep = evidence = report = receipt = payload = bstr      ; PKCS #8
    /// ```
    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let signing = [&self.teep, &self.evidence, &self.report, &self.receipt];
        let keys = signing.into_iter().map(|key| key.to_pkcs8()).chain([self.payload.to_pkcs8()]);
        // Room for all of it, so that no copy is left behind by growing.
        let mut e = Encoder::new(Vec::with_capacity(ENCODED_BYTES_MAX));
        let written = e.array(7).and_then(|e| e.u8(VERSION)).and_then(|e| e.bytes(&self.store));
        written.expect("writing to memory does not fail");
        for key in keys {
            let key = key.map_err(|KeyUnusable| Damaged::Key)?;
            e.bytes(key.expose()).expect("writing to memory does not fail");
        }
        Ok(Zeroizing::new(e.into_writer()))
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(plain);
        if d.array().ok()? != Some(7) || d.u8().ok()? != VERSION {
            return None;
        }
        let store = d.bytes().ok()?.try_into().ok()?;
        let mut key = || Some(Arc::new(SigningKey::from_pkcs8(d.bytes().ok()?).ok()?));
        let (teep, evidence, report, receipt) = (key()?, key()?, key()?, key()?);
        let payload = Arc::new(AgreementKey::from_pkcs8(d.bytes().ok()?).ok()?);
        Some(Self { store, teep, evidence, report, receipt, payload })
    }
}

fn make(algorithm: Algorithm) -> Result<Arc<SigningKey>, Damaged> {
    SigningKey::generate(algorithm).map(Arc::new).map_err(|_| Damaged::Key)
}

fn algorithm(suite: Suite) -> Algorithm {
    match suite {
        Suite::Ed25519 => Algorithm::Ed25519,
        Suite::Esp256 => Algorithm::Esp256,
        Suite::MlDsa65 => Algorithm::MlDsa65,
    }
}

const ENCODED_BYTES_MAX: usize = 8192;
const NAME: &str = "identity";
const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use cose::Agreement as _;
    use device::tee::SealingKey;

    use super::*;
    use crate::store::Folder;

    #[test]
    fn a_restart_keeps_every_key() {
        let (mut disk, sealer, _folder) = place();
        let identity = Identity::generate([5; 16], Suite::Esp256).unwrap();
        identity.save(&mut disk, &sealer).unwrap();

        let loaded = Identity::load(&mut disk, &sealer, Suite::Esp256).unwrap().unwrap();

        assert_eq!(loaded.store, [5; 16]);
        assert_eq!(publics(&loaded), publics(&identity));
    }

    #[test]
    fn each_key_has_one_use() {
        let identity = Identity::generate([5; 16], Suite::Ed25519).unwrap();

        let mut keys: Vec<_> = publics(&identity).iter().map(cose::Key::thumbprint).collect();
        keys.sort_unstable();
        keys.dedup();

        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn another_suite_changes_the_teep_key_alone() {
        let (mut disk, sealer, _folder) = place();
        let identity = Identity::generate([5; 16], Suite::Esp256).unwrap();
        identity.save(&mut disk, &sealer).unwrap();

        for (suite, algorithm) in
            [(Suite::Ed25519, Algorithm::Ed25519), (Suite::MlDsa65, Algorithm::MlDsa65)]
        {
            let loaded = Identity::load(&mut disk, &sealer, suite).unwrap().unwrap();
            loaded.save(&mut disk, &sealer).unwrap();
            let again = Identity::load(&mut disk, &sealer, suite).unwrap().unwrap();

            assert_eq!(loaded.teep.algorithm(), algorithm);
            assert_eq!(publics(&loaded)[1..], publics(&identity)[1..]);
            assert_eq!(publics(&again), publics(&loaded));
        }
    }

    #[test]
    fn another_device_does_not_get_the_keys() {
        let (mut disk, sealer, _folder) = place();
        Identity::generate([5; 16], Suite::Esp256).unwrap().save(&mut disk, &sealer).unwrap();
        let other = Sealer::new(&SealingKey::new([8; 32]));

        let loaded = Identity::load(&mut disk, &other, Suite::Esp256);

        assert!(matches!(loaded, Err(Damaged::Foreign { .. })));
    }

    fn place() -> (Folder, Sealer, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        (disk, Sealer::new(&SealingKey::new([7; 32])), folder)
    }

    fn publics(identity: &Identity) -> [cose::Key; 5] {
        let [teep, evidence, report, receipt] =
            [&identity.teep, &identity.evidence, &identity.report, &identity.receipt]
                .map(|key| key.key().clone());
        [teep, evidence, report, receipt, identity.payload.key().clone()]
    }
}
