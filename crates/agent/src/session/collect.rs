//! What a TAM may learn of the device: Evidence, what is installed, and reports.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use cose::Key;
use keys::{AgreementKey, SystemEntropy};
use rats::cmw::MEDIA_TYPE;
use suit::Digest;
use teep::agent::{Collected, Wanted};
use teep::confidential::Confidentiality;
use teep::{AttestationPayload, SuitCoseProfile, SystemProperties};
use tracing::{error, info};

use super::Core;
use crate::evidence::{self, NoEvidence, Prepared};
use crate::install;
use crate::settings::Tam;

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
        if attest.renewal {
            return Asked::Answered(payload(evidence::renewal(
                identity,
                tee,
                &self.applications,
                challenge,
            )));
        }
        // A TAM that asks again has not got the answer: it is one exchange, and one quote.
        if let Some(answered) = &self.answered
            && answered.challenge == *challenge
            && answered.at.elapsed() < ANSWERED_FOR
        {
            return Asked::Prepared(answered.prepared.clone());
        }
        let prepared =
            evidence::prepare(identity, tee, &self.applications, &mut self.exchanges, challenge);
        match prepared {
            Ok(prepared) => {
                self.answered = Some(Answered {
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
        let components = if wanted.components { self.components() } else { Vec::new() };
        let reports = if wanted.reports {
            let nonce = wanted.report_nonce.as_ref().map(teep::Token::as_bytes);
            install::inventory(&self.store, nonce, &self.identity)
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
        let asks = |tam: &&Tam| tam.keys.iter().any(|key| key.thumbprint() == wanted.tam);
        let tam = self.settings.tams.iter().find(asks);
        let Some(receiver) = tam.and_then(|tam| tam.encryption_key.as_ref()) else {
            return Some(evidence);
        };
        let sealed = encrypted(receiver, wanted.profiles.first().copied(), &evidence);
        if sealed.is_none() {
            error!(tam = %wanted.tam, "the evidence cannot be encrypted to this TAM");
        }
        sealed
    }

    /// Every manifest and every content with its digest. Envelopes are named by the digests of
    /// their manifests, once.
    fn components(&self) -> Vec<SystemProperties<'static>> {
        let manifests =
            self.store.installed().map(|installed| (&installed.manifest, installed.digest));
        let contents = self.store.installed().flat_map(|installed| &installed.contents);
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

/// Evidence for the holder of a key alone, in a profile that both sides have.
fn encrypted(
    receiver: &Key,
    profile: Option<SuitCoseProfile>,
    evidence: &AttestationPayload<'_>,
) -> Option<AttestationPayload<'static>> {
    let ephemeral = AgreementKey::generate(receiver.curve()).ok()?;
    let confidentiality = Confidentiality { receiver, profile: profile? };
    confidentiality.payload(evidence, &ephemeral, &mut SystemEntropy).ok()
}

/// For how long the same challenge gets the same Evidence.
const ANSWERED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use cose::{Agreement as _, Curve};

    use super::*;

    #[test]
    fn evidence_is_encrypted_in_a_common_profile_or_not_given() {
        let tam = AgreementKey::generate(Curve::P256).unwrap();
        let evidence = AttestationPayload::new(MEDIA_TYPE, b"evidence of a device".to_vec());

        for profile in SuitCoseProfile::MANDATORY {
            let sealed = encrypted(tam.key(), Some(profile), &evidence).unwrap();

            assert_eq!(sealed.format, evidence.format);
            assert_eq!(sealed.bytes[..2], [0xd8, 96]);
            assert!(!sealed.bytes.windows(8).any(|window| window == b"evidence"));
        }
        let unknown = SuitCoseProfile { key_exchange: -25, ..SuitCoseProfile::MANDATORY[0] };
        assert_eq!(encrypted(tam.key(), Some(unknown), &evidence), None);
        assert_eq!(encrypted(tam.key(), None, &evidence), None);
    }
}
