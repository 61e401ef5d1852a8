//! What CCA measures while a realm is built (Realm Management Monitor specification 1.0: the realm
//! initial measurement), and the firmware of the platform.
//!
//! The emulated host makes a realm with an address space of 40 bits and SHA-256, and loads the
//! program's file as it is: one measured granule per 4096 bytes from address zero on, the last one
//! filled with zeros, and no execution context. Everybody who has the file can compute the RIM.
//!
//! Of a machine it loads command line, kernel and initial RAM disk, each to where QEMU's board
//! `virt` puts it. The command line stands in for the device tree that carries it.

use aws_lc_rs::digest::{SHA512, digest};
use serde::Serialize;

use crate::Error;
use crate::family::arm::{CURRENT, Component, version};
use crate::key::sha256;
use crate::misbehaviour::Misbehaviour;
use crate::vm::Image;

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
        Self::of_parts(&[(0, program)], settings)
    }

    /// Measures a machine and its settings, on the same platform.
    pub fn of_machine(image: &Image, settings: &[u8]) -> Result<Self, Error> {
        let parts = [
            (DEVICE_TREE_AT, image.command_line.as_bytes()),
            (KERNEL_AT, &image.kernel),
            (INITRD_AT, &image.initrd),
        ];
        Self::of_parts(&parts, settings)
    }

    fn of_parts(parts: &[(u64, &[u8])], settings: &[u8]) -> Result<Self, Error> {
        let rpv = digest(&SHA512, settings);
        Ok(Self {
            rim: rim(parts)?,
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

fn rim(parts: &[(u64, &[u8])]) -> Result<[u8; 32], Error> {
    if parts.iter().all(|(_, bytes)| bytes.is_empty()) {
        return Err(Error::EmptyProgram);
    }
    let mut parameters = vec![0; GRANULE_BYTES];
    parameters[8] = IPA_BITS;
    let mut rim = sha256(&parameters);
    for (start, bytes) in parts {
        for (index, granule) in bytes.chunks(GRANULE_BYTES).enumerate() {
            let mut padded = [0; GRANULE_BYTES];
            padded[..granule.len()].copy_from_slice(granule);
            let at = start + (index * GRANULE_BYTES) as u64;
            rim = sha256(&descriptor(&rim, at, &sha256(&padded)));
        }
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

const DEVICE_TREE_AT: u64 = 0x4000_0000;
const KERNEL_AT: u64 = 0x4020_0000;
const INITRD_AT: u64 = 0x4800_0000;
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
            hex::encode(rim(&[(0, &program)]).unwrap()),
            "e4734a1a1adb3456d4b29790ff934b9f6b47a58979295552b32d79fb11654994"
        );
    }

    #[test]
    fn every_part_of_a_machine_is_measured() {
        let image = crate::vm::testing::image();
        let measure = |image: &Image| Measurement::of_machine(image, b"settings").unwrap();
        let measured = measure(&image);
        let change: [fn(&mut Image); 3] = [
            |image| image.kernel[9] ^= 1,
            |image| image.initrd[9] ^= 1,
            |image| image.command_line.push_str(" init=/bin/sh"),
        ];
        for change in change {
            let mut other = image.clone();
            change(&mut other);
            assert_ne!(measure(&other).rim, measured.rim);
        }
        assert_ne!(Measurement::of_machine(&image, b"settings2").unwrap().rpv, measured.rpv);
    }

    #[test]
    fn every_byte_of_program_and_settings_is_measured() {
        let program = vec![7; 5000];
        let measured = Measurement::of(&program, b"settings").unwrap();
        for at in [0, 4095, 4096, 4999] {
            let mut other = program.clone();
            other[at] ^= 1;
            assert_ne!(rim(&[(0, &other)]).unwrap(), measured.rim, "byte {at}");
        }
        assert_ne!(Measurement::of(&program, b"settings2").unwrap().rpv, measured.rpv);
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
