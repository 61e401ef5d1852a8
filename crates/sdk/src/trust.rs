//! Whom the Network User believes: own policy, own pins. None of it comes from the M/OC.

use cose::{Accept, Key};
use rats::corim::{Corim, Expect};
use verifier::{
    Anchors, Collateral, Policy, ReferenceValues,
    anchor::{List, Listed, Vendor},
    value::Hex,
};

/// Everything that the Network User's own appraisal rests on.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Where trust begins: the vendors' roots, and the emulators that the user named.
    pub anchors: Anchors,
    /// What is accepted.
    pub policy: Policy,
    /// Which measured software is meant, as providers whom the user pinned state it.
    pub reference: ReferenceValues,
    /// The user's own copy of the vendors' collateral; without it the result's copy is used, which
    /// is signed by the vendors all the same.
    pub collateral: Option<Collateral>,
    /// The Verifier whose result is compared; without one nothing is compared.
    pub verifier: Option<Key>,
}

/// A pin cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusablePin {
    /// Reference values that their signer did not sign, or whose time is over.
    #[error("the reference values `{name}` are refused: {source}")]
    Reference {
        /// Which ones.
        name: String,
        /// Why.
        source: rats::Refused,
    },
}

impl Trust {
    /// The vendors' roots, the strict policy, and nothing else: refuses everything, since no
    /// reference value is known.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            anchors: Anchors::vendors(),
            policy: Policy::default(),
            reference: ReferenceValues::default(),
            collateral: None,
            verifier: None,
        }
    }

    /// Accepts an emulator's root. Every result under it says `emulated`.
    #[must_use]
    pub fn with_emulator(mut self, spki_sha256: [u8; 32]) -> Self {
        let name = "emulator that the Network User pinned".to_owned();
        // A pin says which key, not which vendor's evidence its emulator imitates.
        for vendor in Vendor::ALL {
            let listed = Listed { vendor, name: name.clone(), spki_sha256: Hex(spki_sha256) };
            self.anchors = self.anchors.with_emulator(listed);
        }
        self.policy.emulated_allowed = true;
        self
    }

    /// Accepts the anchors of a list. If it names an emulator, every result under it says
    /// `emulated`.
    #[must_use]
    pub fn with_anchors(mut self, list: List) -> Self {
        self.policy.emulated_allowed |= list.names_emulators();
        self.anchors = self.anchors.with_list(list);
        self
    }

    /// Accepts what a reference value provider states, after its signature and times.
    ///
    /// # Errors
    /// [`UnusablePin::Reference`].
    pub fn with_reference(
        mut self,
        name: &str,
        corim: &[u8],
        signer: &Key,
        now: rats::Timestamp,
    ) -> Result<Self, UnusablePin> {
        let signers = std::slice::from_ref(signer);
        let expect = Expect { signers, accept: &Accept::CURRENT, now };
        let verified = Corim::verify(corim, &expect)
            .map_err(|source| UnusablePin::Reference { name: name.to_owned(), source })?;
        self.reference = self.reference.with_corim(verified.get());
        Ok(self)
    }
}
