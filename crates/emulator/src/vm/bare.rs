//! The floor: how long the same kernel and initial RAM disk take to a first byte, with nobody in
//! them.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use super::image::Image;
use super::machine::{Guest, command, find};
use super::qemu::{self, Accelerator};
use crate::Error;

/// Boots the guest's kernel with a first program that writes one byte, and tells how long that took
/// since QEMU was started.
pub fn boot(guest: &Guest<'_>, accelerator: Accelerator) -> Result<Duration, Error> {
    let image = guest.image;
    let image = Image { command_line: format!("{} {BARE}", image.command_line), ..image.clone() };
    let guest = Guest { image: &image, ..guest.clone() };
    let program = find(qemu::program(image.architecture))?;
    let failed = |error: std::io::Error| Error::launch("boot", error);
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    ours.set_read_timeout(Some(guest.boot_within)).map_err(failed)?;
    let (mut command, _) = command(&guest, &program, accelerator, theirs)?;
    let began = Instant::now();
    let child = command.spawn().map_err(failed)?;
    // The command holds the guest's end of the port, which must close when QEMU ends.
    drop(command);
    let _ended = Ended(child);
    let mut byte = [0];
    ours.read_exact(&mut byte).map_err(failed)?;
    Ok(began.elapsed())
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the first program of an image looks for.
const BARE: &str = "tamarack.bare";
