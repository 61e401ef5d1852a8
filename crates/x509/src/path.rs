//! Certification paths of those who sign messages (RFC 5280 section 6, RFC 9360 `x5chain`).
//!
//! A path names the key that a chain vouches for, and until when. Anchors are certificates that the
//! caller trusts; time comes in. Revocation is not looked at: who blocks a key does so by its
//! thumbprint. Name constraints and policies are critical extensions that nobody understands here,
//! so a certificate with one does not decode.

use cose::Key;
use rats::Timestamp;

use super::{Certificate, MAX_CHAIN};

/// A chain that leads from a signer's certificate to an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The signer's key.
    pub key: Key,
    /// When the first certificate of the path ends, the anchor's included.
    pub valid_until: Timestamp,
}

/// Why a chain vouches for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPath {
    /// No certificate, or more than a chain may have.
    #[error("a chain has one to eight certificates")]
    Length,
    /// The certificate with this number is not one that can be read here.
    #[error("certificate {0} of the chain is malformed")]
    Malformed(usize),
    /// The first certificate is an authority's, or its key is not for signatures.
    #[error("the first certificate is not one of a signer")]
    NotASigner,
    /// The signer's key is of a kind that signs no messages here.
    #[error("the signer's key is not supported")]
    Key,
    /// The certificate with this number did not sign the one before it, or may not.
    #[error("certificate {0} of the chain did not issue the one before")]
    Issuer(usize),
    /// More authorities follow each other than the certificate with this number allows.
    #[error("certificate {0} of the chain allows fewer authorities below it")]
    PathLength(usize),
    /// Nobody who is trusted issued the last certificate.
    #[error("no anchor issued the chain")]
    NoAnchor,
    /// A certificate of the path has expired, or is not yet valid.
    #[error("a certificate of the chain is out of date")]
    OutOfDate,
}

impl Path {
    /// Follows a chain, the signer's certificate first, to one of the anchors.
    ///
    /// The chain may end with the anchor itself or with what the anchor issued.
    pub fn verify(
        chain: &[Vec<u8>],
        anchors: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Self, NotAPath> {
        if !(1..=MAX_CHAIN).contains(&chain.len()) {
            return Err(NotAPath::Length);
        }
        let mut read = Vec::with_capacity(chain.len());
        for (number, der) in chain.iter().enumerate() {
            read.push(Certificate::decode(der).map_err(|_| NotAPath::Malformed(number))?);
        }
        let signer = &read[0];
        if !signer.may_sign_data() {
            return Err(NotAPath::NotASigner);
        }
        for (below, pair) in read.windows(2).enumerate() {
            issued(&pair[1], &pair[0], below + 1, below)?;
        }
        let last = &read[read.len() - 1];
        let anchors = || anchors.iter().filter_map(|der| Certificate::decode(der).ok());
        let ends = if read.len() > 1 && anchors().any(|anchor| anchor.raw == last.raw) {
            last.not_after
        } else {
            let number = read.len();
            let issuer = anchors().find(|anchor| last.is_signed_by(anchor));
            let issuer = issuer.ok_or(NotAPath::NoAnchor)?;
            issued(&issuer, last, number, number - 1)?;
            if !issuer.is_valid_at(now) {
                return Err(NotAPath::OutOfDate);
            }
            issuer.not_after
        };
        if !read.iter().all(|certificate| certificate.is_valid_at(now)) {
            return Err(NotAPath::OutOfDate);
        }
        let valid_until =
            read.iter().map(|certificate| certificate.not_after).fold(ends, Timestamp::min);
        let key = Key::from_spki(signer.spki).map_err(|_| NotAPath::Key)?;
        Ok(Self { key, valid_until })
    }
}

/// Checks that an authority issued a certificate and may have so many authorities below it.
fn issued(
    issuer: &Certificate<'_>,
    subject: &Certificate<'_>,
    number: usize,
    authorities_below: usize,
) -> Result<(), NotAPath> {
    if !(issuer.is_authority() && subject.is_signed_by(issuer)) {
        return Err(NotAPath::Issuer(number));
    }
    match issuer.path_length() {
        Some(allowed) if allowed < authorities_below as u64 => Err(NotAPath::PathLength(number)),
        Some(_) | None => Ok(()),
    }
}
