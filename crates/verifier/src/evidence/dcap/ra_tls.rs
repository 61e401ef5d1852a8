//! RA-TLS: a quote inside the certificate whose key it names (evidence digest section 1.4).

use std::borrow::Cow;

use cose::cbor::Decoder;

use super::quote::NotAQuote;
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::{SignatureAlgorithm, sha256};
use crate::x509::{Certificate, decode_pem};

/// A quote as it came, or as a certificate carries it.
#[derive(Debug)]
pub struct Carried<'b> {
    /// The quote.
    pub quote: Cow<'b, [u8]>,
    /// What the user data of a quote in a certificate must begin with.
    named: Option<[u8; 32]>,
}

impl<'b> Carried<'b> {
    /// Takes the quote out of a certificate in PEM or DER; anything else is the quote itself.
    ///
    /// # Errors
    /// A certificate that is not one, or that carries no quote about its own key.
    pub fn read(evidence: &'b [u8]) -> Result<Self, NotAQuote> {
        let text = evidence.trim_ascii_start();
        if text.starts_with(b"-----BEGIN CERTIFICATE-----") {
            let chain = decode_pem(text).map_err(|error| NotAQuote::Malformed(error.0))?;
            let Some(der) = chain.first() else { return Err(CERTIFICATE) };
            return open(der);
        }
        match evidence {
            [SEQUENCE, 0x82, ..] => open(evidence),
            _ => Ok(Self { quote: Cow::Borrowed(evidence), named: None }),
        }
    }

    /// Whether a certificate carries the quote.
    #[must_use]
    pub fn in_certificate(&self) -> bool {
        self.named.is_some()
    }

    /// Checks that the quote names the key of the certificate that carries it.
    pub(crate) fn check_key(&self, report_data: &[u8; 64]) -> Option<Check> {
        let named = self.named?;
        let mut expected = [0; 64];
        expected[..32].copy_from_slice(&named);
        let check = Check::new("binding.certificate").seen(report_data).expected(&expected);
        Some(check.source("certificate's key").holds(*report_data == expected, || {
            let remedy = "present the certificate that the quote was made for";
            Failure::new(Reason::BindingMismatch, Owner::Attester, remedy)
        }))
    }
}

fn open<'b>(der: &[u8]) -> Result<Carried<'b>, NotAQuote> {
    let certificate = Certificate::decode(der).map_err(|error| NotAQuote::Malformed(error.0))?;
    if certificate.algorithm == SignatureAlgorithm::Other {
        return Err(NotAQuote::Malformed("a certificate with a known signature algorithm"));
    }
    if !certificate.is_signed_by(&certificate) {
        return Err(NotAQuote::Malformed("a certificate that its own key signed"));
    }
    let key = sha256(certificate.spki);
    if let Some(tagged) = certificate.extension(DICE_TAGGED_EVIDENCE) {
        let (quote, claims) = decode_tagged(tagged.value).ok_or(TAGGED)?;
        if key_of(claims) != Some(key) {
            return Err(NotAQuote::Malformed("claims with the hash of the certificate's key"));
        }
        return Ok(Carried { quote: quote.to_vec().into(), named: Some(sha256(claims)) });
    }
    let legacy = certificate.extension(GRAMINE_QUOTE).ok_or(CERTIFICATE)?;
    Ok(Carried { quote: legacy.value.to_vec().into(), named: Some(key) })
}

/// Tag 60000 over `[quote: bstr, claims: bstr]`, and nothing after it.
fn decode_tagged(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut d = Decoder::new(value);
    let tagged = d.tag().ok()?.as_u64() == TAGGED_EVIDENCE && d.array().ok()? == Some(2);
    let (quote, claims) = (d.bytes().ok()?, d.bytes().ok()?);
    (tagged && d.position() == value.len()).then_some((quote, claims))
}

/// `{* tstr => any, "pubkey-hash": bstr .cbor [1, bstr .size 32]}`
fn key_of(claims: &[u8]) -> Option<[u8; 32]> {
    let mut d = Decoder::new(claims);
    let mut key = None;
    for _ in 0..d.map().ok()?.filter(|&entries| entries <= MAX_CLAIMS)? {
        if d.str().ok()? != "pubkey-hash" {
            d.skip().ok()?;
            continue;
        }
        let digest = d.bytes().ok()?;
        let mut inner = Decoder::new(digest);
        let sha256 = inner.array().ok()? == Some(2) && inner.u64().ok()? == SHA_256;
        let hash = inner.bytes().ok()?.try_into().ok()?;
        if key.is_some() || !sha256 || inner.position() != digest.len() {
            return None;
        }
        key = Some(hash);
    }
    key.filter(|_| d.position() == claims.len())
}

const CERTIFICATE: NotAQuote = NotAQuote::Malformed("a certificate that carries a quote");
const TAGGED: NotAQuote = NotAQuote::Malformed("DICE tagged evidence: a quote and claims");
/// The first octet of a certificate in DER.
const SEQUENCE: u8 = 0x30;
/// tcg-dice-TaggedEvidence, 2.23.133.5.4.9.
const DICE_TAGGED_EVIDENCE: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x09];
/// 1.2.840.113741.1337.6.
const GRAMINE_QUOTE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x8a, 0x39, 0x06];
/// The CBOR tag of a quote with claims.
const TAGGED_EVIDENCE: u64 = 60000;
/// SHA-256 among the hash algorithms of IANA's "Named Information" registry.
const SHA_256: u64 = 1;
/// How many claims may stand beside the hash of the key.
const MAX_CLAIMS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(entries: &[u8]) -> Option<[u8; 32]> {
        key_of(entries)
    }

    fn hash() -> Vec<u8> {
        let name = [&[0x6b][..], b"pubkey-hash", &[0x58, 0x24, 0x82, 0x01, 0x58, 0x20]].concat();
        [name, vec![7; 32]].concat()
    }

    #[test]
    fn the_hash_of_the_key_is_found_once_among_claims() {
        let nonce = [&[0x65][..], b"nonce", &[0x41, 0x00]].concat();

        assert_eq!(claims(&[vec![0xa1], hash()].concat()), Some([7; 32]));
        assert_eq!(claims(&[vec![0xa2], nonce.clone(), hash()].concat()), Some([7; 32]));
        assert_eq!(claims(&[vec![0xa1], nonce].concat()), None);
        assert_eq!(claims(&[vec![0xa2], hash(), hash()].concat()), None);
        assert_eq!(claims(&[vec![0xa1], hash(), vec![0]].concat()), None);
        assert_eq!(claims(&[0xa1]), None);
        assert_eq!(claims(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_quote_by_itself_is_given_back() {
        let quote = [3, 0, 2, 0];

        let carried = Carried::read(&quote).expect("a quote");

        assert_eq!(*carried.quote, quote);
        assert_eq!(carried.check_key(&[0; 64]), None);
    }
}
