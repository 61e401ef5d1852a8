//! The emulated fuses: one secret per device, from which everything else of the device comes.
//!
//! ```text
//! output(label, context) = HKDF-SHA-256(secret, salt, length(label) || label || context)
//! ```

use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use device::tee::SealingKey;
use zeroize::Zeroizing;

use crate::Error;
use crate::disk::{self, Access};
use crate::key::{P384Key, SigningKey};

/// The fuses of one device.
pub struct Fuses(Prk);

impl Fuses {
    /// Reads the fuses of the device in this directory, and burns them at its first start.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        disk::create_dir(dir, Access::Private)?;
        let path = dir.join("fuses");
        let secret = match disk::read_if_present(&path)? {
            Some(secret) => Zeroizing::new(secret),
            None => burn(&path)?,
        };
        if secret.len() != SECRET_BYTES {
            return Err(Error::damaged(&path, "not 32 bytes"));
        }
        Ok(Self(Salt::new(HKDF_SHA256, SALT).extract(&secret)))
    }

    /// EAT claim 256 of the device: type RAND, then 32 bytes.
    pub fn ueid(&self) -> [u8; 33] {
        let mut ueid = [1; 33];
        self.derive("ueid", &[], &mut ueid[1..]);
        ueid
    }

    /// The sealing key of a program with this identity, for this label.
    pub fn sealing_key(&self, identity: &[u8], label: &str) -> SealingKey {
        let mut key = Zeroizing::new([0; 32]);
        let label_length = (label.len() as u64).to_be_bytes();
        let context = [&label_length, label.as_bytes(), identity].concat();
        self.derive("sealing key", &context, key.as_mut());
        SealingKey::new(*key)
    }

    /// A signing key of the hardware.
    pub(crate) fn signing_key(&self, label: &str) -> Result<SigningKey, Error> {
        self.key(label, &[], SigningKey::from_scalar)
    }

    /// A signing key of the hardware on P-384, for this context alone.
    pub(crate) fn p384_key(&self, label: &str, context: &[u8]) -> Result<P384Key, Error> {
        self.key(label, context, P384Key::from_scalar)
    }

    /// A key on P-384 that agrees on secrets: the private scalar and the point.
    pub(crate) fn p384_agreement(
        &self,
        label: &str,
    ) -> Result<(Zeroizing<[u8; 48]>, Vec<u8>), Error> {
        self.key(label, &[], |scalar| {
            let point = P384Key::from_scalar(scalar)?.point().to_vec();
            Some((Zeroizing::new(*scalar), point))
        })
    }

    /// Bytes that the hardware shows to everybody.
    pub(crate) fn show<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut shown = [0; N];
        self.derive(label, &[], &mut shown);
        shown
    }

    fn key<const N: usize, K>(
        &self,
        label: &str,
        context: &[u8],
        make: impl Fn(&[u8; N]) -> Option<K>,
    ) -> Result<K, Error> {
        let mut scalar = Zeroizing::new([0; N]);
        for attempt in 0..SCALAR_ATTEMPTS {
            self.derive(label, &[context, &[attempt]].concat(), scalar.as_mut());
            if let Some(key) = make(&scalar) {
                return Ok(key);
            }
        }
        Err(Error::Crypto("derive a key"))
    }

    fn derive(&self, label: &str, context: &[u8], out: &mut [u8]) {
        let label_length = (label.len() as u64).to_be_bytes();
        let info: [&[u8]; 3] = [&label_length, label.as_bytes(), context];
        let length = Length(out.len());
        let okm = self.0.expand(&info, length).expect("a few bytes are within HKDF's limit");
        okm.fill(out).expect("length is that of the buffer");
    }
}

impl std::fmt::Debug for Fuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fuses(…)")
    }
}

fn burn(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
    rand::fill(&mut secret).map_err(|_| Error::Crypto("give random bytes"))?;
    disk::write(path, &secret, Access::Private)?;
    Ok(secret)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const SALT: &[u8] = b"tamarack emulated fuses v1";
const SCALAR_ATTEMPTS: u8 = 8;
const SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuses_are_burnt_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = Fuses::open(dir.path()).unwrap();
        let again = Fuses::open(dir.path()).unwrap();
        let other = Fuses::open(&dir.path().join("other")).unwrap();

        assert_eq!(first.ueid(), again.ueid());
        assert_ne!(first.ueid(), other.ueid());
        let key = |fuses: &Fuses| fuses.signing_key("test").unwrap().point();
        assert_eq!(key(&first), key(&again));
        assert_ne!(key(&first), key(&other));
    }

    #[test]
    fn a_sealing_key_depends_on_device_identity_and_label() {
        let dir = tempfile::tempdir().unwrap();
        let fuses = Fuses::open(dir.path()).unwrap();
        let other = Fuses::open(&dir.path().join("other")).unwrap();

        let key = fuses.sealing_key(b"program", "storage");

        assert_eq!(key, fuses.sealing_key(b"program", "storage"));
        assert_ne!(key, other.sealing_key(b"program", "storage"));
        assert_ne!(key, fuses.sealing_key(b"program2", "storage"));
        assert_ne!(key, fuses.sealing_key(b"program", "storage2"));
        assert_ne!(key, fuses.sealing_key(b"eprogram", "storag"));
    }

    #[test]
    fn damaged_fuses_are_an_error_and_not_new_fuses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fuses");
        disk::write(&path, b"short", Access::Private).unwrap();

        let opened = Fuses::open(dir.path());

        assert_eq!(opened.unwrap_err(), Error::damaged(&path, "not 32 bytes"));
    }
}
