//! What the tokens of CCA, virtCCA and PSA share: claim maps, the COSE signatures of devices and
//! the keys that they were enrolled with, life cycles, software components; and what CCA and
//! virtCCA share: platform and realm claims.
//!
//! This module does not know which signature vouches for which.

pub mod component;
pub mod digest;
pub mod lifecycle;
pub mod platform;
pub mod realm;
pub mod rem;

mod base64;
mod claim;
mod collection;
mod key;
mod refusal;
mod signed;

pub use component::{Component, SoftwareComponent};
pub use digest::HashAlgorithm;
pub use key::enrolled_key;
pub use lifecycle::Lifecycle;
pub use platform::{PlatformClaims, PlatformReference};
pub(crate) use realm::REGISTERS;
pub use realm::{RealmClaims, RealmReference};
pub use refusal::NotAToken;

pub(crate) use base64::{decode_base64, decode_base64url, encode_base64url};
pub(crate) use claim::{Claim, claims, each_checked, each_claim, missing};
pub(crate) use collection::Collection;
pub(crate) use key::{DeviceKey, DeviceKeys, Enrolment, p521_spki, rsa_public_key};
pub(crate) use signed::{Scheme, Signed};
