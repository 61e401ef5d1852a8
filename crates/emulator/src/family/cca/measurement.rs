//! What CCA measures while a realm is built (Realm Management Monitor specification 1.0: the realm
//! initial measurement), and the firmware of the platform.
//!
//! The emulated host makes a realm with an address space of 40 bits and SHA-256, and loads the
//! program's file as it is: one measured granule per 4096 bytes from address zero on, the last one
//! filled with zeros, and no execution context. Everybody who has the file can compute the RIM.

use aws_lc_rs::digest::{SHA512, digest};
use serde::Serialize;

use crate::Error;
use crate::family::arm::{CURRENT, Component, version};
use crate::key::sha256;
use crate::misbehaviour::Misbehaviour;

/// The identity of a program and its settings, on a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The digest of the program.
    #[serde(serialize_with = "hex::serialize")]
    pub rim: [u8; 32],
    /// SHA-512 of the settings.
    #[serde(serialize_with = "hex::serialize")]
    pub rpv: [u8; 64],
    /// The platform.
    pub platform: Platform,
}

/// The platform under a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// The immutable root of trust.
    #[serde(serialize_with = "hex::serialize")]
    pub implementation_id: [u8; 32],
    /// The firmware.
    pub components: Vec<Component>,
}

impl Measurement {
    /// Measures a program and its settings on a platform that is up to date.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        let rpv = digest(&SHA512, settings);
        Ok(Self {
            rim: rim(program)?,
            rpv: rpv.as_ref().try_into().expect("SHA-512 has 64 bytes"),
            platform: Platform::current(Misbehaviour::None),
        })
    }
}

impl Platform {
    /// The platform; its realm management monitor is an old one when the device is out of date.
    pub(super) fn current(misbehaviour: Misbehaviour) -> Self {
        Self {
            implementation_id: sha256(b"tamarack emulated CCA platform"),
            components: vec![
                Component::firmware("RSE", CURRENT),
                Component::firmware("TF-A", CURRENT),
                Component::firmware("RMM", version(misbehaviour)),
            ],
        }
    }
}

fn rim(program: &[u8]) -> Result<[u8; 32], Error> {
    if program.is_empty() {
        return Err(Error::EmptyProgram);
    }
    let mut parameters = vec![0; GRANULE_BYTES];
    parameters[8] = IPA_BITS;
    let mut rim = sha256(&parameters);
    for (index, granule) in program.chunks(GRANULE_BYTES).enumerate() {
        let mut padded = [0; GRANULE_BYTES];
        padded[..granule.len()].copy_from_slice(granule);
        let at = (index * GRANULE_BYTES) as u64;
        rim = sha256(&descriptor(&rim, at, &sha256(&padded)));
    }
    Ok(rim)
}

/// RmmMeasurementDescriptorData: type 0, length, RIM so far, address, flags, digest of the granule.
fn descriptor(rim: &[u8; 32], address: u64, content: &[u8; 32]) -> [u8; DESCRIPTOR_BYTES] {
    let mut descriptor = [0; DESCRIPTOR_BYTES];
    descriptor[0x08..0x10].copy_from_slice(&(DESCRIPTOR_BYTES as u64).to_le_bytes());
    descriptor[0x10..0x30].copy_from_slice(rim);
    descriptor[0x50..0x58].copy_from_slice(&address.to_le_bytes());
    descriptor[0x58..0x60].copy_from_slice(&MEASURED.to_le_bytes());
    descriptor[0x60..0x80].copy_from_slice(content);
    descriptor
}

const DESCRIPTOR_BYTES: usize = 0x100;
const GRANULE_BYTES: usize = 4096;
const IPA_BITS: u8 = 40;
const MEASURED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rim_is_what_an_independent_program_computes() {
        // From a Python script that follows the specification's description.
        let program: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        assert_eq!(
            hex::encode(rim(&program).unwrap()),
            "e4734a1a1adb3456d4b29790ff934b9f6b47a58979295552b32d79fb11654994"
        );
    }

    #[test]
    fn every_byte_of_program_and_settings_is_measured() {
        let program = vec![7; 5000];
        let measured = Measurement::of(&program, b"settings").unwrap();
        for at in [0, 4095, 4096, 4999] {
            let mut other = program.clone();
            other[at] ^= 1;
            assert_ne!(rim(&other).unwrap(), measured.rim, "byte {at}");
        }
        assert_ne!(Measurement::of(&program, b"settings2").unwrap().rpv, measured.rpv);
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
