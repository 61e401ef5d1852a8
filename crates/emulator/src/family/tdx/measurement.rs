//! What TDX measures while a trust domain is built (Intel TDX module base specification:
//! TDH.MEM.PAGE.ADD, TDH.MR.EXTEND, TDH.MR.FINALIZE).
//!
//! The emulated loader maps a program's file as it is: one private page per 4096 bytes from guest
//! physical address zero on, the last one filled with zeros, every page measured in full. There is
//! no virtual firmware, so the RTMRs are zero until the program extends them.
//!
//! Of a machine it maps the firmware, so that it ends at 4 GiB; the emulated firmware extends RTMR1
//! with the kernel, and RTMR2 with the command line and then the initial RAM disk, each by its
//! SHA-384. Everybody who has the files can compute the values.

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};

use crate::Error;
use crate::vm::Image;

/// The identity of a program or a machine, and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The digest of the program, or of the machine's firmware.
    #[serde(serialize_with = "hex::serialize")]
    pub mrtd: [u8; 48],
    /// Of a machine: its kernel.
    #[serde(serialize_with = "optional_hex", skip_serializing_if = "Option::is_none")]
    pub rtmr1: Option<[u8; 48]>,
    /// Of a machine: its command line and its initial RAM disk.
    #[serde(serialize_with = "optional_hex", skip_serializing_if = "Option::is_none")]
    pub rtmr2: Option<[u8; 48]>,
    /// SHA-384 of the settings.
    #[serde(serialize_with = "hex::serialize")]
    pub mrconfigid: [u8; 48],
}

impl Measurement {
    /// Measures a program and its settings.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        let mrtd = mrtd(0, program)?;
        Ok(Self { mrtd, rtmr1: None, rtmr2: None, mrconfigid: sha384(settings) })
    }

    /// Measures a machine and its settings.
    pub fn of_machine(image: &Image, settings: &[u8]) -> Result<Self, Error> {
        let firmware = image.firmware.as_deref().unwrap_or_default();
        let start = FIRMWARE_END - firmware.len().next_multiple_of(PAGE_BYTES) as u64;
        Ok(Self {
            mrtd: mrtd(start, firmware)?,
            rtmr1: Some(register(&[&image.kernel])),
            rtmr2: Some(register(&[image.command_line.as_bytes(), &image.initrd])),
            mrconfigid: sha384(settings),
        })
    }

    /// What a sealing key belongs to: all that was loaded at launch.
    pub(super) fn identity(&self) -> Vec<u8> {
        let registers = [self.rtmr1, self.rtmr2].into_iter().flatten().flatten();
        self.mrtd.into_iter().chain(registers).collect()
    }
}

/// A register after it was extended with the digests of these.
fn register(parts: &[&[u8]]) -> [u8; 48] {
    let extend = |register: [u8; 48], part: &&[u8]| sha384(&[register, sha384(part)].concat());
    parts.iter().fold([0; 48], extend)
}

fn mrtd(start: u64, program: &[u8]) -> Result<[u8; 48], Error> {
    if program.is_empty() {
        return Err(Error::EmptyProgram);
    }
    let mut digest = digest::Context::new(&digest::SHA384);
    for (index, page) in program.chunks(PAGE_BYTES).enumerate() {
        let mut padded = [0; PAGE_BYTES];
        padded[..page.len()].copy_from_slice(page);
        let at = start + (index * PAGE_BYTES) as u64;
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

fn sha384(bytes: &[u8]) -> [u8; 48] {
    fixed(&digest::digest(&digest::SHA384, bytes))
}

fn optional_hex<S: Serializer>(value: &Option<[u8; 48]>, to: S) -> Result<S::Ok, S::Error> {
    value.map(hex::encode).serialize(to)
}

fn fixed(digest: &digest::Digest) -> [u8; 48] {
    digest.as_ref().try_into().expect("SHA-384 has 48 bytes")
}

/// Where a machine's firmware ends.
const FIRMWARE_END: u64 = 1 << 32;
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
            hex::encode(mrtd(0, &program).unwrap()),
            "dbd21a440e47960c325da29a84c9dd15d66fe6acf2dcc260\
             4e816eb7826ce24bc3de0d9aa414f4065af45f79292094e3"
        );
        assert_eq!(
            hex::encode(mrtd(0, b"x").unwrap()),
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
    fn every_part_of_a_machine_has_its_register() {
        let image = crate::vm::testing::image();
        let measured = Measurement::of_machine(&image, b"settings").unwrap();
        let other = |change: &dyn Fn(&mut Image)| {
            let mut image = image.clone();
            change(&mut image);
            Measurement::of_machine(&image, b"settings").unwrap()
        };

        let firmware = other(&|image| image.firmware.as_mut().unwrap()[9] ^= 1);
        let kernel = other(&|image| image.kernel[9] ^= 1);
        let initrd = other(&|image| image.initrd[9] ^= 1);
        let line = other(&|image| image.command_line.push_str(" init=/bin/sh"));

        assert_eq!(Measurement { mrtd: measured.mrtd, ..firmware.clone() }, measured);
        assert_ne!(firmware.mrtd, measured.mrtd);
        assert_eq!(Measurement { rtmr1: measured.rtmr1, ..kernel.clone() }, measured);
        assert_ne!(kernel.rtmr1, measured.rtmr1);
        for other in [initrd, line] {
            assert_eq!(Measurement { rtmr2: measured.rtmr2, ..other.clone() }, measured);
            assert_ne!(other.rtmr2, measured.rtmr2);
            assert_ne!(other.identity(), measured.identity());
        }
        // From a Python script: SHA-384 over 48 zero bytes and the SHA-384 of the kernel.
        assert_eq!(hex::encode(measured.rtmr1.unwrap()), RTMR1);
    }

    const RTMR1: &str = "7b0d9b1db731823f1cd118212c7893106fbd6f9f6a485bef\
        df24c927481bd2ba993a3df01145c0d162c0044dd8511d63";

    #[test]
    fn an_empty_program_is_refused() {
        assert_eq!(Measurement::of(b"", b""), Err(Error::EmptyProgram));
    }
}
