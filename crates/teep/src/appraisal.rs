//! What an appraisal found, as the session machines need it.

use cose::Thumbprint;

/// The outcome of appraising Evidence, or of checking an Attestation Result, whose signature and
/// signer are fine.
///
/// The Verifier says what it found; that it was found for this challenge and this key is checked
/// by the session machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// The nonce inside.
    pub nonce: Option<Vec<u8>>,
    /// Whether the time inside shows that it is fresh, by the clock and window of the Verifier.
    pub recent: bool,
    /// The RFC 9679 SHA-256 thumbprint of the key in cnf, computed and not copied.
    pub confirmation: Option<Thumbprint>,
    /// What the policy makes of the claims.
    pub verdict: Verdict,
}

/// What a policy makes of an attester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be given what it is entitled to.
    Passed,
    /// It may be given manifests that repair it, and nothing else.
    Repairable,
    /// It may be given nothing.
    Failed,
}

/// Why there is no appraisal, or none that counts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttested {
    /// No trusted Verifier signed the result, or the Evidence is not authentic.
    #[error("attestation payload is not authentic")]
    Untrusted,
    /// Nobody here can read the format.
    #[error("format of the attestation payload is not supported")]
    Unsupported,
    /// The nonce is missing or another one.
    #[error("nonce is not the challenge")]
    Nonce,
    /// Too old, where time stands in for the nonce.
    #[error("attestation payload is not recent")]
    NotRecent,
    /// No key is confirmed.
    #[error("attestation payload names no key")]
    Unbound,
    /// Another key is confirmed than signed the message.
    #[error("attestation payload names another key than the message's")]
    AnotherKey,
    /// The policy says no.
    #[error("policy refuses the attester")]
    Verdict(Verdict),
}

impl Appraisal {
    /// Checks the appraisal against what was asked and who answered.
    //= teep 14.37 (M): a result without cnf, or with cnf for another key, is refused
    //= teep 14.38 (M): cnf is compared as an RFC 9679 thumbprint
    //= teep 14.39 (M): the nonce is compared with the challenge
    pub(crate) fn check(
        &self,
        freshness: Freshness<'_>,
        signer: Thumbprint,
        unbound: Unbound,
    ) -> Result<Verdict, NotAttested> {
        match freshness {
            Freshness::Nonce(challenge) => {
                let nonce = self.nonce.as_deref().ok_or(NotAttested::Nonce)?;
                if !cose::equal(nonce, challenge) {
                    return Err(NotAttested::Nonce);
                }
            }
            Freshness::Timestamp if self.recent => {}
            Freshness::Timestamp => return Err(NotAttested::NotRecent),
        }
        match self.confirmation {
            Some(key) if key == signer => Ok(self.verdict),
            Some(_) => Err(NotAttested::AnotherKey),
            None if unbound == Unbound::Accepted => Ok(self.verdict),
            None => Err(NotAttested::Unbound),
        }
    }
}

/// How an attestation payload has to be fresh.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Freshness<'a> {
    /// It holds this nonce.
    Nonce(&'a [u8]),
    /// Its time is recent.
    Timestamp,
}

/// What to do with results that name no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unbound {
    /// Such results count for nothing.
    #[default]
    Refused,
    /// For attestation technologies without such a binding (section 7.1.1.1).
    Accepted,
}
