//! What a TAM may learn of the device: Evidence, what is installed, and reports.

use std::borrow::Cow;

use rats::cmw::MEDIA_TYPE;
use suit::Digest;
use teep::agent::{Collected, Wanted};
use teep::{AttestationPayload, SystemProperties};
use tracing::{error, info};

use super::Core;
use crate::evidence;
use crate::install;

impl Core {
    /// Obtains what an authenticated TAM asks for. What is not there is left out.
    pub(super) fn collect(&mut self, wanted: &Wanted) -> Collected<'static> {
        let challenge = wanted.attestation.as_ref().and_then(|attest| attest.challenge.as_ref());
        let evidence = challenge.and_then(|challenge| self.evidence(challenge));
        let components = if wanted.components { self.components() } else { Vec::new() };
        let reports = if wanted.reports {
            let nonce = wanted.report_nonce.as_ref().map(teep::Token::as_bytes);
            install::inventory(&self.store, nonce, &self.identity)
        } else {
            Vec::new()
        };
        Collected { evidence, components, reports }
    }

    fn evidence(&mut self, challenge: &[u8]) -> Option<AttestationPayload<'static>> {
        let made = evidence::evidence(
            &self.identity,
            self.attester.as_ref(),
            &self.applications,
            &mut self.exchanges,
            challenge,
        );
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
