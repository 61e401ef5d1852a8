//! What a report travels in: alone, with the host's certificate table, or wrapped by a paravisor.

use cose::cbor::{Limits, check_deterministic, whole};
use serde::Deserialize;

use super::report::{LENGTH, NotAReport, Report};
use super::vtpm::{AttestationKey, Quote, WebKey};
use crate::crypto::{equal, sha256};
use crate::value::Hex;

/// A report and what came with it.
#[derive(Clone, Debug)]
pub struct Container<'b> {
    /// The report.
    pub report: Report<'b>,
    /// Certificates that the host supplied, unverified.
    pub certificates: Vec<&'b [u8]>,
    /// The whole certificate table; empty without one.
    pub table: &'b [u8],
    /// What a paravisor says, bound by the report.
    pub runtime: Option<Runtime<'b>>,
}

/// The runtime claims of Azure's paravisor (HCL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime<'b> {
    /// The claims as the report binds them.
    pub json: &'b [u8],
    /// What the guest had the paravisor bind.
    pub user_data: [u8; 64],
    /// The key of the vTPM.
    pub attestation_key: Option<AttestationKey>,
    /// What the vTPM measured since the launch.
    pub quote: Option<Quote<'b>>,
}

impl<'b> Container<'b> {
    /// Reads evidence: a report, a report with the GHCB's certificate table after it, an HCL
    /// report, or an HCL report with a quote of its vTPM, in deterministic CBOR:
    ///
    /// ```cddl
    /// sev-snp-vtpm = [
    ///   hcl: bstr,
    ///   attest: bstr,                          ; TPMS_ATTEST
    ///   signature: bstr,                       ; RSASSA PKCS #1 with SHA-256
    ///   registers: [* bstr .size 32]           ; those that are quoted, in order
    /// ]
    /// ```
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotAReport> {
        if bytes.starts_with(HCL) {
            return Self::decode_hcl(bytes);
        }
        if bytes.first() == Some(&ARRAY_OF_FOUR) {
            return Self::decode_with_quote(bytes);
        }
        let (report, table) = bytes.split_at_checked(LENGTH).unwrap_or((bytes, &[]));
        Ok(Self {
            report: Report::decode(report)?,
            certificates: if table.is_empty() { Vec::new() } else { decode_table(table)? },
            table,
            runtime: None,
        })
    }

    //= EV-SNP-10: an SNP report that binds the vTPM's key, plus a TPM quote
    fn decode_with_quote(bytes: &'b [u8]) -> Result<Self, NotAReport> {
        const WRAPPED: NotAReport = NotAReport::Malformed("an HCL report with a vTPM quote");
        check_deterministic(bytes, Limits::DEFAULT).map_err(|_| WRAPPED)?;
        let (hcl, attest, signature, values) = whole(bytes, |d| {
            d.array()?;
            let (hcl, attest, signature) = (d.bytes()?, d.bytes()?, d.bytes()?);
            let count = d.array()?.unwrap_or_default();
            let values = (0..count).map(|_| d.bytes()).collect::<Result<Vec<_>, _>>()?;
            Ok((hcl, attest, signature, values))
        })
        .map_err(|_| WRAPPED)?;
        let mut container = Self::decode_hcl(hcl)?;
        let runtime = container.runtime.as_mut().ok_or(WRAPPED)?;
        runtime.quote = Some(Quote::decode(attest, signature, &values)?);
        Ok(container)
    }

