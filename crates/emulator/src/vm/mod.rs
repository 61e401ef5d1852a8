//! A confidential VM instead of a process: QEMU runs the guest, the emulated hardware measures it.
//!
//! ```text
//! Broker ── socket ── tamarack-tee ══ serial port ══ /init ── tamarack-agent      (the guest)
//!                        │ emulated hardware, storage of the REE
//! ```
//!
//! Firmware, kernel, initial RAM disk and command line are read once, measured as the family
//! measures a launch, and handed to QEMU from memory that nobody can change. The guest gets the
//! hardware's interface through the serial port, as it would get it from its processor.

pub mod accelerator;
pub mod bare;
mod console;
mod image;
mod machine;
pub mod probe;
pub mod qemu;
mod status;
mod storage;

pub use image::{Architecture, Image};
pub use machine::{Ended, Guest, run};

#[cfg(test)]
pub(crate) mod testing {
    //! An image that no machine would start.

    use super::{Architecture, Image};

    pub(crate) fn image() -> Image {
        let bytes = |length: u32, modulus| (0..length).map(|at| (at % modulus) as u8).collect();
        Image {
            architecture: Architecture::X8664,
            firmware: Some(bytes(8192, 241)),
            kernel: bytes(5000, 251),
            initrd: bytes(6000, 239),
            command_line: "quiet".to_owned(),
        }
    }
}
