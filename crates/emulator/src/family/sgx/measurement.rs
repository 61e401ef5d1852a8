//! What SGX measures while a program is loaded (Intel SDM volume 3D, chapter 37: ECREATE, EADD,
//! EEXTEND, EINIT).
//!
//! The emulated loader maps the program's file as it is: one regular page, readable and
//! executable, per 4096 bytes from offset zero on, the last one filled with zeros, every page
//! measured in full. The enclave's size is the next power of two of at least two pages. So
//! everybody who has the file can compute MRENCLAVE.

use aws_lc_rs::digest;
use serde::Serialize;

use crate::Error;
use crate::family::intel::quote::mrsigner;
use crate::key::sha256;

/// The identity of a program and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The digest of the program.
    #[serde(serialize_with = "hex::serialize")]
    pub mrenclave: [u8; 32],
    /// The digest of the emulated signer's RSA modulus; the same for every emulated program.
    #[serde(serialize_with = "hex::serialize")]
    pub mrsigner: [u8; 32],
    /// SHA-256 of the settings, then zeros.
    #[serde(rename = "configid", serialize_with = "hex::serialize")]
    pub config_id: [u8; 64],
    /// The product identifier that the emulated signer gave.
    #[serde(rename = "isvprodid")]
    pub isv_prod_id: u16,
    /// The security version that the emulated signer gave.
    #[serde(rename = "isvsvn")]
    pub isv_svn: u16,
}

impl Measurement {
    /// Measures a program and its settings.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        let mut config_id = [0; 64];
        config_id[..32].copy_from_slice(&sha256(settings));
        Ok(Self {
            mrenclave: mrenclave(program)?,
            mrsigner: mrsigner("program"),
            config_id,
            isv_prod_id: 1,
            isv_svn: 1,
        })
    }
}

fn mrenclave(program: &[u8]) -> Result<[u8; 32], Error> {
    if program.is_empty() {
        return Err(Error::EmptyProgram);
    }
    let pages = program.chunks(PAGE_BYTES);
    let size = (pages.len().max(2) * PAGE_BYTES).next_power_of_two() as u64;

    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&record(b"ECREATE\0", &[&SSA_FRAME_PAGES.to_le_bytes(), &size.to_le_bytes()]));
    for (index, page) in pages.enumerate() {
        let mut padded = [0; PAGE_BYTES];
        padded[..page.len()].copy_from_slice(page);
        let at = (index * PAGE_BYTES) as u64;
        digest.update(&record(b"EADD\0\0\0\0", &[&at.to_le_bytes(), &SECINFO.to_le_bytes()]));
        for (index, chunk) in padded.chunks_exact(EXTEND_BYTES).enumerate() {
            let at = at + (index * EXTEND_BYTES) as u64;
            digest.update(&record(b"EEXTEND\0", &[&at.to_le_bytes()]));
            digest.update(chunk);
        }
    }
    Ok(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// One 64-byte record of the measurement log: tag, fields, zeros.
fn record(tag: &[u8; 8], fields: &[&[u8]]) -> [u8; 64] {
    let mut record = [0; 64];
    let mut at = 0;
    for part in std::iter::once(tag.as_slice()).chain(fields.iter().copied()) {
        record[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    record
}

const EXTEND_BYTES: usize = 256;
const PAGE_BYTES: usize = 4096;
/// Flags: page type PT_REG (2) in bits 8 to 15, R (bit 0), X (bit 2).
const SECINFO: u64 = 0x0205;
const SSA_FRAME_PAGES: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mrenclave_is_what_an_independent_program_computes() {
        // From a Python script that follows the SDM's pseudo code.
        let program: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        assert_eq!(
            hex::encode(mrenclave(&program).unwrap()),
            "fb19785194757f751a056c181624078483b186264921d6449b99dc0411ddcceb"
        );
        assert_eq!(
            hex::encode(mrenclave(b"x").unwrap()),
            "359eb176a6f2c540a0240f997afd425a77d1a3a9d5bd9c8f64fb9b3b1410aab8"
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
            assert_ne!(other.mrenclave, measured.mrenclave, "byte {at}");
            assert_eq!(other.config_id, measured.config_id);
        }

        let other = Measurement::of(&program, b"settings2").unwrap();
        assert_eq!(other.mrenclave, measured.mrenclave);
        assert_ne!(other.config_id, measured.config_id);
        assert_eq!(other.config_id[32..], [0; 32]);
    }

    #[test]
    fn an_empty_program_is_refused() {
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
