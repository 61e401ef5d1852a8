//! What a TAM may learn of the device: Evidence, what is installed, and reports.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use cose::Thumbprint;
use keys::SystemEntropy;
use rats::cmw::MEDIA_TYPE;
use suit::Digest;
use teep::agent::{Collected, Wanted};
use teep::{AttestationPayload, SuitCoseProfile, SystemProperties};
use tracing::{error, info};

use super::Core;
use crate::evidence::{self, NoEvidence, Prepared};
use crate::install::{self, Reader, Reporter, shows};
use crate::store::Installed;
use crate::ta::Facts;

/// What became of the Evidence that a TAM asks for.
pub(super) enum Asked {
    /// It is there, or there is none.
    Answered(Option<AttestationPayload<'static>>),
    /// It lacks its quote.
    Prepared(Prepared),
}

/// The Evidence that was prepared last.
#[derive(Debug)]
pub(super) struct Answered {
    tam: Thumbprint,
    challenge: Vec<u8>,
    prepared: Prepared,
    at: Instant,
}

impl Core {
    /// Obtains the Evidence that an authenticated TAM asks for, up to its quote.
    pub(super) fn ask_evidence(&mut self, wanted: &Wanted) -> Asked {
        let Some(attest) = &wanted.attestation else { return Asked::Answered(None) };
        let Some(challenge) = &attest.challenge else { return Asked::Answered(None) };
        let (identity, tee) = (&self.identity, self.quotes.description());
        let (store, settings) = (&self.store, &self.settings);
        let shown = |facts: &Facts| shows(store, settings, &facts.manifest, wanted.tam);
        if attest.renewal {
            return Asked::Answered(payload(evidence::renewal(
                identity,
                tee,
                &self.applications,
                &shown,
                challenge,
            )));
        }
        // A TAM that asks again has not got the answer: it is one exchange, and one quote.
        if let Some(answered) = &self.answered
            && answered.tam == wanted.tam
            && answered.challenge == *challenge
            && answered.at.elapsed() < ANSWERED_FOR
        {
            return Asked::Prepared(answered.prepared.clone());
        }
        let prepared = evidence::prepare(
            identity,
            tee,
            &self.applications,
            &mut self.exchanges,
            &self.settings.channel,
            &shown,
            challenge,
        );
        match prepared {
            Ok(prepared) => {
                self.answered = Some(Answered {
                    tam: wanted.tam,
                    challenge: challenge.clone(),
                    prepared: prepared.clone(),
                    at: Instant::now(),
                });
                Asked::Prepared(prepared)
            }
            Err(no_evidence) => Asked::Answered(payload(Err(no_evidence))),
        }
    }

    /// Obtains what an authenticated TAM asks for beside Evidence. What is not there is left out.
    pub(super) fn collect(
        &self,
        wanted: &Wanted,
        evidence: Option<AttestationPayload<'static>>,
    ) -> Collected<'static> {
        let evidence = evidence.and_then(|evidence| self.confided(wanted, evidence));
        let components = if wanted.components { self.components(wanted.tam) } else { Vec::new() };
        let reports = if wanted.reports {
            let nonce = wanted.report_nonce.as_ref().map(teep::Token::as_bytes);
            let reader = self.reader(wanted.tam, wanted.profile);
            let reporter = Reporter { identity: &self.identity, reader: &reader };
            install::inventory(self.known_to(wanted.tam), nonce, reporter)
        } else {
            Vec::new()
        };
        Collected { evidence, components, reports }
    }

    /// Evidence as its TAM is to get it: encrypted where the settings know a key of that TAM. What
    /// cannot be encrypted then is not given out.
    fn confided(
        &self,
        wanted: &Wanted,
        evidence: AttestationPayload<'static>,
    ) -> Option<AttestationPayload<'static>> {
        let reader = self.reader(wanted.tam, wanted.profile);
        if reader == Reader::Anybody {
            return Some(evidence);
        }
        let sealed = encrypted(&reader, &evidence);
        if sealed.is_none() {
            error!(tam = %wanted.tam, "the evidence cannot be encrypted to this TAM");
        }
        sealed
    }

    /// Who is to read what a TAM gets, by the settings and what both sides can do.
    pub(super) fn reader(&self, tam: Thumbprint, profile: Option<SuitCoseProfile>) -> Reader {
        match self.settings.tam_of(tam).and_then(|tam| tam.encryption_key.clone()) {
            None => Reader::Anybody,
            Some(receiver) => Reader::Tam { receiver, profile },
        }
    }

    /// What is installed, as far as a TAM may know of it.
    fn known_to(&self, tam: Thumbprint) -> impl Iterator<Item = &Installed> {
        let installed = self.store.installed();
        installed.filter(move |one| self.settings.shows(one.tam.as_deref(), tam))
    }

    /// Every manifest and every content with its digest. Envelopes are named by the digests of
    /// their manifests, once.
    fn components(&self, tam: Thumbprint) -> Vec<SystemProperties<'static>> {
        let manifests = self.known_to(tam).map(|installed| (&installed.manifest, installed.digest));
        let contents = self.known_to(tam).flat_map(|installed| &installed.contents);
        let contents = contents.map(|(component, content)| (component, content.digest));
        let contents = contents.filter(|(component, _)| !install::is_envelope(component));
        manifests
            .chain(contents)
            .map(|(component, digest)| {
                let digest = Digest::sha256(digest).encode();
                SystemProperties::measured(component.clone(), &digest)
            })
            .collect()
    }
}

/// Evidence as TEEP carries it.
pub(super) fn payload(made: Result<Vec<u8>, NoEvidence>) -> Option<AttestationPayload<'static>> {
    match made {
        Ok(evidence) => {
            info!(bytes = evidence.len(), "evidence is made");
            Some(AttestationPayload::new(MEDIA_TYPE, Cow::Owned(evidence)))
        }
        Err(no_evidence) => {
            error!(error = %install::chain(&no_evidence), "there is no evidence");
            None
        }
    }
}

/// Evidence for the TAM alone, in a profile that both sides have.
fn encrypted(
    reader: &Reader,
    evidence: &AttestationPayload<'_>,
) -> Option<AttestationPayload<'static>> {
    let (to_tam, ephemeral) = reader.sealing()?;
    to_tam.payload(evidence, &ephemeral, &mut SystemEntropy).ok()
}

/// For how long the same challenge gets the same Evidence.
const ANSWERED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use cose::{Agreement as _, Curve};
    use keys::AgreementKey;

    use super::*;

    #[test]
    fn evidence_is_encrypted_in_a_common_profile_or_not_given() {
        let tam = AgreementKey::generate(Curve::P256).unwrap();
        let evidence = AttestationPayload::new(MEDIA_TYPE, b"evidence of a device".to_vec());

        let encrypted =
            |profile| encrypted(&Reader::Tam { receiver: tam.key().clone(), profile }, &evidence);
        for profile in SuitCoseProfile::MANDATORY {
            let sealed = encrypted(Some(profile)).unwrap();

            assert_eq!(sealed.format, evidence.format);
            assert_eq!(sealed.bytes[..2], [0xd8, 96]);
            assert!(!sealed.bytes.windows(8).any(|window| window == b"evidence"));
        }
        let unknown = SuitCoseProfile { key_exchange: -25, ..SuitCoseProfile::MANDATORY[0] };
        assert_eq!(encrypted(Some(unknown)), None);
        assert_eq!(encrypted(None), None);
    }
}
