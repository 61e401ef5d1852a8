//! What a TAM decides to do with a device.

use std::borrow::Cow;
use std::fmt;

use suit::authority::Authority;
use suit::{ComponentId, Signer};

use crate::attestation::AttestationPayload;
use crate::err_code::ErrCode;

/// What to do next in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'m> {
    /// Nothing: the exchange ends with an empty answer.
    Nothing,
    /// Send an Update.
    Update(Work<'m>),
    /// Tell the Agent that nothing will come, and why.
    Refuse {
        /// Why.
        code: ErrCode,
        /// The same for people.
        msg: Cow<'m, str>,
    },
}

/// What an Update does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work<'m> {
    /// Manifests to unlink first, by manifest component identifier.
    pub unneeded: Vec<ComponentId>,
    /// Manifests to install then, in order.
    pub manifests: Vec<Manifest<'m>>,
    /// An Attestation Result for the Agent to show to others.
    pub result: Option<AttestationPayload<'m>>,
}

/// A SUIT envelope that may be relayed.
///
/// A TAM relays no envelope that nobody answers for, and none that touches components which are
/// not its signer's: this is the only way to put one into an Update.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest<'m> {
    envelope: Cow<'m, [u8]>,
    signer: Signer,
    personalization_data: bool,
}

impl<'m> Manifest<'m> {
    /// Takes an envelope that a trust anchor answers for, if its signer may touch every component
    /// that it names.
    //= teep 15.118: a manifest of a signer without authority is refused
    //= teep 14.47 (M): only manifests of authorised signers are relayed, checked before sending
    pub fn authorised(
        verified: &suit::Verified<'m>,
        authority: &dyn Authority,
    ) -> Result<Self, suit::Untrusted> {
        suit::authority::check(authority, verified.signer(), verified.manifest())?;
        Ok(Self {
            envelope: Cow::Borrowed(verified.envelope().bytes()),
            signer: verified.signer().clone(),
            personalization_data: false,
        })
    }

    /// Marks the envelope as one that brings Personalization Data.
    pub fn with_personalization_data(self) -> Self {
        Self { personalization_data: true, ..self }
    }

    /// Who answers for the manifest.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(super) const fn has_personalization_data(&self) -> bool {
        self.personalization_data
    }

    pub(super) fn into_envelope(self) -> Cow<'m, [u8]> {
        self.envelope
    }
}

impl fmt::Debug for Manifest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({} bytes by {:?})", self.envelope.len(), self.signer)
    }
}
