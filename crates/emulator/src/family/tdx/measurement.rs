//! What TDX measures while a trust domain is built (Intel TDX module base specification:
//! TDH.MEM.PAGE.ADD, TDH.MR.EXTEND, TDH.MR.FINALIZE).
//!
//! The emulated loader maps the program's file as it is: one private page per 4096 bytes from guest
//! physical address zero on, the last one filled with zeros, every page measured in full. There is
//! no virtual firmware, so the RTMRs are zero until the program extends them. Everybody who has the
//! file can compute MRTD.

use aws_lc_rs::digest;
use serde::Serialize;

use crate::Error;

/// The identity of a program and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The digest of the program.
    #[serde(serialize_with = "hex::serialize")]
    pub mrtd: [u8; 48],
    /// SHA-384 of the settings.
    #[serde(serialize_with = "hex::serialize")]
    pub mrconfigid: [u8; 48],
}

impl Measurement {
    /// Measures a program and its settings.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        let settings = digest::digest(&digest::SHA384, settings);
        Ok(Self { mrtd: mrtd(program)?, mrconfigid: fixed(&settings) })
    }
}

fn mrtd(program: &[u8]) -> Result<[u8; 48], Error> {
    if program.is_empty() {
        return Err(Error::EmptyProgram);
    }
    let mut digest = digest::Context::new(&digest::SHA384);
    for (index, page) in program.chunks(PAGE_BYTES).enumerate() {
        let mut padded = [0; PAGE_BYTES];
        padded[..page.len()].copy_from_slice(page);
        let at = (index * PAGE_BYTES) as u64;
        digest.update(&record(b"MEM.PAGE.ADD", at));
        for (index, chunk) in padded.chunks_exact(EXTEND_BYTES).enumerate() {
            digest.update(&record(b"MR.EXTEND", at + (index * EXTEND_BYTES) as u64));
            digest.update(chunk);
        }
    }
    Ok(fixed(&digest.finish()))
}

/// One 128-byte record of the measurement log: operation, at 16 the guest physical address.
fn record(operation: &[u8], address: u64) -> [u8; 128] {
    let mut record = [0; 128];
    record[..operation.len()].copy_from_slice(operation);
    record[16..24].copy_from_slice(&address.to_le_bytes());
    record
}

fn fixed(digest: &digest::Digest) -> [u8; 48] {
    digest.as_ref().try_into().expect("SHA-384 has 48 bytes")
}

const EXTEND_BYTES: usize = 256;
const PAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mrtd_is_what_an_independent_program_computes() {
        // From a Python script that follows the specification's description.
        let program: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        assert_eq!(
            hex::encode(mrtd(&program).unwrap()),
            "dbd21a440e47960c325da29a84c9dd15d66fe6acf2dcc260\
             4e816eb7826ce24bc3de0d9aa414f4065af45f79292094e3"
        );
        assert_eq!(
            hex::encode(mrtd(b"x").unwrap()),
            "1b8d9d067b567ae1f13b3974b719075d3d67943830a48ae0\
             3fc0d8e65654f57aceb281b40e8b5edd46f11a0a81a9d1c8"
        );
    }

    #[test]
    fn every_byte_of_program_and_settings_is_measured() {
        let program = vec![7; 5000];
        let measured = Measurement::of(&program, b"settings").unwrap();
        for at in [0, 255, 256, 4095, 4096, 4999] {
            let mut other = program.clone();
            other[at] ^= 1;
            let other = Measurement::of(&other, b"settings").unwrap();
            assert_ne!(other.mrtd, measured.mrtd, "byte {at}");
            assert_eq!(other.mrconfigid, measured.mrconfigid);
        }

        let other = Measurement::of(&program, b"settings2").unwrap();
        assert_eq!(other.mrtd, measured.mrtd);
        assert_ne!(other.mrconfigid, measured.mrconfigid);
    }

    #[test]
    fn an_empty_program_is_refused() {
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
