//! Whose manifest a SUIT envelope is.

use cose::{Key, Thumbprint};

/// Why a TAM does not relay a manifest.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorised {
    /// Not a SUIT envelope that can be authenticated.
    #[error("not a signed SUIT envelope")]
    Malformed,
    /// No authorised signer's signature on it holds.
    #[error("no authorised Trusted Component Signer signed the manifest")]
    Signer,
}

pub(crate) fn signer(
    _envelope: &[u8],
    _key: &dyn Fn(&Thumbprint) -> Option<Key>,
) -> Result<Thumbprint, Unauthorised> {
    Err(Unauthorised::Malformed)
}
