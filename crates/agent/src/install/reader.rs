//! Who reads what the agent tells a TAM, and who signs it.

use std::borrow::Cow;

use cose::Key;
use keys::{AgreementKey, SystemEntropy};
use suit::report::{Report, protect};
use teep::SuitCoseProfile;
use teep::confidential::Confidentiality;
use tracing::error;

use crate::identity::Identity;

/// Who is to read what a TAM gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Whoever carries the message may: TLS has to do.
    Anybody,
    /// The TAM alone.
    Tam {
        /// The key that it opens such things with.
        receiver: Key,
        /// The profile that both sides have; without one nothing is told.
        profile: Option<SuitCoseProfile>,
    },
}

impl Reader {
    /// How to encrypt, with a key pair for one message; none where nobody needs it, or nobody can.
    pub(crate) fn sealing(&self) -> Option<(Confidentiality<'_>, AgreementKey)> {
        let Self::Tam { receiver, profile } = self else { return None };
        let ephemeral = AgreementKey::generate(receiver.curve()).ok()?;
        Some((Confidentiality { receiver, profile: (*profile)? }, ephemeral))
    }
}

/// Who signs SUIT reports, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// Whose reports they are.
    pub identity: &'a Identity,
    /// Who is to read them.
    pub reader: &'a Reader,
}

impl Reporter<'_> {
    /// Signs a report with the key that signs nothing else; before, it is encrypted where the TAM
    /// alone is to read it. What cannot be encrypted then is not given out.
    pub(super) fn sign(self, report: &Report) -> Option<Cow<'static, [u8]>> {
        let signer = self.identity.report.as_ref();
        let signed = match self.reader {
            Reader::Anybody => protect(report, signer).ok(),
            Reader::Tam { .. } => self.reader.sealing().and_then(|(to_tam, ephemeral)| {
                to_tam.report(report, signer, &ephemeral, &mut SystemEntropy).ok()
            }),
        };
        if signed.is_none() {
            error!("a report cannot be encrypted or signed");
        }
        signed.map(Cow::Owned)
    }
}
