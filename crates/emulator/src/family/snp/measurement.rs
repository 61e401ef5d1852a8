//! What SEV-SNP measures while a guest is launched (SEV-SNP firmware ABI: SNP_LAUNCH_START,
//! SNP_LAUNCH_UPDATE, SNP_LAUNCH_FINISH).
//!
//! The emulated host loads the program's file as it is: one normal page per 4096 bytes from guest
//! physical address zero on, the last one filled with zeros, and no virtual processor's state. So
//! everybody who has the file can compute the launch digest.

use aws_lc_rs::digest::{SHA384, digest};
use serde::Serialize;

use crate::Error;
use crate::key::sha256;

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
        let mut launch_digest = [0; 48];
        for (index, page) in program.chunks(PAGE_BYTES).enumerate() {
            let mut padded = [0; PAGE_BYTES];
            padded[..page.len()].copy_from_slice(page);
            let at = (index * PAGE_BYTES) as u64;
            launch_digest = sha384(&page_info(&launch_digest, &sha384(&padded), at));
        }
        Ok(Self { measurement: launch_digest, host_data: sha256(settings) })
    }
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
