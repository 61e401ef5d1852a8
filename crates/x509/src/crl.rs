//! Certificate revocation lists (RFC 5280 section 5) read in place.

use super::Malformed;
use super::certificate::{Certificate, check_extensions, time};
use super::der::{self, Reader};
use crate::Timestamp;
use crate::crypto::SignatureAlgorithm;

/// A revocation list, structure checked, signature not.
#[derive(Clone, Debug)]
pub struct RevocationList<'b> {
    /// The signed part as received.
    pub tbs: &'b [u8],
    /// The issuer's name, the whole element.
    pub issuer: &'b [u8],
    /// When the list was made.
    pub this_update: Timestamp,
    /// When the next list is due.
    pub next_update: Timestamp,
    /// How the issuer signed.
    pub algorithm: SignatureAlgorithm,
    /// The issuer's signature.
    pub signature: &'b [u8],
    revoked: &'b [u8],
}

impl<'b> RevocationList<'b> {
    /// Reads exactly one revocation list, as DER.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(bytes);
        let mut parts = Reader::new(outer.read(der::SEQUENCE, "a revocation list")?);
        outer.end("nothing after the revocation list")?;
        let tbs = parts.raw(der::SEQUENCE, "a TBSCertList")?;
        let algorithm = parts.raw(der::SEQUENCE, "a signature algorithm")?;
        let signature = parts.octet_aligned_bits("a signature")?;
        parts.end("nothing after the signature")?;

        let mut fields = Reader::new(tbs.content);
        if fields.unsigned("a version") != Ok(1) {
            return Err(Malformed("a version 2 revocation list"));
        }
        if fields.raw(der::SEQUENCE, "an algorithm")?.raw != algorithm.raw {
            return Err(Malformed("one algorithm inside and outside the signed part"));
        }
        let issuer = fields.raw(der::SEQUENCE, "an issuer")?.raw;
        let this_update = time(&mut fields)?;
        let next_update = time(&mut fields)?;
        let revoked = fields.optional(der::SEQUENCE)?.unwrap_or_default();
        if let Some(wrapped) = fields.optional(der::context(0))? {
            check_extensions(Reader::new(wrapped).read(der::SEQUENCE, "extensions")?)?;
        }
        fields.end("nothing after the extensions")?;
        check_entries(revoked)?;
        Ok(Self {
            tbs: tbs.raw,
            issuer,
            this_update,
            next_update,
            algorithm: SignatureAlgorithm::decode(algorithm.content),
            signature,
            revoked,
        })
    }

    /// Checks that `issuer` signed this list; names are compared as well.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Certificate<'_>) -> bool {
        self.issuer == issuer.subject
            && issuer
                .public_key()
                .is_ok_and(|key| key.verify(&self.algorithm, self.tbs, self.signature))
    }

    /// The serial numbers of the revoked certificates, contents octets, in the list's order.
    pub fn serials(&self) -> impl Iterator<Item = &'b [u8]> {
        let mut entries = Reader::new(self.revoked);
        std::iter::from_fn(move || {
            let entry = entries.read(der::SEQUENCE, "an entry").ok()?;
            Reader::new(entry).integer("a serial number").ok()
        })
    }

    /// Whether the list names that serial number.
    #[must_use]
    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.serials().any(|revoked| revoked == serial)
    }
}

fn check_entries(list: &[u8]) -> Result<(), Malformed> {
    let mut entries = Reader::new(list);
    while !entries.is_empty() {
        let mut entry = Reader::new(entries.read(der::SEQUENCE, "a revoked certificate")?);
        entry.integer("a serial number")?;
        time(&mut entry)?;
        if let Some(extensions) = entry.optional(der::SEQUENCE)? {
            check_extensions(extensions)?;
        }
        entry.end("nothing after the revoked certificate")?;
    }
    Ok(())
}
