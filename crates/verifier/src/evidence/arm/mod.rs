//! What the tokens of CCA, virtCCA and PSA share: claim maps, the COSE signatures of devices and
//! the keys that they were enrolled with, life cycles, software components.
//!
//! This module does not know which claims a token must have, nor what an instance may be.

pub mod component;
pub mod digest;
pub mod lifecycle;

mod base64url;
mod claim;
mod key;
mod refusal;
mod signed;

pub use component::SoftwareComponent;
pub use digest::HashAlgorithm;
pub use lifecycle::Lifecycle;
pub use refusal::NotAToken;

pub(crate) use base64url::decode_base64url;
pub(crate) use claim::{Claim, each_claim, missing};
pub(crate) use key::{DeviceKey, DeviceKeys, Enrolment};
pub(crate) use signed::{Scheme, Signed};
