//! What SEV-SNP measures while a guest is launched (SEV-SNP firmware ABI: SNP_LAUNCH_START,
//! SNP_LAUNCH_UPDATE, SNP_LAUNCH_FINISH).
//!
//! The emulated host loads the program's file as it is: one normal page per 4096 bytes from guest
//! physical address zero on, the last one filled with zeros, and no virtual processor's state. So
//! everybody who has the file can compute the launch digest.
//!
//! Of a machine it loads the firmware, so that it ends at 4 GiB, and then the page in which QEMU
//! puts the digests of kernel, initial RAM disk and command line (`kernel-hashes=on`), at the
//! address where OVMF looks for it.

use aws_lc_rs::digest::{SHA384, digest};
use serde::Serialize;

use crate::Error;
use crate::key::sha256;
use crate::vm::Image;

/// The identity of a program and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The launch digest of the program.
    #[serde(serialize_with = "hex::serialize")]
    pub measurement: [u8; 48],
    /// SHA-256 of the settings.
    #[serde(serialize_with = "hex::serialize")]
    pub host_data: [u8; 32],
}

impl Measurement {
    /// Measures a program and its settings.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        if program.is_empty() {
            return Err(Error::EmptyProgram);
        }
        let measurement = load(&[0; 48], 0, program);
        Ok(Self { measurement, host_data: sha256(settings) })
    }

    /// Measures a machine and its settings.
    pub fn of_machine(image: &Image, settings: &[u8]) -> Result<Self, Error> {
        let firmware = image.firmware.as_deref().unwrap_or_default();
        if firmware.is_empty() {
            return Err(Error::EmptyProgram);
        }
        let start = FIRMWARE_END - firmware.len().next_multiple_of(PAGE_BYTES) as u64;
        let measurement = load(&[0; 48], start, firmware);
        let measurement = load(&measurement, HASHES_AT, &hashes_page(image));
        Ok(Self { measurement, host_data: sha256(settings) })
    }
}

/// The launch digest after these bytes were loaded from this address on.
fn load(so_far: &[u8; 48], start: u64, bytes: &[u8]) -> [u8; 48] {
    let mut launch_digest = *so_far;
    for (index, page) in bytes.chunks(PAGE_BYTES).enumerate() {
        let mut padded = [0; PAGE_BYTES];
        padded[..page.len()].copy_from_slice(page);
        let at = start + (index * PAGE_BYTES) as u64;
        launch_digest = sha384(&page_info(&launch_digest, &sha384(&padded), at));
    }
    launch_digest
}

/// QEMU's `SevHashTable` in a page of zeros.
fn hashes_page(image: &Image) -> Vec<u8> {
    let mut page = vec![0; HASHES_OFFSET];
    page.extend(hash_table(image));
    page.resize(PAGE_BYTES, 0);
    page
}

/// QEMU's `SevHashTable`.
pub(in crate::family) fn hash_table(image: &Image) -> Vec<u8> {
    let line = [image.command_line.as_bytes(), &[0]].concat();
    let entries = [
        (LINE_GUID, sha256(&line)),
        (INITRD_GUID, sha256(&image.initrd)),
        (KERNEL_GUID, sha256(&image.kernel)),
    ];
    let mut table = Vec::new();
    let entry_bytes = 16 + 2 + 32;
    let table_bytes = 16 + 2 + entries.len() * entry_bytes;
    table.extend(TABLE_GUID);
    table.extend((table_bytes as u16).to_le_bytes());
    for (guid, digest) in entries {
        table.extend(guid);
        table.extend((entry_bytes as u16).to_le_bytes());
        table.extend(digest);
    }
    table
}

/// A GUID as UEFI writes it: its first three fields are little-endian.
const fn guid(text: u128) -> [u8; 16] {
    let b = text.to_be_bytes();
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
}

