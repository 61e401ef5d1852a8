//! X.509 certificates (RFC 5280 section 4) read in place.

use super::Malformed;
use super::der::{self, Element, Reader};
use crate::Timestamp;
use crate::crypto::{PublicKey, SignatureAlgorithm, sha256};
use crate::time::{parse_generalized_time, parse_utc_time};

/// A certificate, structure checked, signature not.
#[derive(Clone, Debug)]
pub struct Certificate<'b> {
    /// The whole certificate.
    pub raw: &'b [u8],
    /// The signed part as received.
    pub tbs: &'b [u8],
    /// The contents octets of the serial number.
    pub serial: &'b [u8],
    /// The issuer's name, the whole element.
    pub issuer: &'b [u8],
    /// The subject's name, the whole element.
    pub subject: &'b [u8],
    /// The first second of validity.
    pub not_before: Timestamp,
    /// The last second of validity.
    pub not_after: Timestamp,
    /// The SubjectPublicKeyInfo, the whole element.
    pub spki: &'b [u8],
    /// How the issuer signed.
    pub algorithm: SignatureAlgorithm,
    /// The issuer's signature.
    pub signature: &'b [u8],
    extensions: &'b [u8],
}

/// One extension of a certificate or a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'b> {
    /// The contents octets of the object identifier.
    pub id: &'b [u8],
    /// Whether a reader that does not know it must refuse.
    pub critical: bool,
    /// The contents of the OCTET STRING.
    pub value: &'b [u8],
}

impl<'b> Certificate<'b> {
    /// Reads exactly one certificate.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(bytes);
        let mut parts = Reader::new(outer.read(der::SEQUENCE, "a certificate")?);
        outer.end("nothing after the certificate")?;
        let tbs = parts.raw(der::SEQUENCE, "a TBSCertificate")?;
        let algorithm = parts.raw(der::SEQUENCE, "a signature algorithm")?;
        let signature = parts.octet_aligned_bits("a signature")?;
        parts.end("nothing after the signature")?;
        Self::decode_tbs(bytes, tbs, algorithm, signature)
    }

    fn decode_tbs(
        raw: &'b [u8],
        tbs: Element<'b>,
        algorithm: Element<'b>,
        signature: &'b [u8],
    ) -> Result<Self, Malformed> {
        let mut fields = Reader::new(tbs.content);
        let version = fields.optional(der::context(0))?.map(Reader::new);
        if version.map(|mut version| version.unsigned("a version")) != Some(Ok(2)) {
            return Err(Malformed("an X.509 version 3 certificate"));
        }
        let serial = fields.integer("a serial number")?;
        if fields.raw(der::SEQUENCE, "an algorithm")?.raw != algorithm.raw {
            return Err(Malformed("one algorithm inside and outside the signed part"));
        }
        let issuer = fields.raw(der::SEQUENCE, "an issuer")?.raw;
        let mut validity = Reader::new(fields.read(der::SEQUENCE, "a validity")?);
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        validity.end("two times")?;
        let subject = fields.raw(der::SEQUENCE, "a subject")?.raw;
        let spki = fields.raw(der::SEQUENCE, "a SubjectPublicKeyInfo")?.raw;
        let extensions = match fields.optional(der::context(3))? {
            None => &[][..],
            Some(wrapped) => {
                let mut wrapped = Reader::new(wrapped);
                let list = wrapped.read(der::SEQUENCE, "extensions")?;
                wrapped.end("nothing after the extensions")?;
                list
            }
        };
        fields.end("nothing after the extensions")?;
        check_extensions(extensions)?;
        Ok(Self {
            raw,
            tbs: tbs.raw,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            algorithm: SignatureAlgorithm::decode(algorithm.content),
            signature,
            extensions,
        })
    }

    /// Checks that `issuer` signed this certificate; names are compared as well.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Certificate<'_>) -> bool {
        self.issuer == issuer.subject
            && issuer
                .public_key()
                .is_ok_and(|key| key.verify(&self.algorithm, self.tbs, self.signature))
    }

    /// The subject's key.
    pub fn public_key(&self) -> Result<PublicKey<'b>, Malformed> {
        PublicKey::from_spki(self.spki)
    }

    /// SHA-256 of the SubjectPublicKeyInfo: how anchors are pinned.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(self.spki)
    }

    /// The subject's common name, when it is text.
    #[must_use]
    pub fn common_name(&self) -> Option<&'b str> {
        common_name(self.subject)
    }

    /// The issuer's common name, when it is text.
    #[must_use]
    pub fn issuer_common_name(&self) -> Option<&'b str> {
        common_name(self.issuer)
    }

    /// The extension with that object identifier (contents octets).
    #[must_use]
    pub fn extension(&self, id: &[u8]) -> Option<Extension<'b>> {
        extensions(self.extensions).find(|extension| extension.id == id)
    }

    /// Every extension in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'b>> {
        extensions(self.extensions)
    }

    /// Whether the certificate may issue others: basic constraints and, when present, key usage.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.basic_constraints_authority() && self.may(KEY_CERT_SIGN)
    }

    /// Whether the certificate may issue revocation lists.
    #[must_use]
    pub fn may_sign_lists(&self) -> bool {
        self.basic_constraints_authority() && self.may(CRL_SIGN)
    }

    /// Whether the certificate is an end entity whose key may sign data.
    #[must_use]
    pub fn may_sign_data(&self) -> bool {
        !self.basic_constraints_authority() && self.may(DIGITAL_SIGNATURE)
    }

    /// Whether `now` is within the validity.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// How many authorities may stand below this one, where it says so. What cannot be read allows
    /// none.
    #[must_use]
    pub fn path_length(&self) -> Option<u64> {
        let extension = self.extension(BASIC_CONSTRAINTS)?;
        let mut outer = Reader::new(extension.value);
        let Ok(content) = outer.read(der::SEQUENCE, "basic constraints") else { return Some(0) };
        let mut fields = Reader::new(content);
        if fields.peek() == Some(der::BOOLEAN) && fields.boolean("cA").is_err() {
            return Some(0);
        }
        if fields.is_empty() {
            return None;
        }
        Some(fields.unsigned("pathLenConstraint").unwrap_or(0))
    }

    fn basic_constraints_authority(&self) -> bool {
        let Some(extension) = self.extension(BASIC_CONSTRAINTS) else { return false };
        let mut outer = Reader::new(extension.value);
        let Ok(content) = outer.read(der::SEQUENCE, "basic constraints") else { return false };
        let mut fields = Reader::new(content);
        fields.peek() == Some(der::BOOLEAN) && fields.boolean("cA") == Ok(true)
    }

    /// Absent key usage allows everything (EV-SNP-3).
    fn may(&self, bit: u8) -> bool {
        let Some(extension) = self.extension(KEY_USAGE) else { return true };
        match Reader::new(extension.value).read(der::BIT_STRING, "key usage") {
            Ok([_, first, ..]) => first & bit != 0,
            _ => false,
        }
    }
}

