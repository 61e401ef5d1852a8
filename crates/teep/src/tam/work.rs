//! What a TAM decides to do with a device.

use std::borrow::Cow;

use cose::{Key, Thumbprint};

use crate::attestation::AttestationPayload;
use crate::component::ComponentId;
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

/// A SUIT envelope whose signer was checked: a TAM relays no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest<'m> {
    envelope: Cow<'m, [u8]>,
    signer: Thumbprint,
    personalization_data: bool,
}

impl<'m> Manifest<'m> {
    /// Checks that a Trusted Component Signer who may install on this device signed the envelope.
    ///
    /// `signer` gives the key of a signer that is authorised.
    //= teep 14.47 (M): only manifests of authorised signers are relayed, checked before sending
    pub fn authorised(
        envelope: impl Into<Cow<'m, [u8]>>,
        signer: &dyn Fn(&Thumbprint) -> Option<Key>,
    ) -> Result<Self, Unauthorised> {
        let envelope = envelope.into();
        let signer = crate::manifest::signer(&envelope, signer)?;
        Ok(Self { envelope, signer, personalization_data: false })
    }

    /// Marks the envelope as one that brings Personalization Data.
    pub fn with_personalization_data(self) -> Self {
        Self { personalization_data: true, ..self }
    }

    /// Whose signature was checked.
    pub const fn signer(&self) -> Thumbprint {
        self.signer
    }

    pub(super) const fn has_personalization_data(&self) -> bool {
        self.personalization_data
    }

    pub(super) fn into_envelope(self) -> Cow<'m, [u8]> {
        self.envelope
    }
}

pub use crate::manifest::Unauthorised;
