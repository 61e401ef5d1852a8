//! Which devices the emulated makers have made: their public keys among the collateral, and a list
//! of what each is pinned by. The keys themselves stay in the devices.
//!
//! ```text
//! arm.json                          the list
//! collateral/<family>-<key>.pem     SubjectPublicKeyInfo
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::{self, Access};
use crate::key::sha256;
use crate::{Error, pem};

/// A device whose key a Verifier can enrol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// `cca`, `trustzone` or `trustzone-optee`.
    pub family: String,
    /// What its evidence names it by: 1, then 32 bytes.
    #[serde(with = "hex")]
    pub instance: [u8; 33],
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    #[serde(with = "hex")]
    pub spki_sha256: [u8; 32],
}

/// The devices whose makers are in this directory.
pub fn enrolled(vendor_dir: &Path) -> Result<Vec<Enrolled>, Error> {
    Ok(disk::read_json(&vendor_dir.join(LIST))?.unwrap_or_default())
}

/// Enrols a device with its key, once.
pub(crate) fn enrol(
    vendor_dir: &Path,
    family: &str,
    instance: [u8; 33],
    spki: &[u8],
) -> Result<(), Error> {
    let collateral = vendor_dir.join("collateral");
    disk::create_dir(vendor_dir, Access::Public)?;
    let _lock = disk::lock_dir(vendor_dir)?;
    disk::create_dir(&collateral, Access::Public)?;
    let spki_sha256 = sha256(spki);
    let file = format!("{family}-{}.pem", hex::encode(&spki_sha256[..8]));
    disk::write(&collateral.join(file), pem::public_key(spki).as_bytes(), Access::Public)?;

    let mut list = enrolled(vendor_dir)?;
    let device = Enrolled { family: family.to_owned(), instance, spki_sha256 };
    if !list.contains(&device) {
        list.push(device);
        disk::write_json(&vendor_dir.join(LIST), &list)?;
    }
    Ok(())
}

/// The instance id of the device with this key (RFC 9783 section 4.2.1).
pub(crate) fn instance_id(spki: &[u8]) -> [u8; 33] {
    let mut id = [1; 33];
    id[1..].copy_from_slice(&sha256(spki));
    id
}

const LIST: &str = "arm.json";
