//! DCAP quotes of versions 3, 4 and 5, read in place (evidence digest section 1.1).

use crate::evidence::sgx::ReportBody;
use crate::evidence::tdx::TdBody;

/// A quote, structure checked, nothing verified.
#[derive(Clone, Copy, Debug)]
pub struct Quote<'b> {
    /// The version in the header: 3, 4 or 5.
    pub version: u16,
    /// The maker of the quoting enclave.
    pub vendor: &'b [u8; 16],
    /// What the attestation key signs: header and body.
    pub signed: &'b [u8],
    /// What is attested.
    pub body: Body<'b>,
    /// ECDSA P-256 over [`signed`](Self::signed), r ‖ s.
    pub signature: &'b [u8; 64],
    /// The attestation key, x ‖ y.
    pub attestation_key: &'b [u8; 64],
    /// The quoting enclave's own report.
    pub qe_report: ReportBody<'b>,
    /// ECDSA P-256 by the PCK over the report, r ‖ s.
    pub qe_report_signature: &'b [u8; 64],
    /// What the quoting enclave bound beside the attestation key.
    pub authentication_data: &'b [u8],
    /// What endorses the PCK.
    pub certification: Certification<'b>,
}

/// What a quote attests.
#[derive(Clone, Copy, Debug)]
pub enum Body<'b> {
    /// An SGX enclave.
    Enclave(ReportBody<'b>),
    /// A TDX trust domain.
    TrustDomain(TdBody<'b>),
}

/// Certification data: how the platform's PCK is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certification<'b> {
    /// Type 5: the chain PCK, PCK CA, root in PEM.
    Chain(&'b [u8]),
    /// Types 1 to 3: only an identifier of the platform; the chain must come with the collateral.
    PlatformId(u16),
}

/// Why bytes are not a quote that this Verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuote {
    /// The bytes break the format.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// A legal quote of a form that is not appraised.
    #[error("{0} is not appraised")]
    Unsupported(&'static str),
}

impl<'b> Quote<'b> {
    /// Reads a quote. Bytes after the signature data are not signed: only zero padding is
    /// accepted there (some hosts fill a fixed buffer), and it is never interpreted.
    //= EV-DCAP-1: versions 3, 4, 5 with key type 2; SGX in version 4 is legal
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotAQuote> {
        let mut cursor = Cursor(bytes);
        let header: &[u8; HEADER] = cursor.take("a 48-octet header")?;
        let version = u16_at(header, 0);
        if !(3..=5).contains(&version) {
            return Err(NotAQuote::Unsupported("a quote version other than 3, 4, 5"));
        }
        if u16_at(header, 2) != ECDSA_P256 {
            return Err(NotAQuote::Unsupported("an attestation key type other than ECDSA P-256"));
        }
        let tee = u32_at(header, 4);
        let body = decode_body(&mut cursor, version, tee)?;
        let signed = &bytes[..bytes.len() - cursor.0.len()];

        let length = cursor.length_u32("signature data of the stated length")?;
        if cursor.0.iter().any(|&octet| octet != 0) {
            return Err(NotAQuote::Malformed("nothing but zeros after the signature data"));
        }
        let mut data = Cursor(length);
        let signature = data.take("a quote signature")?;
        let attestation_key = data.take("an attestation key")?;
        let mut certified = if version == 3 { data } else { nested(&mut data)? };
        let qe_report = ReportBody::new(certified.take("a quoting enclave report")?);
        let qe_report_signature = certified.take("a quoting enclave report signature")?;
        let authentication_data = certified.length_u16("authentication data")?;
        let certification = decode_certification(&mut certified)?;
        Ok(Self {
            version,
            vendor: at(header, 12),
            signed,
            body,
            signature,
            attestation_key,
            qe_report,
            qe_report_signature,
            authentication_data,
            certification,
        })
    }
}

fn decode_body<'b>(cursor: &mut Cursor<'b>, version: u16, tee: u32) -> Result<Body<'b>, NotAQuote> {
    const ENCLAVE: &str = "a 384-octet enclave report";
    const DOMAIN: &str = "a TD report of the stated version";
    let descriptor = if version == 5 {
        let head: &[u8; 6] = cursor.take("a body descriptor")?;
        Some((u16_at(head, 0), u32_at(head, 2)))
    } else {
        None
    };
    match (version, tee, descriptor) {
        (3 | 4, TEE_SGX, None) | (5, TEE_SGX, Some((1, 384))) => {
            Ok(Body::Enclave(ReportBody::new(cursor.take(ENCLAVE)?)))
        }
        (4, TEE_TDX, None) | (5, TEE_TDX, Some((2, 584))) => {
            Ok(Body::TrustDomain(TdBody::new(cursor.take(DOMAIN)?, None)))
        }
        (5, TEE_TDX, Some((3, 648))) => {
            let body = cursor.take(DOMAIN)?;
            Ok(Body::TrustDomain(TdBody::new(body, Some(cursor.take(DOMAIN)?))))
        }
        (5, TEE_TDX, Some((4, 885))) => {
            Err(NotAQuote::Unsupported("the extended TD report of body type 4"))
        }
        (3, _, _) => Err(NotAQuote::Malformed("a zero reserved field in a version 3 header")),
        (_, TEE_SGX | TEE_TDX, _) => Err(NotAQuote::Malformed("a body type that fits the TEE")),
        _ => Err(NotAQuote::Unsupported("a TEE type other than SGX and TDX")),
    }
}

