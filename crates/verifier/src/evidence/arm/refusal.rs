//! Why bytes are no token that is appraised.

use std::borrow::Cow;

use cose::Malformed;

use crate::check::{Check, Failure, Owner, Reason};

/// Bytes are no token, or none that this Verifier reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// The bytes break the format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes are of a form that is not read here.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
}

impl NotAToken {
    /// A form that is not read here, as it was seen.
    pub(crate) fn unsupported(seen: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported(seen.into())
    }

    /// The check that refuses the evidence.
    pub(crate) fn into_check(self, supported: &'static str) -> Check {
        let check = Check::new("evidence.format").seen(self.to_string()).expected(supported);
        let (reason, remedy) = match self {
            Self::Malformed(_) => {
                (Reason::Malformed, "send the token as the device's firmware made it")
            }
            Self::Unsupported(_) => {
                (Reason::Unsupported, "make tokens of the profiles that this Verifier reads")
            }
        };
        check.holds(false, || Failure::new(reason, Owner::Attester, remedy))
    }
}
