//! What a confidential VM starts from: firmware, kernel, initial RAM disk and command line.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::disk;
use crate::key::sha256;

/// The bytes that a guest starts from. They are read once: what is measured is what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The processor that it is made for.
    pub architecture: Architecture,
    /// The firmware, where the machine has one.
    pub firmware: Option<Vec<u8>>,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// The initial RAM disk, with the program that runs inside.
    pub initrd: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit Intel and AMD.
    #[serde(rename = "x86_64")]
    X8664,
}

/// `image.json` in the directory of an image.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    architecture: Architecture,
    command_line: String,
}

impl Image {
    /// Reads the image in a directory.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("image.json");
        let manifest: Option<Manifest> = disk::read_json(&path)?;
        let manifest = manifest.ok_or(Error::NoImage { path })?;
        let file = |name: &str| disk::read_if_present(&dir.join(name));
        let must = |name: &str| file(name)?.ok_or_else(|| Error::NoImage { path: dir.join(name) });
        let image = Self {
            architecture: manifest.architecture,
            firmware: file("firmware")?,
            kernel: must("kernel")?,
            initrd: must("initrd")?,
            command_line: manifest.command_line,
        };
        let seen = kernel_architecture(&image.kernel);
        if seen != Some(image.architecture) {
            return Err(Error::WrongKernel { expected: image.architecture.name() });
        }
        Ok(image)
    }
}

impl Image {
    /// The image with the digest of the settings on the kernel's command line, for hardware that
    /// measures nothing else beside the image.
    #[must_use]
    pub fn with_settings(&self, settings: &[u8]) -> Self {
        let digest = hex::encode(sha256(settings));
        let command_line = format!("{} tamarack.settings={digest}", self.command_line);
        Self { command_line, ..self.clone() }
    }
}

impl Architecture {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X8664 => "x86_64",
        }
    }

    /// The processor that this program runs on, if a guest can have the same.
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Some(Self::Aarch64),
            "x86_64" => Some(Self::X8664),
            _ => None,
        }
    }
}

/// What a kernel says it is for: Linux boot protocol of x86 (`HdrS` at 0x202), ELF, or header of
/// an arm64 image (`ARM\x64` at 56).
fn kernel_architecture(kernel: &[u8]) -> Option<Architecture> {
    let at = |offset: usize, magic: &[u8]| kernel.get(offset..)?.starts_with(magic).then_some(());
    let elf = |machine: &[u8]| at(0, b"\x7fELF\x02").and(at(18, machine));
    if at(0x202, b"HdrS").or(elf(&[62, 0])).is_some() {
        return Some(Architecture::X8664);
    }
    at(56, b"ARM\x64").map(|()| Architecture::Aarch64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_image_is_read_whole_and_its_firmware_may_be_absent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "aarch64", &arm());

        let image = Image::read(dir.path()).unwrap();

        assert_eq!(image.architecture, Architecture::Aarch64);
        assert_eq!(image.firmware, None);
        assert_eq!((image.initrd, image.command_line), (b"initrd".to_vec(), "quiet".to_owned()));
    }

    #[test]
    fn a_kernel_for_another_processor_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x86_64", &arm());

        let wrong = Err(Error::WrongKernel { expected: "x86_64" });
        assert_eq!(Image::read(dir.path()), wrong);
        write(dir.path(), "x86_64", b"#!/bin/sh");
        assert_eq!(Image::read(dir.path()), wrong);
    }

    #[test]
    fn an_image_that_lacks_a_part_is_refused_by_the_part_s_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = |name: &str| Err(Error::NoImage { path: dir.path().join(name) });
        assert_eq!(Image::read(dir.path()), missing("image.json"));
        write(dir.path(), "aarch64", &arm());

        fs::remove_file(dir.path().join("initrd")).unwrap();
        assert_eq!(Image::read(dir.path()), missing("initrd"));
    }

    fn write(dir: &Path, architecture: &str, kernel: &[u8]) {
        let json = format!(r#"{{"architecture":"{architecture}","command_line":"quiet"}}"#);
        fs::write(dir.join("image.json"), json).unwrap();
        fs::write(dir.join("kernel"), kernel).unwrap();
        fs::write(dir.join("initrd"), b"initrd").unwrap();
    }

    fn arm() -> Vec<u8> {
        [vec![0; 56], b"ARM\x64".to_vec()].concat()
    }
}
