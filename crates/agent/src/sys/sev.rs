//! The ioctls of `/dev/sev-guest` (`linux/sev-guest.h`).

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// The secure processor, as a guest reaches it.
pub trait Firmware: Send {
    /// SNP_GET_EXT_REPORT: the response, and the host's certificate table.
    fn extended_report(
        &self,
        report_data: &[u8; 64],
        privilege_level: u32,
        certificates: &mut [u8],
    ) -> Result<Response, Failed>;

    /// SNP_GET_DERIVED_KEY: the response to a request as the kernel lays it out.
    fn derived_key(&self, request: &[u8; 32]) -> Result<[u8; 64], Failed>;
}

/// What the firmware answers when it is asked for a report.
pub type Response = Box<[u8; 4000]>;

/// A request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The operating system's error.
    pub error: i32,
    /// What firmware (low half) and hypervisor (high half) say.
    pub firmware: u64,
}

/// The device node.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Opens it.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).open(path).map(Self)
    }
}

impl Firmware for Device {
    fn extended_report(
        &self,
        report_data: &[u8; 64],
        privilege_level: u32,
        certificates: &mut [u8],
    ) -> Result<Response, Failed> {
        let request = ExtendedReportRequest {
            report_data: *report_data,
            privilege_level,
            reserved: [0; 28],
            certificates: certificates.as_mut_ptr() as u64,
            certificates_length: certificates.len().try_into().unwrap_or(u32::MAX),
            padding: 0,
        };
        let mut response = Box::new([0; 4000]);
        // SAFETY: the kernel reads one `snp_ext_report_req`, whose layout the type has, and writes
        // at most 4000 bytes of response, and at most `certificates_length` bytes to where
        // `certificates` points, which is exclusively borrowed for the whole call.
        #[expect(unsafe_code, reason = "the kernel's structures hold addresses")]
        unsafe {
            exchange::<GET_EXT_REPORT>(&self.0, (&raw const request).cast(), &mut response[..])?;
        }
        Ok(response)
    }

    fn derived_key(&self, request: &[u8; 32]) -> Result<[u8; 64], Failed> {
        let mut response = [0; 64];
        // SAFETY: the kernel reads one `snp_derived_key_req`, which is 32 bytes, and writes one
        // `snp_derived_key_resp`, which is 64.
        #[expect(unsafe_code, reason = "the kernel's structures hold addresses")]
        unsafe {
            exchange::<GET_DERIVED_KEY>(&self.0, request.as_ptr(), &mut response)?;
        }
        Ok(response)
    }
}

/// Makes one request.
///
/// # Safety
/// `request` points to as many bytes as the kernel reads for the operation, and `response` has as
/// many as it writes.
#[expect(unsafe_code, reason = "the kernel's structures hold addresses")]
unsafe fn exchange<const OPERATION: Opcode>(
    device: &File,
    request: *const u8,
    response: &mut [u8],
) -> Result<(), Failed> {
    let mut exchange = Exchange {
        version: 1,
        request: request as u64,
        response: response.as_mut_ptr() as u64,
        firmware: 0,
    };
    // SAFETY: the operation takes one `snp_guest_request_ioctl`, whose layout `Exchange` has; what
    // its addresses point to is the caller's promise.
    let done = unsafe { ioctl(device, Updater::<OPERATION, Exchange>::new(&mut exchange)) };
    let firmware = exchange.firmware;
    done.map_err(|error| Failed { error: error.raw_os_error(), firmware })
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct Exchange {
    version: u8,
    request: u64,
    response: u64,
    firmware: u64,
}

/// `struct snp_ext_report_req`.
#[repr(C)]
struct ExtendedReportRequest {
    report_data: [u8; 64],
    privilege_level: u32,
    reserved: [u8; 28],
    certificates: u64,
    certificates_length: u32,
    padding: u32,
}

const GET_DERIVED_KEY: Opcode = opcode::read_write::<Exchange>(b'S', 1);
const GET_EXT_REPORT: Opcode = opcode::read_write::<Exchange>(b'S', 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_kernels_numbers() {
        assert_eq!((GET_DERIVED_KEY, GET_EXT_REPORT), (0xc020_5301, 0xc020_5302));
        assert_eq!(size_of::<ExtendedReportRequest>(), 112);
    }
}
