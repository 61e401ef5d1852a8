//! The quoting enclave: ECDSA quotes of version 3, byte for byte.

use device::tee::REPORT_DATA_BYTES;

use super::measurement::mrsigner;
use super::pck::Tcb;
use crate::Error;
use crate::key::{SigningKey, sha256};

/// What the hardware says about an enclave: 384 bytes, little-endian.
///
/// ```text
///   0 CPUSVN[16]    16 MISCSELECT[4]   20 0[12]          32 ISVEXTPRODID[16]
///  48 ATTRIBUTES[16]                   64 MRENCLAVE[32]  96 0[32]
/// 128 MRSIGNER[32] 160 0[32]          192 CONFIGID[64]  256 ISVPRODID[2]
/// 258 ISVSVN[2]    260 CONFIGSVN[2]   262 0[42]         304 ISVFAMILYID[16]
/// 320 REPORTDATA[64]
/// ```
pub(super) struct ReportBody {
    pub(super) cpu_svn: [u8; 16],
    pub(super) attributes: Attributes,
    pub(super) mrenclave: [u8; 32],
    pub(super) mrsigner: [u8; 32],
    pub(super) config_id: [u8; 64],
    pub(super) isv_prod_id: u16,
    pub(super) isv_svn: u16,
    pub(super) report_data: [u8; REPORT_DATA_BYTES],
}

impl ReportBody {
    fn to_bytes(&self) -> [u8; REPORT_BODY_BYTES] {
        let mut body = [0; REPORT_BODY_BYTES];
        body[0..16].copy_from_slice(&self.cpu_svn);
        body[48..64].copy_from_slice(&self.attributes.to_bytes());
        body[64..96].copy_from_slice(&self.mrenclave);
        body[128..160].copy_from_slice(&self.mrsigner);
        body[192..256].copy_from_slice(&self.config_id);
        body[256..258].copy_from_slice(&self.isv_prod_id.to_le_bytes());
        body[258..260].copy_from_slice(&self.isv_svn.to_le_bytes());
        body[320..384].copy_from_slice(&self.report_data);
        body
    }
}

/// ATTRIBUTES: flags, then XFRM.
#[derive(Clone, Copy)]
pub(super) struct Attributes(u64);

impl Attributes {
    /// The attributes of the program that the device runs.
    pub(super) const fn program(debug: bool) -> Self {
        Self(if debug { PROGRAM | DEBUG } else { PROGRAM })
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut attributes = [0; 16];
        attributes[..8].copy_from_slice(&self.0.to_le_bytes());
        attributes[8..].copy_from_slice(&XFRM.to_le_bytes());
        attributes
    }
}

/// The quoting enclave of a platform.
pub(super) struct QuotingEnclave<'a> {
    /// Names the enclave on this platform.
    pub(super) id: [u8; 16],
    /// The TCB that it runs on.
    pub(super) tcb: &'a Tcb,
    /// The attestation key that its report vouches for.
    pub(super) bound_key: &'a SigningKey,
    /// The attestation key that signs; on an honest platform the same.
    pub(super) signing_key: &'a SigningKey,
    /// The platform's provisioning certification key.
    pub(super) pck_key: &'a SigningKey,
    /// Its certificate, that of its issuer, and the root.
    pub(super) pck_chain: &'a str,
}

impl QuotingEnclave<'_> {
    pub(super) const PROD_ID: u16 = 1;
    pub(super) const SVN: u16 = 8;

    /// Who signed the quoting enclave.
    pub(super) fn mrsigner() -> [u8; 32] {
        mrsigner("quoting enclave")
    }

    /// Makes a quote over a report.
    pub(super) fn quote(&self, body: &ReportBody) -> Result<Vec<u8>, Error> {
        let mut quote = self.header().to_vec();
        quote.extend_from_slice(&body.to_bytes());
        let signature = self.signing_key.sign(&quote)?;

        let report = self.report().to_bytes();
        let chain = [self.pck_chain.as_bytes(), &[0]].concat();
        let signature_data = [
            signature.as_slice(),
            &self.signing_key.coordinates(),
            &report,
            &self.pck_key.sign(&report)?,
            &(AUTH_DATA.len() as u16).to_le_bytes(),
            &AUTH_DATA,
            &CERTIFICATION_DATA_PCK_CHAIN.to_le_bytes(),
            &(chain.len() as u32).to_le_bytes(),
            &chain,
        ];
        let signature_data = signature_data.concat();
        quote.extend_from_slice(&(signature_data.len() as u32).to_le_bytes());
        quote.extend_from_slice(&signature_data);
        Ok(quote)
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0..2].copy_from_slice(&3u16.to_le_bytes());
        header[2..4].copy_from_slice(&ECDSA_P256.to_le_bytes());
        header[8..10].copy_from_slice(&Self::SVN.to_le_bytes());
        header[10..12].copy_from_slice(&self.tcb.pce_svn.to_le_bytes());
        header[12..28].copy_from_slice(&QE_VENDOR);
        header[28..44].copy_from_slice(&self.id);
        header
    }

    /// The report of the quoting enclave itself, which binds its attestation key.
    fn report(&self) -> ReportBody {
        let bound = [self.bound_key.coordinates().as_slice(), &AUTH_DATA].concat();
        let mut report_data = [0; REPORT_DATA_BYTES];
        report_data[..32].copy_from_slice(&sha256(&bound));
        ReportBody {
            cpu_svn: self.tcb.components,
            attributes: Attributes(QUOTING_ENCLAVE),
            mrenclave: sha256(b"tamarack emulated quoting enclave"),
            mrsigner: Self::mrsigner(),
            config_id: [0; 64],
            isv_prod_id: Self::PROD_ID,
            isv_svn: Self::SVN,
            report_data,
        }
    }
}

const HEADER_BYTES: usize = 48;
const REPORT_BODY_BYTES: usize = 384;

/// Attestation key type: ECDSA over P-256.
const ECDSA_P256: u16 = 2;
/// Certification data: PCK certificate chain in PEM.
const CERTIFICATION_DATA_PCK_CHAIN: u16 = 5;
/// 939a7233-f79c-4ca9-940a-0db3957f0607
const QE_VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// What the quoting enclave adds to its attestation key: the bytes 0 to 31.
const AUTH_DATA: [u8; 32] = {
    let mut data = [0; 32];
    let mut at = 0;
    while at < data.len() {
        data[at] = at as u8;
        at += 1;
    }
    data
};

const INIT: u64 = 1;
const DEBUG: u64 = 1 << 1;
const MODE64: u64 = 1 << 2;
const PROVISION_KEY: u64 = 1 << 4;
const KSS: u64 = 1 << 7;
const PROGRAM: u64 = INIT | MODE64 | KSS;
const QUOTING_ENCLAVE: u64 = INIT | MODE64 | PROVISION_KEY;
/// x87, SSE, AVX, AVX-512.
const XFRM: u64 = 0xe7;
