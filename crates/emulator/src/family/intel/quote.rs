//! The quoting enclaves: ECDSA quotes of versions 3, 4 and 5, byte for byte.

use device::tee::REPORT_DATA_BYTES;

use super::Tee;
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
#[derive(Clone, Copy)]
pub(crate) struct ReportBody {
    pub(crate) cpu_svn: [u8; 16],
    pub(crate) attributes: Attributes,
    pub(crate) mrenclave: [u8; 32],
    pub(crate) mrsigner: [u8; 32],
    pub(crate) config_id: [u8; 64],
    pub(crate) isv_prod_id: u16,
    pub(crate) isv_svn: u16,
    pub(crate) report_data: [u8; REPORT_DATA_BYTES],
}

impl ReportBody {
    pub(crate) fn to_bytes(self) -> [u8; REPORT_BODY_BYTES] {
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
pub(crate) struct Attributes(u64);

impl Attributes {
    /// The attributes of the program that the device runs.
    pub(crate) const fn program(debug: bool) -> Self {
        Self(if debug { PROGRAM | DEBUG } else { PROGRAM })
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut attributes = [0; 16];
        attributes[..8].copy_from_slice(&self.0.to_le_bytes());
        attributes[8..].copy_from_slice(&XFRM.to_le_bytes());
        attributes
    }
}

/// What is quoted, which decides on the version of the quote.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// Version 3: an SGX enclave.
    Enclave(&'a [u8; REPORT_BODY_BYTES]),
    /// Version 4: a TD 1.0 report.
    Domain10(&'a [u8; TD10_BYTES]),
    /// Version 5, body type 3: a TD 1.5 report.
    Domain15(&'a [u8; TD15_BYTES]),
}

impl Body<'_> {
    const fn version(self) -> u16 {
        match self {
            Self::Enclave(_) => 3,
            Self::Domain10(_) => 4,
            Self::Domain15(_) => 5,
        }
    }

    const fn tee(self) -> Tee {
        match self {
            Self::Enclave(_) => Tee::Sgx,
            Self::Domain10(_) | Self::Domain15(_) => Tee::Tdx,
        }
    }

    /// The bytes after the header; version 5 says first what they are.
    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Enclave(body) => body.to_vec(),
            Self::Domain10(body) => body.to_vec(),
            Self::Domain15(body) => {
                let length = (TD15_BYTES as u32).to_le_bytes();
                [&BODY_TYPE_TD15.to_le_bytes()[..], &length, body].concat()
            }
        }
    }
}

/// The quoting enclave of a platform.
pub(crate) struct QuotingEnclave<'a> {
    /// Names the enclave on this platform.
    pub(crate) id: [u8; 16],
    /// The TCB that it runs on.
    pub(crate) tcb: &'a Tcb,
    /// The attestation key that its report vouches for.
    pub(crate) bound_key: &'a SigningKey,
    /// The attestation key that signs; on an honest platform the same.
    pub(crate) signing_key: &'a SigningKey,
    /// The platform's provisioning certification key.
    pub(crate) pck_key: &'a SigningKey,
    /// Its certificate, that of its issuer, and the root.
    pub(crate) pck_chain: &'a str,
}

impl QuotingEnclave<'_> {
    /// Makes a quote over a report.
    pub(crate) fn quote(&self, body: Body<'_>) -> Result<Vec<u8>, Error> {
        let mut quote = self.header(body).to_vec();
        quote.extend_from_slice(&body.to_bytes());
        let signature = self.signing_key.sign(&quote)?;

        let certified = self.certified(body.tee())?;
        let mut signature_data = [signature, self.signing_key.coordinates()].concat();
        if body.version() > 3 {
            signature_data.extend(CERTIFICATION_DATA_NESTED.to_le_bytes());
            signature_data.extend((certified.len() as u32).to_le_bytes());
        }
        signature_data.extend(certified);
        quote.extend_from_slice(&(signature_data.len() as u32).to_le_bytes());
        quote.extend_from_slice(&signature_data);
        Ok(quote)
    }

    /// What vouches for the attestation key.
    fn certified(&self, tee: Tee) -> Result<Vec<u8>, Error> {
        let report = self.report(tee).to_bytes();
        let chain = [self.pck_chain.as_bytes(), &[0]].concat();
        let parts = [
            report.as_slice(),
            &self.pck_key.sign(&report)?,
            &(AUTH_DATA.len() as u16).to_le_bytes(),
            &AUTH_DATA,
            &CERTIFICATION_DATA_PCK_CHAIN.to_le_bytes(),
            &(chain.len() as u32).to_le_bytes(),
            &chain,
        ];
        Ok(parts.concat())
    }

    fn header(&self, body: Body<'_>) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0..2].copy_from_slice(&body.version().to_le_bytes());
        header[2..4].copy_from_slice(&ECDSA_P256.to_le_bytes());
        header[4..8].copy_from_slice(&body.tee().number().to_le_bytes());
        if body.version() == 3 {
            header[8..10].copy_from_slice(&body.tee().qe_svn().to_le_bytes());
            header[10..12].copy_from_slice(&self.tcb.pce_svn.to_le_bytes());
        }
        header[12..28].copy_from_slice(&QE_VENDOR);
        header[28..44].copy_from_slice(&self.id);
        header
    }

    /// The report of the quoting enclave itself, which binds its attestation key.
    fn report(&self, tee: Tee) -> ReportBody {
        let bound = [self.bound_key.coordinates().as_slice(), &AUTH_DATA].concat();
        let mut report_data = [0; REPORT_DATA_BYTES];
        report_data[..32].copy_from_slice(&sha256(&bound));
        ReportBody {
            cpu_svn: self.tcb.components,
            attributes: Attributes(QUOTING_ENCLAVE),
            mrenclave: sha256(tee.qe_name().as_bytes()),
            mrsigner: qe_mrsigner(),
            config_id: [0; 64],
            isv_prod_id: tee.qe_prod_id(),
            isv_svn: tee.qe_svn(),
            report_data,
        }
    }
}

/// Who signed the quoting enclaves.
pub(crate) fn qe_mrsigner() -> [u8; 32] {
    mrsigner("quoting enclave")
}

/// The MRSIGNER of an emulated signer: SHA-256 of a 3072-bit modulus, little-endian.
///
/// Nobody holds a key with this modulus; it is a name.
pub(crate) fn mrsigner(name: &str) -> [u8; 32] {
    let mut modulus = Vec::new();
    for part in 0..MODULUS_BYTES / 32 {
        modulus.extend(sha256(format!("tamarack emulated signer {name} {part}").as_bytes()));
    }
    modulus[0] |= 1;
    modulus[MODULUS_BYTES - 1] |= 0x80;
    sha256(&modulus)
}

const HEADER_BYTES: usize = 48;
const MODULUS_BYTES: usize = 384;
const REPORT_BODY_BYTES: usize = 384;
/// The length of a TD 1.0 report.
pub(crate) const TD10_BYTES: usize = 584;
/// The length of a TD 1.5 report.
pub(crate) const TD15_BYTES: usize = 648;

/// Body type of a TD 1.5 report in quotes of version 5.
const BODY_TYPE_TD15: u16 = 3;

/// Attestation key type: ECDSA over P-256.
const ECDSA_P256: u16 = 2;
/// Certification data: PCK certificate chain in PEM.
const CERTIFICATION_DATA_PCK_CHAIN: u16 = 5;
/// Certification data: what vouches for the attestation key, with certification data of its own.
const CERTIFICATION_DATA_NESTED: u16 = 6;
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