    //= EV-SNP-10: the report at offset 32 of the HCL blob, the JSON at 0x4D4
    fn decode_hcl(bytes: &'b [u8]) -> Result<Self, NotAReport> {
        const HEADERS: NotAReport = NotAReport::Malformed("an HCL report with consistent headers");
        let (head, rest) = bytes.split_first_chunk::<32>().ok_or(HEADERS)?;
        let (report, rest) = rest.split_first_chunk::<LENGTH>().ok_or(HEADERS)?;
        let (claims, rest) = rest.split_first_chunk::<20>().ok_or(HEADERS)?;
        let word = |bytes: &[u8], index: usize| word(bytes, index).ok_or(HEADERS);
        let length = word(claims, 4)?;
        let (json, padding) = rest.split_at_checked(to_usize(length)).ok_or(HEADERS)?;
        let (version, whole, kind) = (word(head, 1)?, word(head, 2)?, word(head, 3)?);
        let (with_header, layout, tee, digest) =
            (word(claims, 0)?, word(claims, 1)?, word(claims, 2)?, word(claims, 3)?);
        if tee != HCL_SNP || digest != HCL_SHA256 {
            return Err(NotAReport::Unsupported("an HCL report other than SEV-SNP with SHA-256"));
        }
        let sizes = u64::from(with_header) == u64::from(length) + 20
            && u64::from(whole) == u64::from(with_header) + 32 + 1184;
        let zeros = head[16..].iter().chain(padding).all(|&octet| octet == 0);
        if !bytes.starts_with(HCL)
            || !(1..=2).contains(&version)
            || kind != HCL_SNP
            || layout != 1
            || !sizes
            || !zeros
        {
            return Err(HEADERS);
        }
        let claims: Claims = serde_json::from_slice(json)
            .map_err(|_| NotAReport::Malformed("runtime claims with 64 octets of user-data"))?;
        Ok(Self {
            report: Report::decode(report)?,
            certificates: Vec::new(),
            table: &[],
            runtime: Some(Runtime {
                json,
                user_data: claims.user_data.0,
                attestation_key: AttestationKey::find(&claims.keys),
                quote: None,
            }),
        })
    }

    /// What the guest bound: itself, through the vTPM, or through the paravisor.
    #[must_use]
    pub fn user_data(&self) -> &[u8; 64] {
        match &self.runtime {
            None => self.report.report_data(),
            Some(Runtime { quote: Some(quote), .. }) => &quote.user_data,
            Some(runtime) => &runtime.user_data,
        }
    }

    /// The quote of a vTPM.
    #[must_use]
    pub fn quote(&self) -> Option<&Quote<'b>> {
        self.runtime.as_ref()?.quote.as_ref()
    }
}

impl Runtime<'_> {
    /// Whether the report binds these claims.
    //= EV-SNP-10: report data is SHA-256 of the runtime JSON
    #[must_use]
    pub fn is_bound_by(&self, report: &Report<'_>) -> bool {
        let mut expected = [0; 64];
        expected[..32].copy_from_slice(&sha256(self.json));
        equal(report.report_data(), &expected)
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    keys: Vec<WebKey>,
    #[serde(rename = "user-data")]
    user_data: Hex<64>,
}

/// Reads the certificate table of an extended guest request: entries of GUID, offset and length up
/// to a zero entry, then what they point at. What an entry is follows from its contents.
fn decode_table(table: &[u8]) -> Result<Vec<&[u8]>, NotAReport> {
    const TABLE: NotAReport =
        NotAReport::Malformed("nothing or a certificate table after a report");
    let mut certificates = Vec::new();
    for entry in table.chunks(ENTRY).take(MAX_ENTRIES + 1) {
        let entry: &[u8; ENTRY] = entry.try_into().map_err(|_| TABLE)?;
        if *entry == [0; ENTRY] {
            return Ok(certificates);
        }
        let offset = to_usize(word(entry, 4).ok_or(TABLE)?);
        let length = to_usize(word(entry, 5).ok_or(TABLE)?);
        let end = offset.checked_add(length).ok_or(TABLE)?;
        certificates.push(table.get(offset..end).ok_or(TABLE)?);
    }
    Err(TABLE)
}

/// The little-endian word of that index.
fn word(bytes: &[u8], index: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(index * 4..)?.first_chunk()?))
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const ARRAY_OF_FOUR: u8 = 0x84;
const HCL: &[u8] = b"HCLA";
const HCL_SNP: u32 = 2;
const HCL_SHA256: u32 = 1;
const ENTRY: usize = 24;
const MAX_ENTRIES: usize = 16;
