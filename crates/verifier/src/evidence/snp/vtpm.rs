//! Quotes of the vTPM that a paravisor gives its guest: what was measured since the launch.
//!
//! TPM 2.0 Library part 2, section 10.12; big-endian.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::report::NotAReport;
use crate::crypto::{PublicKey, SignatureAlgorithm, equal, sha256_of};
use crate::evidence::sev::certificate::rsa_public_key;

/// A quote over platform configuration registers of the SHA-256 bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote<'b> {
    /// TPMS_ATTEST as signed.
    pub attest: &'b [u8],
    /// RSASSA PKCS #1 with SHA-256.
    pub signature: &'b [u8],
    /// What the guest had the vTPM bind, with zeros up to 64 octets.
    pub user_data: [u8; 64],
    /// The registers that are quoted, by number.
    pub registers: BTreeMap<u8, &'b [u8; 32]>,
    digest: &'b [u8; 32],
}

/// A JSON Web Key among a paravisor's runtime claims.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WebKey {
    kid: String,
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl<'b> Quote<'b> {
    /// Reads a quote and the values of the registers that it selects, in ascending order.
    pub fn decode(
        attest: &'b [u8],
        signature: &'b [u8],
        values: &[&'b [u8]],
    ) -> Result<Self, NotAReport> {
        const QUOTE: NotAReport = NotAReport::Malformed("a TPM 2.0 quote over SHA-256 registers");
        let mut rest = Fields(attest);
        if rest.number::<4>() != Some(TPM_GENERATED) || rest.number::<2>() != Some(ATTEST_QUOTE) {
            return Err(QUOTE);
        }
        rest.sized().ok_or(QUOTE)?;
        let bound = rest.sized().ok_or(QUOTE)?;
        let mut user_data = [0; 64];
        user_data.get_mut(..bound.len()).ok_or(QUOTE)?.copy_from_slice(bound);
        rest.take(CLOCK_AND_FIRMWARE).ok_or(QUOTE)?;
        if rest.number::<4>() != Some(1) || rest.number::<2>() != Some(ALGORITHM_SHA256) {
            return Err(QUOTE);
        }
        let length = rest.number::<1>().and_then(|length| usize::try_from(length).ok());
        let selected = rest.take(length.filter(|length| *length <= 3).ok_or(QUOTE)?);
        let selected = selected.ok_or(QUOTE)?;
        let digest = rest.sized().and_then(|digest| digest.try_into().ok()).ok_or(QUOTE)?;
        let numbers = (0..24_u8).filter(|number| {
            let octet = selected.get(usize::from(number / 8)).copied().unwrap_or_default();
            octet >> (number % 8) & 1 == 1
        });
        let numbers = numbers.collect::<Vec<_>>();
        if !rest.0.is_empty() || numbers.len() != values.len() {
            return Err(QUOTE);
        }
        let named = numbers.into_iter().zip(values).map(|(number, value)| {
            let value = <&[u8; 32]>::try_from(*value).map_err(|_| QUOTE)?;
            Ok((number, value))
        });
        let registers = named.collect::<Result<_, _>>()?;
        Ok(Self { attest, signature, user_data, registers, digest })
    }

    /// Whether the registers are those that were quoted.
    #[must_use]
    pub fn covers_registers(&self) -> bool {
        let values = self.registers.values().map(|value| &value[..]).collect::<Vec<_>>();
        equal(&sha256_of(&values), self.digest)
    }

    /// Whether the key signed the quote.
    #[must_use]
    pub fn is_signed_by(&self, key: &AttestationKey) -> bool {
        let scheme = SignatureAlgorithm::Pkcs1Sha256;
        PublicKey::Rsa(&key.0).verify(&scheme, self.attest, self.signature)
    }
}

/// The vTPM's attestation key: DER RSAPublicKey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey(Vec<u8>);

impl AttestationKey {
    /// The key that Azure's paravisor calls `HCLAkPub`.
    pub(super) fn find(keys: &[WebKey]) -> Option<Self> {
        let key = keys.iter().find(|key| key.kid == ATTESTATION_KEY && key.kty == "RSA")?;
        Some(Self(rsa_public_key(&base64url(&key.n)?, &base64url(&key.e)?)))
    }
}

/// The name of a register in claims and reference values.
#[must_use]
pub fn register_name(number: u8) -> &'static str {
    NAMES.get(usize::from(number)).copied().unwrap_or("pcr")
}

struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<u32> {
        let octets = self.take(N)?;
        Some(octets.iter().fold(0, |number, &octet| number << 8 | u32::from(octet)))
    }

    /// TPM2B: a length of two octets and that many octets.
    fn sized(&mut self) -> Option<&'b [u8]> {
        let length = self.number::<2>()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Decodes base64url without padding (RFC 4648 section 5), one spelling per octet string.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push((group >> bits).to_le_bytes()[0]);
            group &= (1 << bits) - 1;
        }
    }
    (bits < 6 && group == 0).then_some(octets)
}

const ATTESTATION_KEY: &str = "HCLAkPub";
const TPM_GENERATED: u32 = 0xff54_4347;
const ATTEST_QUOTE: u32 = 0x8018;
const ALGORITHM_SHA256: u32 = 0x000b;
/// Clock (8), resets (4), restarts (4), safe (1), firmware version (8).
const CLOCK_AND_FIRMWARE: usize = 25;
const NAMES: [&str; 24] = [
    "pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr5", "pcr6", "pcr7", "pcr8", "pcr9", "pcr10",
    "pcr11", "pcr12", "pcr13", "pcr14", "pcr15", "pcr16", "pcr17", "pcr18", "pcr19", "pcr20",
    "pcr21", "pcr22", "pcr23",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(base64url("AQAB"), Some(vec![1, 0, 1]));
        assert_eq!(base64url("-_8"), Some(vec![0xfb, 0xff]));
        for other in ["AQA=", "A", "AB", "AQABB", "+/8"] {
            assert_eq!(base64url(other), None, "{other}");
        }
    }
}
