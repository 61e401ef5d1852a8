//! The ioctl of `/dev/tdx_guest` (`linux/tdx-guest.h`), and the way to the host's quoting service.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// The TDX module, as a guest reaches it.
pub trait Module: Send {
    /// TDX_CMD_GET_REPORT0: a report that only this machine can check.
    fn report(&self, report_data: &[u8; 64]) -> io::Result<TdReport>;

    /// A new connection to the quoting service at a port of the host's vsock.
    fn quoting_service(&self, port: u32) -> io::Result<Box<dyn Stream>>;
}

/// TDREPORT_STRUCT.
pub type TdReport = Box<[u8; 1024]>;

/// A connection.
pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// The device node.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).open(path).map(Self)
    }
}

impl Module for Device {
    fn report(&self, report_data: &[u8; 64]) -> io::Result<TdReport> {
        let mut request = Box::new(ReportRequest { report_data: *report_data, report: [0; 1024] });
        // SAFETY: the operation takes one `tdx_report_req`, whose layout the type has: it reads the
        // first 64 bytes and writes the other 1024, and keeps no address.
        #[expect(unsafe_code, reason = "the compiler knows of no ioctl what it writes")]
        unsafe {
            ioctl(&self.0, Updater::<GET_REPORT0, ReportRequest>::new(&mut request))?;
        }
        Ok(Box::new(request.report))
    }

    fn quoting_service(&self, port: u32) -> io::Result<Box<dyn Stream>> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let stream = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
        // A host that does not answer must not hold up the Agent for ever.
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&stream, timeout, Some(ANSWERS_WITHIN))?;
        }
        let host = VsockAddr::new(libc::VMADDR_CID_HOST, port);
        connect(std::os::fd::AsRawFd::as_raw_fd(&stream), &host)?;
        Ok(Box::new(File::from(stream)))
    }
}

/// `struct tdx_report_req`.
#[repr(C)]
struct ReportRequest {
    report_data: [u8; 64],
    report: [u8; 1024],
}

const GET_REPORT0: Opcode = opcode::read_write::<ReportRequest>(b'T', 1);
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_has_the_kernels_number() {
        assert_eq!(GET_REPORT0, 0xc440_5401);
    }
}
