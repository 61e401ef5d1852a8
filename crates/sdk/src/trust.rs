//! Whom the Network User believes: own policy, own pins. None of it comes from the M/OC.

use std::str::FromStr;

use channel::Suites;
use cose::{Accept, Key};
use rats::corim::{Corim, Expect};
use serde::{Deserialize, Serialize};
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
    /// Whose word is enough.
    pub strength: Strength,
    /// The suites of the channel that data may be sealed with, the preferred one first.
    pub channel: Suites,
}

/// What a release of Personalization Data rests on, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// The result of the pinned Verifier alone: who runs that Verifier can lie about everything.
    Result,
    /// The result of the pinned Verifier, and the user's own appraisal of the Evidence behind it.
    /// Who runs that Verifier can still answer with Evidence from before.
    Evidence,
    /// The user's own nonce and the user's own appraisal. A pinned Verifier that contradicts stops
    /// the flow as well.
    #[default]
    Own,
}

impl Strength {
    /// As settings and reports spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Evidence => "evidence",
            Self::Own => "own",
        }
    }
}

impl FromStr for Strength {
    type Err = UnusablePin;

    fn from_str(text: &str) -> Result<Self, UnusablePin> {
        let found = [Self::Result, Self::Evidence, Self::Own]
            .into_iter()
            .find(|strength| strength.as_str() == text);
        found.ok_or_else(|| UnusablePin::Strength(text.to_owned()))
    }
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
    /// No such strength.
    #[error("`{0}` is none of `result`, `evidence` and `own`")]
    Strength(String),
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
            strength: Strength::default(),
            channel: Suites::default(),
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

    /// Accepts guests that the Network User launched, by the own statement about their launch.
    #[must_use]
    pub fn with_launches_by(mut self, owner: &Key) -> Self {
        self.policy.sev.launched_by.push(Hex(owner.thumbprint().0));
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