/// PAGE_INFO: digest so far, digest of the page, length, kind, permissions, address.
fn page_info(so_far: &[u8; 48], contents: &[u8; 48], address: u64) -> [u8; PAGE_INFO_BYTES] {
    let mut info = [0; PAGE_INFO_BYTES];
    info[0x00..0x30].copy_from_slice(so_far);
    info[0x30..0x60].copy_from_slice(contents);
    info[0x60..0x62].copy_from_slice(&(PAGE_INFO_BYTES as u16).to_le_bytes());
    info[0x62] = PAGE_TYPE_NORMAL;
    info[0x68..0x70].copy_from_slice(&address.to_le_bytes());
    info
}

fn sha384(bytes: &[u8]) -> [u8; 48] {
    digest(&SHA384, bytes).as_ref().try_into().expect("SHA-384 has 48 bytes")
}

/// Where a machine's firmware ends.
const FIRMWARE_END: u64 = 1 << 32;
/// The page with the digests, and where in it they begin: 0x80fc00 in OVMF.
const HASHES_AT: u64 = 0x80_f000;
const HASHES_OFFSET: usize = 0xc00;
const INITRD_GUID: [u8; 16] = guid(0x44baf731_3a2f_4bd7_9af1_41e29169781d);
const KERNEL_GUID: [u8; 16] = guid(0x4de79437_abd2_427f_b835_d5b172d2045b);
const LINE_GUID: [u8; 16] = guid(0x97d02dd8_bd20_4c94_aa78_e7714d36ab2a);
const TABLE_GUID: [u8; 16] = guid(0x9438d606_4f22_4cc9_b479_a793d411fd21);
const PAGE_BYTES: usize = 4096;
const PAGE_INFO_BYTES: usize = 0x70;
const PAGE_TYPE_NORMAL: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launch_digest_is_what_an_independent_program_computes() {
        // From a Python script that follows the ABI's description.
        let program: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        let measured = Measurement::of(&program, b"").unwrap();
        assert_eq!(
            hex::encode(measured.measurement),
            "5d31c22aaefefa17ee3b205a0f16134bfcce4c2e614c3383\
             9e1a1b07227280fc01a2ceea1846255dc2513314d53d43a4"
        );
    }

    #[test]
    fn the_launch_digest_of_a_machine_is_what_an_independent_program_computes() {
        // From a Python script that follows the ABI and QEMU's table of digests.
        let image = crate::vm::testing::image();
        let measured = Measurement::of_machine(&image, b"settings").unwrap();
        assert_eq!(
            hex::encode(measured.measurement),
            "5397f46f71f7ea3a70b3dbed69c271fde2602ede686cea61\
             4b0f507ca61b4ffc38984ed2ff87fa280a2d3833d00c6065"
        );
    }

    #[test]
    fn every_part_of_a_machine_is_measured() {
        let image = crate::vm::testing::image();
        let measure = |image: &Image| Measurement::of_machine(image, b"settings").unwrap();
        let measured = measure(&image);
        let change: [fn(&mut Image); 4] = [
            |image| image.firmware.as_mut().unwrap()[9] ^= 1,
            |image| image.kernel[9] ^= 1,
            |image| image.initrd[9] ^= 1,
            |image| image.command_line.push_str(" init=/bin/sh"),
        ];
        for change in change {
            let mut other = image.clone();
            change(&mut other);
            assert_ne!(measure(&other).measurement, measured.measurement);
        }
        let other = Measurement::of_machine(&image, b"settings2").unwrap();
        assert_ne!(other.host_data, measured.host_data);
    }

    #[test]
    fn every_byte_of_program_and_settings_is_measured() {
        let program = vec![7; 5000];
        let measured = Measurement::of(&program, b"settings").unwrap();
        for at in [0, 255, 4095, 4096, 4999] {
            let mut other = program.clone();
            other[at] ^= 1;
            let other = Measurement::of(&other, b"settings").unwrap();
            assert_ne!(other.measurement, measured.measurement, "byte {at}");
            assert_eq!(other.host_data, measured.host_data);
        }

        let other = Measurement::of(&program, b"settings2").unwrap();
        assert_eq!(other.measurement, measured.measurement);
        assert_ne!(other.host_data, measured.host_data);
    }

    #[test]
    fn an_empty_program_is_refused() {
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
