//! TD reports of versions 1.0 and 1.5, byte for byte.

use aws_lc_rs::digest;
use device::tee::REPORT_DATA_BYTES;

use crate::family::intel::quote::{TD10_BYTES, TD15_BYTES};

/// What the TDX module says about a trust domain: 584 bytes, little-endian.
///
/// ```text
///   0 TEE_TCB_SVN[16]   16 MRSEAM[48]        64 MRSIGNERSEAM[48]  112 SEAMATTRIBUTES[8]
/// 120 TDATTRIBUTES[8]  128 XFAM[8]          136 MRTD[48]          184 MRCONFIGID[48]
/// 232 MROWNER[48]      280 MROWNERCONFIG[48] 328 RTMR[4][48]      520 REPORTDATA[64]
/// ```
///
/// Version 1.5 adds `584 TEE_TCB_SVN2[16]  600 MRSERVICETD[48]`.
#[derive(Clone, Copy)]
pub(super) struct Report {
    pub(super) tee_tcb_svn: [u8; 16],
    pub(super) attributes: Attributes,
    pub(super) mrtd: [u8; 48],
    pub(super) mrconfigid: [u8; 48],
    pub(super) rtmrs: [[u8; 48]; 4],
    pub(super) report_data: [u8; REPORT_DATA_BYTES],
}

impl Report {
    /// The report of version 1.0.
    pub(super) fn to_td10(self) -> [u8; TD10_BYTES] {
        let mut report = [0; TD10_BYTES];
        report[0..16].copy_from_slice(&self.tee_tcb_svn);
        let module = digest::digest(&digest::SHA384, b"tamarack emulated TDX module");
        report[16..64].copy_from_slice(module.as_ref());
        report[120..128].copy_from_slice(&self.attributes.to_bytes());
        report[128..136].copy_from_slice(&XFAM.to_le_bytes());
        report[136..184].copy_from_slice(&self.mrtd);
        report[184..232].copy_from_slice(&self.mrconfigid);
        report[328..520].copy_from_slice(self.rtmrs.as_flattened());
        report[520..584].copy_from_slice(&self.report_data);
        report
    }

    /// The report of version 1.5: the module has not changed since the launch, and no service
    /// domain is bound.
    pub(super) fn to_td15(self) -> [u8; TD15_BYTES] {
        let mut report = [0; TD15_BYTES];
        report[..TD10_BYTES].copy_from_slice(&self.to_td10());
        report[TD10_BYTES..TD10_BYTES + 16].copy_from_slice(&self.tee_tcb_svn);
        report
    }
}

/// TDATTRIBUTES.
#[derive(Clone, Copy)]
pub(super) struct Attributes(u64);

impl Attributes {
    /// The attributes of the domain that the platform runs.
    pub(super) const fn domain(debug: bool) -> Self {
        Self(if debug { SEPT_VE_DISABLE | DEBUG } else { SEPT_VE_DISABLE })
    }

    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

const DEBUG: u64 = 1;
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// x87, SSE, AVX, AVX-512.
const XFAM: u64 = 0xe7;
