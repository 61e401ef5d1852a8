//! What the vendor certifies about a platform: the extension 1.2.840.113741.1.13.1 of its PCK
//! certificate.

use crate::der;

/// A platform as its PCK certificate names it.
pub(crate) struct Platform {
    /// Names the platform.
    pub(crate) ppid: [u8; 16],
    /// Names the platform's current registration.
    pub(crate) instance: [u8; 16],
    /// The TCB that the certificate is for.
    pub(crate) tcb: Tcb,
}

impl Platform {
    /// Encodes the extension's value, members in the vendor's order.
    pub(crate) fn extension(&self) -> Vec<u8> {
        let configuration = der::sequence(&[
            &member(&[7, 1], &der::boolean(true)),
            &member(&[7, 2], &der::boolean(false)),
            &member(&[7, 3], &der::boolean(false)),
        ]);
        der::sequence(&[
            &member(&[1], &der::octet_string(&self.ppid)),
            &member(&[2], &self.tcb.encode()),
            &member(&[3], &der::octet_string(&PCE_ID)),
            &member(&[4], &der::octet_string(&FMSPC)),
            &member(&[5], &der::enumerated(SGX_TYPE_SCALABLE)),
            &member(&[6], &der::octet_string(&self.instance)),
            &member(&[7], &configuration),
        ])
    }
}

/// The security versions of a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tcb {
    pub(crate) components: [u8; 16],
    pub(crate) pce_svn: u16,
    /// TEE_TCB_SVN: the TDX module (revision, generation), then what else a domain depends on.
    pub(crate) tee_tcb_svn: [u8; 16],
}

impl Tcb {
    /// The level that the emulated vendor calls current.
    pub(crate) const UP_TO_DATE: Self = Self {
        components: [16, 16, 3, 3, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        pce_svn: 13,
        tee_tcb_svn: [11, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// The level before it.
    pub(crate) const OUT_OF_DATE: Self = Self {
        components: [12, 12, 3, 3, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        pce_svn: 11,
        tee_tcb_svn: [6, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    fn encode(&self) -> Vec<u8> {
        let mut members = Vec::new();
        for (number, svn) in (1..).zip(self.components) {
            members.extend(member(&[2, number], &der::number(svn.into())));
        }
        members.extend(member(&[2, 17], &der::number(self.pce_svn.into())));
        members.extend(member(&[2, 18], &der::octet_string(&self.components)));
        der::sequence(&[&members])
    }
}

/// Names the platform's family; no real family has this number.
pub(crate) const FMSPC: [u8; 6] = [0xe0, b'T', b'A', b'M', 0, 0];
/// The provisioning certification enclave.
pub(crate) const PCE_ID: [u8; 2] = [0, 0];

/// 1.2.840.113741.1.13.1
pub(crate) const SGX_EXTENSION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

fn member(arcs: &[u8], value: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::oid(&[SGX_EXTENSION, arcs].concat()), value])
}

const SGX_TYPE_SCALABLE: u8 = 1;
