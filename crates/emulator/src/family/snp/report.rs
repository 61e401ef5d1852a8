//! Attestation reports of versions 3 and 5, byte for byte (SEV-SNP firmware ABI, chapter 7).

use device::tee::REPORT_DATA_BYTES;

use super::product::{Product, Tcb};
use crate::Error;
use crate::key::P384Key;

/// What the secure processor says about a guest: 1184 bytes, little-endian; the last 512 are the
/// signature over those before.
///
/// ```text
/// 000 VERSION[4]       004 GUEST_SVN[4]     008 POLICY[8]          010 FAMILY_ID[16]
/// 020 IMAGE_ID[16]     030 VMPL[4]          034 SIGNATURE_ALGO[4]  038 CURRENT_TCB[8]
/// 040 PLATFORM_INFO[8] 048 KEY_INFO[4]      050 REPORT_DATA[64]    090 MEASUREMENT[48]
/// 0c0 HOST_DATA[32]    0e0 ID_KEY_DIGEST[48] 110 AUTHOR_KEY_DIGEST[48] 140 REPORT_ID[32]
/// 160 REPORT_ID_MA[32] 180 REPORTED_TCB[8]  188 CPUID[3]           1a0 CHIP_ID[64]
/// 1e0 COMMITTED_TCB[8] 1e8 CURRENT[3]       1ec COMMITTED[3]       1f0 LAUNCH_TCB[8]
/// 1f8 LAUNCH_MIT[8]    200 CURRENT_MIT[8]   2a0 R[72]              2e8 S[72]
/// ```
pub(super) struct Report {
    pub(super) product: Product,
    pub(super) guest_policy: GuestPolicy,
    pub(super) tcb: Tcb,
    pub(super) report_data: [u8; REPORT_DATA_BYTES],
    pub(super) measurement: [u8; 48],
    pub(super) host_data: [u8; 32],
    pub(super) report_id: [u8; 32],
    pub(super) chip_id: [u8; 64],
}

impl Report {
    /// The report with the signature of a VCEK.
    pub(super) fn sign(&self, vcek: &P384Key) -> Result<Vec<u8>, Error> {
        let mut report = self.signed().to_vec();
        let signature = vcek.sign(&report)?;
        for number in signature.chunks_exact(48) {
            report.extend(number.iter().rev());
            report.extend([0; 24]);
        }
        report.resize(REPORT_BYTES, 0);
        Ok(report)
    }

    fn signed(&self) -> [u8; SIGNED_BYTES] {
        let mut report = [0; SIGNED_BYTES];
        let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
        let version = self.product.report_version();
        put(0x000, &version.to_le_bytes());
        put(0x008, &self.guest_policy.to_bytes());
        put(0x034, &ECDSA_P384_SHA384.to_le_bytes());
        put(0x040, &PLATFORM_INFO.to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0c0, &self.host_data);
        put(0x140, &self.report_id);
        put(0x160, &[0xff; 32]);
        put(0x188, &self.product.cpuid());
        put(0x1a0, &self.chip_id);
        for at in [0x038, 0x180, 0x1e0, 0x1f0] {
            put(at, &self.tcb.to_bytes(self.product));
        }
        for at in [0x1e8, 0x1ec] {
            put(at, &FIRMWARE);
        }
        if version >= 5 {
            for at in [0x1f8, 0x200] {
                put(at, &MITIGATIONS.to_le_bytes());
            }
        }
        report
    }
}

/// POLICY.
#[derive(Clone, Copy)]
pub(super) struct GuestPolicy(u64);

impl GuestPolicy {
    /// The policy of the guest that the processor runs.
    pub(super) const fn guest(debug: bool) -> Self {
        Self(if debug { GUEST | DEBUG } else { GUEST })
    }

    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

const REPORT_BYTES: usize = 1184;
const SIGNED_BYTES: usize = 0x2a0;
const ECDSA_P384_SHA384: u32 = 1;
/// ABI 1.55 at least, SMT permitted, and the bit that must be one.
const GUEST: u64 = 0x0003_0137;
const DEBUG: u64 = 1 << 19;
/// SMT, ECC, alias check complete.
const PLATFORM_INFO: u64 = 0b10_0101;
/// Build, minor, major.
const FIRMWARE: [u8; 3] = [29, 55, 1];
const MITIGATIONS: u64 = 0x0f;
