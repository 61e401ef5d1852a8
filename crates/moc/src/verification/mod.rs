//! The Verifier of the M/OC: Evidence in, an explained verdict and a signed result out.
//!
//! It owns the operator's policy, trust anchors, endorsements and reference values, and the
//! Verifier's key. What follows from a verdict is the TAM's business.

mod agent;
mod explain;
mod result;
mod sources;

use std::{
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use api::{Hardware, Verdict};
use cose::{Algorithm, Key, Signer as _, Thumbprint};
use keys::SigningKey;
use rats::eat::TaEntry;
use teep::appraisal::{Appraisal, NotAttested};
use verifier::{Anchors, Kind};

use crate::{collateral::Wanted, config, deployment::Failure, store::Quoted};

pub use self::sources::{Sources, Unusable};

/// The Verifier.
#[derive(Debug)]
pub struct Verification {
    key: SigningKey,
    sources: RwLock<Arc<Sources>>,
    /// Who fetches collateral that is missing, once that runs.
    wanted: OnceLock<Wanted>,
}

/// What is to be appraised, and against what.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The media type that the Agent gave.
    pub format: Option<&'a str>,
    /// The Evidence.
    pub evidence: &'a [u8],
    /// What it has to be fresh for.
    pub challenge: &'a [u8],
    /// The TAM's part of the challenge.
    pub tam_nonce: &'a [u8],
    /// The Network User's part, when one asks.
    pub user_nonce: Option<&'a [u8]>,
    /// Who signed the TEEP message.
    pub signer: Thumbprint,
    /// The tenant who asks, when one does.
    pub tenant: Option<&'a str>,
    /// The device's hardware by the operator's word; unknown for a stranger.
    pub hardware: Option<Hardware>,
    /// The Trusted Application that has to be there.
    pub application: Option<Application>,
    /// Evidence with a quote that a renewal may rest on.
    pub quoted: Option<&'a Quoted>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A Trusted Application that was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The manifest's component identifier.
    pub manifest_component: Vec<Vec<u8>>,
    /// SHA-256 of the manifest.
    pub manifest_digest: Vec<u8>,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub struct Appraised {
    /// What the TEEP session needs to know.
    pub outcome: Result<Appraisal, NotAttested>,
    /// Every check.
    pub verdict: Verdict,
    /// The first check that failed.
    pub failure: Option<Failure>,
    /// What accepted Evidence says.
    pub facts: Option<Facts>,
    /// The signed result; only for accepted Evidence, and a Network User who asked for it.
    pub cmw: Option<Vec<u8>>,
    /// Whether the hardware is emulated, when an anchor was found.
    pub emulated: Option<bool>,
    /// The TCB's status in the vendor's words.
    pub tcb_status: Option<String>,
    /// What tells the hardware from others of its kind, hex.
    pub hardware_id: Option<String>,
    /// Whether it was the Agent's word over an earlier quote.
    pub is_renewal: bool,
    /// Accepted Evidence with a quote of its own, which a renewal may rest on.
    pub quoted: Option<Quoted>,
}

/// What accepted Evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kind of hardware.
    pub kind: Kind,
    /// Signs the Agent's TEEP messages.
    pub agent_key: Key,
    /// Signs the Agent's SUIT reports.
    pub report_key: Key,
    /// Signs receipts.
    pub receipt_key: Key,
    /// The installed Trusted Applications.
    pub applications: Vec<TaEntry>,
}

impl Verification {
    /// Loads or makes the Verifier's key and reads everything that it appraises by.
    pub fn open(keys: &Path, config: &config::Appraisal, now_ms: u64) -> Result<Self, Unusable> {
        let key = keys::file::load_or_create(keys.join("verifier.pem"), Algorithm::Esp256)?;
        let sources = Sources::read(config, now_ms)?;
        Ok(Self { key, sources: RwLock::new(Arc::new(sources)), wanted: OnceLock::new() })
    }

    /// Asks for collateral that is missing there, from now on.
    pub fn ask(&self, wanted: Wanted) {
        // Whoever came first is asked.
        let _second = self.wanted.set(wanted);
    }

    /// Where trust begins.
    pub fn anchors(&self) -> Anchors {
        self.sources().anchors.clone()
    }

    /// Reads policy, anchors, endorsements and reference values again; on error the old stay.
    pub fn reload(&self, config: &config::Appraisal, now_ms: u64) -> Result<(), Unusable> {
        let sources = Arc::new(Sources::read(config, now_ms)?);
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = sources;
        Ok(())
    }

    /// Reads everything again when a file has changed; tells whether it did.
    pub fn refresh(&self, config: &config::Appraisal, now_ms: u64) -> Result<bool, Unusable> {
        let stale = self.sources().are_stale(config);
        if stale {
            self.reload(config, now_ms)?;
        }
        Ok(stale)
    }

    fn sources(&self) -> Arc<Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The Verifier's public key.
    pub fn key(&self) -> &Key {
        self.key.key()
    }

    /// Appraises Evidence.
    pub fn appraise(&self, question: &Question<'_>) -> Appraised {
        agent::appraise(question, &self.sources(), &self.key, self.wanted.get())
    }
}

/// The family of a kind of evidence as the interface spells it.
pub const fn family(kind: Kind) -> Hardware {
    match kind {
        Kind::Cca => Hardware::Cca,
        Kind::Sev => Hardware::Sev,
        Kind::SevSnp => Hardware::SevSnp,
        Kind::Sgx => Hardware::Sgx,
        Kind::Tdx => Hardware::Tdx,
        Kind::TrustZone => Hardware::TrustZone,
    }
}

#[cfg(test)]
mod tests;