/// Versions 4 and 5 wrap what follows the key once in certification data of type 6.
fn nested<'b>(data: &mut Cursor<'b>) -> Result<Cursor<'b>, NotAQuote> {
    if data.u16("certification data")? != CERTIFICATION_NESTED {
        return Err(NotAQuote::Malformed("certification data of type 6"));
    }
    let inner = data.length_u32("certification data of the stated length")?;
    data.end("nothing after the certification data")?;
    Ok(Cursor(inner))
}

fn decode_certification<'b>(data: &mut Cursor<'b>) -> Result<Certification<'b>, NotAQuote> {
    let kind = data.u16("certification data")?;
    let content = data.length_u32("certification data of the stated length")?;
    data.end("nothing after the certification data")?;
    match kind {
        1..=3 => Ok(Certification::PlatformId(kind)),
        5 => Ok(Certification::Chain(content)),
        4 | 7 => Err(NotAQuote::Unsupported("certification data of types 4 and 7")),
        _ => Err(NotAQuote::Malformed("a known type of certification data")),
    }
}

/// Takes fields from the front.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<&'b [u8; N], NotAQuote> {
        let (field, rest) = self.0.split_first_chunk().ok_or(NotAQuote::Malformed(what))?;
        self.0 = rest;
        Ok(field)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, NotAQuote> {
        self.take(what).map(|octets| u16::from_le_bytes(*octets))
    }

    fn length_u16(&mut self, what: &'static str) -> Result<&'b [u8], NotAQuote> {
        let length = usize::from(self.u16(what)?);
        self.slice(length, what)
    }

    fn length_u32(&mut self, what: &'static str) -> Result<&'b [u8], NotAQuote> {
        let length = u32::from_le_bytes(*self.take(what)?);
        self.slice(usize::try_from(length).unwrap_or(usize::MAX), what)
    }

    fn slice(&mut self, length: usize, what: &'static str) -> Result<&'b [u8], NotAQuote> {
        let (field, rest) = self.0.split_at_checked(length).ok_or(NotAQuote::Malformed(what))?;
        self.0 = rest;
        Ok(field)
    }

    fn end(&self, what: &'static str) -> Result<(), NotAQuote> {
        if self.0.is_empty() { Ok(()) } else { Err(NotAQuote::Malformed(what)) }
    }
}

/// The `N` octets at a fixed offset of a fixed-size structure.
pub(crate) fn at<const N: usize>(bytes: &[u8], offset: usize) -> &[u8; N] {
    bytes[offset..].first_chunk().expect("the field lies inside its fixed-size structure")
}

/// The little-endian u16 at a fixed offset of a fixed-size structure.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(*at(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(*at(bytes, offset))
}

/// The little-endian u64 at a fixed offset of a fixed-size structure.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(*at(bytes, offset))
}

const HEADER: usize = 48;
const ECDSA_P256: u16 = 2;
const TEE_SGX: u32 = 0x00;
const TEE_TDX: u32 = 0x81;
const CERTIFICATION_NESTED: u16 = 6;