/// Reads the extensions of a list that [`check_extensions`] has seen.
pub(crate) fn extensions(list: &[u8]) -> impl Iterator<Item = Extension<'_>> {
    let mut reader = Reader::new(list);
    std::iter::from_fn(
        move || {
            if reader.is_empty() { None } else { read_extension(&mut reader).ok() }
        },
    )
}

/// Refuses broken lists, repeated extensions and critical ones that nobody here understands.
pub(crate) fn check_extensions(list: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(list);
    let mut seen: Vec<&[u8]> = Vec::new();
    while !reader.is_empty() {
        let extension = read_extension(&mut reader)?;
        if seen.len() == MAX_EXTENSIONS || seen.contains(&extension.id) {
            return Err(Malformed("each extension once"));
        }
        if extension.critical && !UNDERSTOOD.contains(&extension.id) {
            return Err(Malformed("no unknown critical extension"));
        }
        seen.push(extension.id);
    }
    Ok(())
}

fn read_extension<'b>(reader: &mut Reader<'b>) -> Result<Extension<'b>, Malformed> {
    let mut fields = Reader::new(reader.read(der::SEQUENCE, "an extension")?);
    let id = fields.read(der::OBJECT_IDENTIFIER, "an extension identifier")?;
    let critical = fields.peek() == Some(der::BOOLEAN)
        && fields.boolean("whether the extension is critical")?;
    let value = fields.read(der::OCTET_STRING, "an extension value")?;
    fields.end("nothing after the extension value")?;
    Ok(Extension { id, critical, value })
}

/// Reads a Time (UTCTime or GeneralizedTime).
pub(crate) fn time(reader: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    const TIME: Malformed = Malformed("a time");
    let element = reader.any()?;
    match element.tag {
        der::UTC_TIME => parse_utc_time(element.content).ok_or(TIME),
        der::GENERALIZED_TIME => parse_generalized_time(element.content).ok_or(TIME),
        _ => Err(TIME),
    }
}

fn common_name(name: &[u8]) -> Option<&str> {
    let mut relative = Reader::new(Reader::new(name).read(der::SEQUENCE, "a name").ok()?);
    while !relative.is_empty() {
        let mut set = Reader::new(relative.read(der::SET, "a relative name").ok()?);
        let mut attribute = Reader::new(set.read(der::SEQUENCE, "an attribute").ok()?);
        if attribute.read(der::OBJECT_IDENTIFIER, "an attribute type").ok()? == COMMON_NAME {
            return std::str::from_utf8(attribute.any().ok()?.content).ok();
        }
    }
    None
}

const MAX_EXTENSIONS: usize = 32;

/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-ce-keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// id-ce-basicConstraints, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// id-ce-extKeyUsage, 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const UNDERSTOOD: &[&[u8]] = &[KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE];

const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_CERT_SIGN: u8 = 0x04;
const CRL_SIGN: u8 = 0x02;
